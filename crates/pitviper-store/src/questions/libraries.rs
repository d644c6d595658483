//! Libraries: which packages services run with.

use pitviper_model::Library;

use crate::store::TimeRange;

/// A question for libraries.
#[derive(Debug, Clone, PartialEq)]
pub struct LibrariesQuery {
    /// When they were seen, by the day: every day of UTC that the range has a moment of counts whole.
    pub range: TimeRange,
    /// Only in this service.
    pub service: Option<String>,
    /// Only of this name.
    pub package: Option<String>,
    /// How many at most; more than [`LibrariesQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
}

impl LibrariesQuery {
    /// Most libraries of one answer.
    pub const MAX_LIMIT: usize = 100_000;
}

/// Libraries by service, environment, package, version, runtime and host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LibrariesAnswer {
    /// The libraries, each once, first and last seen on the days that count.
    pub libraries: Vec<Library>,
    /// How many the limit left out.
    pub left_out: usize,
}
