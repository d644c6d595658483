//! Profiles: samples added up by stack.

use pitviper_model::{SpanId, StackId, TraceId};

use crate::store::TimeRange;

/// What samples can be split by, besides their stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProfileDimension {
    /// The service's name.
    Service,
    /// The deployment environment.
    Environment,
    /// The service's version.
    Version,
    /// The host's name.
    Host,
    /// What was sampled.
    SampleType,
    /// The thread's name.
    Thread,
    /// The request that was worked on.
    Endpoint,
}

/// A question for samples, added up.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileQuery {
    /// When they were taken.
    pub range: TimeRange,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of this type, such as `cpu`. Values of different types should not be added up.
    pub sample_type: Option<String>,
    /// Only those taken in this trace.
    pub trace_id: Option<TraceId>,
    /// Only those taken in this span.
    pub span_id: Option<SpanId>,
    /// Only those with this label `endpoint`.
    pub endpoint: Option<String>,
    /// Only of the thread of this name.
    pub thread: Option<String>,
    /// Split by these as well; empty for one row a stack.
    pub group_by: Vec<ProfileDimension>,
    /// How many rows at most; more than [`ProfileQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
}

impl ProfileQuery {
    /// Most rows of one answer.
    pub const MAX_LIMIT: usize = 200_000;
}

/// Samples of one stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRow {
    /// Values of the dimensions, in the order of [`ProfileQuery::group_by`].
    pub labels: Vec<String>,
    /// The stack.
    pub stack: StackId,
    /// The sum of the values.
    pub value: i64,
    /// How many samples.
    pub samples: u64,
}

/// Samples, added up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileAnswer {
    /// The rows of the largest values, these first.
    pub rows: Vec<ProfileRow>,
    /// The sum of all values, also of rows that the limit left out.
    pub value: i64,
    /// How many samples there are, also in rows that the limit left out.
    pub samples: u64,
    /// How many rows the limit left out.
    pub left_out: usize,
    /// Whether samples that were sent twice may be counted twice: there are too many to remember them all.
    pub may_repeat: bool,
}
