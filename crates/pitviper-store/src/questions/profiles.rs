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
    /// The process (`service.instance.id`).
    Instance,
    /// What was sampled.
    SampleType,
    /// The unit of the values.
    Unit,
    /// The thread's name.
    Thread,
    /// The request that was worked on.
    Endpoint,
    /// The label `state`: what the thread was doing, or waiting for.
    State,
    /// The trace that was worked on, in hex.
    Trace,
    /// The span that was worked on, in hex.
    Span,
    /// The label `exception`: the type that was raised.
    Exception,
    /// The label `lock`: the lock that was waited for or held.
    Lock,
}

/// A question for samples, added up.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileQuery {
    /// When they were taken.
    pub range: TimeRange,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of this deployment environment.
    pub environment: Option<String>,
    /// Only of this version of the service.
    pub version: Option<String>,
    /// Only of this host.
    pub host: Option<String>,
    /// Only of the process of this `service.instance.id`.
    pub instance: Option<String>,
    /// Only of this type, such as `cpu`. Values of different types should not be added up.
    pub sample_type: Option<String>,
    /// Only those taken in this trace.
    pub trace_id: Option<TraceId>,
    /// Only those taken in one of these spans; empty for all.
    pub span_ids: Vec<SpanId>,
    /// Only those with this label `endpoint`.
    pub endpoint: Option<String>,
    /// Only of the thread of this name.
    pub thread: Option<String>,
    /// Only those that have all of these labels, with these values as text.
    pub labels: Vec<(String, String)>,
    /// Only those that have none of these labels with these values as text.
    pub without_labels: Vec<(String, String)>,
    /// Whether values are what was there at a moment, which cannot be added up over time. Then only the last
    /// snapshot of each process counts, in each step; and none of processes that have told nothing for five
    /// minutes when the last one told something.
    pub snapshots: bool,
    /// Only of one of these stacks; empty for all.
    pub stacks: Vec<StackId>,
    /// Whether there is a row for each stack.
    pub by_stack: bool,
    /// Width of the time steps in nanoseconds, aligned to the range's start; `None` for one step over the
    /// whole range.
    pub step_ns: Option<i64>,
    /// Split by these as well.
    pub group_by: Vec<ProfileDimension>,
    /// How many rows at most; more than [`ProfileQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
}

impl ProfileQuery {
    /// Most rows of one answer.
    pub const MAX_LIMIT: usize = 200_000;

    /// All samples of the range, by stack.
    #[must_use]
    pub fn all(range: TimeRange) -> Self {
        Self {
            range,
            service: None,
            environment: None,
            version: None,
            host: None,
            instance: None,
            sample_type: None,
            trace_id: None,
            span_ids: Vec::new(),
            endpoint: None,
            thread: None,
            labels: Vec::new(),
            without_labels: Vec::new(),
            snapshots: false,
            stacks: Vec::new(),
            by_stack: true,
            step_ns: None,
            group_by: Vec::new(),
            limit: Self::MAX_LIMIT,
        }
    }
}

/// Samples of one stack, or of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRow {
    /// Values of the dimensions, in the order of [`ProfileQuery::group_by`].
    pub labels: Vec<String>,
    /// The stack; all zero when rows are not by stack.
    pub stack: StackId,
    /// Start of the step, in nanoseconds since the Unix epoch; the range's start when there are no steps.
    pub step_start_ns: i64,
    /// The sum of the values.
    pub value: i64,
    /// How many samples.
    pub samples: u64,
    /// The largest value of one sample; where several were told as one, their mean.
    pub largest: i64,
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
