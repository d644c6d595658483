//! Bodies that are small and ask for much, over every transport: bombs, nesting, tables of strings. Each is refused,
//! counted, and told why.

use crate::grpc::{call, framed};
use crate::house::{House, JSON, PROTOBUF, deflate, gzip};

/// What no transport takes, unpacked: one byte more than the profiles' bound, which is the largest.
const BOMB_BYTES: usize = 128 * 1024 * 1024 + 1;

/// Path, content type, and the protocol that counts it.
const POSTED: [(&str, &str, &str); 11] = [
    ("/v1/traces", PROTOBUF, "otlp_http"),
    ("/v1/traces", JSON, "otlp_http"),
    ("/v1/metrics", PROTOBUF, "otlp_http"),
    ("/v1/metrics", JSON, "otlp_http"),
    ("/v1/logs", PROTOBUF, "otlp_http"),
    ("/v1/logs", JSON, "otlp_http"),
    ("/v1development/profiles", PROTOBUF, "otlp_http"),
    ("/v1development/profiles", JSON, "otlp_http"),
    ("/api/v2/spans", JSON, "zipkin"),
    ("/api/traces", "application/x-thrift", "jaeger"),
    ("/v1/pprof?service.name=shop", PROTOBUF, "pprof"),
];

const SERVICES: [&str; 4] = ["trace.v1.Trace", "metrics.v1.Metrics", "logs.v1.Logs", "profiles.v1development.Profiles"];

fn packed(bytes: &[u8]) -> [(&'static str, Vec<u8>); 3] {
    [("gzip", gzip(bytes)), ("zstd", zstd::bulk::compress(bytes, 1).unwrap()), ("deflate", deflate(bytes))]
}

/// Posts it to every path that takes this kind; each refuses it so.
async fn refused_everywhere(house: &House, content_types: &[&str], body: &[u8], statuses: &[u16]) {
    for (path, content_type, protocol) in POSTED {
        if !content_types.contains(&content_type) {
            continue;
        }
        let refusals =
            || house.ingest.requests().iter().filter(|of| of.outcome == "refused").map(|of| of.count).sum::<u64>();
        let before = refusals();
        let answer = house.post_at(path, &format!("content-type: {content_type}"), body).await;
        assert!(statuses.contains(&answer.status), "{path} {content_type}: {} {}", answer.status, answer.text());
        assert!(answer.text().len() > 20, "{path}: it says why: {}", answer.text());
        assert_eq!(refusals(), before + 1, "{path} {protocol}");
    }
}

#[tokio::test]
async fn bombs_are_refused_over_every_transport() {
    let house = House::open().await;
    for (encoding, bomb) in packed(&vec![0; BOMB_BYTES]) {
        assert!(bomb.len() < BOMB_BYTES / 100);
        for (path, content_type, protocol) in POSTED {
            let before = house.refused(protocol, "too_large");
            let headers = format!("content-type: {content_type}\r\ncontent-encoding: {encoding}");
            let answer = house.post_at(path, &headers, &bomb).await;
            assert_eq!(answer.status, 413, "{path} {content_type} {encoding}: {}", answer.text());
            assert!(answer.text().contains("send smaller"), "{path}: {}", answer.text());
            assert_eq!(house.refused(protocol, "too_large"), before + 1, "{path} {encoding}");
        }
        for service in SERVICES {
            let before = house.refused("otlp_grpc", "too_large");
            let path = format!("/opentelemetry.proto.collector.{service}Service/Export");
            let answer = call(&house, &[(":path", &path), ("grpc-encoding", encoding)], framed(1, &bomb)).await;
            assert_eq!(answer.status.code(), tonic::Code::ResourceExhausted, "{service} {encoding}: {}", answer.status);
            assert!(answer.status.message().contains("send smaller"), "{}", answer.status);
            assert_eq!(house.refused("otlp_grpc", "too_large"), before + 1, "{service} {encoding}");
        }
    }
    house.until("all room is given back", |house| house.ingest.figures().bytes_under_way == 0).await;
    house.goes_on().await;
}

#[tokio::test]
async fn a_profile_that_is_packed_by_itself_is_bounded_too() {
    let house = House::open().await;
    for (encoding, bomb) in packed(&vec![0; BOMB_BYTES]) {
        if encoding == "deflate" {
            // What Go never writes is not looked for.
            continue;
        }
        let answer = house.post_at("/v1/pprof?service.name=shop", "x: y", &bomb).await;
        assert_eq!(answer.status, 413, "{encoding}: {}", answer.text());
    }
    assert_eq!(house.refused("pprof", "too_large"), 2);
    house.goes_on().await;
}

#[tokio::test]
async fn deep_nesting_is_refused_over_every_transport() {
    let house = House::open().await;
    let lists = "[".repeat(200_000);
    let maps = r#"{"a":"#.repeat(200_000);
    // As deep as attributes go: a value in a value.
    let value = |times: usize| {
        let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(times), "]}}".repeat(times));
        let attributes = format!(r#"[{{"key":"k","value":{open}{close}}}]"#);
        let resource = format!(r#"{{"attributes":{attributes}}}"#);
        let of = |name: &str| format!(r#""resource{name}":[{{"resource":{resource}}}]"#);
        format!("{{{},{},{},{}}}", of("Spans"), of("Metrics"), of("Logs"), of("Profiles"))
    };
    for document in [lists, maps] {
        refused_everywhere(&house, &[JSON], document.as_bytes(), &[400]).await;
    }
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let answer = house.post_at(path, &format!("content-type: {JSON}"), value(10_000).as_bytes()).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    // Lists in attributes of profiles are skipped, however deep they are.
    let answer =
        house.post_at("/v1development/profiles", &format!("content-type: {JSON}"), value(10_000).as_bytes()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The same in protobuf: a list of a value in a list, all lengths right.
    let mut message = Vec::new();
    for _ in 0..2_000 {
        for tag in [0x0a, 0x2a] {
            let mut outer = vec![tag];
            prost::encoding::encode_varint(message.len() as u64, &mut outer);
            message = [outer, message].concat();
        }
    }
    for tag in [0x12, 0x0a, 0x0a, 0x0a] {
        let mut outer = vec![tag];
        prost::encoding::encode_varint(message.len() as u64, &mut outer);
        message = [outer, message].concat();
    }
    for path in ["/v1/traces", "/v1/metrics", "/v1/logs"] {
        let answer = house.post_at(path, &format!("content-type: {PROTOBUF}"), &message).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    // Profiles' values are not looked into, so that it costs nothing: no profile comes of it.
    let answer = house.post_at("/v1development/profiles", &format!("content-type: {PROTOBUF}"), &message).await;
    assert!([200, 400].contains(&answer.status), "{}", answer.text());
    let thrift = [&[15, 0, 9][..], &[15, 0, 0, 0, 1].repeat(200_000)].concat();
    refused_everywhere(&house, &["application/x-thrift"], &thrift, &[400]).await;
    house.until("all room is given back", |house| house.ingest.figures().bytes_under_way == 0).await;
    house.goes_on().await;
}
