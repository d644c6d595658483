//! Spans, points of metrics, log records and samples of profiles, by transport and outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use pitviper_model::{DropReason, Outcome, RejectReason};

use super::{Subject, index_of};

/// How items came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// OTLP over HTTP, protobuf.
    OtlpHttpProtobuf,
    /// OTLP over HTTP, JSON.
    OtlpHttpJson,
    /// OTLP over gRPC.
    OtlpGrpc,
    /// Datadog's protocols over HTTP.
    Datadog,
    /// DogStatsD packets; the points are what they add up to.
    Dogstatsd,
    /// Zipkin's spans over HTTP.
    Zipkin,
    /// Jaeger's spans over HTTP.
    Jaeger,
    /// Profiles over HTTP, as pprof.
    Pprof,
    /// A file that is imported.
    File,
    /// The server's own traces.
    SelfTrace,
}

impl Transport {
    /// All transports.
    pub const ALL: [Self; 10] = [
        Self::OtlpHttpProtobuf,
        Self::OtlpHttpJson,
        Self::OtlpGrpc,
        Self::Datadog,
        Self::Dogstatsd,
        Self::Zipkin,
        Self::Jaeger,
        Self::Pprof,
        Self::File,
        Self::SelfTrace,
    ];

    /// The transport's name in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtlpHttpProtobuf => "otlp_http_protobuf",
            Self::OtlpHttpJson => "otlp_http_json",
            Self::OtlpGrpc => "otlp_grpc",
            Self::Datadog => "datadog",
            Self::Dogstatsd => "dogstatsd",
            Self::Zipkin => "zipkin",
            Self::Jaeger => "jaeger",
            Self::Pprof => "pprof",
            Self::File => "file",
            Self::SelfTrace => "self_trace",
        }
    }
}

/// How many items of a kind and a transport had an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeCount {
    /// What they are.
    pub signal: Subject,
    /// How they came in.
    pub transport: Transport,
    /// `received`, `stored`, `rejected` or `dropped`.
    pub outcome: &'static str,
    /// Why they were rejected or dropped; empty otherwise.
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

/// What consists of items.
const SUBJECTS: [Subject; 4] = [Subject::Traces, Subject::Metrics, Subject::Logs, Subject::Profiles];

/// Items by kind, transport and outcome.
#[derive(Debug, Default)]
pub(crate) struct ItemCounts {
    signals: [[TransportCounts; Transport::ALL.len()]; SUBJECTS.len()],
}

impl ItemCounts {
    /// Counts items as received. They have to be settled, down to the last one.
    pub(crate) fn receive(&self, signal: Subject, transport: Transport, items: usize) -> Pending<'_> {
        let transports = &self.signals[index_of(&SUBJECTS, &signal)];
        let counts = &transports[index_of(&Transport::ALL, &transport)];
        counts.received.fetch_add(items as u64, Ordering::Relaxed);
        Pending { counts, left: items as u64, awaits_store: false }
    }

    pub(crate) fn outcomes(&self) -> Vec<OutcomeCount> {
        let mut out = Vec::new();
        for (signal, transports) in SUBJECTS.into_iter().zip(&self.signals) {
            for (transport, counts) in Transport::ALL.into_iter().zip(transports) {
                counts.write(signal, transport, &mut out);
            }
        }
        out
    }
}

impl TransportCounts {
    fn write(&self, signal: Subject, transport: Transport, out: &mut Vec<OutcomeCount>) {
        let mut push = |outcome, reason, counter: &AtomicU64| {
            out.push(OutcomeCount { signal, transport, outcome, reason, count: counter.load(Ordering::Relaxed) });
        };
        push("received", "", &self.received);
        push("stored", "", &self.stored);
        for (reason, counter) in RejectReason::ALL.into_iter().zip(&self.rejected) {
            push("rejected", reason.as_str(), counter);
        }
        for (reason, counter) in DropReason::ALL.into_iter().zip(&self.dropped) {
            push("dropped", reason.as_str(), counter);
        }
    }
}

/// Items that were received and have no outcome yet.
///
/// All are settled before it is dropped, with two exceptions, so that the books balance even then:
/// the caller stopped waiting for the store (the process is ending), or the code between panicked.
#[derive(Debug)]
#[must_use]
pub(crate) struct Pending<'a> {
    counts: &'a TransportCounts,
    left: u64,
    awaits_store: bool,
}

impl Pending<'_> {
    pub(crate) fn settle(&mut self, outcome: Outcome, items: usize) {
        let items = (items as u64).min(self.left);
        self.left -= items;
        let counter = match outcome {
            Outcome::Stored => &self.counts.stored,
            Outcome::Rejected(reason) => &self.counts.rejected[index_of(&RejectReason::ALL, &reason)],
            Outcome::Dropped(reason) => &self.counts.dropped[index_of(&DropReason::ALL, &reason)],
        };
        counter.fetch_add(items, Ordering::Relaxed);
    }

    /// From here on it is the store that is waited for.
    pub(crate) fn await_store(&mut self) {
        self.awaits_store = true;
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.left == 0 {
            return;
        }
        let left = self.left as usize;
        let panics = std::thread::panicking();
        if self.awaits_store && !panics {
            return self.settle(Outcome::Dropped(DropReason::StoreUnavailable), left);
        }
        self.settle(Outcome::Dropped(DropReason::InternalError), left);
        debug_assert!(panics, "{left} items were received and nobody said what became of them");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn dropped(counts: &ItemCounts) -> Vec<(&'static str, u64)> {
        let outcomes = counts.outcomes();
        let dropped = outcomes.iter().filter(|count| count.outcome == "dropped" && count.count > 0);
        dropped.map(|count| (count.reason, count.count)).collect()
    }

    #[test]
    fn a_forgotten_item_is_our_error() {
        let counts = ItemCounts::default();
        let mut pending = counts.receive(Subject::Traces, Transport::OtlpGrpc, 5);
        pending.settle(Outcome::Stored, 2);
        // A build with assertions says so at once.
        let forgotten = catch_unwind(AssertUnwindSafe(|| drop(pending)));
        assert_eq!(forgotten.is_err(), cfg!(debug_assertions));
        assert_eq!(dropped(&counts), [("internal_error", 3)]);
    }

    #[test]
    fn a_panic_while_the_store_writes_is_our_error() {
        let counts = ItemCounts::default();
        let mut pending = counts.receive(Subject::Traces, Transport::OtlpGrpc, 5);
        pending.await_store();
        let panicked = catch_unwind(AssertUnwindSafe(move || {
            let _pending = pending;
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(dropped(&counts), [("internal_error", 5)]);
    }

    #[test]
    fn a_store_that_is_no_longer_waited_for_was_unavailable() {
        let counts = ItemCounts::default();
        let mut pending = counts.receive(Subject::Traces, Transport::OtlpGrpc, 5);
        pending.await_store();
        drop(pending);
        assert_eq!(dropped(&counts), [("store_unavailable", 5)]);
    }
}
