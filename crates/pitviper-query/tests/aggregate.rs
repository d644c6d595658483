//! Aggregates, the heatmap, and the parts of the search language that look beyond one span, over a
//! real store.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId};
use pitviper_query::QueryError;
use pitviper_query::views::aggregate::{self, AggregateData, Source};
use pitviper_query::views::{Answer, Meta, heatmap, search};
use pitviper_store::Store;
use pitviper_store::conformance::metric_of;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use serde_json::{Value, json};

const MS: u64 = 1_000_000;

/// 2026-11-21 01:20:00, the start of an hour's third part.
const START_S: i64 = 1_795_224_000;
const NOW_US: i64 = (START_S + 1_200) * 1_000_000;
const SPANS: u64 = 60;

/// A span each ten seconds. Three in a row are a trace: a request to `web`, and two calls of it; every
/// fifth trace is one of `cron` instead.
fn span(number: u64) -> (&'static str, Span) {
    let trace = number / 3;
    let service = if trace % 5 == 4 { "cron" } else { "web" };
    let is_root = number.is_multiple_of(3);
    let start = (START_S as u64 + number * 10) * 1_000_000_000 + 5_000;
    let mut span = Span {
        trace_id: TraceId(u128::from(trace + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        parent_span_id: if is_root { SpanId::INVALID } else { SpanId((trace * 3 + 1).to_be_bytes()) },
        name: if is_root { "GET /".to_owned() } else { format!("call {}", number % 3) },
        kind: if is_root { SpanKind::Server } else { SpanKind::Client },
        start_time_unix_nano: start,
        end_time_unix_nano: start + (number + 1) * MS,
        ..Span::default()
    };
    if number.is_multiple_of(12) {
        span.status = Status { code: StatusCode::Error, message: "no".to_owned() };
    }
    span.attributes.set("user.role", if number.is_multiple_of(2) { "author" } else { "admin" });
    if !is_root {
        span.attributes.set("size", number as i64);
    }
    (service, span)
}

async fn store(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut rows = SpansBuilder::with_capacity(SPANS as usize);
    let mut metrics = SpanMetricsBuilder::new();
    for number in 0..SPANS {
        let (service, span) = span(number);
        let attributes = [("service.name", service), ("service.version", "1")].into_iter().collect();
        let resource = Resource { attributes, ..Resource::default() };
        rows.append(&resource, &Scope::default(), &span);
        let (key, red) = metric_of(&span, &resource);
        metrics.append(&key, &red);
    }
    store.append(WriteBatch::new(rows, metrics)).await.unwrap();
    store
}

async fn ask(store: &dyn Store, request: Value) -> Result<Answer<AggregateData>, QueryError> {
    let mut whole = json!({ "from": START_S * 1_000_000, "to": NOW_US });
    whole.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let request: aggregate::Request = serde_json::from_value(whole).unwrap();
    aggregate::aggregate(store, &request, NOW_US).await
}

/// The totals by label.
fn totals(answer: &Answer<AggregateData>) -> Vec<(Option<&str>, Option<f64>, u64)> {
    let label = |labels: &BTreeMap<String, Option<String>>| labels.values().next().cloned().flatten();
    let leak = |text: String| &*text.leak();
    answer.data.series.iter().map(|series| (label(&series.labels).map(leak), series.total, series.n)).collect()
}

#[tokio::test]
async fn the_metrics_and_the_spans_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut compared = 0;
    for (metric, agg) in [
        ("count", None),
        ("rate", None),
        ("errors", None),
        ("failure_rate", None),
        ("duration", Some("avg")),
        ("duration", Some("min")),
        ("duration", Some("max")),
        ("duration", Some("sum")),
        ("response_time", Some("avg")),
        ("duration", Some("p90")),
        ("duration", Some("slowest:10%")),
    ] {
        for split in [json!([]), json!(["service"]), json!(["name", "kind"]), json!(["env", "version"])] {
            for query in ["", "service:web", "kind:client OR name:/GET/", "-version:2 is:entry", "is:root service:cron"]
            {
                for step in [json!("auto"), json!("2m"), json!(null)] {
                    let request = |query: &str| {
                        let agg = agg.map_or(json!(null), |agg| json!(agg));
                        json!({ "metric": metric, "agg": agg, "split": split, "query": query, "step": step })
                    };
                    let by_metrics = ask(store.as_ref(), request(query)).await.unwrap();
                    // True of every span, and nothing that the metrics know.
                    let query = if query.is_empty() { "-nope:*".to_owned() } else { format!("({query}) -nope:*") };
                    let by_spans = ask(store.as_ref(), request(&query)).await.unwrap();
                    let context = request(&query).to_string();
                    assert_eq!(by_metrics.meta.source, Some(Source::Metrics), "{context}");
                    assert_eq!(by_spans.meta.source, Some(Source::Spans), "{context}");
                    assert_eq!(
                        (by_metrics.data.t.len(), by_metrics.data.other.is_none()),
                        (by_spans.data.t.len(), true)
                    );
                    let near = |left: Option<f64>, right: Option<f64>| match (left, right) {
                        (Some(left), Some(right)) => (left - right).abs() <= right.abs() * 0.011,
                        (left, right) => left == right,
                    };
                    // Totals that are all but equal may stand in another order.
                    let by_label = |answer: &Answer<AggregateData>| {
                        let mut series = answer.data.series.clone();
                        series.sort_by(|left, right| left.labels.cmp(&right.labels));
                        series
                    };
                    for (left, right) in by_label(&by_metrics).iter().zip(&by_label(&by_spans)) {
                        assert_eq!((&left.labels, left.n), (&right.labels, right.n), "{context}");
                        assert!(near(left.total, right.total), "{context}: {:?} {:?}", left.total, right.total);
                        assert!(left.v.iter().zip(&right.v).all(|(left, right)| near(*left, *right)), "{context}");
                        compared += 1;
                    }
                    assert_eq!(by_metrics.data.series.len(), by_spans.data.series.len(), "{context}");
                }
            }
        }
    }
    assert!(compared > 900, "{compared}");
}

#[tokio::test]
async fn the_slowest_tenth_is_split_by_an_attribute() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let request = json!({
        "metric": "duration", "agg": "slowest:10%", "split": ["user.role"], "query": "service:web", "step": null
    });
    let answer = ask(store.as_ref(), request).await.unwrap();
    // Of 48 spans of web, 24 of each role; the three slowest authors took 57, 55 and 53 ms, and the
    // admins 56, 54 and 52.
    let expect = vec![(Some("author"), Some(55e6), 24), (Some("admin"), Some(54e6), 24)];
    assert_eq!(totals(&answer), expect);
    let Meta { source, exact, relative_error, from, to, .. } = answer.meta;
    assert_eq!((source, exact, relative_error), (Some(Source::Spans), true, None));
    assert_eq!((from, to), (Some(START_S * 1_000_000), Some(NOW_US)));
    let slowest = &answer.data.series[0].exemplars;
    assert_eq!(slowest.len(), 1);
    assert_eq!(slowest[0], (TraceId(19u128.to_be_bytes()).to_string(), (START_S + 560) * 1_000_000 + 5, 57e6));
}

