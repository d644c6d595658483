//! Counting: every span and every request that came in has one outcome.

mod requests;
mod spans;

pub(crate) use requests::{OpenRequest, RequestCounts};
pub use requests::{Protocol, RefusalReason, RequestCount};
pub use spans::{OutcomeCount, Transport};
pub(crate) use spans::{Pending, SpanCounts};

fn index_of<T: PartialEq, const N: usize>(all: &[T; N], one: &T) -> usize {
    all.iter().position(|other| other == one).expect("ALL lists every variant")
}
