//! Whose turn it is: so many questions run at a time, and of those asked aside fewer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lane::{Lane, Place, Places};
use crate::stages::TurnStats;

/// The places of one kind of question.
#[derive(Debug)]
pub(super) struct Turns {
    places: Places,
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
    _place: Place,
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
        Self { places: Places::new(all, aside), figures: Arc::default() }
    }

    /// Waits for a place.
    pub(super) async fn next(&self, lane: Lane) -> Turn {
        self.figures.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.figures.waiting);
        let place = self.places.take(lane).await;
        drop(waiting);
        self.figures.running.fetch_add(1, Ordering::Relaxed);
        Turn { figures: Arc::clone(&self.figures), is_given_up: false, _place: place }
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