#[tokio::test]
async fn steps_without_spans_are_null_and_counts_are_zero() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let request =
        json!({ "metric": "duration", "agg": "max", "query": "size:*", "step": "5m", "to": NOW_US + 600_000_000 });
    let answer = ask(store.as_ref(), request).await.unwrap();
    assert_eq!(answer.data.series[0].v, [Some(30e6), Some(60e6), None, None, None, None]);
    let request = json!({ "metric": "count", "query": "size:*", "step": "5m", "to": NOW_US + 600_000_000 });
    let answer = ask(store.as_ref(), request).await.unwrap();
    assert_eq!(answer.data.series[0].v, [Some(20.0), Some(20.0), Some(0.0), Some(0.0), None, None]);
    assert_eq!(answer.data.t[1] - answer.data.t[0], 300_000_000);
    let exemplars: Vec<f64> = answer.data.series[0].exemplars.iter().map(|exemplar| exemplar.2).collect();
    assert_eq!(exemplars, [30e6, 60e6]);
    let nothing =
        ask(store.as_ref(), json!({ "metric": "count", "query": "service:nobody", "step": null })).await.unwrap();
    assert_eq!(totals(&nothing), vec![(None, Some(0.0), 0)]);
}

#[tokio::test]
async fn attributes_calls_and_what_is_left_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let sum = json!({ "metric": "size", "agg": "sum", "split": ["service"], "step": null });
    let answer = ask(store.as_ref(), sum).await.unwrap();
    // All of 0 to 59 but every third is 1770 - 570; the traces of cron are numbers 4, 9, 14 and 19.
    let cron: u64 = [4, 9, 14, 19].iter().map(|trace| (trace * 3 + 1) + (trace * 3 + 2)).sum();
    let expect = vec![(Some("web"), Some((1_200 - cron) as f64), 32), (Some("cron"), Some(cron as f64), 8)];
    assert_eq!((totals(&answer), answer.data.unit), (expect, aggregate::Unit::Attribute));

    let calls = json!({ "metric": "calls", "agg": "max", "query": "kind:client", "split": ["service"], "step": null });
    let expect = vec![(Some("cron"), Some(2.0), 4), (Some("web"), Some(2.0), 16)];
    assert_eq!(totals(&ask(store.as_ref(), calls).await.unwrap()), expect);

    let top = json!({ "metric": "count", "split": ["name"], "top": 1, "step": null });
    let answer = ask(store.as_ref(), top).await.unwrap();
    assert_eq!((answer.data.groups, answer.data.groups_left_out), (3, false));
    assert_eq!(totals(&answer), vec![(Some("GET /"), Some(20.0), 20)]);
    assert_eq!(answer.data.other.map(|other| (other.total, other.n)), Some((Some(40.0), 40)));
}

