//! Which questions go first.
//!
//! A page asks many questions, and one of them is what its reader waits for. Few questions run at a time,
//! so those that only go with it are asked aside: they never take all the places.

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
