//! Random queries of the whole search language over random trees of spans find what a plain evaluation
//! finds: in pages of any size, in every order, as spans and as traces.
//!
//! `PROPTEST_CASES=1000` looks longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate;
mod naive;

use std::sync::Arc;

use pitviper_model::{SpanId, TraceId};
use pitviper_query::search::Query;
use pitviper_query::time::TimeText;
use pitviper_query::views::search::{Mode, Request, RowOrder, SearchRow, search};
use pitviper_store::embedded::{Durability, EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Store, StoredSpan};
use proptest::collection::vec;
use proptest::prelude::*;

use self::generate::{START_NS, asked, spans};
use self::naive::Naive;

/// A query, and how it is asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    query: Query,
    order: RowOrder,
    /// Rows of a page.
    limit: u32,
    /// The end of the range, in milliseconds after the beginning.
    end_ms: u64,
}

async fn filled(dir: &tempfile::TempDir, spans: &[StoredSpan], flush_after: usize) -> Arc<EmbeddedStore> {
    let config = EmbeddedConfig { durability: Durability::Buffered, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    let (early, late) = spans.split_at(flush_after.min(spans.len()));
    for part in [early, late] {
        store.flush().await.unwrap();
        let mut rows = SpansBuilder::with_capacity(part.len());
        part.iter().for_each(|stored| rows.append(&stored.resource, &stored.scope, &stored.span));
        store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    }
    store
}

/// All rows, a page at a time.
async fn rows(store: &dyn Store, asked: &Asked, mode: Mode) -> Vec<SearchRow> {
    let at = |after_ms: u64| Some(TimeText::Micros((START_NS / 1_000 + after_ms * 1_000).cast_signed()));
    let mut request = Request {
        query: asked.query.to_string(),
        from: at(0),
        to: at(asked.end_ms),
        mode,
        order: asked.order,
        limit: Some(asked.limit),
        cursor: None,
    };
    let mut rows = Vec::new();
    loop {
        let answer = search(store, &request, 0).await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", request.query));
        assert!(answer.data.len() <= asked.limit as usize && answer.meta.complete == Some(true));
        rows.extend(answer.data);
        request.cursor = answer.meta.next.flatten();
        if request.cursor.is_none() {
            return rows;
        }
    }
}

async fn check(store: &dyn Store, spans: &[StoredSpan], asked: &Asked) {
    let naive = Naive { spans, end_ns: START_NS + asked.end_ms * 1_000_000 };
    let found: Vec<(TraceId, SpanId)> = rows(store, asked, Mode::Spans)
        .await
        .iter()
        .map(|row| match row {
            SearchRow::Span(row) => (row.trace_id.parse().unwrap(), row.span_id.parse().unwrap()),
            SearchRow::Trace(_) => panic!("a trace among spans"),
        })
        .collect();
    assert_eq!(found, naive.spans(&asked.query, asked.order), "spans of {} {asked:?}", asked.query);
    let found: Vec<(TraceId, usize, Vec<SpanId>)> = rows(store, asked, Mode::Traces)
        .await
        .iter()
        .map(|row| match row {
            SearchRow::Trace(row) => {
                let matched = row.matched.iter().map(|id| id.parse().unwrap()).collect();
                (row.trace_id.parse().unwrap(), row.matched_count as usize, matched)
            }
            SearchRow::Span(_) => panic!("a span among traces"),
        })
        .collect();
    assert_eq!(found, naive.traces(&asked.query, asked.order), "traces of {} {asked:?}", asked.query);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_query_finds_what_a_plain_evaluation_finds(
        spans in spans(),
        flush_after in 0..30usize,
        asked in vec(asked(), 1..12),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = filled(&dir, &spans, flush_after).await;
            for asked in &asked {
                check(&*store, &spans, asked).await;
            }
        });
    }
}
