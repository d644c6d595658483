//! Exceptions that happened, one by one.

use crate::{Attributes, Fingerprint, SpanId, TraceId};

/// One occurrence of an exception.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExceptionEvent {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Its class (`exception.type`).
    pub exception_type: String,
    /// What it said (`exception.message`).
    pub message: String,
    /// Where it was raised, as text (`exception.stacktrace`).
    pub stacktrace: String,
    /// What it has in common with others of its group.
    pub fingerprint: Fingerprint,
    /// The trace it happened in; [`TraceId::INVALID`] for none.
    pub trace_id: TraceId,
    /// The span it happened in; [`SpanId::INVALID`] for none.
    pub span_id: SpanId,
    /// Whether somebody caught it; `None` when not known.
    pub handled: Option<bool>,
    /// Details.
    pub attributes: Attributes,
}
