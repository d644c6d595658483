//! Facets and completion over a real store, with figures worked out by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::sync::Arc;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, StatusCode, TraceId};
use pitviper_query::QueryError;
use pitviper_query::time::TimeText;
use pitviper_query::views::complete::{self, Completion, FacetCache, complete};
use pitviper_query::views::facets::{self, Facet, SAMPLE_SPANS, Source, ValueType, facets};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Red, Store};

const SECOND_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
/// 2026-11-21 01:20:00.
const START_S: u64 = 1_795_224_000;
const NOW_US: i64 = (START_S as i64 + 620) * 1_000_000;

/// A service's process.
fn process(service: &str, environment: &str) -> Resource {
    let attributes = [("service.name", service), ("deployment.environment.name", environment), ("host.name", "h1")];
    let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    Resource { attributes: attributes.collect(), ..Resource::default() }
}

fn span(number: u64, parent: u8, name: &str, kind: SpanKind) -> Span {
    let start = (START_S + 60) * SECOND_NS + number * MS;
    Span {
        trace_id: TraceId(u128::from(number / 3 + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        parent_span_id: SpanId(u64::from(parent).to_be_bytes()),
        name: name.into(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 5 * MS,
        ..Span::default()
    }
}

/// Twelve traces of a request, a statement and a call to another service each; every fourth request
/// fails.
fn sample() -> Vec<(Resource, Span)> {
    let mut spans = Vec::new();
    for trace in 0..12_u64 {
        let first = trace * 3;
        let name = if trace % 3 == 0 { "POST /create" } else { "GET /" };
        let mut request = span(first, 0, name, SpanKind::Server);
        let failed = trace % 4 == 0;
        request.attributes.set("http.response.status_code", if failed { 500 } else { 200 });
        request.attributes.set("request.id", format!("id-{trace}"));
        if failed {
            request.status.code = StatusCode::Error;
        }
        let parent = (first + 1) as u8;
        let mut statement = span(first + 1, parent, "SELECT post", SpanKind::Client);
        statement.attributes.set("db.system.name", "sqlite");
        statement.attributes.set("cached", trace == 0);
        let call = span(first + 2, parent, "handle", SpanKind::Server);
        spans.push((process("flaskr", "prod"), request));
        spans.push((process("flaskr", "prod"), statement));
        spans.push((process("notifications", ""), call));
    }
    spans
}

async fn filled(
    dir: &tempfile::TempDir,
    spans: &[(Resource, Span)],
    metrics: SpanMetricsBuilder,
) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut rows = SpansBuilder::with_capacity(spans.len());
    spans.iter().for_each(|(resource, span)| rows.append(resource, &Scope::default(), span));
    store.append(WriteBatch::new(rows, metrics)).await.unwrap();
    store
}

fn from() -> Option<TimeText> {
    Some(TimeText::Micros((START_S * 1_000_000).cast_signed()))
}

async fn facets_of(store: &dyn Store, query: &str) -> facets::Facets {
    let request = facets::Request { query: query.into(), from: from(), ..Default::default() };
    facets(store, &request, NOW_US).await.unwrap().data
}

fn top(facet: &Facet) -> Vec<(&str, &str, u64)> {
    facet.top.iter().map(|value| (value.value.as_str(), value.term.as_str(), value.count)).collect()
}

#[tokio::test]
async fn facets_are_exact_when_all_spans_fit_the_sample() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), SpanMetricsBuilder::new()).await;
    let all = facets_of(&*store, "").await;
    assert_eq!((all.sample, all.sampled, all.spans), (36, false, Some(36)));
    let keys: Vec<(&str, u64, usize)> =
        all.keys.iter().map(|facet| (facet.key.as_str(), facet.count, facet.distinct)).collect();
    assert_eq!(
        keys,
        [
            ("service", 36, 2),
            ("name", 36, 4),
            ("kind", 36, 2),
            ("status", 36, 2),
            ("env", 24, 1),
            ("host", 36, 1),
            ("cached", 12, 2),
            ("db.system.name", 12, 1),
            ("http.response.status_code", 12, 2),
            ("host.name", 36, 1),
            ("service.name", 36, 2),
            ("deployment.environment.name", 24, 1),
            ("request.id", 12, 12),
        ]
    );
    let get = |key: &str| all.keys.iter().find(|facet| facet.key == key).unwrap();
    assert_eq!(top(get("service")), [("flaskr", "service:flaskr", 24), ("notifications", "service:notifications", 12)]);
    assert_eq!(
        top(get("name")),
        [
            ("SELECT post", "name:\"SELECT post\"", 12),
            ("handle", "name:handle", 12),
            ("GET /", "name:\"GET /\"", 8),
            ("POST /create", "name:\"POST /create\"", 4)
        ]
    );
    let status = get("http.response.status_code");
    assert_eq!((status.value_type, status.source, status.exact), (ValueType::Number, Source::Span, true));
    assert_eq!((status.share, status.unique), (12.0 / 36.0, false));
    let code = |code: &str| format!("http.response.status_code:{code}");
    assert_eq!(top(status), [("200", code("200").as_str(), 9), ("500", code("500").as_str(), 3)]);
    assert_eq!(get("cached").value_type, ValueType::Bool);
    assert_eq!(top(get("cached")), [("false", "cached:false", 11), ("true", "cached:true", 1)]);
    assert_eq!((get("request.id").unique, get("env").share), (true, 24.0 / 36.0));
    assert_eq!((get("host.name").source, get("service").source), (Source::Resource, Source::Reserved));
    // Every term finds as many spans as it says.
    for value in all.keys.iter().flat_map(|facet| &facet.top) {
        assert_eq!(facets_of(&*store, &value.term).await.sample as u64, value.count, "{}", value.term);
    }
}

