//! The questions and their answers.

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};

use super::fixture::{SECOND, T0, span, stored, trace};
use super::metric_edges;
use crate::filter::{Bound, Filter, KnownSpans, NumberField, NumberRange, Pattern, TextField, TextMatch};
use crate::store::{
    Dimension, MetricsQuery, Order, Search, SpanScope, Store, StoreError, StoredSpan, TimeRange, Trace, TraceHit,
};

const EVERYTHING: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// Asks every question of a store that [`super::fill`] filled.
///
/// # Errors
/// What the store says.
///
/// # Panics
/// When an answer is wrong.
pub async fn verify(store: &dyn Store) -> Result<(), StoreError> {
    verify_spans(store).await?;
    super::tables::verify(store).await?;
    super::sql::tables(store).await
}

/// Asks only what is about spans and their metrics.
///
/// # Errors
/// What the store says.
///
/// # Panics
/// When an answer is wrong.
pub async fn verify_spans(store: &dyn Store) -> Result<(), StoreError> {
    traces_by_id(store).await?;
    cut_traces(store).await?;
    details(store).await?;
    for (filter, expect) in filters() {
        check_filter(store, &filter, &expect).await?;
    }
    orders(store).await?;
    ranges(store).await?;
    span_pages(store).await?;
    trace_pages(store).await?;
    trace_hits(store).await?;
    metrics(store).await?;
    metric_steps(store).await?;
    super::aggregates::aggregates(store).await?;
    super::keys::keys(store).await?;
    super::keys::families(store).await?;
    super::surveys::surveys(store).await?;
    super::sql::sql(store).await?;
    metric_edges::verify(store).await?;
    resources(store).await
}

fn numbers(trace: &Trace) -> Vec<u8> {
    trace.spans.iter().map(|span| span.span_id.0[0]).collect()
}

async fn traces_by_id(store: &dyn Store) -> Result<(), StoreError> {
    let found = store.trace(trace(1), 100).await?;
    assert_eq!((numbers(&found), found.total), (vec![1, 2, 3], 3));
    let select = &found.spans[1];
    assert_eq!((select.parent_span_id, &*select.service, &*select.name), (span(1), "shop", "SELECT cart"));
    assert_eq!((select.kind, select.status), (SpanKind::Client, StatusCode::Unset));
    assert_eq!((select.start_ns, select.duration_ns), (T0 + 1_010_000_000, 20_000_000));
    assert_eq!(select.db_system.as_deref(), Some("sqlite"));
    assert_eq!(select.detail.as_deref(), Some("SELECT * FROM cart WHERE id = ?"));
    assert_eq!(found.spans[0].detail.as_deref(), Some("http://shop/cart?page=1"));
    assert_eq!(found.spans[2].detail.as_deref(), Some("no \"funds\""));
    assert_eq!(store.trace(trace(99), 100).await?, Trace::default());
    let several = store.traces(&[trace(2), trace(99), trace(1), trace(2)], 100).await?;
    let several: Vec<_> = several.iter().map(|(trace_id, trace)| (*trace_id, numbers(trace))).collect();
    assert_eq!(several, vec![(trace(2), vec![4, 5]), (trace(1), vec![1, 2, 3])]);
    Ok(())
}

async fn cut_traces(store: &dyn Store) -> Result<(), StoreError> {
    let found = store.trace(trace(1), 2).await?;
    assert_eq!((numbers(&found), found.total), (vec![1, 2], 3));
    let several = store.traces(&[trace(1)], 1).await?;
    assert_eq!((numbers(&several[0].1), several[0].1.total), (vec![1], 3));
    Ok(())
}

async fn details(store: &dyn Store) -> Result<(), StoreError> {
    for (number, trace_number) in EVERYTHING.into_iter().zip([1, 1, 1, 2, 2, 3, 3, 4]) {
        let found = store.trace_details(trace(trace_number), &[span(number)], 0, 10).await?;
        assert_eq!(found, vec![stored(number)], "span {number} did not come back as it was");
    }
    let all = store.trace_details(trace(1), &[], 0, 10).await?;
    assert_eq!(all, [1, 2, 3].map(stored));
    assert_eq!(store.trace_details(trace(1), &[], 1, 1).await?, [stored(2)]);
    assert_eq!(store.trace_details(trace(1), &[span(3), span(1)], 0, 10).await?, [1, 3].map(stored));
    assert_eq!(store.trace_details(trace(1), &[span(8)], 0, 10).await?, []);
    assert_eq!(store.trace_details(trace(99), &[], 0, 10).await?, []);
    Ok(())
}

