//! Logs, metrics and processes over HTTP.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_model::{
    Attributes, HistogramPoint, LogRecord, Metric, MetricKind, MetricPoint, Number, PointValue, Resource, Scope, Span,
    SpanId, Temporality, TraceId, Value as Attribute,
};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{LogsBuilder, MetricPointsBuilder, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::support::{START_US, over};

const SECOND: u64 = 1_000_000_000;

async fn ask(router: &Router, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let request = match body {
        Some(body) => Request::post(path).header("content-type", "application/json").body(body.to_string()),
        None => Request::get(path).body(String::new()),
    };
    let mut request = request.unwrap().map(Body::from);
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn resource(service: &str, instance: &str) -> Resource {
    let attributes = [("service.name", service), ("service.instance.id", instance), ("host.name", "h1")];
    Resource { attributes: attributes.into_iter().collect(), ..Resource::default() }
}

async fn house(dir: &tempfile::TempDir, write: WriteBatch) -> (Router, watch::Sender<bool>) {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    store.append(write).await.unwrap();
    over(store)
}

fn empty() -> WriteBatch {
    WriteBatch::new(SpansBuilder::default(), SpanMetricsBuilder::new())
}

fn start_ns(second: u64) -> u64 {
    START_US * 1_000 + second * SECOND
}

fn range() -> Value {
    json!({ "from": START_US, "to": START_US + 60_000_000 })
}

/// A question about the minute.
fn about(mut question: Value) -> Value {
    question.as_object_mut().unwrap().extend(range().as_object().unwrap().clone());
    question
}

fn logs() -> LogsBuilder {
    let mut rows = LogsBuilder::default();
    let scope = Scope { name: "shop.pay".into(), version: "1".into(), ..Scope::default() };
    for (number, (service, severity, body)) in
        (1..).zip([("shop", 9, "paid 7"), ("shop", 17, "refused"), ("other", 17, "refused too")])
    {
        let mut record = LogRecord {
            time_unix_nano: start_ns(number),
            severity_number: severity,
            severity_text: "W".into(),
            body: Some(body.into()),
            ..LogRecord::default()
        };
        if number > 1 {
            (record.trace_id, record.span_id) = (TraceId([7; 16]), SpanId([number as u8; 8]));
        }
        record.attributes.set("user", "ada");
        rows.append(&resource(service, "i1"), &scope, &record);
    }
    let body = Attribute::Map([("card", "visa")].into_iter().collect());
    let odd = LogRecord {
        observed_time_unix_nano: start_ns(4),
        body: Some(body),
        event_name: "payment".into(),
        ..LogRecord::default()
    };
    rows.append(&resource("shop", "i1"), &scope, &odd);
    rows
}

#[tokio::test]
async fn logs_are_found_the_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = house(&dir, empty().with_logs(logs())).await;
    let found = async |question: Value| {
        let (status, answer) = ask(&router, "/api/v1/logs/search", Some(about(question.clone()))).await;
        assert_eq!(status, StatusCode::OK, "{question}: {answer}");
        let seconds = |row: &Value| (row["time_us"].as_u64().unwrap() - START_US) / 1_000_000;
        answer["data"].as_array().unwrap().iter().map(seconds).collect::<Vec<_>>()
    };
    assert_eq!(found(json!({})).await, [4, 3, 2, 1]);
    assert_eq!(found(json!({ "service": "shop" })).await, [4, 2, 1]);
    assert_eq!(found(json!({ "severity": "error" })).await, [3, 2]);
    assert_eq!(found(json!({ "severity": "9", "service": "shop" })).await, [2, 1]);
    assert_eq!(found(json!({ "text": "refused" })).await, [3, 2]);
    assert_eq!(found(json!({ "trace_id": TraceId([7; 16]).to_string() })).await, [3, 2]);
    assert_eq!(found(json!({ "attributes": { "user": "ada", "service.instance.id": "i1" } })).await, [3, 2, 1]);
    assert_eq!(found(json!({ "attributes": { "user": "bob" } })).await, [0; 0]);

    let (_, answer) = ask(&router, "/api/v1/logs/search", Some(about(json!({ "text": "refused", "limit": 1 })))).await;
    let expected = json!({
        "time_us": START_US + 3_000_000, "observed_us": null, "severity": 17, "level": "error", "severity_text": "W",
        "body": "refused too", "event_name": "", "service": "other", "trace_id": TraceId([7; 16]).to_string(),
        "span_id": SpanId([3; 8]).to_string(), "attributes": { "user": "ada" }, "dropped_attributes": 0,
        "resource": { "service.name": "other", "service.instance.id": "i1", "host.name": "h1" },
        "scope": { "name": "shop.pay", "version": "1" }
    });
    assert_eq!(answer["data"], json!([expected]));
    let next = about(json!({ "text": "refused", "limit": 1, "cursor": answer["meta"]["next"] }));
    let (_, answer) = ask(&router, "/api/v1/logs/search", Some(next)).await;
    assert_eq!((&answer["data"][0]["body"], &answer["meta"]["next"]), (&json!("refused"), &Value::Null));
    let (_, answer) = ask(&router, "/api/v1/logs/search", Some(about(json!({ "limit": 1 })))).await;
    let odd = &answer["data"][0];
    assert_eq!((&odd["body"], &odd["event_name"]), (&json!({ "card": "visa" }), &json!("payment")));
    assert_eq!((&odd["level"], &odd["observed_us"]), (&json!(""), &json!(START_US + 4_000_000)));
}

#[tokio::test]
async fn logs_of_a_trace_need_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = house(&dir, empty().with_logs(logs())).await;
    let path = |id: TraceId, rest: &str| format!("/api/v1/traces/{id}/logs{rest}");
    let (status, answer) = ask(&router, &path(TraceId([7; 16]), ""), None).await;
    assert_eq!((status, answer["data"].as_array().unwrap().len()), (StatusCode::OK, 2));
    let (_, first) = ask(&router, &path(TraceId([7; 16]), "?limit=1"), None).await;
    let next = first["meta"]["next"].as_str().unwrap();
    let (_, second) = ask(&router, &path(TraceId([7; 16]), &format!("?cursor={next}")), None).await;
    assert_eq!([&first["data"][0], &second["data"][0]], [&answer["data"][0], &answer["data"][1]]);
    let (status, answer) = ask(&router, &path(TraceId([8; 16]), ""), None).await;
    assert_eq!((status, &answer["data"]), (StatusCode::OK, &json!([])));
    assert_eq!(ask(&router, "/api/v1/traces/xyz/logs", None).await.0, StatusCode::BAD_REQUEST);
}

