//! What all receivers end in: from the model to durable rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pitviper_model::{
    DropReason, DurationCounts, Durations, Library, Outcome, RejectReason, ResourceLogs, ResourceMetrics, ResourceSpans,
};
use pitviper_store::schema::{LibrariesBuilder, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Store, StoreError};
use pitviper_wire::decode::datadog::Traces;
use pitviper_wire::decode::datadog::stats::CountedSpans;
use pitviper_wire::decode::{Decoded, Telemetry};

use crate::accounting::{
    ItemCounts, OpenRequest, OutcomeCount, Pending, Protocol, RequestCount, RequestCounts, Subject, Transport,
};
use crate::limits::{ByteBudget, Limits, Share};
use crate::panics::PanicLog;
use crate::processors::profiles::ProfileRows;
use crate::processors::{exceptions, normalize, red, rows, validate};

/// What became of a request that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Items that are durable now.
    pub stored: usize,
    /// Items that were not fit to keep.
    pub rejected: usize,
    /// Why, for the sender; empty when none was rejected.
    pub message: String,
}

/// Why nothing of a request was kept.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The same request may be accepted later.
    #[error("{message}")]
    TryAgain {
        /// What is the matter.
        message: String,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
        /// Whether the sender is one too many (a budget is used up) or the server is not there.
        overloaded: bool,
    },
}

/// How long the stages of a request take.
#[derive(Debug, Default)]
struct IngestStages {
    decode: Durations,
    append: Durations,
}

/// What ingest is doing, for whoever runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestFigures {
    /// Requests that have no outcome yet.
    pub requests_under_way: u64,
    /// Bytes these hold, sent, decompressed and decoded.
    pub bytes_under_way: u64,
    /// Most bytes they may hold.
    pub bytes_budget: u64,
    /// How long it took to decompress and decode a request.
    pub decode: DurationCounts,
    /// How long it took until what a request held was durable.
    pub append: DurationCounts,
}

/// How long a sender should wait when the store does not say, in milliseconds.
pub(crate) const RETRY_AFTER_MS: u64 = 5_000;

/// The door of the room: processors, accounting, limits, and the store behind them.
pub struct Ingest {
    store: Arc<dyn Store>,
    items: ItemCounts,
    requests: Arc<RequestCounts>,
    limits: Limits,
    budget: ByteBudget,
    panics: PanicLog,
    stages: IngestStages,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("items", &self.items)
            .field("requests", &self.requests)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Ingest {
    /// Ingest into this store, within the default limits.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Self::with_limits(store, Limits::default())
    }

