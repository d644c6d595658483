//! Which spans were sampled by a profiler, and which functions there are.

use std::time::Duration;

use pitviper_model::{SpanId, TraceId};

use crate::filter::TextMatch;
use crate::store::TimeRange;

/// A question for the spans that samples of profiles were taken in.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledSpans {
    /// When the samples were taken.
    pub range: TimeRange,
    /// Only samples with a function in their stack whose name compares so. What has to be equal is the
    /// qualified name or its last part: `create` is also the name of `Blog.create`.
    pub function: Option<TextMatch>,
    /// Only of these spans; empty for all.
    pub span_ids: Vec<SpanId>,
    /// Most spans.
    pub limit: usize,
    /// How long rows are read; what is under way then is finished.
    pub time: Duration,
}

/// The answer to [`SampledSpans`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sampled {
    /// The spans in order, each once. The trace is all zero where the profiler tells spans alone.
    pub spans: Vec<(TraceId, SpanId)>,
    /// Whether these are all; otherwise they are those of the newest samples.
    pub complete: bool,
}

/// A question for the names of functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionNames {
    /// When samples of them were taken, to whole days.
    pub range: TimeRange,
    /// Only names that have this, in capitals or not.
    pub contains: String,
    /// Most names.
    pub limit: usize,
    /// How long rows are read; what is under way then is finished.
    pub time: Duration,
}

/// The name of a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FunctionName {
    /// The name as samples have it.
    pub name: String,
    /// Whether a function of that name is the application's own.
    pub in_app: bool,
}
