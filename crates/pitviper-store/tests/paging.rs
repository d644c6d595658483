//! Pages of a search put together are the search in one piece, also where sort values are equal,
//! traces spread over the time range, and rows lie in several tiers; and equal a plain evaluation.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Cursor, Order, Search, Store, TimeRange};

const SPANS: u64 = 900;
const TRACES: u64 = 70;
const ORDERS: [Order; 3] = [Order::NewestFirst, Order::OldestFirst, Order::SlowestFirst];

fn scatter(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

/// Only forty different starts and twelve durations, so that most rows have equals.
fn span(number: u64) -> Span {
    let start = 1_700_000_000_000_000_000 + scatter(number) % 40;
    Span {
        trace_id: TraceId(u128::from(scatter(number + 5_000) % TRACES + 1).to_be_bytes()),
        span_id: SpanId(((scatter(number + 9_000) << 10) | (number + 1)).to_be_bytes()),
        name: format!("name {}", number % 3),
        kind: SpanKind::ALL[(scatter(number + 77) % 5) as usize],
        start_time_unix_nano: start,
        end_time_unix_nano: start + scatter(number + 3_000) % 12,
        ..Span::default()
    }
}

async fn filled(dir: &std::path::Path) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir)).await.unwrap();
    for write in 0..SPANS / 30 {
        let mut spans = SpansBuilder::with_capacity(30);
        for number in write * 30..(write + 1) * 30 {
            spans.append(&Resource::default(), &Scope::default(), &span(number));
        }
        store.append(WriteBatch::new(spans, SpanMetricsBuilder::new())).await.unwrap();
        if write % 7 == 6 {
            store.flush().await.unwrap();
        }
    }
    let stats = store.stats();
    assert!(stats.segments > 2 && stats.hot_spans > 0);
    store
}

/// What places a span in an order: its value so that less is first, its trace and itself.
fn key(order: Order, span: &Span) -> (i64, TraceId, SpanId) {
    let start = span.start_time_unix_nano.cast_signed();
    let value = match order {
        Order::NewestFirst => -start,
        Order::OldestFirst => start,
        Order::SlowestFirst => -span.duration_nano().cast_signed(),
    };
    (value, span.trace_id, span.span_id)
}

fn plain(order: Order, keep: impl Fn(&Span) -> bool) -> Vec<(i64, TraceId, SpanId)> {
    let mut keys: Vec<_> = (0..SPANS).map(span).filter(keep).map(|span| key(order, &span)).collect();
    keys.sort_unstable();
    keys
}

fn search(order: Order, filter: &Filter, limit: usize) -> Search {
    Search { range: TimeRange::ALL, filter: filter.clone(), order, limit, after: None }
}

fn value(order: Order, key: i64) -> i64 {
    if order == Order::OldestFirst { key } else { -key }
}

#[tokio::test]
async fn pages_of_spans_have_no_gap_and_no_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    for order in ORDERS {
        for (filter, expect) in [
            (Filter::All, plain(order, |_| true)),
            (Filter::Kind(SpanKind::Client), plain(order, |span| span.kind == SpanKind::Client)),
        ] {
            for limit in [37, 1_000] {
                let mut page = search(order, &filter, limit);
                let mut found = Vec::new();
                loop {
                    let rows = store.search_spans(&page).await.unwrap();
                    let Some(last) = rows.last() else { break };
                    let (place, trace_id, span_id) = key(order, &last.span);
                    page.after = Some(Cursor { value: value(order, place), trace_id, span_id });
                    found.extend(rows.iter().map(|stored| key(order, &stored.span)));
                }
                assert_eq!(found, expect, "{order:?} in pages of {limit}");
            }
        }
    }
}

#[tokio::test]
async fn pages_of_traces_have_no_gap_and_no_repetition() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    for order in ORDERS {
        let spans = plain(order, |span| span.kind == SpanKind::Client);
        let mut expect: Vec<(TraceId, i64, u64)> = Vec::new();
        for &(place, trace_id, _) in &spans {
            match expect.iter_mut().find(|(known, ..)| *known == trace_id) {
                Some((.., count)) => *count += 1,
                None => expect.push((trace_id, value(order, place), 1)),
            }
        }
        for limit in [1, 9, 500] {
            let mut page = search(order, &Filter::Kind(SpanKind::Client), limit);
            let mut found = Vec::new();
            loop {
                let hits = store.search_traces(&page).await.unwrap();
                let Some(last) = hits.last() else { break };
                page.after = Some(last.cursor);
                found.extend(hits.iter().map(|hit| (hit.trace_id, hit.cursor.value, hit.matched_count)));
            }
            assert_eq!(found, expect, "{order:?} in pages of {limit}");
        }
    }
}
