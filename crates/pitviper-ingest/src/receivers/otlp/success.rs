//! The answer to a request that was kept.
//!
//! Source: OTLP specification, "Full Success" and "Partial Success". The answers of all signals are the
//! same message but for the names of its fields, which only JSON shows.

use pitviper_model::Signal;

use crate::accept::Accepted;

/// An `Export…ServiceResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<PartialSuccess>,
}

/// An `Export…PartialSuccess`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

impl ExportResponse {
    pub(super) fn of(accepted: Accepted) -> Self {
        let partial = || PartialSuccess { rejected: accepted.rejected as i64, error_message: accepted.message };
        Self { partial_success: (accepted.rejected > 0).then(partial) }
    }

    /// The answer as OTLP/JSON, in which 64-bit integers are text. Without a signal it is one to profiles.
    pub(super) fn to_json(&self, signal: Option<Signal>) -> String {
        let Some(partial) = &self.partial_success else { return "{}".to_owned() };
        let rejected = match signal {
            Some(Signal::Traces) => "rejectedSpans",
            Some(Signal::Metrics) => "rejectedDataPoints",
            Some(Signal::Logs) => "rejectedLogRecords",
            None => "rejectedProfiles",
        };
        let count = partial.rejected.to_string();
        serde_json::json!({ "partialSuccess": { rejected: count, "errorMessage": partial.error_message } }).to_string()
    }
}
