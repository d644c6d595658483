//! Log records.

use std::sync::Arc;

use crate::{Attributes, Resource, Scope, SpanId, TraceId, Value};

/// One log record, as in OpenTelemetry's log data model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogRecord {
    /// When it happened, in nanoseconds since the Unix epoch; zero when not known.
    pub time_unix_nano: u64,
    /// When a collector saw it, in nanoseconds since the Unix epoch; zero when not said.
    pub observed_time_unix_nano: u64,
    /// How severe it is, from 1 (trace) over 9 (info) and 17 (error) to 24; zero when not said.
    pub severity_number: u8,
    /// The severity in the words of its source, such as `WARNING`; empty when not said.
    pub severity_text: String,
    /// What it says; most often text.
    pub body: Option<Value>,
    /// The name of the kind of event it is; empty for most.
    pub event_name: String,
    /// Details.
    pub attributes: Attributes,
    /// How many details the sender left out.
    pub dropped_attributes_count: u32,
    /// The trace it was written in; [`TraceId::INVALID`] for none.
    pub trace_id: TraceId,
    /// The span it was written in; [`SpanId::INVALID`] for none.
    pub span_id: SpanId,
    /// The W3C trace flags.
    pub flags: u32,
}

impl LogRecord {
    /// When it happened or, where that is not known, when it was seen.
    #[must_use]
    pub fn best_time_unix_nano(&self) -> u64 {
        if self.time_unix_nano == 0 { self.observed_time_unix_nano } else { self.time_unix_nano }
    }
}

/// Log records that one library wrote.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeLogs {
    /// The library.
    pub scope: Arc<Scope>,
    /// Its records.
    pub records: Vec<LogRecord>,
}

/// Log records that one process sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceLogs {
    /// The process.
    pub resource: Arc<Resource>,
    /// Its records, by library.
    pub scopes: Vec<ScopeLogs>,
}

impl ResourceLogs {
    /// How many records there are in all scopes.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.scopes.iter().map(|scope| scope.records.len()).sum()
    }
}
