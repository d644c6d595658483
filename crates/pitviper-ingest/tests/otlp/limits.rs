//! What all requests under way take together is bounded, and a request that finds no room, or takes
//! too long to come, is told so and counted.

use std::time::Duration;

use pitviper_ingest::Limits;
use tokio::io::AsyncWriteExt as _;
use tonic_types::StatusExt as _;

use crate::grpc::{call_body, framed, never_ending};
use crate::house::{Answer, House, PATIENCE, PROTOBUF, gzip, message, request};

const BUDGET: usize = 16 * 1024 * 1024;

fn small_budget() -> Limits {
    Limits { bytes_under_way: BUDGET, ..Limits::default() }
}

fn short_timeout() -> Limits {
    Limits { body_timeout: Duration::from_millis(300), ..Limits::default() }
}

fn head(length: usize) -> Vec<u8> {
    format!("POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: {PROTOBUF}\r\ncontent-length: {length}\r\n\r\n")
        .into_bytes()
}

/// A request that has sent so many bytes of its body and no more.
fn half_sent(bytes: usize) -> Vec<u8> {
    let mut sent = head(bytes + 1);
    sent.resize(sent.len() + bytes, 0);
    sent
}

#[tokio::test]
async fn a_request_that_finds_no_room_comes_back_later() {
    let house = House::with_limits(small_budget()).await;
    let large = request(2_500);
    assert_eq!(house.protobuf(&large).await.status, 200, "alone it has room");

    let slow = house.begin(&half_sent(BUDGET - 1024 * 1024)).await;
    // Until the server has read what the slow one sent, there is room.
    let refused = async {
        loop {
            let answer = house.protobuf(&large).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, refused).await.expect("the room runs out");
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert!(answer.head.lines().any(|line| line == "retry-after: 1"), "{}", answer.head);
    assert_eq!(house.refused("otlp_http", "overloaded"), 1);
    house.goes_on().await;

    let mut client = house.client().await;
    let status = client.export(message(2_500)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    let retry_delay = status.get_details_retry_info().unwrap().retry_delay;
    assert_eq!(retry_delay, Some(Duration::from_secs(1)));
    assert_eq!(house.refused("otlp_grpc", "overloaded"), 1);

    drop(slow);
    house.until("the slow one is gone", |house| house.refused("otlp_http", "incomplete") == 1).await;
    assert_eq!(house.protobuf(&large).await.status, 200, "its room is free again");
}

#[tokio::test]
async fn what_comes_out_of_a_body_counts_as_well() {
    let house = House::with_limits(small_budget()).await;
    let bomb = gzip(&vec![0; 2 * BUDGET]);
    for _ in 0..3 {
        let answer = house.post(&format!("content-type: {PROTOBUF}\r\ncontent-encoding: gzip"), &bomb).await;
        assert_eq!(answer.status, 429, "{}", answer.text());
        house.goes_on().await;
    }
    assert_eq!(house.refused("otlp_http", "overloaded"), 3);
}

#[tokio::test]
async fn what_a_body_becomes_counts_as_well() {
    let house = House::open().await;
    // Empty spans are two bytes each on the wire and some hundred in memory.
    let mut spans = [0x12, 0].repeat(3 * 1024 * 1024);
    for tag in [0x12, 0x0a] {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(spans.len() as u64, &mut outer);
        outer.extend_from_slice(&spans);
        spans = outer;
    }
    let packed = gzip(&spans);
    assert!(packed.len() < 64 * 1024);
    let answer = house.post(&format!("content-type: {PROTOBUF}\r\ncontent-encoding: gzip"), &packed).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert!(answer.text().contains("once decoded"), "{}", answer.text());

    let spans = vec!["{}"; 2 * 1024 * 1024].join(",");
    let document = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
    let answer = house.post("content-type: application/json", document.as_bytes()).await;
    assert_eq!(answer.status, 413, "{}", answer.text());
    assert_eq!((house.refused("otlp_http", "too_large"), house.outcome("received", "")), (2, 0));
    house.goes_on().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let house = House::with_limits(short_timeout()).await;
    let mut stream = house.begin(&half_sent(1_000)).await;
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.status, 408, "{}", answer.text());
    assert!(answer.text().contains("within 300 ms"), "{}", answer.text());
    assert_eq!((house.refused("otlp_http", "timeout"), house.all_requests()), (1, 1));
    house.goes_on().await;
}

#[tokio::test]
async fn a_body_that_comes_drop_by_drop_is_given_up() {
    let house = House::with_limits(short_timeout()).await;
    let mut stream = house.begin(&head(1_000_000)).await;
    let (mut receiving, mut sending) = stream.split();
    let drops = async {
        // Never silent for long: a bound on silence would not end this.
        while sending.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(PATIENCE).await;
    };
    let mut first_line = [0; 12];
    tokio::select! {
        () = drops => panic!("an answer comes"),
        read = tokio::io::AsyncReadExt::read_exact(&mut receiving, &mut first_line) => drop(read.unwrap()),
    }
    assert_eq!(&first_line, b"HTTP/1.1 408");
    assert_eq!(house.refused("otlp_http", "timeout"), 1);
    house.goes_on().await;
}

#[tokio::test]
async fn a_grpc_body_that_stops_coming_is_given_up() {
    let house = House::with_limits(short_timeout()).await;
    let beginning = bytes::Bytes::from(framed(0, &request(3))).slice(..20);
    let answer = call_body(&house, &[], never_ending(beginning)).await;
    assert_eq!(answer.status.code(), tonic::Code::DeadlineExceeded, "{}", answer.status);
    assert_eq!((house.refused("otlp_grpc", "timeout"), house.all_requests()), (1, 1));
    house.goes_on().await;
}
