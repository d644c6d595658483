//! What is not learnt beforehand is looked at trace by trace, and both ways find the same.

use futures::StreamExt as _;
use pitviper_model::{Resource, Scope, Span};
use pitviper_store::Search;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};

use super::*;

const QUERIES: [&str; 18] = [
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
    "root.name:a n:>1",
    "-root.n:1 name:b",
    "{root.name:c OR n:2} >> {name:d} | count(root.name:b) < 2",
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
        let mut out = Out::list((mode, order), task.after);
        let page = pages::page(store, &task, &mut out).await.unwrap();
        assert!(page.bound.is_none() && page.exact);
        rows.extend(out.into_rows().into_iter().map(|row| match row {
            SearchRow::Trace(row) => format!("{} {:?} {} {}", row.trace_id, row.matched, row.matched_count, row.spans),
            SearchRow::Span(row) => format!("{} {} {}", row.trace_id, row.span_id, row.name),
        }));
        match page.next {
            Some(next) => task.after = Some(next),
            None => return rows,
        }
    }
}

async fn filled(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let spans = spans();
    for part in spans.chunks(spans.len() / 3) {
        store.flush().await.unwrap();
        let mut rows = SpansBuilder::with_capacity(part.len());
        part.iter().for_each(|span| rows.append(&Resource::default(), &Scope::default(), span));
        store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    }
    store
}

const ORDERS: [RowOrder; 3] = [RowOrder::NewestFirst, RowOrder::OldestFirst, RowOrder::SlowestFirst];

/// A page from its beginning or from a cursor, told as often as can be: its rows and, each with how many
/// rows came before it, the cursors with which it could have been given up.
async fn told(store: &dyn Store, request: &Request) -> (Vec<SearchRow>, Vec<(usize, String)>) {
    let (to, mut news) = mpsc::channel(0);
    let asked = Asked::new(request).unwrap();
    let mut out = Out::listener(to, (request.mode, request.order), asked.after);
    out.every = Duration::ZERO;
    let answer = async {
        let meta = asked.answer(store, 0, &mut out).await.unwrap();
        drop(out);
        meta
    };
    let hear = async {
        let (mut rows, mut places) = (Vec::new(), Vec::new());
        while let Some(news) = news.next().await {
            match news {
                News::Rows(more) => rows.extend(more),
                News::Progress(progress) => {
                    assert_eq!(progress.rows, rows.len() as u64);
                    places.extend(progress.next.map(|next| (rows.len(), next)));
                }
            }
        }
        (rows, places)
    };
    let (meta, heard) = futures::join!(answer, hear);
    assert_eq!((meta.complete, meta.next), (Some(true), Some(None)));
    heard
}

#[tokio::test]
async fn what_is_told_early_is_right_and_what_is_left_can_be_had() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let mut given_up = 0;
    for query in QUERIES.into_iter().chain(["", "name:a", "n:2 OR name:c"]) {
        for mode in [Mode::Traces, Mode::Spans] {
            for order in ORDERS {
                let (query, limit) = (query.to_owned(), Some(MAX_LIMIT));
                let (from, to) = (Some(TimeText::Micros(2)), Some(TimeText::Micros(6)));
                let request = Request { query, from, to, mode, order, limit, cursor: None };
                let whole = search(&*store, &request, 0).await.unwrap().data;
                let (rows, places) = told(&*store, &request).await;
                assert_eq!(rows, whole, "{request:?}");
                for (count, next) in places {
                    let rest = Request { cursor: Some(next), ..request.clone() };
                    let rest = search(&*store, &rest, 0).await.unwrap().data;
                    assert_eq!(rest, whole[count..], "{request:?} given up after {count}");
                    given_up += 1;
                }
            }
        }
    }
    assert!(given_up > 0, "no place was told to go on from");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_search_that_time_ends_says_so_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let range = TimeRange { start_ns: 0, end_ns: 10_000 };
    for mode in [Mode::Traces, Mode::Spans] {
        let order = RowOrder::NewestFirst;
        let page = async |after: Option<Cursor>, time: Duration| {
            let filter = Query::parse("name:a OR name:b").unwrap().filter().unwrap();
            let task = walk::Task { range, filter, mode, order, limit: 1_000, after, time };
            let mut out = Out::list((mode, order), after);
            let end = walk::page(&*store, task, &mut out).await.unwrap();
            (out.into_rows(), end)
        };
        let (whole, end) = page(None, Duration::MAX).await;
        assert_eq!((end.bound, end.next), (None, None));
        let (mut rows, end) = page(None, Duration::ZERO).await;
        assert_eq!((end.bound, rows.len() < whole.len()), (Some(Bound::Time), true));
        let (rest, end) = page(end.next, Duration::MAX).await;
        rows.extend(rest);
        assert_eq!((rows, end.bound), (whole, None));
    }
    store.close().await.unwrap();
}

#[tokio::test]
async fn what_is_meant_is_what_is_found_and_a_bound_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let range = TimeRange { start_ns: 2_000, end_ns: 5_500 };
    let bounds = meant::Bounds { time: Duration::MAX, spans: 1_000, keys: holding::KEYS_OF_QUERY, together: 7 };
    let mut cut = 0;
    for text in QUERIES {
        let query = Query::parse(text).unwrap();
        let found = async |filter: Filter| {
            let search = Search { range, filter, order: Order::NewestFirst, limit: 1_000, after: None };
            let spans = store.search_spans(&search).await.unwrap();
            spans.into_iter().map(|stored| (stored.span.trace_id, stored.span.span_id)).collect::<Vec<_>>()
        };
        let (all, is_all) = newest_matching(&*store, &query, range, 1_000, Duration::MAX).await.unwrap();
        assert!(is_all);
        let all: Vec<_> = all.into_iter().map(|stored| (stored.span.trace_id, stored.span.span_id)).collect();
        let whole = meant::within(&*store, &query, range, bounds).await.unwrap();
        assert_eq!((whole.bound, whole.until_ns), (None, None), "{text}");
        assert_eq!(found(whole.filter).await, all, "{text}");
        let few = meant::Bounds { spans: 1, ..bounds };
        let few = meant::within(&*store, &query, range, few).await.unwrap();
        assert_eq!(few.bound.is_some(), few.until_ns.is_some());
        let known = found(few.filter).await;
        assert!(known.iter().all(|span| all.contains(span)), "{text}");
        if let Some(bound) = few.bound {
            assert_eq!((bound, known.is_empty()), (Bound::Memory, false), "{text}");
            cut += 1;
        }
    }
    assert!(cut > 0, "no bound was met");
    store.close().await.unwrap();
}

#[tokio::test]
async fn both_ways_find_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let mut found = 0;
    for query in QUERIES.map(|text| Query::parse(text).unwrap()) {
        for mode in [Mode::Traces, Mode::Spans] {
            for order in ORDERS {
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
