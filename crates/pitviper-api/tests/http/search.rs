//! Searches that are told line by line over HTTP.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_model::{Span, SpanId, TraceId};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{START_US, server, three_spans};

const PATH: &str = "/api/v1/spans/search";

/// More rows than wait for a client.
const MANY: u16 = 400;

fn request(query: &str, mode: &str, accept: &str) -> Request<Body> {
    let body = json!({
        "query": query, "mode": mode, "limit": 1_000, "from": START_US - 1_000_000, "to": START_US + 10_000_000
    });
    Request::post(PATH)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", accept)
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn many_spans() -> impl Iterator<Item = Span> {
    (1..=MANY).map(|number| {
        let start = START_US * 1_000 + u64::from(number);
        let mut span = Span {
            trace_id: TraceId(u128::from(number).to_be_bytes()),
            span_id: SpanId(u64::from(number).to_be_bytes()),
            name: "GET /".into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000,
            ..Span::default()
        };
        span.attributes.set("text", "x".repeat(2_000));
        span
    })
}

/// The figures of questions about searches, as `/metrics` tells them.
async fn figure(router: &Router, name: &str, labels: &str) -> u64 {
    let request = Request::get("/metrics").header("host", "localhost").body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let line = format!("{name}{{kind=\"{PATH}\"{labels}}} ");
    text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |value| value.parse().unwrap())
}

async fn wait_for(router: &Router, name: &str, labels: &str, expect: u64) {
    let began = Instant::now();
    while figure(router, name, labels).await != expect {
        assert!(began.elapsed() < Duration::from_secs(60), "{name}{labels} did not become {expect}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn lines_say_what_the_whole_answer_says() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, many_spans()).await;
    for (query, mode) in [("", "spans"), ("", "traces"), ("text:* | count() > 0", "traces"), ("no", "spans")] {
        let whole = router.clone().oneshot(request(query, mode, "application/json")).await.unwrap();
        let whole: Value = serde_json::from_slice(&whole.into_body().collect().await.unwrap().to_bytes()).unwrap();
        let accept = "application/x-ndjson, application/json";
        let mut told = request(query, mode, accept);
        // A browser asks for this; lines are not to wait for each other all the same.
        told.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip, br, zstd"));
        let told = router.clone().oneshot(told).await.unwrap();
        assert_eq!(told.status(), StatusCode::OK);
        assert_eq!(told.headers()["content-type"], "application/x-ndjson");
        assert_eq!(told.headers().get("content-encoding"), None);
        let text = told.into_body().collect().await.unwrap().to_bytes();
        let lines: Vec<Value> =
            text.split(|byte| *byte == b'\n').filter_map(|l| serde_json::from_slice(l).ok()).collect();
        let of_type = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
        let mut rows = of_type("row");
        rows.iter_mut().for_each(|row| drop(row.as_object_mut().unwrap().remove("type")));
        assert_eq!(Value::Array(rows), whole["data"], "{query}");
        let (end, last) = (of_type("end"), lines.last().unwrap());
        assert_eq!((end.len(), &last["type"]), (1, &json!("end")));
        assert_eq!(last["rows"], json!(whole["data"].as_array().unwrap().len()));
        for field in ["next", "exact", "complete", "from", "to", "warnings", "scanned"] {
            assert_eq!(last["meta"].get(field), whole["meta"].get(field), "{field}");
        }
    }
}

#[tokio::test]
async fn what_is_wrong_from_the_start_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, three_spans()).await;
    let answer = router.clone().oneshot(request("kind:servr", "spans", "application/x-ndjson")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((&problem["code"], &problem["errors"][0]["from"]), (&json!("query.syntax"), &json!(5)));
    wait_for(&router, "pitviper_questions_total", ",outcome=\"failed\"", 1).await;
}

#[tokio::test]
async fn a_search_ends_with_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, many_spans()).await;
    let answer = router.clone().oneshot(request("", "spans", "application/x-ndjson")).await.unwrap();
    let mut body = answer.into_body();
    // Lines wait for a client that does not read on, and the search waits for them.
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&first).unwrap()["type"], "row");
    assert_eq!(figure(&router, "pitviper_questions_running", "").await, 1);
    drop(body);
    wait_for(&router, "pitviper_questions_running", "", 0).await;
    wait_for(&router, "pitviper_questions_total", ",outcome=\"cancelled\"", 1).await;
    // One that is read to its end is answered.
    let answer = router.clone().oneshot(request("", "spans", "application/x-ndjson")).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), usize::from(MANY) + 1);
    wait_for(&router, "pitviper_questions_total", ",outcome=\"answered\"", 1).await;
}