fn metric(name: &str, kind: MetricKind, temporality: Temporality, is_monotonic: bool) -> Metric {
    Metric { name: name.into(), unit: "By".into(), description: "d".into(), kind, temporality, is_monotonic }
}

/// Two processes that report a gauge, a counter and a distribution every ten seconds.
fn points() -> MetricPointsBuilder {
    use MetricKind::{Gauge, Histogram, Sum};
    use Temporality::{Cumulative, Delta, Unspecified};
    let mut rows = MetricPointsBuilder::default();
    let scope = Scope { name: "lib".into(), ..Scope::default() };
    for (of, (instance, route)) in (1..).zip([("i1", "/"), ("i2", "/pay")]) {
        let attributes: Attributes = [("route", route)].into_iter().collect();
        for step in 0..6u64 {
            let mut add = |metric: &Metric, attributes: &Attributes, value: PointValue| {
                let (start_time_unix_nano, time_unix_nano) = (start_ns(0) - 1, start_ns(step * 10 + 5));
                let point = MetricPoint { start_time_unix_nano, time_unix_nano, value, ..MetricPoint::default() };
                rows.append(&resource("shop", instance), &scope, metric, attributes, &point);
            };
            let memory = metric("process.memory.usage", Gauge, Unspecified, false);
            let number = |value: u64| PointValue::Number(Number::Int(value as i64));
            add(&memory, &Attributes::default(), number(of * 100 + step));
            let cpu = metric("process.cpu.time", Sum, Cumulative, true);
            add(&cpu, &attributes, number(of * 20 * (step + 1)));
            let counts = vec![of, of, 2 * of, 0];
            let took = HistogramPoint {
                count: 4 * of,
                sum: Some(50.0 * of as f64),
                bounds: vec![10.0, 20.0, 40.0],
                counts,
                ..HistogramPoint::default()
            };
            add(&metric("took", Histogram, Delta, false), &attributes, PointValue::Histogram(took));
        }
    }
    rows
}

