//! Ingest: from whatever a client speaks to durable rows.
//!
//! # The path of a request
//!
//! A receiver bounds, decompresses and decodes a request into the model; from then on the protocol
//! is forgotten. [`Ingest::accept`] validates each span, point or log record, fills in what older
//! clients name otherwise, measures rate, errors and durations of spans, finds the exceptions that
//! spans and log records tell of, builds rows and appends them. When the append
//! returns the rows are on disk, and only then does the client get its 200.
//!
//! Invariants:
//! - Every item that is decoded leaves exactly one outcome, and received = stored + rejected +
//!   dropped holds whenever nothing is under way.
//! - Every request leaves exactly one outcome: accepted, or refused for a reason. Only one that is
//!   our fault or a matter of time is refused in a way that makes its sender try again.
//! - What all requests under way hold of memory is bounded, and so is the time one may take to come.
//! - Processors know no protocol, receivers know no table.
//!
//! To add a receiver, make a folder in `receivers/` that ends in a call of [`Ingest::accept`], with a
//! [`Transport`] for the counts of its items and a [`Protocol`] for those of its requests.

mod accept;
mod accounting;
mod limits;
mod panics;
mod processors;
pub mod receivers;

pub use accept::{Accepted, Ingest, IngestError, IngestFigures};
pub use accounting::{OutcomeCount, Protocol, RefusalReason, RequestCount, Subject, Transport};
pub use limits::Limits;
