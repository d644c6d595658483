//! Ingest: from whatever a client speaks to durable rows.
//!
//! # The path of a span
//!
//! A receiver bounds, decompresses and decodes a request into the model; from then on the protocol
//! is forgotten. [`Ingest::accept`] validates each span, fills in what older clients name
//! otherwise, measures rate, errors and durations, builds rows and appends them. When the append
//! returns the rows are on disk, and only then does the client get its 200.
//!
//! Invariants:
//! - Every span that is decoded leaves exactly one outcome, and received = stored + rejected +
//!   dropped holds whenever nothing is under way.
//! - A request that is refused before it is decoded is counted as a request, by reason.
//! - Processors know no protocol, receivers know no table.
//!
//! To add a receiver, make a folder in `receivers/` that ends in a call of [`Ingest::accept`], and
//! a [`Transport`] for its counts.

mod accept;
mod accounting;
mod processors;
pub mod receivers;

pub use accept::{Accepted, Ingest, IngestError};
pub use accounting::{OutcomeCount, RefusalReason, RequestCount, Transport};
