//! What is stored at the end, read from the data directory itself.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::ensure;
use pitviper_model::{SpanId, TraceId};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::{Cursor, MetricsQuery, Order, Search, SpanScope, Store, TimeRange};

use crate::client::Sent;
use crate::spans::SPANS_A_TRACE;

/// Traces that are looked up together.
const TRACES_TOGETHER: usize = 500;
/// Spans of a page of the walk through all of them.
const PAGE: usize = 20_000;

/// What the store holds, and what it let go.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Distinct spans.
    pub(crate) spans: u64,
    /// Rows: a span that was sent again is there twice.
    pub(crate) rows: u64,
    /// Rows let go, ever.
    pub(crate) expired_rows: u64,
    /// Spans that the metrics count.
    pub(crate) counted: u64,
    pub(crate) segments: u64,
}

/// Counts what is there, and checks that every trace is whole or gone.
pub(crate) async fn count(data_dir: &Path, sent: &Sent) -> anyhow::Result<Stored> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(data_dir)).await?;
    let mut spans = 0;
    for together in sent.traces.chunks(TRACES_TOGETHER) {
        for (trace_id, trace) in store.traces(together, SPANS_A_TRACE as usize).await? {
            ensure!(trace.total as u64 == SPANS_A_TRACE, "trace {trace_id} has {} spans", trace.total);
            spans += trace.total as u64;
        }
    }
    let walked = walk(&store).await?;
    ensure!(walked == spans, "a walk finds {walked} spans, look-ups of all traces {spans}");
    let stats = store.stats();
    let every = MetricsQuery {
        range: TimeRange::ALL,
        step_ns: None,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: Vec::new(),
    };
    let counted = store.metrics(&every).await?.iter().map(|row| row.red.hits).sum();
    store.close().await?;
    Ok(Stored {
        spans,
        rows: stats.spans,
        expired_rows: stats.spans_expired_by_age + stats.spans_expired_by_size,
        counted,
        segments: stats.segments,
    })
}

/// Goes through all spans a page at a time; none may come twice.
async fn walk(store: &Arc<EmbeddedStore>) -> anyhow::Result<u64> {
    let mut seen: BTreeSet<(TraceId, SpanId)> = BTreeSet::new();
    let mut search =
        Search { range: TimeRange::ALL, filter: Filter::All, order: Order::OldestFirst, limit: PAGE, after: None };
    loop {
        let page = store.search_spans(&search).await?;
        for stored in &page {
            let id = (stored.span.trace_id, stored.span.span_id);
            ensure!(seen.insert(id), "span {id:?} comes twice");
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else { return Ok(seen.len() as u64) };
        let value = last.span.start_time_unix_nano.cast_signed();
        search.after = Some(Cursor { value, trace_id: last.span.trace_id, span_id: last.span.span_id });
    }
}
