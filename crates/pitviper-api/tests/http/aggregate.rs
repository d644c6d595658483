//! Aggregates and the heatmap over HTTP.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_model::TraceId;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{START_US, server, three_spans};

/// A time that is over, whatever the clock says: 2020-09-13 12:26:40.
const OVER_US: u64 = 1_600_000_000_000_000;

async fn post(router: &Router, path: &str, tag: Option<&str>, body: Value) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::post(path).header("host", "localhost").header("content-type", "application/json");
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn figures_are_worked_out_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, three_spans()).await;
    let body = json!({
        "metric": "duration", "agg": "p95", "split": ["http.status"], "query": "name:*", "step": null,
        "from": START_US, "to": START_US + 10_000_000
    });
    let (status, headers, answer) = post(&router, "/api/v1/aggregate", None, body).await;
    assert_eq!((status, headers.contains_key("server-timing")), (StatusCode::OK, true));
    let trace = |number: u8| TraceId([number; 16]).to_string();
    let series = |label: Value, n: u64, trace: String| {
        json!({
            "labels": { "http.status": label }, "v": [1_000.0], "total": 1_000.0, "n": n,
            "exemplars": [[trace, START_US, 1_000.0]]
        })
    };
    let expect = json!({
        "t": [START_US], "unit": "ns", "groups": 2, "groups_left_out": false, "other": null,
        "series": [series(json!(null), 1, trace(3)), series(json!("200"), 2, trace(1))]
    });
    assert_eq!(answer["data"], expect);
    let meta = &answer["meta"];
    assert_eq!((&meta["source"], &meta["exact"], &meta["scanned"]), (&json!("spans"), &json!(true), &json!(3)));
    assert_eq!(meta.get("relative_error"), None);

    let body = json!({ "query": "name:*", "from": START_US, "to": START_US + 60_000_000, "width": 6, "errors": true });
    let (status, _, answer) = post(&router, "/api/v1/heatmap", None, body).await;
    assert_eq!(status, StatusCode::OK);
    let map = &answer["data"];
    assert_eq!((&map["counts"], &map["errors"]), (&json!([3, 0, 0, 0, 0, 0]), &json!([0, 0, 0, 0, 0, 0])));
    assert_eq!((&map["total"], &map["failed"], &map["max_ns"]), (&json!(3), &json!(0), &json!(1_000.0)));
    assert_eq!(map["y_edges"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_closed_range_is_answered_once() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, three_spans()).await;
    let question = |to: Value| json!({ "metric": "count", "query": "name:*", "from": OVER_US - 600_000_000, "to": to });
    for path in ["/api/v1/aggregate", "/api/v1/heatmap"] {
        let body = |to: Value| {
            let mut body = question(to);
            if path.ends_with("heatmap") {
                body.as_object_mut().unwrap().remove("metric");
            }
            body
        };
        let closed = json!(OVER_US);
        let (status, headers, answer) = post(&router, path, None, body(closed.clone())).await;
        assert_eq!(
            (status, &headers["cache-control"]),
            (StatusCode::OK, &HeaderValue::from_static("private, no-cache"))
        );
        assert!(answer["data"].is_object());
        let tag = headers["etag"].to_str().unwrap();
        let (status, headers, nothing) = post(&router, path, Some(tag), body(closed.clone())).await;
        assert_eq!((status, &nothing, &headers["etag"]), (StatusCode::NOT_MODIFIED, &Value::Null, &headers["etag"]));
        let (status, ..) = post(&router, path, Some("\"another\""), body(closed)).await;
        assert_eq!(status, StatusCode::OK);
        // A range that goes on has no tag.
        let (status, headers, _) = post(&router, path, Some(tag), body(json!("now"))).await;
        assert_eq!((status, headers.get("etag")), (StatusCode::OK, None), "{path}");
        assert_eq!(headers["cache-control"], "no-store");
    }
}

#[tokio::test]
async fn wrong_questions_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, three_spans()).await;
    for (path, body, code) in [
        ("/api/v1/aggregate", json!({ "metric": "count", "query": "kind:servr" }), "query.syntax"),
        ("/api/v1/aggregate", json!({ "metric": "count", "agg": "p95" }), "bad_request"),
        ("/api/v1/aggregate", json!({ "agg": "p95" }), "bad_request"),
        ("/api/v1/aggregate", json!({ "metric": "count", "colour": "red" }), "bad_request"),
        ("/api/v1/heatmap", json!({ "query": "{a} > " }), "query.syntax"),
        ("/api/v1/heatmap", json!({ "height": 0 }), "bad_request"),
    ] {
        let (status, _, problem) = post(&router, path, None, body.clone()).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{body}");
    }
    let (_, _, problem) =
        post(&router, "/api/v1/aggregate", None, json!({ "metric": "count", "query": "kind:servr" })).await;
    let error = &problem["errors"][0];
    assert_eq!((&error["from"], &error["to"], &error["fix"]["replace"]), (&json!(5), &json!(10), &json!("server")));
}
