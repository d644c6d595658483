//! When a scan ends before it is done: nobody waits for it any more, or it takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::store::StoreError;

/// Looked at between pages.
#[derive(Debug, Clone)]
pub(in crate::embedded) struct Interrupt {
    is_given_up: Arc<AtomicBool>,
    began: Instant,
    limit: Duration,
}

/// Gives the scan up when dropped.
#[derive(Debug)]
pub(in crate::embedded) struct GiveUpOnDrop(Arc<AtomicBool>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Interrupt {
    /// After so long; and when what is returned is dropped.
    pub(in crate::embedded) fn after(limit: Duration) -> (Self, GiveUpOnDrop) {
        let is_given_up = Arc::new(AtomicBool::new(false));
        let interrupt = Self { is_given_up: Arc::clone(&is_given_up), began: Instant::now(), limit };
        (interrupt, GiveUpOnDrop(is_given_up))
    }

    /// Whether nobody waits for the answer any more.
    pub(in crate::embedded) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// # Errors
    /// When the scan is to end.
    pub(in crate::embedded) fn check(&self) -> Result<(), StoreError> {
        if self.is_given_up() {
            return Err(StoreError::Engine("nobody waits for the answer any more".to_owned()));
        }
        if self.began.elapsed() > self.limit {
            return Err(too_slow(self.limit));
        }
        Ok(())
    }
}

/// What is said of a question that takes longer than this.
pub(in crate::embedded) fn too_slow(limit: Duration) -> StoreError {
    let seconds = limit.as_secs();
    StoreError::Engine(format!("the question took longer than {seconds} s; narrow its time range or its filter"))
}