fn equals(field: TextField, text: &str) -> Filter {
    Filter::Text(field, TextMatch::Equals(text.to_owned()))
}

fn like(field: TextField, pattern: &str) -> Filter {
    Filter::Text(field, TextMatch::Wildcard(pattern.to_owned()))
}

fn regex(field: TextField, pattern: &str) -> Filter {
    let pattern = Pattern::new(pattern).expect("the cases have valid patterns");
    Filter::Text(field, TextMatch::Regex(pattern))
}

fn attribute(key: &str) -> TextField {
    TextField::Attribute(key.to_owned())
}

fn number(field: NumberField, low: Option<(f64, bool)>, high: Option<(f64, bool)>) -> Filter {
    let bound = |bound: Option<(f64, bool)>| bound.map(|(value, inclusive)| Bound { value, inclusive });
    Filter::Number(field, NumberRange { low: bound(low), high: bound(high) })
}

fn filters() -> Vec<(Filter, Vec<u8>)> {
    let mut cases = text_filters();
    cases.extend(attribute_filters());
    cases.extend(pattern_filters());
    cases.extend(other_filters());
    cases
}

fn text_filters() -> Vec<(Filter, Vec<u8>)> {
    use TextField::{Environment, Host, Name, Service, StatusMessage, Version};
    vec![
        (equals(Service, "shop"), vec![1, 2, 4, 5, 8]),
        (equals(Service, "SHOP"), vec![]),
        (like(Service, "*a*"), vec![3, 6, 7]),
        (equals(Name, "GET /cart"), vec![1, 8]),
        (like(Name, "GET /*"), vec![1, 4, 8]),
        (like(Name, "*cart"), vec![1, 2, 8]),
        (like(Name, "G_T*"), vec![]),
        (equals(Environment, "prod"), vec![1, 2, 4, 5, 8]),
        (equals(Environment, "staging"), vec![3, 6, 7]),
        (equals(Version, "1.0"), vec![1, 2, 4, 5, 8]),
        (Filter::Exists(Version), vec![1, 2, 4, 5, 8]),
        (Filter::Exists(Service), EVERYTHING.to_vec()),
        (Filter::Exists(Environment), EVERYTHING.to_vec()),
        (like(Host, "al*"), vec![1, 2, 4, 5, 8]),
        (Filter::Exists(Host), vec![1, 2, 4, 5, 8]),
        (equals(StatusMessage, "card declined"), vec![3]),
        (like(StatusMessage, "card*"), vec![3]),
        (Filter::Exists(StatusMessage), vec![3]),
    ]
}

fn attribute_filters() -> Vec<(Filter, Vec<u8>)> {
    let status_code = || NumberField::Attribute("http.response.status_code".to_owned());
    vec![
        (equals(attribute("user.id"), "u1"), vec![1, 8]),
        (equals(attribute("user.id"), "nobody"), vec![]),
        (like(attribute("user.id"), "u*"), vec![1, 4, 8]),
        (Filter::Exists(attribute("user.id")), vec![1, 4, 8]),
        (Filter::Exists(attribute("nothing")), vec![]),
        (equals(attribute("http.response.status_code"), "200"), vec![1, 4]),
        (equals(attribute("cached"), "true"), vec![5]),
        (equals(attribute("amount"), "12.5"), vec![3]),
        (equals(attribute("größe"), "Übergroß"), vec![7]),
        // The resource answers where the span does not say.
        (equals(attribute("team"), "blue"), vec![1, 2, 4, 8]),
        (equals(attribute("team"), "red"), vec![5]),
        (Filter::Exists(attribute("team")), vec![1, 2, 4, 5, 8]),
        (equals(attribute("process.pid"), "4711"), vec![1, 2, 4, 5, 8]),
        (number(status_code(), Some((200.0, true)), None), vec![1, 3]),
        (number(status_code(), Some((200.0, false)), None), vec![3]),
        (number(status_code(), None, Some((402.0, false))), vec![1]),
        (number(NumberField::Attribute("amount".to_owned()), Some((12.0, true)), Some((12.5, true))), vec![3, 8]),
        (number(NumberField::Attribute("user.id".to_owned()), None, None), vec![]),
    ]
}

