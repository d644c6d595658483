//! The server's own traces in its own store, when asked for: its requests, questions, flushes and merges.
//!
//! Rooms mark what they do with `tracing` spans of the target [`TARGET`], at the lowest level so that logs
//! stay as they are. [`SelfTrace`] turns those into the model's spans and hands them, through a bounded
//! queue, straight to ingest. Ingest marks nothing, so storing these spans makes no further ones.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pitviper_api::{Exposition, MetricsSource};
use pitviper_ingest::{Ingest, Transport};
use pitviper_model::{Attributes, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, TraceId, Value};
use pitviper_wire::decode::Decoded;
use tokio::sync::{mpsc, watch};
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes as NewSpan, Id, Record};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// The target of the spans that are kept.
pub(crate) const TARGET: &str = "pitviper::self";
/// Spans that wait to be stored; further ones are dropped and counted.
const MAX_WAITING: usize = 4_096;
/// Spans that are stored at once, and how long the first of them waits for more.
const BATCH_SPANS: usize = 512;
const BATCH_TIME: Duration = Duration::from_millis(500);

/// What became of the server's own spans.
#[derive(Debug, Default)]
pub(crate) struct SelfTraceFigures {
    kept: AtomicU64,
    dropped: AtomicU64,
}

impl MetricsSource for SelfTraceFigures {
    fn collect(&self, out: &mut Exposition) {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let samples: [(&[(&str, &str)], f64); 2] =
            [(&[("outcome", "kept")], value(&self.kept)), (&[("outcome", "dropped")], value(&self.dropped))];
        out.counter("pitviper_self_trace_spans_total", "Spans of the server's own traces", &samples);
    }
}

/// The layer that makes spans.
pub(crate) struct SelfTrace {
    waiting: mpsc::Sender<Span>,
    figures: Arc<SelfTraceFigures>,
    /// Makes ids: keyed at random, it gives every number another hash.
    ids: RandomState,
    next: AtomicU64,
}

/// The end that stores them.
pub(crate) struct SelfTraceQueue {
    waiting: mpsc::Receiver<Span>,
    pub(crate) figures: Arc<SelfTraceFigures>,
}

/// Both ends.
pub(crate) fn channel() -> (SelfTrace, SelfTraceQueue) {
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    let figures = Arc::new(SelfTraceFigures::default());
    let layer =
        SelfTrace { waiting: sender, figures: Arc::clone(&figures), ids: RandomState::new(), next: AtomicU64::new(0) };
    (layer, SelfTraceQueue { waiting, figures })
}

/// A span under way, kept with the registry's.
struct Open {
    span: Span,
    began: Instant,
}

impl SelfTrace {
    fn random(&self) -> u64 {
        // Zero is no id.
        self.ids.hash_one(self.next.fetch_add(1, Ordering::Relaxed)).max(1)
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SelfTrace {
    fn on_new_span(&self, new: &NewSpan<'_>, id: &Id, context: Context<'_, S>) {
        let Some(entry) = context.span(id) else { return };
        let parent = entry.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<Open>().map(|open| (open.span.trace_id, open.span.span_id))
        });
        let (trace_id, parent_span_id) = parent.unwrap_or_else(|| {
            let id = u128::from(self.random()) << 64 | u128::from(self.random());
            (TraceId(id.to_be_bytes()), SpanId::INVALID)
        });
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut span = Span {
            trace_id,
            span_id: SpanId(self.random().to_be_bytes()),
            parent_span_id,
            name: new.metadata().name().to_owned(),
            kind: SpanKind::Internal,
            start_time_unix_nano: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            ..Span::default()
        };
        new.record(&mut Fields(&mut span));
        entry.extensions_mut().insert(Open { span, began: Instant::now() });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(entry) = context.span(id)
            && let Some(open) = entry.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut Fields(&mut open.span));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(Open { mut span, began }) = context.span(&id).and_then(|entry| entry.extensions_mut().remove()) else {
            return;
        };
        let took = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        span.end_time_unix_nano = span.start_time_unix_nano.saturating_add(took);
        let outcome = match self.waiting.try_send(span) {
            Ok(()) => &self.figures.kept,
            Err(_) => &self.figures.dropped,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
    }
}

/// Takes a span's fields: `otel.name` and `otel.kind` say what they say, all others are attributes.
struct Fields<'a>(&'a mut Span);

impl Fields<'_> {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        match (field.name(), value.into()) {
            ("otel.name", Value::String(name)) => self.0.name = name,
            ("otel.kind", Value::String(kind)) => self.0.kind = SpanKind::parse(&kind).unwrap_or_default(),
            (name, value) => {
                if name == "error.type" {
                    self.0.status.code = pitviper_model::StatusCode::Error;
                }
                self.0.attributes.set(name, value);
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }
}

/// Stores spans until the server stops, and then what is left.
pub(crate) async fn store(mut queue: SelfTraceQueue, ingest: Arc<Ingest>, mut stopping: watch::Receiver<bool>) {
    let attributes: Attributes =
        [("service.name", "pitviper-server"), ("service.version", env!("CARGO_PKG_VERSION"))].into_iter().collect();
    let resource = Arc::new(Resource { attributes, ..Resource::default() });
    let scope = Arc::new(Scope { name: "pitviper.server".to_owned(), ..Scope::default() });
    loop {
        let mut spans = Vec::new();
        let is_stopping = tokio::select! {
            received = queue.waiting.recv_many(&mut spans, BATCH_SPANS) => received == 0,
            _ = stopping.wait_for(|stopping| *stopping) => true,
        };
        if !is_stopping {
            let _ = tokio::time::timeout(BATCH_TIME, async {
                while spans.len() < BATCH_SPANS
                    && let Some(span) = queue.waiting.recv().await
                {
                    spans.push(span);
                }
            })
            .await;
        }
        while spans.len() < MAX_WAITING
            && let Ok(span) = queue.waiting.try_recv()
        {
            spans.push(span);
        }
        let count = spans.len() as u64;
        let scopes = vec![ScopeSpans { scope: Arc::clone(&scope), spans }];
        let batch = vec![ResourceSpans { resource: Arc::clone(&resource), scopes }];
        if ingest.accept(Transport::SelfTrace, Decoded { batch, rejected: Vec::new() }).await.is_err() {
            queue.figures.kept.fetch_sub(count, Ordering::Relaxed);
            queue.figures.dropped.fetch_add(count, Ordering::Relaxed);
        }
        if is_stopping {
            return;
        }
    }
}
