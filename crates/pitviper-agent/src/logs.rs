//! Log records on their way out.

use pitviper_model::{Scope, SpanId, TraceId};
use pitviper_wire::encode::{AttributeList, Body, LogHead, append_log_record};

use crate::agent::Agent;
use crate::queue::{Signal, is_forking};
use crate::span::now_unix_nano;
use std::sync::atomic::Ordering;

/// Attributes of a log record; OpenTelemetry's number.
pub const MAX_ATTRIBUTES: u32 = 128;

/// A log record as it is given to the agent.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// When it happened, in nanoseconds since the Unix epoch; zero when not known.
    pub time_unix_nano: u64,
    /// When it was seen, in nanoseconds since the Unix epoch; zero for now.
    pub observed_time_unix_nano: u64,
    /// From 1 (trace) over 9 (info) and 17 (error) to 24; zero when not said.
    pub severity_number: u8,
    /// The severity in the words of its source.
    pub severity_text: &'a str,
    /// What it says.
    pub body: Body<'a>,
    /// The name of the kind of event it is; empty for most.
    pub event_name: &'a str,
    /// The trace it was written in; invalid for none.
    pub trace_id: TraceId,
    /// The span it was written in; invalid for none.
    pub span_id: SpanId,
    /// The W3C trace flags.
    pub flags: u32,
}

impl Default for LogRecord<'_> {
    fn default() -> Self {
        Self {
            time_unix_nano: 0,
            observed_time_unix_nano: 0,
            severity_number: 0,
            severity_text: "",
            body: Body::None,
            event_name: "",
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            flags: 0,
        }
    }
}

impl Agent {
    /// Whether log records are taken.
    #[must_use]
    pub fn takes_logs(&self) -> bool {
        self.logs_enabled.load(Ordering::Relaxed)
    }

    /// Queues a log record of the logger of this name, where logs are taken.
    pub fn log(&'static self, logger: &str, record: &LogRecord<'_>, attributes: &AttributeList) {
        if self.takes_logs() && !self.loses_log() {
            self.queue_log(self.log_scopes.named(logger), record, attributes);
        }
    }

    /// Queues a log record of a scope, where logs are taken.
    pub fn log_in(&'static self, scope: &Scope, record: &LogRecord<'_>, attributes: &AttributeList) {
        if self.takes_logs() {
            self.log_always(scope, record, attributes);
        }
    }

    /// Queues a log record of a scope, also where the application's logs are not taken.
    pub(crate) fn log_always(&'static self, scope: &Scope, record: &LogRecord<'_>, attributes: &AttributeList) {
        if !self.loses_log() {
            self.queue_log(self.log_scopes.of(scope), record, attributes);
        }
    }

    /// In the middle of a fork the thread holds the locks itself; the record is counted as lost.
    fn loses_log(&self) -> bool {
        let lost = is_forking();
        if lost {
            self.counters.of(Signal::Logs).forking.fetch_add(1, Ordering::Relaxed);
        }
        lost
    }

    fn queue_log(&'static self, scope: usize, record: &LogRecord<'_>, attributes: &AttributeList) {
        let seen = record.observed_time_unix_nano;
        let head = LogHead {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: if seen == 0 { now_unix_nano() } else { seen },
            severity_number: record.severity_number,
            severity_text: record.severity_text,
            body: record.body,
            event_name: record.event_name,
            trace_id: record.trace_id,
            span_id: record.span_id,
            flags: record.flags,
        };
        self.offer(Signal::Logs, scope, |out| append_log_record(out, &head, attributes));
    }
}