fn pattern_filters() -> Vec<(Filter, Vec<u8>)> {
    use TextField::{Host, Name, Service, StatusMessage, Version};
    vec![
        (regex(Service, "^(shop|other)$"), vec![1, 2, 4, 5, 8]),
        (regex(Name, "/(cart|pay)$"), vec![1, 3, 8]),
        (regex(Name, "cart"), vec![1, 2, 8]),
        (regex(Name, "CART"), vec![]),
        (regex(Name, "(?i)CART"), vec![1, 2, 8]),
        // What is not there has no text to match, not even the empty one.
        (regex(Host, "^"), vec![1, 2, 4, 5, 8]),
        (regex(Version, r"^(1\.\d)?$"), vec![1, 2, 4, 5, 8]),
        (regex(StatusMessage, "^"), vec![3]),
        (regex(StatusMessage, "declined$"), vec![3]),
        (regex(attribute("user.id"), "^u[2-9]$"), vec![4]),
        (regex(attribute("user.id"), ""), vec![1, 4, 8]),
        (regex(attribute("db.query.text"), r"(?s)SELECT.*\?$"), vec![2]),
        // Numbers by their text, and those sent as text alike.
        (regex(attribute("http.response.status_code"), "^[24][0-9]{2}$"), vec![1, 3, 4]),
        (regex(attribute("team"), "^.{4}$"), vec![1, 2, 4, 8]),
        (regex(attribute("größe"), "^Über"), vec![7]),
    ]
}

fn other_filters() -> Vec<(Filter, Vec<u8>)> {
    let longer = |ms: f64, inclusive| number(NumberField::DurationNs, Some((ms * 1e6, inclusive)), None);
    let service = |name: &str| equals(TextField::Service, name);
    vec![
        (Filter::All, EVERYTHING.to_vec()),
        (longer(100.0, true), vec![1, 6, 7, 8]),
        (longer(100.0, false), vec![6]),
        (number(NumberField::DurationNs, Some((3e6, true)), Some((5e6, false))), vec![5]),
        (number(NumberField::DurationNs, Some((f64::NAN, true)), None), vec![]),
        (Filter::Kind(SpanKind::Server), vec![1, 3, 4, 8]),
        (Filter::Kind(SpanKind::Producer), vec![7]),
        (Filter::Status(StatusCode::Error), vec![3, 8]),
        (Filter::Status(StatusCode::Ok), vec![4]),
        (Filter::Status(StatusCode::Unset), vec![1, 2, 5, 6, 7]),
        (Filter::Trace(trace(2)), vec![4, 5]),
        (Filter::Traces(vec![trace(2), trace(99), trace(3), trace(2)]), vec![4, 5, 6, 7]),
        (Filter::Traces(vec![]), vec![]),
        (Filter::And(vec![Filter::Traces((1..=100).map(trace).collect()), Filter::IsRoot]), vec![1, 4, 6, 8]),
        (Filter::Span(span(7)), vec![7]),
        (Filter::Spans(vec![span(2), span(99), span(7)]), vec![2, 7]),
        (Filter::Spans(vec![]), vec![]),
        (Filter::Known(KnownSpans::new([(trace(2), span(5)), (trace(2), span(1)), (trace(1), span(2))])), vec![2, 5]),
        (Filter::Known(KnownSpans::default()), vec![]),
        (Filter::IsRoot, vec![1, 4, 6, 8]),
        (Filter::IsEntry, vec![1, 3, 4, 6, 8]),
        (Filter::FullText("CART".to_owned()), vec![1, 2, 8]),
        (Filter::FullText("declined".to_owned()), vec![3]),
        (Filter::FullText("pay".to_owned()), vec![3, 6, 7]),
        (Filter::FullText("ÜBERGROSS".to_owned()), vec![]),
        (Filter::FullText("übergroß".to_owned()), vec![7]),
        (Filter::And(vec![]), EVERYTHING.to_vec()),
        (Filter::Or(vec![]), vec![]),
        (Filter::And(vec![service("shop"), Filter::IsRoot, longer(50.0, true)]), vec![1, 8]),
        (Filter::Or(vec![Filter::Kind(SpanKind::Client), equals(attribute("user.id"), "u2")]), vec![2, 4]),
        (
            Filter::And(vec![service("shop"), Filter::Or(vec![Filter::Status(StatusCode::Ok), Filter::Span(span(5))])]),
            vec![4, 5],
        ),
        (Filter::Not(Box::new(Filter::Or(vec![service("shop"), service("pay")]))), vec![]),
    ]
}

