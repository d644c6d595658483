//! How the spans of traces hang together, and nothing else of them.

use pitviper_model::{SpanId, TraceId};

/// A span among its kin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kin {
    /// Its id.
    pub span_id: SpanId,
    /// Its parent; [`SpanId::INVALID`] for a root.
    pub parent_span_id: SpanId,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
}

/// The spans of a trace, or those of them that fit the limit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Family {
    /// By start time, no span twice.
    pub spans: Vec<Kin>,
    /// How many spans the store holds of the trace.
    pub total: usize,
}

/// A question for the families of traces, whatever their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Families {
    /// Which traces.
    pub trace_ids: Vec<TraceId>,
    /// Most spans of each, as in [`Store::trace`](crate::Store::trace).
    pub limit_per_trace: usize,
    /// Most spans of all together that are read. Where several traces have more, nothing is told, and
    /// the caller asks for fewer traces at a time; a trace by itself is always told.
    pub limit: usize,
}
