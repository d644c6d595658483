//! Requests over HTTP: what is taken, what is refused, and that each is counted.

use std::time::Duration;

use pitviper_ingest::Limits;
use pitviper_model::Signal;
use tokio::io::AsyncWriteExt as _;

use crate::house::{House, PATIENCE, read_answer, sampled, spans, statistics};

#[tokio::test]
async fn spans_are_kept_and_the_answer_says_which_share_to_keep() {
    let house = House::open(Limits::default()).await;
    for (path, method) in [("/v0.3/traces", "POST"), ("/v0.4/traces", "PUT")] {
        let answer = house.send(method, path, "content-type: application/msgpack\r\n", &spans(3)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let rates: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let expected = serde_json::json!({"service:,env:": 1.0, "service:shop,env:prod": 0.5});
        assert_eq!(rates["rate_by_service"], expected);
        assert!(answer.head.contains("datadog-agent-state: "));
    }
    assert_eq!((house.items(Signal::Traces, "stored"), house.requests("traces", "accepted", "")), (6, 2));
    assert_eq!(house.hits().await, [("GET /".to_owned(), 2), ("work".to_owned(), 4)]);
}

#[tokio::test]
async fn what_a_client_counts_is_counted_once() {
    let house = House::open(Limits::default()).await;
    let headers = "datadog-client-computed-stats: true\r\ndatadog-client-dropped-p0-spans: 4\r\n";
    assert_eq!(house.send("POST", "/v0.4/traces", headers, &spans(3)).await.status, 200);
    assert_eq!(house.items(Signal::Traces, "stored"), 3);
    assert_eq!(house.hits().await, [("work".to_owned(), 2)], "what the client does not count");
    assert_eq!(house.post("/v0.6/stats", &statistics(9)).await.status, 200);
    assert_eq!(house.hits().await, [("GET /".to_owned(), 9), ("work".to_owned(), 2)]);
    let figures = house.datadog.figures();
    assert_eq!((figures.client_dropped_spans, figures.stats_groups, figures.stats_damaged), (4, 1, 0));
}

#[tokio::test]
async fn what_is_not_to_be_kept_is_counted_alone() {
    let house = House::open(Limits::default()).await;
    for (headers, priority) in [("", 1), ("", 0), ("datadog-client-computed-stats: true\r\n", 0)] {
        assert_eq!(house.send("POST", "/v0.4/traces", headers, &sampled(3, priority)).await.status, 200);
    }
    let counts = house.ingest.outcomes();
    let dropped = counts.iter().filter(|count| count.outcome == "dropped" && count.count > 0);
    assert_eq!(dropped.map(|count| (count.reason, count.count)).collect::<Vec<_>>(), [("sampled_out", 6)]);
    assert_eq!((house.items(Signal::Traces, "received"), house.items(Signal::Traces, "stored")), (9, 3));
    assert_eq!(house.hits().await, [("GET /".to_owned(), 2), ("work".to_owned(), 6)]);
}

#[tokio::test]
async fn every_refusal_is_told_and_counted() {
    let house = House::open(Limits::default()).await;
    type Case<'a> = (&'a str, &'a str, &'a str, &'a [u8], u16, &'a str, &'a str);
    let cases: [Case<'_>; 9] = [
        ("POST", "/v0.5/traces", "", b"\x90\x91", 200, "traces", ""),
        ("POST", "/v0.5/traces", "", b"\x92\x91\xa0\x91\x91\x91\x01", 400, "traces", "bad_msgpack"),
        ("POST", "/v0.4/traces", "", b"\x91", 400, "traces", "bad_msgpack"),
        ("POST", "/v0.4/traces", "content-type: application/json\r\n", b"[]", 415, "traces", "unsupported_media_type"),
        ("POST", "/v0.4/traces", "content-encoding: br\r\n", b"", 415, "traces", "unsupported_encoding"),
        ("GET", "/v0.4/traces", "", b"", 405, "traces", "method_not_allowed"),
        ("POST", "/v0.6/stats", "", b"\x91", 400, "stats", "bad_msgpack"),
        ("POST", "/v0.7/config", "", b"{", 400, "config", "bad_json"),
        ("POST", "/telemetry/proxy/api/v2/apmtelemetry", "", b"[", 400, "telemetry", "bad_json"),
    ];
    for (method, path, headers, body, status, subject, reason) in cases {
        let outcome = if reason.is_empty() { "accepted" } else { "refused" };
        let before = house.requests(subject, outcome, reason);
        let answer = house.send(method, path, headers, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(house.requests(subject, outcome, reason), before + 1, "{path} {reason}");
    }
    for path in ["/v1.0/traces", "/", "/v0.5/traces/x", "/profiling/v1"] {
        let answer = house.post(path, b"").await;
        assert_eq!((answer.status, answer.body.contains("/info")), (404, true), "{path}");
    }
    assert_eq!(house.requests("unknown", "refused", "unknown_path"), 4);
}

#[tokio::test]
async fn what_other_products_send_is_taken_and_counted() {
    let house = House::open(Limits::default()).await;
    for (path, subject) in [
        ("/debugger/v1/diagnostics?ddtags=a:b", "debugger"),
        ("/debugger/v2/input", "debugger"),
        ("/symdb/v1/input", "symbols"),
        ("/evp_proxy/v4/api/v2/errorsintake", "events"),
        ("/tracer_flare/v1", "flare"),
    ] {
        let before = house.requests(subject, "accepted", "");
        assert_eq!(house.post(path, b"anything").await.status, 202, "{path}");
        assert_eq!(house.requests(subject, "accepted", ""), before + 1, "{path}");
    }
}

#[tokio::test]
async fn packages_come_into_the_inventory_and_settings_become_events() {
    let house = House::open(Limits::default()).await;
    let body = br#"{"runtime_id":"7f","application":{"service_name":"shop","env":"prod","runtime_name":"CPython",
        "runtime_version":"3.12.4"},"host":{"hostname":"h"},"request_type":"app-started","payload":{
        "dependencies":[{"name":"flask","version":"3.1.0"}],"configuration":[{"name":"DD_ENV","value":"prod"}],
        "integrations":[{"name":"flask","version":"3.1.0","enabled":true}]}}"#;
    assert_eq!(house.post("/telemetry/proxy/api/v2/apmtelemetry", body).await.status, 202);
    assert_eq!((house.datadog.figures().libraries, house.items(Signal::Logs, "stored")), (1, 2));
}