#[tokio::test]
async fn facets_are_of_the_spans_that_a_query_means() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), SpanMetricsBuilder::new()).await;
    let failed = facets_of(&*store, "status:error").await;
    assert_eq!((failed.sample, failed.sampled), (3, false));
    let below = facets_of(&*store, "{status:error} > {}").await;
    assert_eq!((below.sample, below.sampled, below.spans), (6, false, Some(6)));
    let service = below.keys.iter().find(|facet| facet.key == "service").unwrap();
    let terms: Vec<_> = service.top.iter().map(|value| (value.value.as_str(), value.count)).collect();
    assert_eq!(terms, [("flaskr", 3), ("notifications", 3)]);
    assert!(below.keys.iter().all(|facet| facet.key != "http.response.status_code"));
    assert_eq!(facets_of(&*store, "name:nothing").await.keys, Vec::new());

    let keys = Some(vec!["service".to_owned(), "db.system.name".to_owned(), "no.such".to_owned()]);
    let request = facets::Request { from: from(), keys, limit: Some(1), ..Default::default() };
    let few = facets(&*store, &request, NOW_US).await.unwrap().data;
    let shown: Vec<(&str, usize)> = few.keys.iter().map(|facet| (facet.key.as_str(), facet.top.len())).collect();
    assert_eq!(shown, [("service", 1), ("db.system.name", 1)]);
    for wrong in [
        facets::Request { limit: Some(101), ..Default::default() },
        facets::Request { keys: Some(vec![String::new(); 201]), ..Default::default() },
    ] {
        assert!(matches!(facets(&*store, &wrong, NOW_US).await, Err(QueryError::Parameter { .. })));
    }
    let wrong = facets::Request { query: "duration:5".into(), ..Default::default() };
    assert!(matches!(facets(&*store, &wrong, NOW_US).await, Err(QueryError::Syntax(_))));
}

