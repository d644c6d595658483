//! What is done for every request: panics, ids, timing, and the routes of receivers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_api::{app, guarded, receivers_only};
use serde_json::Value;
use tower::ServiceExt;

use super::support::api;

async fn ask(router: &Router, request: http::request::Builder) -> (Response<()>, Value) {
    let request = request.header("host", "localhost").body(Body::empty()).unwrap();
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_panic_becomes_a_problem_with_the_request_id() {
    let dir = tempfile::tempdir().unwrap();
    let (api, _stop) = api(&dir).await;
    let broken = Router::new().route("/boom", get(async || -> &'static str { panic!("a bug") }));
    let router = guarded(&api, broken);
    let (response, body) = ask(&router, Request::get("/boom").header("x-request-id", "r-1")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((&body["code"], &body["request_id"]), (&"internal".into(), &"r-1".into()));
    assert_eq!(response.headers()["x-request-id"], "r-1");
    assert!(response.headers().contains_key("server-timing"));
    assert!(!body.to_string().contains("a bug"));
}

#[tokio::test]
async fn receivers_answer_beside_the_api_and_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (api, _stop) = api(&dir).await;
    let receivers = || Router::new().route("/v1/traces", post(async || "taken"));
    let both = guarded(&api, app(&api, receivers()));
    let alone = guarded(&api, receivers_only(receivers(), Router::new()));
    for router in [&both, &alone] {
        assert_eq!(ask(router, Request::post("/v1/traces")).await.0.status(), StatusCode::OK);
        assert_eq!(ask(router, Request::get("/v1/traces")).await.0.status(), StatusCode::METHOD_NOT_ALLOWED);
        let (response, body) = ask(router, Request::post("/v1/logs")).await;
        assert_eq!((response.status(), &body["code"]), (StatusCode::NOT_FOUND, &"not_found".into()));
        assert_eq!(ask(router, Request::get("/healthz")).await.0.status(), StatusCode::OK);
    }
    let (response, body) = ask(&both, Request::get("/api/v1/meta")).await;
    assert_eq!((response.status(), &body["data"]["version"]), (StatusCode::OK, &"1.2.3".into()));
    assert_eq!(ask(&alone, Request::get("/api/v1/meta")).await.0.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn queries_beyond_the_bound_wait_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (api, _stop) = api(&dir).await;
    let router = Arc::new(guarded(&api, app(&api, Router::new())));
    let many: Vec<_> = (0..64)
        .map(|_| {
            let router = Arc::clone(&router);
            tokio::spawn(async move { ask(&router, Request::get("/api/v1/services")).await.0.status() })
        })
        .collect();
    for answer in many {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
}
