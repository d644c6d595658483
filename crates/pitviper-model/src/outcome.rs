//! What became of an item. Every item that is received leaves exactly one outcome, so that
//! received = stored + rejected + dropped holds at any moment nothing is under way.

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Points of metrics.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Metrics, Self::Logs];

    /// The signal's name, as in the paths of OTLP over HTTP.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// What became of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is durable.
    Stored,
    /// It was not fit to keep; the sender is told and should not try again.
    Rejected(RejectReason),
    /// It was fit, and was not kept; the sender is told when it can help.
    Dropped(DropReason),
}

/// Why an item was not fit to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// The trace id is missing, of the wrong length or all zero.
    InvalidTraceId,
    /// The span id is missing, of the wrong length or all zero.
    InvalidSpanId,
    /// The parent's span id is there and not an id: as no parent it would make a false root.
    InvalidParentSpanId,
    /// The start time is zero or beyond what the store can hold.
    InvalidTime,
    /// The item is larger than the limit for one item.
    TooLarge,
    /// The metric has no name.
    MissingName,
    /// The metric has no points of a kind that is known; it counts as one item.
    UnknownMetricKind,
    /// The point has no value, or buckets that do not fit its bounds or its count.
    InvalidPoint,
}

/// Why a fit item was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The store could not take it; the sender was asked to try again.
    StoreUnavailable,
    /// A bounded queue was full.
    QueueFull,
    /// The exporter gave up after its retries.
    ExportFailed,
    /// The process ended before it could be sent.
    Shutdown,
    /// Its sender had decided that its trace is not to be kept.
    SampledOut,
    /// A defect of ours: the code that handled it panicked, or forgot to say what became of it.
    InternalError,
}

impl RejectReason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::InvalidTraceId,
        Self::InvalidSpanId,
        Self::InvalidParentSpanId,
        Self::InvalidTime,
        Self::TooLarge,
        Self::MissingName,
        Self::UnknownMetricKind,
        Self::InvalidPoint,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidTraceId => "invalid_trace_id",
            Self::InvalidSpanId => "invalid_span_id",
            Self::InvalidParentSpanId => "invalid_parent_span_id",
            Self::InvalidTime => "invalid_time",
            Self::TooLarge => "too_large",
            Self::MissingName => "missing_name",
            Self::UnknownMetricKind => "unknown_metric_kind",
            Self::InvalidPoint => "invalid_point",
        }
    }
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::StoreUnavailable,
        Self::QueueFull,
        Self::ExportFailed,
        Self::Shutdown,
        Self::SampledOut,
        Self::InternalError,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StoreUnavailable => "store_unavailable",
            Self::QueueFull => "queue_full",
            Self::ExportFailed => "export_failed",
            Self::Shutdown => "shutdown",
            Self::SampledOut => "sampled_out",
            Self::InternalError => "internal_error",
        }
    }
}
