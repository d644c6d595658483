//! OTLP over HTTP.

use std::sync::Arc;

use pitviper_ingest::Limits;
use pitviper_ingest::receivers::otlp;
use pitviper_store::Store;
use pitviper_store::embedded::EmbeddedConfig;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::house::{House, JSON, PROTOBUF, deflate, gzip, json, request};

#[tokio::test]
async fn every_good_form_is_kept() {
    let house = House::open().await;
    assert_eq!(house.protobuf(&request(2)).await.status, 200);
    let answer = house.post(&format!("content-type: {JSON}; charset=utf-8"), json(2).as_bytes()).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    let headers = format!("content-type: {PROTOBUF}\r\ncontent-encoding: gzip");
    assert_eq!(house.post(&headers, &gzip(&request(2))).await.status, 200);
    let headers = format!("content-type: {JSON}\r\ncontent-encoding: zstd");
    let packed = zstd::bulk::compress(json(2).as_bytes(), 1).unwrap();
    assert_eq!(house.post(&headers, &packed).await.status, 200);
    assert_eq!(house.protobuf(b"").await.status, 200, "an empty request is a request without spans");

    assert_eq!(house.outcome("stored", ""), 8);
    assert_eq!((house.requests("otlp_http", "accepted", ""), house.all_requests()), (5, 5));
    house.goes_on().await;
}