fn search(filter: &Filter, order: Order) -> Search {
    let range = TimeRange { start_ns: T0, end_ns: T0 + 100 * SECOND };
    Search { range, filter: filter.clone(), order, limit: 100, after: None }
}

fn span_numbers(spans: &[StoredSpan]) -> Vec<u8> {
    spans.iter().map(|stored| stored.span.span_id.0[0]).collect()
}

fn trace_numbers(hits: &[TraceHit]) -> Vec<u8> {
    hits.iter().map(|hit| hit.trace_id.0[0]).collect()
}

/// A filter, what it leaves out, and the traces it means.
async fn check_filter(store: &dyn Store, filter: &Filter, expect: &[u8]) -> Result<(), StoreError> {
    let found = store.search_spans(&search(filter, Order::OldestFirst)).await?;
    assert_eq!(span_numbers(&found), expect, "{filter:?}");
    let others = store.search_spans(&search(&Filter::Not(Box::new(filter.clone())), Order::OldestFirst)).await?;
    let expect_others: Vec<u8> = EVERYTHING.into_iter().filter(|number| !expect.contains(number)).collect();
    assert_eq!(span_numbers(&others), expect_others, "not {filter:?}");
    let hits = store.search_traces(&search(filter, Order::OldestFirst)).await?;
    let mut expect_traces: Vec<u8> =
        expect.iter().map(|number| [0, 1, 1, 1, 2, 2, 3, 3, 4][usize::from(*number)]).collect();
    expect_traces.dedup();
    assert_eq!(trace_numbers(&hits), expect_traces, "traces of {filter:?}");
    Ok(())
}

async fn orders(store: &dyn Store) -> Result<(), StoreError> {
    for (order, spans, traces) in [
        (Order::OldestFirst, [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4]),
        (Order::NewestFirst, [8, 7, 6, 5, 4, 3, 2, 1], [4, 3, 2, 1]),
        // Equal durations go by trace id.
        (Order::SlowestFirst, [6, 1, 7, 8, 3, 2, 4, 5], [3, 1, 4, 2]),
    ] {
        let found = store.search_spans(&search(&Filter::All, order)).await?;
        assert_eq!(span_numbers(&found), spans, "{order:?}");
        assert_eq!(found[0], stored(spans[0]));
        let hits = store.search_traces(&search(&Filter::All, order)).await?;
        assert_eq!(trace_numbers(&hits), traces, "{order:?}");
    }
    Ok(())
}

async fn ranges(store: &dyn Store) -> Result<(), StoreError> {
    let within = |start_ms: i64, end_ms: i64| Search {
        range: TimeRange { start_ns: T0 + start_ms * 1_000_000, end_ns: T0 + end_ms * 1_000_000 },
        ..search(&Filter::All, Order::OldestFirst)
    };
    for (range, expect) in [
        (within(1_010, 2_001), vec![2, 3, 4]),
        (within(0, 1_000), vec![]),
        (within(14_000, 14_001), vec![8]),
        (within(5_000, 1_000), vec![]),
        (Search { range: TimeRange::ALL, ..within(0, 0) }, EVERYTHING.to_vec()),
    ] {
        assert_eq!(span_numbers(&store.search_spans(&range).await?), expect, "{range:?}");
    }
    // A trace is found by its spans in the range alone.
    let hits = store.search_traces(&within(1_010, 2_000)).await?;
    assert_eq!(trace_numbers(&hits), [1]);
    assert_eq!((hits[0].matched.clone(), hits[0].matched_count), (vec![span(2), span(3)], 2));
    Ok(())
}