#[tokio::test]
async fn bombs_and_slow_senders_are_bounded() {
    let limits = Limits { bytes_under_way: 16 * 1024 * 1024, body_timeout: Duration::from_millis(500) };
    let house = House::open(limits).await;
    let bomb = zstd::bulk::compress(&vec![0; 48 * 1024 * 1024], 3).unwrap();
    let answer = house.send("POST", "/v0.4/traces", "content-encoding: zstd\r\n", &bomb).await;
    assert_eq!((answer.status, answer.head.contains("retry-after: 1")), (429, true), "{}", answer.body);
    // Many lists of nothing are small when sent and large in memory.
    let lists = [&b"\xdd\x00\x10\x00\x00"[..], &[0x91_u8, 0x80].repeat(0x0010_0000)].concat();
    let answer = house.post("/v0.4/traces", &lists).await;
    assert_eq!(answer.status, 413, "{}", answer.body);
    let slow =
        house.begin(b"POST /v0.5/traces HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 9\r\n\r\nab").await;
    assert_eq!(read_answer(slow).await.status, 408);
    assert_eq!(house.requests("traces", "refused", "timeout"), 1);
    // One that says it is done and is not.
    let mut half = house.begin(b"POST /v0.5/traces HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab").await;
    half.shutdown().await.unwrap();
    drop(half);
    house.until("it is counted", |house| house.requests("traces", "refused", "incomplete") == 1).await;
    assert_eq!(house.post("/v0.4/traces", &spans(2)).await.status, 200, "others go on");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while house.ingest.figures().bytes_under_way > 0 {
        assert!(tokio::time::Instant::now() < deadline, "all room is given back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