#[tokio::test]
async fn exemplars_of_metrics_are_looked_up_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let request =
        |exemplars| json!({ "metric": "failure_rate", "split": ["service"], "step": "5m", "exemplars": exemplars });
    let answer = ask(store.as_ref(), request(2)).await.unwrap();
    assert_eq!(answer.meta.source, Some(Source::Metrics));
    let failed: Vec<(Option<&str>, Vec<f64>)> = answer
        .data
        .series
        .iter()
        .map(|series| {
            (series.labels["service"].as_deref(), series.exemplars.iter().map(|exemplar| exemplar.2).collect())
        })
        .collect();
    // Spans 0, 12, 24, 36 and 48 failed; 12 is the root of a trace of cron.
    // A twelfth of the spans of each, so by name.
    assert_eq!(failed, vec![(Some("cron"), vec![13e6]), (Some("web"), vec![25e6, 49e6])]);
    let none = ask(store.as_ref(), request(0)).await.unwrap();
    assert!(none.data.series.iter().all(|series| series.exemplars.is_empty()));
}

#[tokio::test]
async fn wrong_questions_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for (request, parameter) in [
        (json!({ "metric": "count", "agg": "p95" }), "agg"),
        (json!({ "metric": "duration", "agg": "p101" }), "agg"),
        (json!({ "metric": "" }), "metric"),
        (json!({ "metric": "count", "split": ["duration"] }), "split"),
        (json!({ "metric": "count", "split": ["a", "b", "c", "d", "e"] }), "split"),
        (json!({ "metric": "count", "split": ["name", "request"] }), "split"),
        (json!({ "metric": "count", "top": 0 }), "top"),
        (json!({ "metric": "count", "exemplars": 11 }), "exemplars"),
        (json!({ "metric": "count", "step": "5 minutes" }), "step"),
        (json!({ "metric": "count", "step": "1s", "from": 0 }), "step"),
    ] {
        match ask(store.as_ref(), request.clone()).await {
            Err(QueryError::Parameter { parameter: wrong, .. }) => assert_eq!(wrong, parameter, "{request}"),
            other => panic!("{request}: {other:?}"),
        }
    }
    let wrong = ask(store.as_ref(), json!({ "metric": "count", "query": "kind:servr" })).await;
    assert!(matches!(wrong, Err(QueryError::Syntax(_))));
}

