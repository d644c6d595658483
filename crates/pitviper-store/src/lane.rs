//! Which questions go first.
//!
//! A page asks many questions, and one of them is what its reader waits for. Few questions run at a time,
//! so those that only go with it are asked aside: they never take all the places.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

tokio::task_local! {
    static LANE: Lane;
}

/// How a question is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// As what somebody waits for: what is asked aside leaves room for it.
    #[default]
    First,
    /// As what goes with it.
    Aside,
}

impl Lane {
    /// Asks in this lane: all questions that the future puts to a store while it is polled.
    pub async fn ask<F: Future>(self, questions: F) -> F::Output {
        LANE.scope(self, questions).await
    }

    /// The lane that is asked in now.
    #[must_use]
    pub fn current() -> Self {
        LANE.try_with(|lane| *lane).unwrap_or_default()
    }
}

/// Places for questions: so many run at a time, and of those asked aside fewer.
#[derive(Debug)]
pub struct Places {
    all: Arc<Semaphore>,
    aside: Arc<Semaphore>,
}

/// A place that is taken; free again when dropped.
#[derive(Debug)]
pub struct Place {
    _own: OwnedSemaphorePermit,
    _aside: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// So many places, of which so many may be taken aside.
    #[must_use]
    pub fn new(all: usize, aside: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), aside: Arc::new(Semaphore::new(aside)) }
    }

    /// Waits for a place.
    pub async fn take(&self, lane: Lane) -> Place {
        let take =
            async |places: &Arc<Semaphore>| Arc::clone(places).acquire_owned().await.expect("places are never closed");
        // First aside: who waits there is in nobody's way.
        let aside = match lane {
            Lane::First => None,
            Lane::Aside => Some(take(&self.aside).await),
        };
        Place { _own: take(&self.all).await, _aside: aside }
    }
}
