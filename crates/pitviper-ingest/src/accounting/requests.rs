//! Requests, by signal, protocol and outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pitviper_model::Signal;

use super::index_of;

/// What a request was sent over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP over HTTP, protobuf or JSON: which one is not known of a request that says neither.
    OtlpHttp,
    /// OTLP over gRPC.
    OtlpGrpc,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 2] = [Self::OtlpHttp, Self::OtlpGrpc];

    /// The protocol's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
        }
    }
}

/// Why a request was refused, all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The method is not one the receiver has.
    MethodNotAllowed,
    /// The content type is not one the receiver reads.
    UnsupportedMediaType,
    /// The content encoding is not one the receiver reads.
    UnsupportedEncoding,
    /// The body does not decompress.
    BadEncoding,
    /// The body, compressed or not, is over the limit.
    TooLarge,
    /// The body is not the one framed message a unary gRPC call has.
    BadFraming,
    /// The body is not the protobuf message it should be.
    BadProtobuf,
    /// The body is not the JSON document it should be.
    BadJson,
    /// The connection ended before the body did, or before the answer.
    Incomplete,
    /// The body took too long to arrive.
    Timeout,
    /// Too many bytes of other requests are under way.
    Overloaded,
    /// One of the store's budgets is used up.
    StoreBusy,
    /// The store could not take it.
    StoreUnavailable,
    /// A defect of ours: the code that handled it panicked.
    InternalError,
}

impl RefusalReason {
    /// All reasons.
    pub const ALL: [Self; 14] = [
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::BadEncoding,
        Self::TooLarge,
        Self::BadFraming,
        Self::BadProtobuf,
        Self::BadJson,
        Self::Incomplete,
        Self::Timeout,
        Self::Overloaded,
        Self::StoreBusy,
        Self::StoreUnavailable,
        Self::InternalError,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::BadEncoding => "bad_encoding",
            Self::TooLarge => "too_large",
            Self::BadFraming => "bad_framing",
            Self::BadProtobuf => "bad_protobuf",
            Self::BadJson => "bad_json",
            Self::Incomplete => "incomplete",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::StoreBusy => "store_busy",
            Self::StoreUnavailable => "store_unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

/// How many requests of a signal over a protocol were accepted, or refused for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// What was to be kept.
    pub signal: Signal,
    /// What they were sent over.
    pub protocol: Protocol,
    /// `accepted` or `refused`.
    pub outcome: &'static str,
    /// Why they were refused; empty otherwise.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

#[derive(Debug, Default)]
struct ProtocolCounts {
    accepted: AtomicU64,
    refused: [AtomicU64; RefusalReason::ALL.len()],
}

/// Requests by signal, protocol and outcome.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts {
    signals: [[ProtocolCounts; Protocol::ALL.len()]; Signal::ALL.len()],
    under_way: AtomicU64,
}

impl RequestCounts {
    /// A request has come in. It leaves exactly one outcome.
    pub(crate) fn open(self: &Arc<Self>, signal: Signal, protocol: Protocol) -> OpenRequest {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        OpenRequest { counts: Arc::clone(self), signal, protocol, outcome: Err(RefusalReason::Incomplete) }
    }

    /// Requests that have no outcome yet.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<RequestCount> {
        let mut out = Vec::new();
        for (signal, protocols) in Signal::ALL.into_iter().zip(&self.signals) {
            for (protocol, counts) in Protocol::ALL.into_iter().zip(protocols) {
                let mut push = |outcome, reason, counter: &AtomicU64| {
                    out.push(RequestCount {
                        signal,
                        protocol,
                        outcome,
                        reason,
                        count: counter.load(Ordering::Relaxed),
                    });
                };
                push("accepted", "", &counts.accepted);
                for (reason, counter) in RefusalReason::ALL.into_iter().zip(&counts.refused) {
                    push("refused", reason.as_str(), counter);
                }
            }
        }
        out
    }
}

/// A request that has no outcome yet.
///
/// What handles a request ends where it stands when its sender hangs up, so one that is dropped
/// without a verdict counts as incomplete.
#[derive(Debug)]
#[must_use]
pub(crate) struct OpenRequest {
    counts: Arc<RequestCounts>,
    signal: Signal,
    protocol: Protocol,
    outcome: Result<(), RefusalReason>,
}

impl OpenRequest {
    pub(crate) fn accepted(mut self) {
        self.outcome = Ok(());
    }

    pub(crate) fn refused(mut self, reason: RefusalReason) {
        self.outcome = Err(reason);
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.counts.under_way.fetch_sub(1, Ordering::Relaxed);
        let protocols = &self.counts.signals[index_of(&Signal::ALL, &self.signal)];
        let counts = &protocols[index_of(&Protocol::ALL, &self.protocol)];
        let counter = match self.outcome {
            Ok(()) => &counts.accepted,
            Err(reason) => &counts.refused[index_of(&RefusalReason::ALL, &reason)],
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_leaves_one_outcome() {
        let counts = Arc::new(RequestCounts::default());
        counts.open(Signal::Traces, Protocol::OtlpHttp).accepted();
        counts.open(Signal::Metrics, Protocol::OtlpGrpc).refused(RefusalReason::TooLarge);
        drop(counts.open(Signal::Logs, Protocol::OtlpGrpc));
        let left: Vec<_> = counts.requests().into_iter().filter(|count| count.count > 0).collect();
        let count = |signal, protocol, outcome, reason| RequestCount { signal, protocol, outcome, reason, count: 1 };
        let expected = [
            count(Signal::Traces, Protocol::OtlpHttp, "accepted", ""),
            count(Signal::Metrics, Protocol::OtlpGrpc, "refused", "too_large"),
            count(Signal::Logs, Protocol::OtlpGrpc, "refused", "incomplete"),
        ];
        assert_eq!(left, expected);
    }
}
