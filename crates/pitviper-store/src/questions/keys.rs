//! Keys of matching spans: where a condition holds, without reading the spans themselves.

use std::time::Duration;

use pitviper_model::{SpanId, TraceId};

use crate::filter::Filter;
use crate::store::TimeRange;

/// A question for the keys of all matching spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    /// When the spans started.
    pub range: TimeRange,
    /// Which spans match.
    pub filter: Filter,
    /// Most keys. With none, nothing is read, and only [`Matched::rows`] is told.
    pub limit: usize,
    /// How long rows are read; what is under way then is finished.
    pub time: Duration,
}

/// What tells a span from all others, and its place in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanKey {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id within the trace.
    pub span_id: SpanId,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
}

/// The answer to [`Keys`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matched {
    /// The matching spans by trace and id, each once; any of them when there are more than the limit.
    pub keys: Vec<SpanKey>,
    /// Whether these are all that match.
    pub complete: bool,
    /// At most so many rows match, as far as that is known without reading: how many lie where
    /// matching ones may be.
    pub rows: u64,
}