#[tokio::test]
async fn the_heatmap_counts_every_span_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let mut before: Option<heatmap::Heatmap> = None;
    for (query, errors, source) in [
        ("service:web", false, Source::Metrics),
        ("service:web -nope:*", false, Source::Spans),
        ("service:web", true, Source::Spans),
    ] {
        let request = json!({
            "query": query, "from": START_S * 1_000_000, "to": NOW_US, "width": 4, "height": 20, "errors": errors
        });
        let request: heatmap::Request = serde_json::from_value(request).unwrap();
        let answer = heatmap::heatmap(store.as_ref(), &request, NOW_US).await.unwrap();
        let map = answer.data;
        assert_eq!((answer.meta.source, answer.meta.exact), (Some(source), true), "{query}");
        let rows = map.y_edges.len() - 1;
        assert!(rows <= 20 && map.counts.len() == rows * map.t.len());
        assert_eq!((map.t.len(), map.total, map.failed), (4, 48, 4));
        assert_eq!((map.counts.iter().sum::<u64>(), map.column_errors.clone()), (48, vec![2, 2, 0, 0]));
        assert_eq!((map.min_ns, map.max_ns), (Some(1e6), Some(57e6)));
        for number in (0..SPANS).filter(|number| span(*number).0 == "web") {
            let column = (number * 10 / 300) as usize;
            let duration = ((number + 1) * MS) as f64;
            let row = map.y_edges.windows(2).position(|ends| duration > ends[0] && duration <= ends[1]).unwrap();
            assert!(map.counts[column * rows + row] > 0, "{number}");
        }
        if let Some(failed) = &map.errors {
            assert_eq!(failed.iter().sum::<u64>(), 4);
            assert!(failed.iter().zip(&map.counts).all(|(failed, count)| failed <= count));
        }
        let map = heatmap::Heatmap { errors: None, ..map };
        assert_eq!(*before.get_or_insert_with(|| map.clone()), map, "{query}");
    }
}

/// The numbers of the spans that a search finds.
async fn found(store: &dyn Store, query: &str) -> Vec<u64> {
    let request = json!({
        "query": query, "from": START_S * 1_000_000, "to": NOW_US, "mode": "spans", "order": "start", "limit": 100
    });
    let request: search::Request = serde_json::from_value(request).unwrap();
    let answer = search::search(store, &request, NOW_US).await.unwrap();
    assert_eq!((answer.meta.exact, answer.meta.complete), (true, Some(true)), "{query}");
    let rows = serde_json::to_value(answer.data).unwrap();
    let id = |row: &Value| u64::from_str_radix(row["span_id"].as_str().unwrap(), 16).unwrap() - 1;
    rows.as_array().unwrap().iter().map(id).collect()
}

fn numbers(keep: impl Fn(u64) -> bool) -> Vec<u64> {
    (0..SPANS).filter(|number| keep(*number)).collect()
}

#[tokio::test]
async fn roots_are_asked_for_from_anywhere_in_the_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let failed = |number: u64| (number / 3 * 3).is_multiple_of(12);
    let is_cron = |number: u64| number / 3 % 5 == 4;
    let store = store.as_ref();
    assert_eq!(found(store, "root.status:error").await, numbers(failed));
    assert_eq!(found(store, "root.is:error kind:client").await, numbers(|number| failed(number) && number % 3 != 0));
    assert_eq!(found(store, "-root.service:web").await, numbers(is_cron));
    let either = numbers(|number| is_cron(number) || number == 7);
    assert_eq!(found(store, "root.service=cron OR size=7").await, either);
    assert_eq!(found(store, "root.duration:>50ms").await, numbers(|number| number / 3 * 3 >= 50));
    assert_eq!(found(store, "{root.service:cron kind:server} > {size:*}").await, numbers(|n| is_cron(n) && n % 3 != 0));
    assert_eq!(found(store, "root.user.role:nobody").await, numbers(|_| false));
    assert_eq!(found(store, "root.@service:x").await, numbers(|_| false));
}

