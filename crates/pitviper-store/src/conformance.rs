//! The suite every store passes: [`fill`] writes a small fixture, [`verify`] asks every question of it
//! whose answers were worked out by hand.
//!
//! A test calls both for each [`Layout`], and again after opening the store anew. A new method of
//! [`Store`](crate::Store) or a new kind of [`Filter`](crate::filter::Filter) gets a case here.
//!
//! Answers that nobody worked out are compared with those of a [`Naive`] store: a test makes up what
//! is written and what is asked, and [`compare`] asks both.

mod aggregates;
mod cases;
mod compare;
mod fixture;
mod keys;
mod metric_edges;
mod naive;
mod plain_metrics;
mod profiles;
mod sql;
mod surveys;
mod tables;
mod told;

pub use cases::{verify, verify_spans};
pub use compare::{Question, compare};
pub use fixture::{Layout, fill};
pub use naive::{Naive, holds};
pub use plain_metrics::{is_in_scope, labels, metric_of};
