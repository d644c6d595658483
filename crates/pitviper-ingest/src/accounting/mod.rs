//! Counting: every item and every request that came in has one outcome.

mod items;
mod requests;

pub(crate) use items::{ItemCounts, Pending};
pub use items::{OutcomeCount, Transport};
pub(crate) use requests::{OpenRequest, RequestCounts};
pub use requests::{Protocol, RefusalReason, RequestCount, Subject};

fn index_of<T: PartialEq, const N: usize>(all: &[T; N], one: &T) -> usize {
    all.iter().position(|other| other == one).expect("ALL lists every variant")
}