#[tokio::test]
async fn what_relates_spans_or_judges_traces_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let store = store.as_ref();
    for query in [
        "{service:web kind:server} > {size:*}",
        "{status:error} >> {user.role:author}",
        "root.service:cron",
        "kind:client -root.status:error",
        "service:web | sum(size) > 100",
        "{name:\"call 1\"} ~ {name:\"call 2\"} | count() = 1",
        "{service:nobody} >> {}",
    ] {
        let spans = found(store, query).await;
        let request = json!({ "metric": "duration", "agg": "sum", "query": query, "step": null, "split": ["service"] });
        let answer = ask(store, request).await.unwrap();
        let meta = &answer.meta;
        assert_eq!((meta.source, meta.exact, meta.bound), (Some(Source::Spans), true, None), "{query}");
        for service in ["web", "cron"] {
            let of_service: Vec<u64> = spans.iter().copied().filter(|number| span(*number).0 == service).collect();
            let sum: u64 = of_service.iter().map(|number| (number + 1) * MS).sum();
            let series = totals(&answer).into_iter().find(|(label, ..)| *label == Some(service));
            let expect = (!of_service.is_empty()).then_some((Some(service), Some(sum as f64), of_service.len() as u64));
            assert_eq!(series, expect, "{query}");
        }
        let request = json!({ "query": query, "from": START_S * 1_000_000, "to": NOW_US, "errors": true });
        let request: heatmap::Request = serde_json::from_value(request).unwrap();
        let map = heatmap::heatmap(store, &request, NOW_US).await.unwrap();
        let failed = spans.iter().filter(|number| number.is_multiple_of(12)).count() as u64;
        assert_eq!((map.data.total, map.data.failed, map.meta.exact), (spans.len() as u64, failed, true), "{query}");
    }
}

#[tokio::test]
async fn functions_are_of_attributes_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let store = store.as_ref();
    // The two sizes of trace t are 3t + 1 and 3t + 2.
    assert_eq!(found(store, "service:web | sum(size) > 100").await, numbers(|n| n / 3 * 6 + 3 > 100 && n / 3 % 5 != 4));
    assert_eq!(found(store, "size:* | avg(size, name:\"call 1\") = 16").await, [16, 17]);
    assert_eq!(found(store, "kind:* | max(size) <= 5 | min(size) > 1").await, [3, 4, 5]);
    assert_eq!(found(store, "kind:* | count() = 3 | sum(size) <= 3").await, [0, 1, 2]);
    // Of no numbers the sum is zero, and the others are nothing.
    assert_eq!(found(store, "kind:server | sum(size) < 1").await.len(), 20);
    assert_eq!(found(store, "kind:server | min(size) < 1000").await.len(), 0);
}

#[tokio::test]
async fn the_slowest_are_those_of_their_own_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let slowest = found(store.as_ref(), "slowest:25%").await;
    // Sixteen spans of each of three names of web, and four of each of cron: a quarter of each, and the
    // one at the limit.
    let expect = numbers(|number| {
        let (service, name) = (span(number).0, number % 3);
        let mut alike = numbers(|other| span(other).0 == service && other % 3 == name);
        alike.reverse();
        alike.iter().position(|other| *other == number).unwrap() <= alike.len() / 4
    });
    let missing = expect.iter().filter(|number| !slowest.contains(number)).count();
    assert!(slowest.iter().all(|number| expect.contains(number)), "{slowest:?} {expect:?}");
    // The limit is known to 1.1 %, so the span right at it may be left out.
    assert!(missing <= 6, "{slowest:?} {expect:?}");
    let of_web = found(store.as_ref(), "service:web slowest:25%").await;
    assert_eq!(of_web, slowest.iter().copied().filter(|number| span(*number).0 == "web").collect::<Vec<_>>());
    let request = json!({ "metric": "count", "query": "slowest:25%", "step": null });
    assert_eq!(totals(&ask(store.as_ref(), request).await.unwrap())[0].2, slowest.len() as u64);
}
