//! Typed questions and their answers, one file each, for what does not fit [`crate::store`].
//!
//! What an answer leaves out because of a limit it says.

pub mod aggregate;
mod distribution;
mod exceptions;
pub mod keys;
pub mod kin;
mod libraries;
mod logs;
mod metric_points;
mod profiles;
mod sampled;
pub mod sql;
pub mod survey;
pub mod walk;

pub use distribution::Distribution;
pub use exceptions::{ExceptionGroup, ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, StoredException};
pub use libraries::{LibrariesAnswer, LibrariesQuery};
pub use logs::{LogsQuery, StoredLog};
pub use metric_points::{
    MetricPointsAnswer, MetricPointsQuery, MetricSeries, MetricSeriesAnswer, MetricSeriesQuery, MetricStep, StepValue,
};
pub use profiles::{ProfileAnswer, ProfileDimension, ProfileQuery, ProfileRow};
pub use sampled::{FunctionName, FunctionNames, Sampled, SampledSpans};

/// Where a page of rows ended; the next one goes on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowCursor {
    /// The last row's time, in nanoseconds since the Unix epoch.
    pub time_ns: i64,
    /// The last row's id, which orders rows of one time.
    pub id: u64,
}

/// Rows, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<RowCursor>,
}

impl<T> Default for Page<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), next: None }
    }
}
