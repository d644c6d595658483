//! Completion and facets over HTTP.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_api::auth::Access;
use pitviper_api::{Api, ApiConfig, Endpoints, app, guarded};
use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

const START_US: u64 = 1_795_224_000_000_000;

/// A server whose store has three spans of one service, one of them a call.
async fn server(dir: &tempfile::TempDir) -> (Router, watch::Sender<bool>) {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut rows = SpansBuilder::with_capacity(3);
    for (number, name) in (1..).zip(["GET /", "GET /", "SELECT post"]) {
        let attributes = [("service.name", "flaskr")].into_iter().collect();
        let resource = Resource { attributes, dropped_attributes_count: 0 };
        let start = START_US * 1_000 + u64::from(number);
        let mut span = Span {
            trace_id: TraceId([number; 16]),
            span_id: SpanId([number; 8]),
            name: name.into(),
            kind: if name.starts_with("GET") { SpanKind::Server } else { SpanKind::Client },
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000,
            ..Span::default()
        };
        if span.kind == SpanKind::Server {
            span.attributes.set("http.response.status_code", 200);
        }
        rows.append(&resource, &Scope::default(), &span);
    }
    store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
    let (stop, stopping) = watch::channel(false);
    let config = ApiConfig {
        store: Arc::clone(&store) as Arc<dyn Store>,
        version: "1.2.3",
        endpoints: Endpoints { http: "a".into(), otlp_http: "b".into(), otlp_grpc: "c".into() },
        access: Access::Loopback,
        metrics: Vec::new(),
        stopping,
    };
    let api = Api::new(config);
    (guarded(&api, app(&api, Router::new())), stop)
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn get(router: &Router, path: &str) -> (StatusCode, Value) {
    send(router, Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, path: &str, body: Value) -> (StatusCode, Value) {
    let request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
    send(router, request.body(body.to_string().into()).unwrap()).await
}

#[tokio::test]
async fn the_search_bar_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir).await;
    let range = format!("from={START_US}&to={}", START_US + 1_000_000);
    let (status, answer) = get(&router, &format!("/api/v1/complete?query=kind:server+name:GE&cursor=19&{range}")).await;
    assert_eq!(status, StatusCode::OK);
    let item = json!({ "insert": "\"GET /\"", "kind": "value", "detail": "100 % of spans", "count": 2 });
    assert_eq!(answer["data"], json!({ "replace": [17, 19], "items": [item] }));
    assert_eq!((&answer["meta"]["exact"], &answer["meta"]["from"]), (&json!(true), &json!(START_US)));

    let (_, answer) = get(&router, &format!("/api/v1/complete?query=http.r&limit=1&{range}")).await;
    let item = json!({
        "insert": "http.response.status_code:", "kind": "key", "type": "number",
        "detail": "67 % of spans · 1 value", "count": 2
    });
    assert_eq!(answer["data"], json!({ "replace": [0, 6], "items": [item] }));

    let (_, answer) = get(&router, &format!("/api/v1/complete?query=%7Ba%7D+&limit=1&{range}")).await;
    let item = json!({ "insert": ">> {}", "kind": "op", "detail": "somewhere below", "caret": 4 });
    assert_eq!(answer["data"], json!({ "replace": [4, 4], "items": [item] }));

    let (_, answer) = get(&router, "/api/v1/complete?limit=2").await;
    assert_eq!(answer["data"]["items"][0]["insert"], "service:");
    for wrong in ["limit=0", "limit=101", "cursor=-1", "from=x", "colour=red"] {
        let (status, problem) = get(&router, &format!("/api/v1/complete?{wrong}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("bad_request")), "{wrong}");
    }
}

#[tokio::test]
async fn facets_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir).await;
    let body = json!({
        "query": "kind:server", "from": START_US, "to": START_US + 1_000_000,
        "keys": ["http.response.status_code"], "limit": 5
    });
    let (status, answer) = post(&router, "/api/v1/facets", body).await;
    assert_eq!(status, StatusCode::OK);
    let facet = json!({
        "key": "http.response.status_code", "source": "span", "type": "number", "count": 2, "share": 1.0,
        "distinct": 1, "exact": true, "unique": false,
        "top": [{ "value": "200", "term": "http.response.status_code:200", "count": 2 }]
    });
    assert_eq!(answer["data"], json!({ "sample": 2, "sampled": false, "spans": 2, "keys": [facet] }));
    assert_eq!(answer["meta"]["exact"], true);

    let (status, problem) = post(&router, "/api/v1/facets", json!({ "query": "duration:5" })).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("query.syntax")));
    let (status, _) = post(&router, "/api/v1/facets", json!({ "limit": 1_000 })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
