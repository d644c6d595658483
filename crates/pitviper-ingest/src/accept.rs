//! What all receivers end in: from model spans to durable rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use pitviper_model::{DropReason, DurationCounts, Durations, Outcome, RejectReason, ResourceSpans};
use pitviper_store::schema::{SpansBuilder, WriteBatch};
use pitviper_store::{Store, StoreError};
use pitviper_wire::decode::Decoded;

use crate::accounting::{
    OpenRequest, OutcomeCount, Pending, Protocol, RequestCount, RequestCounts, SpanCounts, Transport,
};
use crate::limits::{ByteBudget, Limits, Share};
use crate::panics::PanicLog;
use crate::processors::{normalize, red, validate};

/// What became of a request that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Spans that are durable now.
    pub stored: usize,
    /// Spans that were not fit to keep.
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
    spans: SpanCounts,
    requests: Arc<RequestCounts>,
    limits: Limits,
    budget: ByteBudget,
    panics: PanicLog,
    stages: IngestStages,
}

impl std::fmt::Debug for Ingest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ingest")
            .field("spans", &self.spans)
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
            spans: SpanCounts::default(),
            requests: Arc::default(),
            limits,
            budget: ByteBudget::new(limits.bytes_under_way),
            panics: PanicLog::default(),
            stages: IngestStages::default(),
        })
    }

    /// Keeps a request: all of its valid spans, or, with an error, none. When it returns they are
    /// durable.
    ///
    /// # Errors
    /// When the store cannot take it; the sender should try again.
    pub async fn accept(&self, transport: Transport, decoded: Decoded) -> Result<Accepted, IngestError> {
        let Decoded { batch, rejected: mut rejections } = decoded;
        let spans: usize = batch.iter().map(ResourceSpans::span_count).sum();
        let mut pending = self.spans.receive(transport, spans + rejections.len());

        let (valid, faulty) = validate::split(batch);
        rejections.extend(faulty);
        let valid = normalize::apply(valid);
        let metrics = red::measure(&valid);
        let write = WriteBatch::new(rows(&valid), metrics);
        let accepted = reject(&mut pending, &rejections, write.span_count());
        self.append(&mut pending, write).await?;
        Ok(accepted)
    }

    async fn append(&self, pending: &mut Pending<'_>, write: WriteBatch) -> Result<(), IngestError> {
        let spans = write.span_count();
        if spans == 0 {
            return Ok(());
        }
        pending.await_store();
        let began = Instant::now();
        let appended = self.store.append(write).await;
        self.stages.append.record_since(began);
        match appended {
            Ok(_) => {
                pending.settle(Outcome::Stored, spans);
                Ok(())
            }
            Err(error) => {
                pending.settle(Outcome::Dropped(DropReason::StoreUnavailable), spans);
                Err(from_store(&error))
            }
        }
    }

    /// A request has come in.
    pub(crate) fn open(&self, protocol: Protocol) -> OpenRequest {
        self.requests.open(protocol)
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

    /// Spans by transport and outcome since the start.
    #[must_use]
    pub fn outcomes(&self) -> Vec<OutcomeCount> {
        self.spans.outcomes()
    }

    /// Requests by protocol and outcome since the start.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestCount> {
        self.requests.requests()
    }
}

fn rows(batch: &[ResourceSpans]) -> SpansBuilder {
    let mut rows = SpansBuilder::with_capacity(batch.iter().map(ResourceSpans::span_count).sum());
    for resource_spans in batch {
        for scope_spans in &resource_spans.scopes {
            for span in &scope_spans.spans {
                rows.append(&resource_spans.resource, &scope_spans.scope, span);
            }
        }
    }
    rows
}

fn reject(pending: &mut Pending<'_>, rejections: &[RejectReason], stored: usize) -> Accepted {
    let mut by_reason = BTreeMap::new();
    for reason in rejections {
        pending.settle(Outcome::Rejected(*reason), 1);
        *by_reason.entry(reason.as_str()).or_insert(0usize) += 1;
    }
    let parts: Vec<String> = by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let message = if parts.is_empty() { String::new() } else { format!("rejected spans: {}", parts.join(", ")) };
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