#[tokio::test]
async fn metrics_are_worked_out_by_group_and_step() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = house(&dir, empty().with_metric_points(points())).await;
    let ask_metric = async |question: Value| {
        let (status, answer) = ask(&router, "/api/v1/metrics/query", Some(about(question.clone()))).await;
        assert_eq!(status, StatusCode::OK, "{question}: {answer}");
        answer
    };
    let answer = ask_metric(json!({ "metric": "process.memory.usage", "split": ["instance"], "step": "30s" })).await;
    let series = |label: &str, v: [f64; 2], total: f64| json!({ "labels": { "instance": label }, "v": v, "total": total, "n": 1 });
    let expected = json!({
        "t": [START_US, START_US + 30_000_000], "kind": "gauge", "unit": "By", "agg": "avg", "description": "d",
        "series": [series("i2", [201.0, 204.0], 202.5), series("i1", [101.0, 104.0], 102.5)], "groups": 2
    });
    assert_eq!((&answer["data"], &answer["meta"]["exact"]), (&expected, &json!(true)));

    let one = async |question: Value| ask_metric(question).await["data"]["series"].take();
    let all = |v: Value, total: Value, n: u64| json!([{ "labels": {}, "v": v, "total": total, "n": n }]);
    let of = |agg: &str| json!({ "metric": "process.memory.usage", "agg": agg, "step": null });
    assert_eq!(one(of("max")).await, all(json!([205.0]), json!(205.0), 2));
    assert_eq!(one(of("min")).await, all(json!([100.0]), json!(100.0), 2));
    assert_eq!(one(of("sum")).await, all(json!([310.0]), json!(310.0), 2));
    assert_eq!(one(of("last")).await, all(json!([155.0]), json!(155.0), 2));

    // Each process adds 20 or 40 every ten seconds.
    let of =
        |agg: Value| json!({ "metric": "process.cpu.time", "agg": agg, "step": "30s", "filter": { "route": "/pay" } });
    assert_eq!(one(of(json!(null))).await, all(json!([4.0, 4.0]), json!(4.0), 1));
    assert_eq!(one(of(json!("sum"))).await, all(json!([120.0, 120.0]), json!(240.0), 1));

    let of = |agg: &str| json!({ "metric": "took", "agg": agg, "step": "1m" });
    assert_eq!(one(of("p50")).await, all(json!([20.0]), json!(20.0), 2));
    assert_eq!(one(of("avg")).await, all(json!([12.5]), json!(12.5), 2));
    assert_eq!(one(of("count")).await, all(json!([72.0]), json!(72.0), 2));
    assert_eq!(one(of("rate")).await, all(json!([1.2]), json!(1.2), 2));
    let estimate = ask_metric(of("p95")).await;
    assert_eq!((&estimate["data"]["agg"], &estimate["meta"]["exact"]), (&json!("p95"), &json!(false)));
    let top = ask_metric(json!({ "metric": "took", "split": ["route", "nothing"], "top": 1, "agg": "count" })).await;
    let data = &top["data"];
    assert_eq!((&data["groups"], data["series"].as_array().unwrap().len()), (&json!(2), 1));
    assert_eq!(data["series"][0]["labels"], json!({ "route": "/pay", "nothing": null }));
    let unknown = ask_metric(json!({ "metric": "nothing" })).await;
    assert_eq!((&unknown["data"]["kind"], &unknown["data"]["series"]), (&Value::Null, &json!([])));
    assert!(unknown["meta"]["warnings"][0].as_str().unwrap().contains("`nothing`"));
}

#[tokio::test]
async fn metrics_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = house(&dir, empty().with_metric_points(points())).await;
    let path = |rest: &str| format!("/api/v1/metrics/names?from={START_US}&to={}{rest}", START_US + 60_000_000);
    let (status, answer) = ask(&router, &path(""), None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let names: Vec<&str> = answer["data"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["process.cpu.time", "process.memory.usage", "took"]);
    let (_, answer) = ask(&router, &path("&text=cpu&service=shop"), None).await;
    let expected = json!([{
        "name": "process.cpu.time", "kind": "sum", "temporality": "cumulative", "is_monotonic": true, "unit": "By",
        "description": "d", "series": 2, "keys": ["route"], "services": ["shop"], "last_seen_us": START_US + 55_000_000
    }]);
    assert_eq!(answer["data"], expected);
    let (_, answer) = ask(&router, &path("&limit=1"), None).await;
    assert_eq!((answer["data"].as_array().unwrap().len(), &answer["meta"]["exact"]), (1, &json!(false)));
    let (_, answer) = ask(&router, &path("&service=nobody"), None).await;
    assert_eq!(answer["data"], json!([]));
}

