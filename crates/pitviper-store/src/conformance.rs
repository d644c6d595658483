//! The suite every store passes: [`fill`] writes a small fixture, [`verify`] asks every question of it
//! whose answers were worked out by hand.
//!
//! A test calls both for each [`Layout`], and again after opening the store anew. A new method of
//! [`Store`](crate::Store) or a new kind of [`Filter`](crate::filter::Filter) gets a case here.

mod cases;
mod fixture;
mod metric_edges;
mod tables;

pub use cases::{verify, verify_spans};
pub use fixture::{Layout, fill};
