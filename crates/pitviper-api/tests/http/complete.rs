//! Completion and facets over HTTP.

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{START_US, server, three_spans};

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
    let (router, _stop) = server(&dir, three_spans()).await;
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
    let (router, _stop) = server(&dir, three_spans()).await;
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
