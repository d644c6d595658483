//! Zipkin's and Jaeger's spans: what is taken, what is refused, and that each is counted.

use pitviper_ingest::Subject;

use crate::house::House;

const ZIPKIN: &str = "/api/v2/spans";
const JAEGER: &str = "/api/traces";
const JSON: &str = "content-type: application/json";
const THRIFT: &str = "content-type: application/x-thrift";

/// A list of so many of Zipkin's spans, and one whose trace id is none.
fn zipkin(spans: usize) -> String {
    let span = |number: usize| {
        format!(
            r#"{{"traceId":"{number:016x}","id":"{number:016x}","kind":"SERVER","name":"get /",
            "timestamp":1795224367000000,"duration":1000,"localEndpoint":{{"serviceName":"shop"}}}}"#
        )
    };
    let all: Vec<String> = (0..=spans).map(span).collect();
    format!("[{}]", all.join(","))
}

/// A batch with one of Jaeger's spans.
fn jaeger() -> Vec<u8> {
    let text =
        |number: u8, text: &str| [&[11, 0, number], &(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    let long = |number: u8, value: u64| [&[10, 0, number], &value.to_be_bytes()[..]].concat();
    let process = [&[12, 0, 1][..], &text(1, "shop"), &[0]].concat();
    let span =
        [long(1, 7), long(2, 0), long(3, 9), text(5, "pay"), long(8, 1_795_224_367_000_000), long(9, 5), vec![0]];
    [process, [&[15, 0, 2, 12][..], &1_u32.to_be_bytes()].concat(), span.concat(), vec![0]].concat()
}

#[tokio::test]
async fn spans_are_kept() {
    let house = House::open().await;
    let answer = house.post_at(ZIPKIN, JSON, zipkin(3).as_bytes()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!((house.outcome("stored", ""), house.outcome("rejected", "invalid_trace_id")), (3, 1));
    let answer = house.post_at(JAEGER, THRIFT, &jaeger()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!((house.outcome("stored", ""), house.rows("spans")), (4, 4));
    assert_eq!((house.requests("zipkin", "accepted", ""), house.requests("jaeger", "accepted", "")), (1, 1));
    let by_transport = |name: &str| -> u64 {
        let counts = house.ingest.outcomes();
        let of = counts.iter().filter(|count| count.signal == Subject::Traces && count.outcome == "stored");
        of.filter(|count| count.transport.as_str() == name).map(|count| count.count).sum()
    };
    assert_eq!((by_transport("zipkin"), by_transport("jaeger")), (3, 1));
}

#[tokio::test]
async fn every_refusal_is_told_and_counted() {
    let house = House::open().await;
    type Case<'a> = (&'a str, &'a str, &'a [u8], u16, &'a str, &'a str);
    let cases: [Case<'_>; 7] = [
        (ZIPKIN, JSON, b"{}", 400, "zipkin", "bad_json"),
        (ZIPKIN, "content-type: application/x-protobuf", b"[]", 415, "zipkin", "unsupported_media_type"),
        (ZIPKIN, "content-encoding: br", b"[]", 415, "zipkin", "unsupported_encoding"),
        (ZIPKIN, "content-encoding: gzip", b"[]", 400, "zipkin", "bad_encoding"),
        (JAEGER, THRIFT, b"\x0c", 400, "jaeger", "bad_thrift"),
        (JAEGER, THRIFT, b"\x0f\x00\x02\x0c\xff\xff\xff\xff", 400, "jaeger", "bad_thrift"),
        (JAEGER, JSON, b"[]", 415, "jaeger", "unsupported_media_type"),
    ];
    for (path, headers, body, status, protocol, reason) in cases {
        let before = house.refused(protocol, reason);
        let answer = house.post_at(path, headers, body).await;
        assert_eq!(answer.status, status, "{path} {reason}: {}", answer.text());
        assert!(answer.text().contains("message"), "{}", answer.text());
        assert_eq!(house.refused(protocol, reason), before + 1, "{path} {reason}");
    }
    let answer = house.raw(b"GET /api/v2/spans HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!((answer.status, house.refused("zipkin", "method_not_allowed")), (405, 1));
    let bomb = format!("[{}]", vec!["{}"; 4_000_000].join(","));
    assert_eq!(house.post_at(ZIPKIN, JSON, bomb.as_bytes()).await.status, 413);
    house.goes_on().await;
}
