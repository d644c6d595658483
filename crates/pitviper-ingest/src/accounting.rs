//! Counting: spans by outcome, requests that never became spans by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use pitviper_model::{DropReason, Outcome, RejectReason};

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// OTLP over HTTP, protobuf.
    OtlpHttpProtobuf,
    /// OTLP over HTTP, JSON.
    OtlpHttpJson,
    /// OTLP over gRPC.
    OtlpGrpc,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 3] = [Self::OtlpHttpProtobuf, Self::OtlpHttpJson, Self::OtlpGrpc];

    /// The transport's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtlpHttpProtobuf => "otlp_http_protobuf",
            Self::OtlpHttpJson => "otlp_http_json",
            Self::OtlpGrpc => "otlp_grpc",
        }
    }
}

/// Why a request was refused before its spans were known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// The content type is not one the receiver reads.
    UnsupportedMediaType,
    /// The content encoding is not one the receiver reads.
    UnsupportedEncoding,
    /// The body does not decompress.
    BadEncoding,
    /// The body, compressed or not, is over the limit.
    TooLarge,
    /// The body is not the protobuf message it should be.
    BadProtobuf,
    /// The body is not the JSON document it should be.
    BadJson,
    /// The connection ended before the body did.
    Incomplete,
}

impl RefusalReason {
    /// All reasons.
    pub const ALL: [Self; 7] = [
        Self::UnsupportedMediaType,
        Self::UnsupportedEncoding,
        Self::BadEncoding,
        Self::TooLarge,
        Self::BadProtobuf,
        Self::BadJson,
        Self::Incomplete,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::BadEncoding => "bad_encoding",
            Self::TooLarge => "too_large",
            Self::BadProtobuf => "bad_protobuf",
            Self::BadJson => "bad_json",
            Self::Incomplete => "incomplete",
        }
    }
}

/// How many spans of a transport had an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeCount {
    /// How they came in.
    pub transport: Transport,
    /// `received`, `stored`, `rejected` or `dropped`.
    pub outcome: &'static str,
    /// Why they were rejected or dropped; empty otherwise.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// How many requests were accepted, or refused for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// `accepted` or `refused`.
    pub outcome: &'static str,
    /// Why they were refused; empty otherwise.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

#[derive(Debug, Default)]
struct TransportCounts {
    received: AtomicU64,
    stored: AtomicU64,
    rejected: [AtomicU64; RejectReason::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
}

#[derive(Debug, Default)]
pub(crate) struct Accounting {
    transports: [TransportCounts; Transport::ALL.len()],
    accepted_requests: AtomicU64,
    refused_requests: [AtomicU64; RefusalReason::ALL.len()],
}

fn index_of<T: PartialEq, const N: usize>(all: &[T; N], one: &T) -> usize {
    all.iter().position(|other| other == one).expect("ALL lists every variant")
}

impl Accounting {
    /// Counts spans as received. They have to be settled, down to the last one.
    pub(crate) fn receive(&self, transport: Transport, spans: usize) -> Pending<'_> {
        let counts = &self.transports[index_of(&Transport::ALL, &transport)];
        counts.received.fetch_add(spans as u64, Ordering::Relaxed);
        Pending { counts, left: spans as u64 }
    }

    pub(crate) fn count_accepted_request(&self) {
        self.accepted_requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_refused_request(&self, reason: RefusalReason) {
        self.refused_requests[index_of(&RefusalReason::ALL, &reason)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn outcomes(&self) -> Vec<OutcomeCount> {
        let mut out = Vec::new();
        for (transport, counts) in Transport::ALL.into_iter().zip(&self.transports) {
            let mut push = |outcome, reason, counter: &AtomicU64| {
                out.push(OutcomeCount { transport, outcome, reason, count: counter.load(Ordering::Relaxed) });
            };
            push("received", "", &counts.received);
            push("stored", "", &counts.stored);
            for (reason, counter) in RejectReason::ALL.into_iter().zip(&counts.rejected) {
                push("rejected", reason.as_str(), counter);
            }
            for (reason, counter) in DropReason::ALL.into_iter().zip(&counts.dropped) {
                push("dropped", reason.as_str(), counter);
            }
        }
        out
    }

    pub(crate) fn requests(&self) -> Vec<RequestCount> {
        let accepted =
            RequestCount { outcome: "accepted", reason: "", count: self.accepted_requests.load(Ordering::Relaxed) };
        let refused = RefusalReason::ALL.into_iter().zip(&self.refused_requests).map(|(reason, counter)| {
            RequestCount { outcome: "refused", reason: reason.as_str(), count: counter.load(Ordering::Relaxed) }
        });
        std::iter::once(accepted).chain(refused).collect()
    }
}

/// Spans that were received and have no outcome yet.
///
/// What is left when it is dropped (a client that hung up while the append was under way) counts as
/// dropped because the store was not reached: the client got no answer and sends it again.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pending<'a> {
    counts: &'a TransportCounts,
    left: u64,
}

impl Pending<'_> {
    pub(crate) fn settle(&mut self, outcome: Outcome, spans: usize) {
        let spans = (spans as u64).min(self.left);
        self.left -= spans;
        let counter = match outcome {
            Outcome::Stored => &self.counts.stored,
            Outcome::Rejected(reason) => &self.counts.rejected[index_of(&RejectReason::ALL, &reason)],
            Outcome::Dropped(reason) => &self.counts.dropped[index_of(&DropReason::ALL, &reason)],
        };
        counter.fetch_add(spans, Ordering::Relaxed);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.left > 0 {
            let left = self.left as usize;
            self.settle(Outcome::Dropped(DropReason::StoreUnavailable), left);
        }
    }
}