async fn span_pages(store: &dyn Store) -> Result<(), StoreError> {
    for order in [Order::OldestFirst, Order::NewestFirst, Order::SlowestFirst] {
        let whole = store.search_spans(&search(&Filter::All, order)).await?;
        for limit in 1..=4 {
            let mut page = Search { limit, ..search(&Filter::All, order) };
            let mut paged = Vec::new();
            loop {
                let rows = store.search_spans(&page).await?;
                let Some(last) = rows.last() else { break };
                assert!(rows.len() <= limit);
                page.after = Some(crate::Cursor {
                    value: match order {
                        Order::SlowestFirst => last.span.duration_nano().cast_signed(),
                        _ => last.span.start_time_unix_nano.cast_signed(),
                    },
                    trace_id: last.span.trace_id,
                    span_id: last.span.span_id,
                });
                paged.extend(rows);
            }
            assert_eq!(span_numbers(&paged), span_numbers(&whole), "{order:?} in pages of {limit}");
        }
    }
    Ok(())
}

async fn trace_pages(store: &dyn Store) -> Result<(), StoreError> {
    for order in [Order::OldestFirst, Order::NewestFirst, Order::SlowestFirst] {
        let whole = store.search_traces(&search(&Filter::All, order)).await?;
        for limit in 1..=3 {
            let mut page = Search { limit, ..search(&Filter::All, order) };
            let mut paged = Vec::new();
            loop {
                let hits = store.search_traces(&page).await?;
                let Some(last) = hits.last() else { break };
                assert!(hits.len() <= limit);
                page.after = Some(last.cursor);
                paged.extend(hits);
            }
            assert_eq!(paged, whole, "{order:?} in pages of {limit}");
        }
    }
    Ok(())
}

async fn trace_hits(store: &dyn Store) -> Result<(), StoreError> {
    let hits = store.search_traces(&search(&equals(TextField::Service, "shop"), Order::SlowestFirst)).await?;
    let seen: Vec<(TraceId, Vec<SpanId>, u64, i64)> =
        hits.iter().map(|hit| (hit.trace_id, hit.matched.clone(), hit.matched_count, hit.cursor.value)).collect();
    let expect = vec![
        (trace(1), vec![span(1), span(2)], 2, 100_000_000),
        (trace(4), vec![span(8)], 1, 100_000_000),
        (trace(2), vec![span(4), span(5)], 2, 5_000_000),
    ];
    assert_eq!(seen, expect);
    let none = store.search_traces(&Search { limit: 0, ..search(&Filter::All, Order::NewestFirst) }).await?;
    assert_eq!(none, []);
    Ok(())
}

fn all_metrics() -> MetricsQuery {
    MetricsQuery {
        range: TimeRange { start_ns: T0, end_ns: T0 + 100 * SECOND },
        step_ns: None,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: Vec::new(),
    }
}

/// Labels, step in seconds from the start, hits and errors of each row.
async fn metric_rows(store: &dyn Store, query: &MetricsQuery) -> Result<Vec<(Vec<String>, i64, u64, u64)>, StoreError> {
    let rows = store.metrics(query).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.labels, (row.step_start_ns - T0) / SECOND, row.red.hits, row.red.errors))
        .collect())
}

