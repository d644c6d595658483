//! Statements over HTTP.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_model::{Span, SpanId, TraceId};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{START_US, server};

const SPANS: u64 = 400;

fn spans() -> impl Iterator<Item = Span> {
    (1..=SPANS).map(|number| {
        let start = START_US * 1_000 + number;
        Span {
            trace_id: TraceId(u128::from(number).to_be_bytes()),
            span_id: SpanId(number.to_be_bytes()),
            name: "a \"name\"".into(),
            start_time_unix_nano: start,
            end_time_unix_nano: start + 1_000,
            ..Span::default()
        }
    })
}

async fn post(router: &Router, accept: &str, query: &str, limit: u32) -> (StatusCode, HeaderMap, String) {
    let body = json!({ "query": query, "from": START_US, "to": START_US + 1_000_000, "limit": limit });
    let request = Request::post("/api/v1/sql")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", accept);
    let response = router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn ask(router: &Router, query: &str) -> (StatusCode, Value) {
    let (status, _, body) = post(router, "*/*", query, 10).await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn rows_come_as_json_and_as_csv() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, spans()).await;
    let (status, answer) = ask(&router, "SELECT service, count(*) AS n FROM spans GROUP BY service").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let columns = json!([{ "name": "service", "type": "text" }, { "name": "n", "type": "integer" }]);
    assert_eq!(answer["data"], json!({ "columns": columns, "rows": [["flaskr", SPANS]], "truncated": null }));
    assert_eq!((&answer["meta"]["scanned"], &answer["meta"]["exact"]), (&json!(SPANS), &json!(true)));
    assert!(answer["meta"]["memory_bytes"].as_u64().unwrap() > 0);

    let statement = "SELECT name, time FROM spans ORDER BY time";
    let (status, headers, body) = post(&router, "text/html, text/csv;q=0.9", statement, 1).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::OK, "name,time\r\n\"a \"\"name\"\"\",2026-11-21T01:20:00.000000001Z\r\n")
    );
    assert!(headers["content-type"].to_str().unwrap().starts_with("text/csv"));
    assert_eq!(headers["x-truncated"], "rows");
    let (_, headers, body) = post(&router, "text/csv", "SELECT 1 AS one WHERE false", 1).await;
    assert_eq!((headers.get("x-truncated"), body.as_str()), (None, "one\r\n"));
}

#[tokio::test]
async fn mistakes_are_problems() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, spans()).await;
    let (status, problem) = ask(&router, "SELECT nme FROM spans").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("sql.statement")));
    let message = "there is no column `nme`; did you mean `name`?";
    assert_eq!(problem["title"], message);
    assert_eq!(problem["errors"], json!([{ "from": 7, "to": 10, "message": message, "fix": { "replace": "name" } }]));
    let (status, problem) = ask(&router, "DROP TABLE spans").await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("sql.statement")));
    let large = "SELECT count(*) FROM (SELECT DISTINCT a.span_id || b.span_id || c.span_id FROM spans AS a, spans AS b, spans AS c)";
    let (status, problem) = ask(&router, large).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("too_large")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("256 MiB"));
    let (status, _, body) = post(&router, "*/*", "SELECT 1", 10_001).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn clients_that_go_away_take_their_statements_along() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, spans()).await;
    let endless = "SELECT count(*) FROM spans AS a, spans AS b, spans AS c WHERE regexp_like(a.span_id || b.span_id || c.span_id, '(0|1)+(2|3)*z$')";
    for _ in 0..3 {
        let gone = tokio::time::timeout(
            Duration::from_millis(100),
            futures::future::join_all([ask(&router, endless), ask(&router, endless)]),
        );
        assert!(gone.await.is_err());
    }
    let next = tokio::time::timeout(Duration::from_secs(120), ask(&router, "SELECT 1 AS one")).await;
    assert_eq!(next.unwrap().1["data"]["rows"], json!([[1]]));
}

#[tokio::test]
async fn the_views_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, spans()).await;
    let request = Request::get("/api/v1/sql/views").header("host", "localhost").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["data"]["limits"]["rows"], 10_000);
    let views = answer["data"]["views"].as_array().unwrap();
    assert_eq!(views[0]["name"], "spans");
    assert_eq!(
        views[0]["columns"][0],
        json!({ "name": "time", "type": "timestamp", "optional": false, "about": "Start." })
    );
}
