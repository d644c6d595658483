//! Clients that go away: their questions end, whatever they asked.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use pitviper_model::{Span, SpanId, SpanKind, TraceId};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::{START_US, server};

/// Enough that no question is answered at once.
const SPANS: u64 = 4_000;

/// How often a client leaves that was answered before it could.
const MAX_ATTEMPTS: usize = 100;

/// Longer than anything here takes on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn spans() -> impl Iterator<Item = Span> {
    (1..=SPANS).map(|number| {
        let start = START_US * 1_000 + number * 1_000;
        let mut span = Span {
            trace_id: TraceId(u128::from(number / 4).to_be_bytes()),
            span_id: SpanId(number.to_be_bytes()),
            name: format!("GET /{}", number % 50),
            kind: SpanKind::Server,
            start_time_unix_nano: start,
            end_time_unix_nano: start + number,
            ..Span::default()
        };
        span.attributes.set("user", format!("user {number}"));
        span
    })
}

/// A request that differs each time, so that nothing of the one before is known yet.
fn request(path: &str, attempt: usize) -> Request<Body> {
    let (from, to) = (START_US - 1_000_000, START_US + 10_000_000 + attempt as u64);
    let range = |mut body: Value| {
        (body["from"], body["to"]) = (from.into(), to.into());
        body
    };
    let query = format!("-user:\"user {attempt}\"");
    let body = match path {
        "/api/v1/complete" => None,
        "/api/v1/aggregate" => Some(json!({ "query": query, "metric": "duration", "agg": "p95", "split": ["user"] })),
        "/api/v1/sql" => Some(json!({ "query": "SELECT count(*) FROM spans a CROSS JOIN spans b CROSS JOIN spans c" })),
        _ => Some(json!({ "query": query })),
    };
    let builder = match body {
        Some(_) => Request::post(path).header("content-type", "application/json"),
        None => Request::get(format!("{path}?query=-user:%22user+{attempt}%22+user:&cursor=200&from={from}&to={to}")),
    };
    let body = body.map_or_else(Body::empty, |body| Body::from(range(body).to_string()));
    builder.header("host", "localhost").body(body).unwrap()
}

/// The figures of questions that came by a path.
struct Figures {
    running: u64,
    waiting: u64,
    cancelled: u64,
}

async fn figures(router: &Router, path: &str) -> Figures {
    let request = Request::get("/metrics").header("host", "localhost").body(Body::empty()).unwrap();
    let body = router.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let figure = |name: &str, labels: &str| {
        let line = format!("{name}{{kind=\"{path}\"{labels}}} ");
        text.lines().find_map(|found| found.strip_prefix(&line)).map_or(0, |value| value.parse().unwrap())
    };
    Figures {
        running: figure("pitviper_questions_running", ""),
        waiting: figure("pitviper_questions_waiting", ""),
        cancelled: figure("pitviper_questions_total", ",outcome=\"cancelled\""),
    }
}

#[tokio::test]
async fn every_question_ends_with_its_client() {
    let dir = tempfile::tempdir().unwrap();
    let (router, _stop) = server(&dir, spans()).await;
    for path in [
        "/api/v1/spans/search",
        "/api/v1/facets",
        "/api/v1/heatmap",
        "/api/v1/aggregate",
        "/api/v1/complete",
        "/api/v1/sql",
    ] {
        let mut attempts = 0;
        while figures(&router, path).await.cancelled == 0 {
            attempts += 1;
            assert!(attempts <= MAX_ATTEMPTS, "{path} was answered each time before its client could go away");
            let mut answer = Box::pin(router.clone().oneshot(request(path, attempts)));
            if let std::task::Poll::Ready(answer) = futures::poll!(&mut answer) {
                // Answered before its client could go away; a refusal would tell nothing.
                assert_eq!(answer.unwrap().status(), StatusCode::OK, "{path}");
                continue;
            }
            drop(answer);
            let ended = async {
                loop {
                    let figures = figures(&router, path).await;
                    if (figures.running, figures.waiting) == (0, 0) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| panic!("{path} goes on without its client"));
        }
    }
}
