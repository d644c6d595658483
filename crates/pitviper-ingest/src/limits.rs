//! What all requests under way may take together, whoever sends them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bounds on requests under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes requests hold at once: their bodies as they came over the wire, as they are once
    /// decompressed, and as they are once decoded. A request beyond it is asked to come back; one
    /// that is beyond it alone is refused for good.
    pub bytes_under_way: usize,
    /// Longest time a body may take to arrive, from the head of its request to its last byte.
    pub body_timeout: Duration,
}

impl Limits {
    /// Default of [`Limits::bytes_under_way`]: the largest body of usual spans, or some hundred
    /// usual ones.
    pub const DEFAULT_BYTES_UNDER_WAY: usize = 512 * 1024 * 1024;
    /// Default of [`Limits::body_timeout`]: the largest body over a line of 5 Mbit/s.
    pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_under_way: Self::DEFAULT_BYTES_UNDER_WAY, body_timeout: Self::DEFAULT_BODY_TIMEOUT }
    }
}

/// Bytes all requests share.
#[derive(Debug)]
pub(crate) struct ByteBudget(Arc<Semaphore>);

impl ByteBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Bytes nobody holds.
    pub(crate) fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// An empty share, to grow with what a request turns out to need.
    pub(crate) fn share(&self) -> Share {
        Share { budget: Arc::clone(&self.0), held: None }
    }
}

/// What one request holds of the budget; given back when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Share {
    budget: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Bytes it has taken.
    pub(crate) fn held(&self) -> usize {
        self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Takes that many more bytes; `false`, and nothing taken, when they are not there. It does not
    /// wait for them: requests that each hold a part and wait for the rest would wait forever.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Ok(bytes) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.budget).try_acquire_many_owned(bytes) else { return false };
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_budget_and_are_given_back() {
        let budget = ByteBudget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert!(one.grow(4) && one.grow(3));
        assert!(!other.grow(4), "one holds seven of ten");
        assert!(other.grow(3));
        drop(one);
        assert!(other.grow(7) && !other.grow(1));
    }
}