#[tokio::test]
async fn invalid_spans_are_rejected_alone() {
    let house = House::open().await;
    let bad = json(4)
        .replace(&format!("\"traceId\":\"{:032x}\"", 2), "\"traceId\":\"00\"")
        .replace(&format!("\"spanId\":\"{:016x}\"", 3), "\"spanId\":\"zz\"")
        .replace(&format!("\"spanId\":\"{:016x}\"", 4), &format!("\"parentSpanId\":\"1\",\"spanId\":\"{:016x}\"", 4));
    let answer = house.post(&format!("content-type: {JSON}"), bad.as_bytes()).await;
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(text.contains(r#""rejectedSpans":"3""#) && text.contains("1 invalid_parent_span_id"), "{text}");
    assert_eq!(house.outcome("rejected", "invalid_trace_id"), 1);
    assert_eq!(house.outcome("rejected", "invalid_span_id"), 1);
    assert_eq!(house.outcome("rejected", "invalid_parent_span_id"), 1);
    assert_eq!(house.outcome("stored", ""), 1);
    house.goes_on().await;
}

/// What it is, headers, body; then the expected status, counted reason and part of the message.
type Case = (&'static str, String, Vec<u8>, u16, &'static str, &'static str);

#[tokio::test]
async fn bad_bodies_are_refused_with_a_reason() {
    let house = House::open().await;
    let whole = request(3);
    let protobuf = format!("content-type: {PROTOBUF}");
    let json_type = format!("content-type: {JSON}");
    let gzipped = format!("{protobuf}\r\ncontent-encoding: gzip");
    let zeros = vec![0; 80 * 1024 * 1024];
    let zstd_bomb = zstd::bulk::compress(&zeros, 3).unwrap();
    let cases: [Case; 13] = [
        (
            "garbage",
            protobuf.clone(),
            b"\xff\xff\xff\xff".to_vec(),
            400,
            "bad_protobuf",
            "not an otlp protobuf message",
        ),
        ("truncated", protobuf.clone(), whole[..whole.len() - 5].to_vec(), 400, "bad_protobuf", "protobuf"),
        ("json in the wrong coat", protobuf.clone(), json(1).into_bytes(), 400, "bad_protobuf", "protobuf"),
        ("half a document", json_type.clone(), b"{\"resourceSpans\":[".to_vec(), 400, "bad_json", "line 1 column"),
        ("another document", json_type.clone(), b"{\"resourceSpans\":7}".to_vec(), 400, "bad_json", "line 1 column"),
        (
            "no content type",
            String::from("x-a: b"),
            whole.clone(),
            415,
            "unsupported_media_type",
            "send application/x-protobuf",
        ),
        ("text", String::from("content-type: text/plain"), whole.clone(), 415, "unsupported_media_type", "text/plain"),
        (
            "unknown encoding",
            format!("{protobuf}\r\ncontent-encoding: lzma"),
            whole.clone(),
            415,
            "unsupported_encoding",
            "gzip",
        ),
        ("not gzip", gzipped.clone(), whole.clone(), 400, "bad_encoding", "content-encoding"),
        ("cut gzip", gzipped.clone(), gzip(&whole)[..20].to_vec(), 400, "bad_encoding", "content-encoding"),
        ("gzip bomb", gzipped.clone(), gzip(&zeros), 413, "too_large", "once decompressed"),
        (
            "deflate bomb",
            format!("{protobuf}\r\ncontent-encoding: deflate"),
            deflate(&zeros),
            413,
            "too_large",
            "once decompressed",
        ),
        (
            "zstd bomb",
            format!("{protobuf}\r\ncontent-encoding: zstd"),
            zstd_bomb,
            413,
            "too_large",
            "once decompressed",
        ),
    ];
    for (what, headers, body, status, reason, message) in cases {
        let before = house.refused("otlp_http", reason);
        let answer = house.post(&headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.text().to_lowercase().contains(message), "{what}: {}", answer.text());
        assert_eq!(house.refused("otlp_http", reason), before + 1, "{what}");
        house.goes_on().await;
    }
}

#[tokio::test]
async fn oversized_bodies_are_refused_with_and_without_a_length() {
    let house = House::open().await;
    let huge = vec![b' '; otlp::MAX_BODY_BYTES + 1];
    // Refused by its announced length, before the body is read.
    let announced = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {JSON}\r\ncontent-length: {}\r\n\r\n",
        huge.len()
    );
    assert_eq!(house.raw(announced.as_bytes()).await.status, 413);
    let mut chunked = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {JSON}\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        huge.len()
    )
    .into_bytes();
    chunked.extend_from_slice(&huge);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    assert_eq!(house.raw(&chunked).await.status, 413);
    assert_eq!(house.refused("otlp_http", "too_large"), 2);
    house.goes_on().await;
}

#[tokio::test]
async fn other_methods_are_named() {
    let house = House::open().await;
    let answer = house.raw(b"GET /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    assert!(answer.text().contains("POST"), "{}", answer.text());
    assert_eq!(house.refused("otlp_http", "method_not_allowed"), 1);
    house.goes_on().await;
}

#[tokio::test]
async fn a_client_that_hangs_up_breaks_nothing() {
    let house = House::open().await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(house.http).await.unwrap();
        let head =
            format!("POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 1000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&request(1)[..10]).await.unwrap();
    }
    house.until("each is counted", |house| house.refused("otlp_http", "incomplete") == 20).await;
    assert_eq!(house.all_requests(), 20);
    house.goes_on().await;
}

#[tokio::test]
async fn a_store_over_its_budget_asks_the_sender_to_come_back() {
    let small = |config: &mut EmbeddedConfig| config.hot_bytes_limit = 256 * 1024;
    let house = House::with(small, Limits::default(), |store| store).await;
    let answer = house.protobuf(&request(20_000)).await;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.head.contains("retry-after: ") && answer.text().contains("memory budget"), "{}", answer.head);
    assert_eq!(house.store.stats().busy_rejections, 1);
    assert_eq!(house.outcome("dropped", "store_unavailable"), 20_000);
    assert_eq!((house.refused("otlp_http", "store_busy"), house.all_requests()), (1, 1));
    house.goes_on().await;
}

#[tokio::test]
async fn a_closed_store_asks_the_sender_to_come_back() {
    let house = House::open().await;
    house.store.close().await.unwrap();
    let answer = house.protobuf(&request(4)).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.head.contains("retry-after: "), "{}", answer.head);
    assert_eq!(house.outcome("dropped", "store_unavailable"), 4);
    assert_eq!(house.refused("otlp_http", "store_unavailable"), 1);
    assert_eq!(house.all_requests(), 1);
}

#[tokio::test]
async fn large_batches_and_many_senders() {
    let house = Arc::new(House::open().await);
    assert_eq!(house.protobuf(&request(50_000)).await.status, 200);
    let senders: Vec<_> = (0..16)
        .map(|_| {
            let house = Arc::clone(&house);
            tokio::spawn(async move {
                for _ in 0..10 {
                    assert_eq!(house.protobuf(&request(20)).await.status, 200);
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(house.outcome("stored", ""), 53_200);
    house.goes_on().await;
}
