//! The views over a real store, with figures worked out by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::sync::Arc;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_query::QueryError;
use pitviper_query::time::TimeText;
use pitviper_query::views::{operations, search, series, services, spans, trace};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Red, Store};
use serde_json::json;

const SECOND_NS: i64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// 2026-11-21 01:20:00, the start of a two-minute step.
const START_S: i64 = 1_795_224_000;
/// 620 seconds later: 20 seconds into the sixth step of two minutes.
const NOW_US: i64 = (START_S + 620) * 1_000_000;

/// So many spans of one name and duration, in the bucket so many seconds after the start.
struct Counted {
    service: &'static str,
    environment: &'static str,
    name: &'static str,
    kind: SpanKind,
    is_root: bool,
    at_s: i64,
    hits: u64,
    errors: u64,
    duration_ns: u64,
}

fn counted(
    service: &'static str,
    name: &'static str,
    kind: SpanKind,
    at_s: i64,
    hits: u64,
    duration_ns: u64,
) -> Counted {
    Counted { service, environment: "prod", name, kind, is_root: false, at_s, hits, errors: 0, duration_ns }
}

fn sample() -> Vec<Counted> {
    use SpanKind::{Client, Consumer, Internal, Server};
    vec![
        Counted { errors: 3, ..counted("web", "GET /", Server, 0, 30, MS) },
        counted("web", "GET /", Server, 600, 10, 2 * MS),
        Counted { environment: "test", ..counted("web", "GET /", Server, 120, 6, MS) },
        counted("web", "SELECT", Client, 0, 60, MS / 10),
        Counted { is_root: true, ..counted("web", "cron", Internal, 10, 5, 10 * MS) },
        // No entry spans: its roots are its work.
        Counted { is_root: true, errors: 1, ..counted("job", "nightly", Internal, 0, 4, 1_000 * MS) },
        counted("job", "step", Internal, 0, 8, 400 * MS),
        // Neither entry spans nor roots: all it does is its work.
        counted("lib", "call", Client, 240, 7, 3 * MS),
        counted("queue", "handle", Consumer, 0, 2, 5 * MS),
        // Before the window.
        counted("old", "GET /", Server, -130, 9, MS),
    ]
}

/// A store with the sample's metrics, and two spans that tell of two processes.
async fn store(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut metrics = SpanMetricsBuilder::new();
    for counted in sample() {
        let mut red = Red {
            hits: counted.hits,
            errors: counted.errors,
            duration_sum_ns: counted.hits * counted.duration_ns,
            duration_min_ns: counted.duration_ns,
            duration_max_ns: counted.duration_ns,
            ..Red::default()
        };
        red.durations.record_many(counted.duration_ns, counted.hits);
        let key = SpanMetricKey {
            bucket_start_ns: (START_S + counted.at_s) * SECOND_NS,
            service: counted.service.into(),
            environment: counted.environment.into(),
            version: "1".into(),
            name: counted.name.into(),
            kind: counted.kind,
            is_root: counted.is_root,
            peer: String::new(),
        };
        metrics.append(&key, &red);
    }
    let mut rows = SpansBuilder::with_capacity(2);
    for process in 1..=2u8 {
        let attributes = [
            ("service.name", "web".to_owned()),
            ("service.instance.id", process.to_string()),
            ("telemetry.sdk.language", "python".to_owned()),
        ];
        let resource = Resource { attributes: attributes.into_iter().collect(), ..Resource::default() };
        let scope = Scope { name: "pitviper.flask".into(), version: "3.1.0".into(), ..Scope::default() };
        let start = ((START_S + 600 + i64::from(process)) * SECOND_NS).cast_unsigned();
        let span = Span {
            trace_id: TraceId([process; 16]),
            span_id: SpanId([process; 8]),
            name: "GET /".into(),
            kind: SpanKind::Server,
            start_time_unix_nano: start,
            end_time_unix_nano: start + 2 * MS,
            ..Span::default()
        };
        rows.append(&resource, &scope, &span);
    }
    store.append(WriteBatch::new(rows, metrics)).await.unwrap();
    store
}

fn from() -> Option<TimeText> {
    Some(TimeText::Micros(START_S * 1_000_000))
}

#[tokio::test]
async fn services_count_what_they_are_asked_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let request = services::Request { from: from(), points: Some(10), ..Default::default() };
    let answer = services::services(&*store, &request, NOW_US).await.unwrap();
    assert_eq!(answer.meta.step_ms, Some(120_000));
    assert_eq!((answer.meta.from, answer.meta.to), (Some(START_S * 1_000_000), Some((START_S + 720) * 1_000_000)));

    let found: Vec<_> = answer.data.iter().map(|row| (row.name.as_str(), row.kind, row.hits, row.errors)).collect();
    use services::ServiceKind::{Custom, Web, Worker};
    assert_eq!(found, [("job", Custom, 4, 1), ("lib", Custom, 7, 0), ("queue", Worker, 2, 0), ("web", Web, 46, 3)]);

    let web = &answer.data[3];
    assert_eq!(web.rps.v, Some(46.0 / 620.0));
    // The last step divides by the 20 seconds that have happened.
    assert_eq!(web.rps.s, [0.25, 0.05, 0.0, 0.0, 0.0, 0.5].map(Some));
    assert_eq!(web.err.s, [Some(0.1), Some(0.0), None, None, None, Some(0.0)]);
    assert_eq!(web.p50.s, [Some(1e6), Some(1e6), None, None, None, Some(2e6)]);
    assert_eq!(web.p95.s[5], Some(2e6));
    assert_eq!((&web.env, &web.version), (&vec!["prod".to_owned(), "test".to_owned()], &vec!["1".to_owned()]));
    assert_eq!(
        (web.lang.as_deref(), web.framework.as_deref(), web.instances),
        (Some("python"), Some("flask 3.1.0"), 2)
    );
    assert_eq!(web.last_seen_us, Some((START_S + 602) * 1_000_000));

    let request = services::Request { env: Some("test".into()), ..request };
    let answer = services::services(&*store, &request, NOW_US).await.unwrap();
    let found: Vec<_> = answer.data.iter().map(|row| (row.name.as_str(), row.hits)).collect();
    assert_eq!(found, [("web", 6)]);
}