/// More spans than the sample, the oldest of a service of its own, with their metrics.
fn many() -> (Vec<(Resource, Span)>, SpanMetricsBuilder) {
    let count = SAMPLE_SPANS as u64 + 100;
    let spans: Vec<(Resource, Span)> = (0..count)
        .map(|number| {
            let service = if number < 50 { "rare" } else { "web" };
            let name = if number < 50 { format!("job {number}") } else { "GET /".to_owned() };
            (process(service, "prod"), span(number, 0, &name, SpanKind::Server))
        })
        .collect();
    let mut metrics = SpanMetricsBuilder::new();
    for (resource, span) in &spans {
        let start_ns = span.start_time_unix_nano.cast_signed();
        let red = Red { hits: 1, ..Red::default() };
        let key = SpanMetricKey {
            bucket_start_ns: start_ns - start_ns.rem_euclid(10 * SECOND_NS.cast_signed()),
            service: resource.service().to_owned(),
            environment: resource.environment().to_owned(),
            version: String::new(),
            name: span.name.clone(),
            kind: span.kind,
            is_root: true,
            peer: String::new(),
        };
        metrics.append(&key, &red);
    }
    (spans, metrics)
}

#[tokio::test]
async fn beyond_the_sample_the_metrics_count() {
    let dir = tempfile::tempdir().unwrap();
    let (spans, metrics) = many();
    let store = filled(&dir, &spans, metrics).await;
    let all = facets_of(&*store, "").await;
    assert_eq!((all.sample, all.sampled, all.spans), (2_000, true, Some(2_100)));
    let get = |key: &str| all.keys.iter().find(|facet| facet.key == key).unwrap();
    let service = get("service");
    assert_eq!((service.exact, service.count, service.share), (true, 2_100, 1.0));
    assert_eq!(top(service), [("web", "service:web", 2_050), ("rare", "service:rare", 50)]);
    assert_eq!((get("name").distinct, get("env").count), (51, 2_100));
    // What the metrics do not know is that of the sample.
    let host = get("host");
    assert_eq!((host.exact, host.count, host.share), (false, 2_000, 1.0));
    let keys: Vec<&str> = all.keys.iter().map(|facet| facet.key.as_str()).collect();
    assert_eq!(keys[..6], ["service", "name", "kind", "status", "env", "host"]);

    let web = facets_of(&*store, "service:web kind:server").await;
    assert_eq!((web.sampled, web.spans), (true, Some(2_050)));
    let fast = facets_of(&*store, "duration:<1s").await;
    assert_eq!((fast.sampled, fast.spans, fast.keys[0].exact), (true, None, false));

    // A value that the newest spans do not have is looked for, once its beginning is written.
    let cache = FacetCache::default();
    let names = inserts(&*store, &cache, "duration:<1s name:job^").await;
    assert!(names.len() == 10 && names.contains(&"\"job 0\"".to_owned()), "{names:?}");
    assert_eq!(inserts(&*store, &cache, "duration:<1s service:ra^").await, ["rare"]);
    assert_eq!(inserts(&*store, &cache, "service:^").await, ["web", "rare", "*"]);
}

async fn completion(store: &dyn Store, cache: &FacetCache, marked: &str) -> Completion {
    let cursor = marked.find('^').unwrap();
    let query = marked.replacen('^', "", 1);
    let cursor = Some(query[..cursor].encode_utf16().count());
    let request = complete::Request { query, cursor, from: from(), ..Default::default() };
    complete(store, cache, &request, NOW_US).await.unwrap().data
}

async fn inserts(store: &dyn Store, cache: &FacetCache, marked: &str) -> Vec<String> {
    completion(store, cache, marked).await.items.into_iter().map(|item| item.insert).collect()
}

