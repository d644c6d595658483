//! Requests, by subject, protocol and outcome.

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
    /// Datadog's protocols over HTTP.
    Datadog,
    /// Zipkin's spans over HTTP.
    Zipkin,
    /// Jaeger's spans over HTTP.
    Jaeger,
    /// Profiles over HTTP, as pprof.
    Pprof,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 6] = [Self::OtlpHttp, Self::OtlpGrpc, Self::Datadog, Self::Zipkin, Self::Jaeger, Self::Pprof];

    /// The protocol's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtlpHttp => "otlp_http",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Datadog => "datadog",
            Self::Zipkin => "zipkin",
            Self::Jaeger => "jaeger",
            Self::Pprof => "pprof",
        }
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Spans.
    Traces,
    /// Points of metrics.
    Metrics,
    /// Log records.
    Logs,
    /// What a client has counted of its spans.
    Stats,
    /// Profiles.
    Profiles,
    /// What a client says of itself.
    Telemetry,
    /// What a client wants to know of the server.
    Info,
    /// What a client is to do.
    Config,
    /// Snapshots of variables.
    Debugger,
    /// Symbols of programs.
    Symbols,
    /// Events for other products.
    Events,
    /// Logs of the client itself.
    Flare,
    /// Nothing that is known.
    Unknown,
}

impl Subject {
    /// All subjects.
    pub const ALL: [Self; 13] = [
        Self::Traces,
        Self::Metrics,
        Self::Logs,
        Self::Stats,
        Self::Profiles,
        Self::Telemetry,
        Self::Info,
        Self::Config,
        Self::Debugger,
        Self::Symbols,
        Self::Events,
        Self::Flare,
        Self::Unknown,
    ];

    /// The subject's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Stats => "stats",
            Self::Profiles => "profiles",
            Self::Telemetry => "telemetry",
            Self::Info => "info",
            Self::Config => "config",
            Self::Debugger => "debugger",
            Self::Symbols => "symbols",
            Self::Events => "events",
            Self::Flare => "flare",
            Self::Unknown => "unknown",
        }
    }

    /// Whether there are such requests over the protocol.
    fn is_of(self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::OtlpHttp | Protocol::OtlpGrpc => {
                matches!(self, Self::Traces | Self::Metrics | Self::Logs | Self::Profiles)
            }
            Protocol::Datadog => !matches!(self, Self::Metrics | Self::Logs),
            Protocol::Zipkin | Protocol::Jaeger => self == Self::Traces,
            Protocol::Pprof => self == Self::Profiles,
        }
    }
}

impl From<Signal> for Subject {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces,
            Signal::Metrics => Self::Metrics,
            Signal::Logs => Self::Logs,
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
    /// The body is not the MessagePack message it should be.
    BadMsgpack,
    /// The body is not the structure of Thrift it should be.
    BadThrift,
    /// The body is not the form with a profile it should be.
    BadProfile,
    /// There is nothing at the path.
    UnknownPath,
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
    pub const ALL: [Self; 18] = [
        Self::MethodNotAllowed,
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::BadEncoding,
        Self::TooLarge,
        Self::BadFraming,
        Self::BadProtobuf,
        Self::BadJson,
        Self::BadMsgpack,
        Self::BadThrift,
        Self::BadProfile,
        Self::UnknownPath,
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
            Self::BadMsgpack => "bad_msgpack",
            Self::BadThrift => "bad_thrift",
            Self::BadProfile => "bad_profile",
            Self::UnknownPath => "unknown_path",
            Self::Incomplete => "incomplete",
            Self::Timeout => "timeout",
            Self::Overloaded => "overloaded",
            Self::StoreBusy => "store_busy",
            Self::StoreUnavailable => "store_unavailable",
            Self::InternalError => "internal_error",
        }
    }
}

/// How many requests about a subject over a protocol were accepted, or refused for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// What they were about.
    pub subject: Subject,
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

/// Requests by subject, protocol and outcome.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts {
    subjects: [[ProtocolCounts; Protocol::ALL.len()]; Subject::ALL.len()],
    under_way: AtomicU64,
}

impl RequestCounts {
    /// A request has come in. It leaves exactly one outcome.
    pub(crate) fn open(self: &Arc<Self>, subject: Subject, protocol: Protocol) -> OpenRequest {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        OpenRequest { counts: Arc::clone(self), subject, protocol, outcome: Err(RefusalReason::Incomplete) }
    }

    /// Requests that have no outcome yet.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    pub(crate) fn requests(&self) -> Vec<RequestCount> {
        let mut out = Vec::new();
        for (subject, protocols) in Subject::ALL.into_iter().zip(&self.subjects) {
            let possible = Protocol::ALL.into_iter().zip(protocols).filter(|(protocol, _)| subject.is_of(*protocol));
            for (protocol, counts) in possible {
                let mut push = |outcome, reason, counter: &AtomicU64| {
                    out.push(RequestCount {
                        subject,
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
    subject: Subject,
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
        let protocols = &self.counts.subjects[index_of(&Subject::ALL, &self.subject)];
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
        counts.open(Subject::Traces, Protocol::OtlpHttp).accepted();
        counts.open(Subject::Metrics, Protocol::OtlpGrpc).refused(RefusalReason::TooLarge);
        drop(counts.open(Subject::Config, Protocol::Datadog));
        let left: Vec<_> = counts.requests().into_iter().filter(|count| count.count > 0).collect();
        let count = |subject, protocol, outcome, reason| RequestCount { subject, protocol, outcome, reason, count: 1 };
        let expected = [
            count(Subject::Traces, Protocol::OtlpHttp, "accepted", ""),
            count(Subject::Metrics, Protocol::OtlpGrpc, "refused", "too_large"),
            count(Subject::Config, Protocol::Datadog, "refused", "incomplete"),
        ];
        assert_eq!(left, expected);
    }
}