#[tokio::test]
async fn operations_put_entries_first_and_share_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let request = operations::Request { from: from(), points: Some(10), ..Default::default() };
    let rows = operations::operations(&*store, "web", &request, NOW_US).await.unwrap().data;
    let found: Vec<_> =
        rows.iter().map(|row| (row.name.as_str(), row.kind, row.entry, row.hits, row.total_ns)).collect();
    assert_eq!(
        found,
        [
            ("GET /", "server", true, 46, 56 * MS),
            ("cron", "internal", false, 5, 50 * MS),
            ("SELECT", "client", false, 60, 6 * MS)
        ]
    );
    let get = &rows[0];
    assert_eq!((get.errors, get.err, get.max, get.share), (3, 3.0 / 46.0, 2 * MS, Some(1.0)));
    assert_eq!(get.rps, 46.0 / 620.0);
    assert_eq!(get.s, [0.25, 0.05, 0.0, 0.0, 0.0, 0.5].map(Some));
    assert_eq!((rows[1].p50, rows[1].p99, rows[1].share), (Some(1e7), Some(1e7), None));

    let rows = operations::operations(&*store, "job", &request, NOW_US).await.unwrap().data;
    let found: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.entry, row.share)).collect();
    assert_eq!(found, [("nightly", true, Some(1.0)), ("step", false, None)]);
    assert!(operations::operations(&*store, "nobody", &request, NOW_US).await.unwrap().data.is_empty());
}

#[tokio::test]
async fn series_have_a_value_for_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let ask = async |scope: serde_json::Value| {
        let request = json!({
            "scope": scope,
            "queries": [
                { "metric": "count" },
                { "metric": "response_time" },
                { "metric": "response_time", "agg": "p90" },
                { "metric": "failure_rate" },
                { "metric": "throughput" }
            ],
            "from": START_S * 1_000_000, "to": "now+4m", "max_points": 10
        });
        let request: series::Request = serde_json::from_value(request).unwrap();
        let data = series::series(&*store, &request, NOW_US).await.unwrap().data;
        let steps: Vec<i64> = (0..data.t.len() as i64).map(|step| (START_S + 120 * step) * 1_000_000).collect();
        assert_eq!(data.t, steps);
        let values: Vec<Vec<Option<f64>>> = data.series.into_iter().map(|series| series.v).collect();
        values
    };
    let web = ask(json!({ "service": "web" })).await;
    // The last two steps lie in the future.
    assert_eq!(web[0], [Some(30.0), Some(6.0), Some(0.0), Some(0.0), Some(0.0), Some(10.0), None, None]);
    assert_eq!(web[1], [Some(1e6), Some(1e6), None, None, None, Some(2e6), None, None]);
    assert_eq!(web[2], web[1]);
    assert_eq!(web[3], [Some(0.1), Some(0.0), None, None, None, Some(0.0), None, None]);
    assert_eq!(web[4], [Some(0.25), Some(0.05), Some(0.0), Some(0.0), Some(0.0), Some(0.5), None, None]);
    assert_eq!(ask(json!({ "service": "job" })).await[3][0], Some(0.25));
    assert_eq!(ask(json!({ "service": "lib" })).await[0][2], Some(7.0));
    assert_eq!(ask(json!({ "service": "web", "operation": "SELECT" })).await[0][0], Some(60.0));
    assert_eq!(ask(json!({ "service": "web", "kind": "internal" })).await[0][0], Some(5.0));
    assert_eq!(ask(json!({ "service": "web", "env": "test" })).await[0][..2], [Some(0.0), Some(6.0)]);
    // All services: every entry span.
    assert_eq!(ask(json!({})).await[0][0], Some(32.0));
}

#[tokio::test]
async fn unknown_traces_and_unusable_parameters_are_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let unknown = TraceId([9; 16]);
    let not_found = |error: QueryError| matches!(error, QueryError::NotFound { .. });
    assert!(not_found(trace::trace(&*store, unknown, &Default::default()).await.unwrap_err()));
    assert!(not_found(spans::spans(&*store, unknown, &Default::default()).await.unwrap_err()));
    let known = TraceId([1; 16]);
    let too_many = trace::Request { max_spans: Some(50_001), ..Default::default() };
    assert!(matches!(
        trace::trace(&*store, known, &too_many).await,
        Err(QueryError::Parameter { parameter: "max_spans", .. })
    ));
    let not_ids = spans::Request { ids: Some("0101010101010101,x".into()), ..Default::default() };
    assert!(matches!(
        spans::spans(&*store, known, &not_ids).await,
        Err(QueryError::Parameter { parameter: "ids", .. })
    ));
    let two_lists = search::Request { cursor: Some("sn.1.2.3".into()), ..Default::default() };
    assert!(matches!(
        search::search(&*store, &two_lists, NOW_US).await,
        Err(QueryError::Parameter { parameter: "cursor", .. })
    ));
    let no_figures: series::Request = serde_json::from_value(json!({ "queries": [] })).unwrap();
    assert!(matches!(
        series::series(&*store, &no_figures, NOW_US).await,
        Err(QueryError::Parameter { parameter: "queries", .. })
    ));
}