#[tokio::test]
async fn values_are_those_of_spans_that_match_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), SpanMetricsBuilder::new()).await;
    let cache = FacetCache::default();
    let ask = async |marked: &str| inserts(&*store, &cache, marked).await;
    assert_eq!(ask("service:^").await, ["flaskr", "notifications", "*"]);
    assert_eq!(ask("service:^ db.system.name:sqlite").await, ["flaskr", "*"]);
    assert_eq!(ask("status:error name:^").await, ["\"GET /\"", "\"POST /create\"", "*"]);
    assert_eq!(ask("status:error name:PO^").await, ["\"POST /create\""]);
    assert_eq!(ask("service:notifications (name:x OR name:^)").await, ["handle", "*"]);
    // A condition in braces is the rest of its own terms.
    assert_eq!(ask("{service:notifications name:^} >> {status:error}").await, ["handle", "*"]);
    assert_eq!(ask("{status:error} >> {kind:client name:^").await, ["\"SELECT post\"", "*"]);
    assert_eq!(ask("status:error | count(service:^) > 5").await, ["flaskr", "*"]);
    // What is wrong elsewhere does not matter.
    assert_eq!(ask("duration:>5 status:error is:rot service:^").await, ["flaskr", "*"]);
    let keys = ask("service:notifications ^").await;
    assert_eq!(keys[..5], ["service:", "name:", "status:", "duration:", "kind:"]);
    assert!(!keys.contains(&"db.system.name:".to_owned()));
    // Of ids only examples are kept, so others are looked for.
    assert_eq!(ask("request.id:id-9^").await, ["id-9"]);
    assert_eq!(ask("request.id:id-1^").await[0], "id-1");
    assert!(ask("db^").await.starts_with(&["db.system.name:".to_owned()]));
    assert_eq!(ask("sevice^").await[0], "service:");

    let answer = completion(&*store, &cache, "𝄞 status:er^ror").await;
    assert_eq!(answer.replace, (10, 15));
    let answer = completion(&*store, &cache, "status:^").await;
    let counted: Vec<_> = answer.items.iter().map(|item| (item.insert.as_str(), item.count)).collect();
    assert_eq!(counted, [("unset", Some(33)), ("error", Some(3)), ("ok", Some(0)), ("*", None)]);
    let answer = completion(&*store, &cache, "http.resp^").await;
    assert_eq!(answer.items[0].detail, "33 % of spans · 2 values");

    let too_long = complete::Request { query: "x".repeat(9_000), from: from(), ..Default::default() };
    let answer = complete(&*store, &cache, &too_long, NOW_US).await.unwrap().data;
    assert_eq!((answer.replace, answer.items), ((9_000, 9_000), Vec::new()));
    let none = complete::Request { limit: Some(0), ..Default::default() };
    assert!(matches!(complete(&*store, &cache, &none, NOW_US).await, Err(QueryError::Parameter { .. })));
}

#[tokio::test]
async fn a_term_is_typed_on_one_sample() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample()[..3], SpanMetricsBuilder::new()).await;
    let cache = FacetCache::default();
    let ask = async |marked: &str, now_us: i64| {
        let cursor = marked.find('^');
        let query = marked.replacen('^', "", 1);
        let request = complete::Request { query, cursor, from: from(), ..Default::default() };
        complete(&*store, &cache, &request, now_us).await.unwrap().data.items[0].count
    };
    assert_eq!(ask("service:^", NOW_US).await, Some(2));
    let rows = sample()[3..].iter().fold(SpansBuilder::with_capacity(33), |mut rows, (resource, span)| {
        rows.append(resource, &Scope::default(), span);
        rows
    });
    store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    for (typed, seconds) in [("service:f^", 1), ("service:fl^", 2), ("service:fla^", 29)] {
        assert_eq!(ask(typed, NOW_US + seconds * 1_000_000).await, Some(2), "{typed}");
    }
    // Another rest is another sample, and none is kept for long.
    assert_eq!(ask("host:h1 service:f^", NOW_US).await, Some(24));
    assert_eq!(ask("service:flas^", NOW_US + 31_000_000).await, Some(24));
}