    /// Ingest into this store, within these limits.
    #[must_use]
    pub fn with_limits(store: Arc<dyn Store>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            store,
            items: ItemCounts::default(),
            requests: Arc::default(),
            limits,
            budget: ByteBudget::new(limits.bytes_under_way),
            panics: PanicLog::default(),
            stages: IngestStages::default(),
        })
    }

    /// Keeps a request: all of its valid items, or, with an error, none. When it returns they are
    /// durable.
    ///
    /// # Errors
    /// When the store cannot take it; the sender should try again.
    pub async fn accept(&self, transport: Transport, telemetry: impl Into<Telemetry>) -> Result<Accepted, IngestError> {
        match telemetry.into() {
            Telemetry::Traces(decoded) => self.accept_spans(transport, Traces { decoded, ..Traces::default() }).await,
            Telemetry::Metrics(decoded) => self.accept_points(transport, decoded).await,
            Telemetry::Logs(decoded) => self.accept_records(transport, decoded).await,
        }
    }

    /// Keeps spans. Of those that are `counted` their sender tells rates and durations itself; those that are
    /// `sampled_out` are measured as all others.
    pub(crate) async fn accept_spans(&self, transport: Transport, traces: Traces) -> Result<Accepted, IngestError> {
        let Traces { decoded: Decoded { batch, mut rejected }, counted, sampled_out, discarded } = traces;
        let spans = span_count(&batch) + span_count(&counted) + span_count(&sampled_out) + discarded;
        let mut pending = self.items.receive(Subject::Traces, transport, spans + rejected.len());

        let mut valid = normalize::apply(validate::fit_spans(batch, &mut rejected));
        let own = valid.len();
        valid.append(&mut normalize::apply(validate::fit_spans(sampled_out, &mut rejected)));
        let measured = red::measure(&valid);
        pending.settle(Outcome::Dropped(DropReason::SampledOut), span_count(&valid[own..]) + discarded);
        valid.truncate(own);
        valid.append(&mut normalize::apply(validate::fit_spans(counted, &mut rejected)));
        let rows = rows::of_spans(&valid);
        let accepted = reject(&mut pending, "spans", &rejected, rows.len());
        let write = WriteBatch::new(rows, measured).with_exceptions(exceptions::of_spans(&valid));
        self.append(&mut pending, write, accepted).await
    }

    async fn accept_points(
        &self,
        transport: Transport,
        decoded: Decoded<ResourceMetrics>,
    ) -> Result<Accepted, IngestError> {
        let Decoded { batch, mut rejected } = decoded;
        let points: usize = batch.iter().map(ResourceMetrics::point_count).sum();
        let mut pending = self.items.receive(Subject::Metrics, transport, points + rejected.len());

        let valid = validate::fit_points(batch, &mut rejected);
        let rows = rows::of_points(&valid);
        let accepted = reject(&mut pending, "points", &rejected, rows.len());
        self.append(&mut pending, no_spans().with_metric_points(rows), accepted).await
    }

    async fn accept_records(
        &self,
        transport: Transport,
        decoded: Decoded<ResourceLogs>,
    ) -> Result<Accepted, IngestError> {
        let Decoded { batch, mut rejected } = decoded;
        let records: usize = batch.iter().map(ResourceLogs::record_count).sum();
        let mut pending = self.items.receive(Subject::Logs, transport, records + rejected.len());

        let valid = validate::fit_records(batch, now_unix_nano(), &mut rejected);
        let rows = rows::of_records(&valid);
        let accepted = reject(&mut pending, "log records", &rejected, rows.len());
        let write = no_spans().with_logs(rows).with_exceptions(exceptions::of_records(&valid));
        self.append(&mut pending, write, accepted).await
    }

    /// Keeps samples of a profile.
    pub(crate) async fn accept_samples(
        &self,
        transport: Transport,
        samples: ProfileRows,
    ) -> Result<Accepted, IngestError> {
        let ProfileRows { rows, rejected } = samples;
        let mut pending = self.items.receive(Subject::Profiles, transport, rows.len() + rejected.len());
        let accepted = reject(&mut pending, "samples", &rejected, rows.len());
        self.append(&mut pending, no_spans().with_profiles(rows), accepted).await
    }

    /// Keeps what clients have counted of their spans. There are no items: one span is not told from another.
    pub(crate) async fn accept_counted(&self, counted: &[CountedSpans]) -> Result<(), IngestError> {
        self.write(WriteBatch::new(SpansBuilder::default(), red::of_counted(counted))).await
    }

    /// Keeps which packages services run with.
    pub(crate) async fn accept_libraries(&self, libraries: &[Library]) -> Result<(), IngestError> {
        let mut rows = LibrariesBuilder::default();
        libraries.iter().for_each(|library| rows.append(library));
        self.write(no_spans().with_libraries(rows)).await
    }

    /// Writes what has no items.
    async fn write(&self, write: WriteBatch) -> Result<(), IngestError> {
        if write.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let appended = self.store.append(write).await;
        self.stages.append.record_since(began);
        appended.map(drop).map_err(|error| from_store(&error))
    }

    async fn append(
        &self,
        pending: &mut Pending<'_>,
        write: WriteBatch,
        accepted: Accepted,
    ) -> Result<Accepted, IngestError> {
        if write.is_empty() {
            return Ok(accepted);
        }
        pending.await_store();
        let began = Instant::now();
        let appended = self.store.append(write).await;
        self.stages.append.record_since(began);
        match appended {
            Ok(_) => {
                pending.settle(Outcome::Stored, accepted.stored);
                Ok(accepted)
            }
            Err(error) => {
                pending.settle(Outcome::Dropped(DropReason::StoreUnavailable), accepted.stored);
                Err(from_store(&error))
            }
        }
    }

    /// A request has come in.
    pub(crate) fn open(&self, subject: impl Into<Subject>, protocol: Protocol) -> OpenRequest {
        self.requests.open(subject.into(), protocol)
    }

    /// A share of the bytes requests under way may take.
    pub(crate) fn share(&self) -> Share {
        self.budget.share()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    pub(crate) fn panics(&self) -> &PanicLog {
        &self.panics
    }

    /// How long decoding takes is counted here.
    pub(crate) fn decode_durations(&self) -> &Durations {
        &self.stages.decode
    }

    /// What requests under way hold, and how long the stages took.
    #[must_use]
    pub fn figures(&self) -> IngestFigures {
        IngestFigures {
            requests_under_way: self.requests.under_way(),
            bytes_under_way: self.limits.bytes_under_way.saturating_sub(self.budget.free()) as u64,
            bytes_budget: self.limits.bytes_under_way as u64,
            decode: self.stages.decode.counts(),
            append: self.stages.append.counts(),
        }
    }

    /// Items by kind, transport and outcome since the start.
    #[must_use]
    pub fn outcomes(&self) -> Vec<OutcomeCount> {
        self.items.outcomes()
    }

    /// Requests by subject, protocol and outcome since the start.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestCount> {
        self.requests.requests()
    }
}

fn span_count(batch: &[ResourceSpans]) -> usize {
    batch.iter().map(ResourceSpans::span_count).sum()
}

/// A write without spans, to put other rows into.
fn no_spans() -> WriteBatch {
    WriteBatch::new(SpansBuilder::default(), SpanMetricsBuilder::new())
}

pub(crate) fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Counts what was rejected; what is left is to be stored.
fn reject(pending: &mut Pending<'_>, items: &str, rejections: &[RejectReason], stored: usize) -> Accepted {
    let mut by_reason = BTreeMap::new();
    for reason in rejections {
        pending.settle(Outcome::Rejected(*reason), 1);
        *by_reason.entry(reason.as_str()).or_insert(0usize) += 1;
    }
    let parts: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let message = if parts.is_empty() { String::new() } else { format!("rejected {items}: {}", parts.join(", ")) };
    Accepted { stored, rejected: rejections.len(), message }
}

fn from_store(error: &StoreError) -> IngestError {
    let (retry_after_ms, overloaded) = match error {
        StoreError::Busy { retry_after_ms, .. } => (*retry_after_ms, true),
        StoreError::Closed => (RETRY_AFTER_MS, false),
        _ => {
            tracing::error!(%error, "a write was not kept; the sender was asked to try again");
            (RETRY_AFTER_MS, false)
        }
    };
    IngestError::TryAgain { message: error.to_string(), retry_after_ms, overloaded }
}
