//! Searches that tell their rows while they run.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;

use crate::store::{Cursor, Search, StoreError};

/// A search, and how it is walked.
#[derive(Debug, Clone, PartialEq)]
pub struct Walk {
    /// What is looked for.
    pub search: Search,
    /// How often it is told what was found and how far it came; [`Duration::MAX`] for all at the end,
    /// which takes the fewest reads.
    pub every: Duration,
    /// How long it may take. What is certain by then is told, and where the next walk goes on.
    pub time: Duration,
}

impl Walk {
    /// A search that tells everything at its end, and has no bound on time but the store's own.
    #[must_use]
    pub fn whole(search: &Search) -> Self {
        Self { search: search.clone(), every: Duration::MAX, time: Duration::MAX }
    }
}

/// What a walk tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Told<T> {
    /// The next rows in the order of the search. All that is told later comes behind them.
    Rows(Vec<T>),
    /// How far it came. Told between rows as often as was asked for, and at the end.
    Came(Came),
    /// Time was over; a search behind this place goes on. Nothing is told after it.
    Stopped(Cursor),
}

/// How far a walk came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Came {
    /// Rows of the store that lie where it has looked.
    pub rows: u64,
    /// Rows that lie where matching ones may be. A walk that finds enough ends before it has seen all.
    pub of: u64,
    /// Matching spans that were found and may be wanted; more than were told while others that were
    /// not seen may come before them.
    pub found: usize,
    /// The value of the search's order up to which everything was looked at; `None` when that is all.
    pub until: Option<i64>,
}

/// What a walk tells, as it runs. The walk ends when this is dropped.
pub type Telling<T> = BoxStream<'static, Result<Told<T>, StoreError>>;

/// All rows of a walk.
///
/// # Errors
/// What the walk says.
pub async fn collect<T>(mut telling: Telling<T>) -> Result<Vec<T>, StoreError> {
    let mut rows = Vec::new();
    while let Some(told) = telling.next().await {
        if let Told::Rows(more) = told? {
            rows.extend(more);
        }
    }
    Ok(rows)
}
