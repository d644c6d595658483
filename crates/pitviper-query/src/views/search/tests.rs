//! What is not learnt beforehand is looked at trace by trace, and both ways find the same.

use pitviper_model::{Resource, Scope, Span};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};

use super::*;

const QUERIES: [&str; 15] = [
    "{name:a} >> {name:b}",
    "{name:a} > {name:b n:1}",
    "{n:2} < {}",
    "{name:c} << {name:a}",
    "{name:b} ~ {name:c}",
    "{name:a} && {n:3}",
    "{name:a} >> {n:1} || {name:d}",
    "{name:a} > {} > {name:c}",
    "{} ~ {n:2}",
    "{name:a OR name:b} >> {name:d}",
    "| count(name:b) > 1",
    "name:b | count() > 1",
    "name:c | sum(duration, n:1) < 40ns",
    "{name:a} >> {name:b} | avg(duration) > 30ns | count(n:0) >= 1",
    "{name:b} && {name:c} | max(duration, n:2) > 20ns",
];

/// Trees of all shapes, some spans without their parents.
fn spans() -> Vec<Span> {
    let mut spans = Vec::new();
    let mut seed = 7u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for trace in 1..=60u8 {
        for number in 1..=random(9) as u8 {
            let start = 1_000 + random(5_000);
            let mut span = Span {
                trace_id: TraceId([trace; 16]),
                span_id: SpanId([number; 8]),
                parent_span_id: SpanId([random(u64::from(number) + 1) as u8; 8]),
                name: ["a", "b", "c", "d"][random(4) as usize].to_owned(),
                start_time_unix_nano: start,
                end_time_unix_nano: start + random(60),
                ..Span::default()
            };
            span.attributes.set("n", random(4).cast_signed());
            spans.push(span);
        }
    }
    spans
}

/// All rows by their ids, page by page.
async fn walk(store: &dyn Store, query: &Query, mode: Mode, order: RowOrder, keys: usize) -> Vec<String> {
    let range = TimeRange { start_ns: 2_000, end_ns: 5_500 };
    let time = pages::CANDIDATE_TIME;
    let mut task = pages::Task { query, range, mode, order, limit: 7, after: None, time, keys };
    let mut rows = Vec::new();
    loop {
        let page = pages::page(store, &task).await.unwrap();
        assert!(page.complete && page.exact);
        rows.extend(page.rows.into_iter().map(|row| match row {
            SearchRow::Trace(row) => format!("{} {:?} {} {}", row.trace_id, row.matched, row.matched_count, row.spans),
            SearchRow::Span(row) => format!("{} {} {}", row.trace_id, row.span_id, row.name),
        }));
        match page.next {
            Some(next) => task.after = Some(next),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn both_ways_find_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let spans = spans();
    for part in spans.chunks(spans.len() / 3) {
        store.flush().await.unwrap();
        let mut rows = SpansBuilder::with_capacity(part.len());
        part.iter().for_each(|span| rows.append(&Resource::default(), &Scope::default(), span));
        store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    }
    let mut found = 0;
    for query in QUERIES.map(|text| Query::parse(text).unwrap()) {
        for mode in [Mode::Traces, Mode::Spans] {
            for order in [RowOrder::NewestFirst, RowOrder::OldestFirst, RowOrder::SlowestFirst] {
                let expect = walk(&*store, &query, mode, order, holding::KEYS_OF_QUERY).await;
                found += expect.len();
                // None is known, and some are.
                for keys in [0, 30, 60] {
                    assert_eq!(
                        walk(&*store, &query, mode, order, keys).await,
                        expect,
                        "{query} {mode:?} {order:?} {keys}"
                    );
                }
            }
        }
    }
    assert!(found > 500, "the queries find only {found} rows");
    store.close().await.unwrap();
}