#[tokio::test]
async fn processes_have_their_latest_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let mut spans = SpansBuilder::default();
    let span = Span {
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
        name: "GET /".into(),
        start_time_unix_nano: start_ns(2),
        end_time_unix_nano: start_ns(3),
        ..Span::default()
    };
    // One process that only sends spans, beside the two that report metrics.
    spans.append(&resource("shop", "i3"), &Scope::default(), &span);
    spans.append(&resource("other", "i1"), &Scope::default(), &span);
    let write = WriteBatch::new(spans, SpanMetricsBuilder::new()).with_metric_points(points());
    let (router, _stop) = house(&dir, write).await;
    let path = format!("/api/v1/services/shop/instances?from={START_US}&to={}", START_US + 60_000_000);
    let (status, answer) = ask(&router, &path, None).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let data = answer["data"].as_array().unwrap();
    let names: Vec<&str> = data.iter().map(|row| row["instance"].as_str().unwrap()).collect();
    assert_eq!(names, ["i1", "i2", "i3"], "those seen last come first");
    let metric = |name: &str, kind: &str, attributes: Value, value: f64| {
        json!({
            "name": name, "kind": kind, "unit": "By", "attributes": attributes, "value": value,
            "time_us": START_US + 55_000_000
        })
    };
    // Of five steps the growth is known: 20 a step, in the 55 seconds since the first point.
    let expected = json!({
        "instance": "i1", "host": "h1", "version": "", "env": "",
        "first_seen_us": START_US + 5_000_000, "last_seen_us": START_US + 55_000_000,
        "resource": { "service.name": "shop", "service.instance.id": "i1", "host.name": "h1" },
        "metrics": [
            metric("process.cpu.time", "sum", json!({ "route": "/" }), 120.0 / 55.0),
            metric("process.memory.usage", "gauge", json!({}), 105.0)
        ]
    });
    assert_eq!(data[0], expected);
    assert_eq!((&data[2]["metrics"], &data[2]["first_seen_us"]), (&json!([]), &json!(START_US + 2_000_000)));
    let (status, answer) = ask(&router, "/api/v1/services/nobody/instances", None).await;
    assert_eq!((status, &answer["data"]), (StatusCode::OK, &json!([])));
}

#[tokio::test]
async fn wrong_questions_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = house(&dir, empty().with_logs(logs()).with_metric_points(points())).await;
    for (path, body) in [
        ("/api/v1/logs/search", json!({ "severity": "loud" })),
        ("/api/v1/logs/search", json!({ "trace_id": "7" })),
        ("/api/v1/logs/search", json!({ "limit": 0 })),
        ("/api/v1/logs/search", json!({ "limit": 1001 })),
        ("/api/v1/logs/search", json!({ "cursor": "sn.1.2.3" })),
        ("/api/v1/logs/search", json!({ "text": "x".repeat(9_000) })),
        ("/api/v1/logs/search", json!({ "colour": "red" })),
        ("/api/v1/metrics/query", json!({ "metric": "" })),
        ("/api/v1/metrics/query", json!({})),
        ("/api/v1/metrics/query", json!({ "metric": "took", "agg": "last" })),
        ("/api/v1/metrics/query", json!({ "metric": "took", "agg": "p101" })),
        ("/api/v1/metrics/query", json!({ "metric": "process.cpu.time", "agg": "p95" })),
        ("/api/v1/metrics/query", json!({ "metric": "took", "split": ["a", "a"] })),
        ("/api/v1/metrics/query", json!({ "metric": "took", "split": ["a", "b", "c", "d", "e"] })),
        ("/api/v1/metrics/query", json!({ "metric": "took", "step": "fast" })),
        ("/api/v1/metrics/query", json!({ "metric": "took", "top": 101 })),
    ] {
        let (status, problem) = ask(&router, path, Some(about(body.clone()))).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{body}");
    }
    for path in ["/api/v1/metrics/names?limit=0", "/api/v1/services/shop/instances?from=never"] {
        assert_eq!(ask(&router, path, None).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
}
