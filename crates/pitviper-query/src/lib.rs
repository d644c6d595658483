//! Questions to the store: the search language, time expressions and the views.
//!
//! A view is one folder under [`views`]: a typed request, a typed answer that serialises to what
//! the HTTP API documents, and a function over `&dyn Store` that makes one from the other. The
//! search language ([`search`]) is parsed here and nowhere else; its tree becomes the store's
//! [`Filter`](pitviper_store::filter::Filter).
//!
//! Invariants:
//! - No HTTP, no SQL of our own, no calendar clock: the current time is an argument. Only how long something
//!   takes is measured here.
//! - No input makes it panic, recurse without bound or answer without limit.
//! - Times are microseconds since the Unix epoch, durations nanoseconds, ids lower-case hex.
//!
//! To add a view: a folder under `views/` and a line in `views/mod.rs`.

pub mod error;
pub mod search;
pub mod time;
pub mod views;

pub use error::QueryError;
