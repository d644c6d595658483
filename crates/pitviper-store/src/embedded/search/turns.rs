//! Whose turn it is: so many questions run at a time, and of those asked aside fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lane::Lane;
use crate::stages::TurnStats;
use crate::store::StoreError;

/// The places of one kind of question.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    waiting: AtomicU64,
    running: AtomicU64,
    ended: AtomicU64,
    given_up: AtomicU64,
}

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    figures: Arc<Figures>,
    is_given_up: bool,
    /// Of all places, and of those aside.
    _places: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// Counts one that waits, however it ends.
struct Waiting<'a>(&'a AtomicU64);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Turns {
    /// So many places, of which so many may be taken aside.
    pub(super) fn new(all: usize, aside: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), aside: Arc::new(Semaphore::new(aside)), figures: Arc::default() }
    }

    /// Waits for a place.
    pub(super) async fn next(&self, lane: Lane) -> Result<Turn, StoreError> {
        self.figures.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.figures.waiting);
        let take =
            async |places: &Arc<Semaphore>| Arc::clone(places).acquire_owned().await.map_err(|_| StoreError::Closed);
        // First aside: who waits there is in nobody's way.
        let aside = match lane {
            Lane::First => None,
            Lane::Aside => Some(take(&self.aside).await?),
        };
        let own = take(&self.all).await?;
        drop(waiting);
        self.figures.running.fetch_add(1, Ordering::Relaxed);
        Ok(Turn { figures: Arc::clone(&self.figures), is_given_up: false, _places: (own, aside) })
    }

    pub(super) fn figures(&self) -> TurnStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // First, so that who sees none running sees how they ended.
        let running = self.figures.running.load(Ordering::Acquire);
        TurnStats {
            waiting: count(&self.figures.waiting),
            running,
            ended: count(&self.figures.ended),
            given_up: count(&self.figures.given_up),
        }
    }
}

impl Turn {
    /// The question has ended: by itself, or because it was given up on.
    pub(super) fn end(mut self, is_given_up: bool) {
        self.is_given_up = is_given_up;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let ended = if self.is_given_up { &self.figures.given_up } else { &self.figures.ended };
        ended.fetch_add(1, Ordering::Relaxed);
        // Last, so that who sees none running sees how they ended.
        self.figures.running.fetch_sub(1, Ordering::Release);
    }
}