async fn metrics(store: &dyn Store) -> Result<(), StoreError> {
    let rows = store.metrics(&all_metrics()).await?;
    assert_eq!(rows.len(), 1);
    let red = &rows[0].red;
    assert_eq!((red.hits, red.errors, red.duration_sum_ns), (8, 2, 1_368_000_000));
    assert_eq!((red.duration_min_ns, red.duration_max_ns, red.durations.count()), (3_000_000, 1_000_000_000, 8));
    let label = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    let by_service = MetricsQuery { group_by: vec![Dimension::Service], ..all_metrics() };
    let expect = vec![(label(&["pay"]), 0, 3, 1), (label(&["shop"]), 0, 5, 1)];
    assert_eq!(metric_rows(store, &by_service).await?, expect);
    let entries = MetricsQuery { scope: SpanScope::Entry, ..by_service.clone() };
    let expect = vec![(label(&["pay"]), 0, 2, 1), (label(&["shop"]), 0, 3, 1)];
    assert_eq!(metric_rows(store, &entries).await?, expect);
    let roots = MetricsQuery { scope: SpanScope::Root, ..by_service.clone() };
    let expect = vec![(label(&["pay"]), 0, 1, 0), (label(&["shop"]), 0, 3, 1)];
    assert_eq!(metric_rows(store, &roots).await?, expect);
    let dimensions = vec![Dimension::Kind, Dimension::Name, Dimension::Environment, Dimension::Version];
    let shop = MetricsQuery {
        service: Some("shop".to_owned()),
        kind: Some(SpanKind::Server),
        group_by: dimensions,
        ..all_metrics()
    };
    let expect = vec![
        (label(&["server", "GET /cart", "prod", "1.0"]), 0, 2, 1),
        (label(&["server", "GET /home", "prod", "1.0"]), 0, 1, 0),
    ];
    assert_eq!(metric_rows(store, &shop).await?, expect);
    let named = MetricsQuery { name: Some("GET /cart".to_owned()), ..all_metrics() };
    assert_eq!(metric_rows(store, &named).await?, vec![(vec![], 0, 2, 1)]);
    let staging = MetricsQuery { environment: Some("staging".to_owned()), ..all_metrics() };
    assert_eq!(metric_rows(store, &staging).await?, vec![(vec![], 0, 3, 1)]);
    let nobody = MetricsQuery { service: Some("nobody".to_owned()), ..all_metrics() };
    assert_eq!(metric_rows(store, &nobody).await?, vec![]);
    Ok(())
}

async fn metric_steps(store: &dyn Store) -> Result<(), StoreError> {
    let stepped = |start: i64, end: i64, step: i64| MetricsQuery {
        range: TimeRange { start_ns: T0 + start * SECOND, end_ns: T0 + end * SECOND },
        step_ns: Some(step * SECOND),
        ..all_metrics()
    };
    assert_eq!(metric_rows(store, &stepped(0, 100, 10)).await?, vec![(vec![], 0, 5, 1), (vec![], 10, 3, 1)]);
    assert_eq!(metric_rows(store, &stepped(0, 100, 20)).await?, vec![(vec![], 0, 8, 2)]);
    // Both ends are rounded down to a bucket, and steps begin at the range's start.
    assert_eq!(metric_rows(store, &stepped(-13, 19, 30)).await?, vec![(vec![], -20, 5, 1)]);
    assert_eq!(metric_rows(store, &stepped(-20, 20, 30)).await?, vec![(vec![], -20, 5, 1), (vec![], 10, 3, 1)]);
    assert_eq!(metric_rows(store, &stepped(10, 10, 10)).await?, vec![]);
    let ever = MetricsQuery { range: TimeRange::ALL, ..all_metrics() };
    assert_eq!(store.metrics(&ever).await?.iter().map(|row| row.red.hits).sum::<u64>(), 8);
    Ok(())
}

async fn resources(store: &dyn Store) -> Result<(), StoreError> {
    let within = |start: i64, end: i64| TimeRange { start_ns: T0 + start * SECOND, end_ns: T0 + end * SECOND };
    let seen = store.resources(within(0, 100)).await?;
    let brief: Vec<_> =
        seen.iter().map(|seen| (seen.resource.service(), seen.first_seen_ns, seen.last_seen_ns)).collect();
    let ms = |ms: i64| T0 + ms * 1_000_000;
    assert_eq!(brief, vec![("shop", ms(1_000), ms(14_000)), ("pay", ms(1_050), ms(13_100))]);
    assert_eq!(seen[1].resource, stored(3).resource);
    assert_eq!(seen[0].scopes, vec![stored(1).scope]);
    let seen = store.resources(within(2, 3)).await?;
    let brief: Vec<_> =
        seen.iter().map(|seen| (seen.resource.service(), seen.first_seen_ns, seen.last_seen_ns)).collect();
    assert_eq!(brief, vec![("shop", ms(2_000), ms(2_001))]);
    assert_eq!(store.resources(within(50, 60)).await?, vec![]);
    Ok(())
}
