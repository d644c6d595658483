//! OTLP over gRPC: through a real client, and with bodies no client would send.

use http_body_util::{BodyExt as _, Full};
use pitviper_ingest::Limits;
use pitviper_ingest::receivers::otlp;
use pitviper_store::Store;
use pitviper_store::embedded::EmbeddedConfig;
use pitviper_wire::decode::trace_service::ExportTraceServiceResponse;
use tonic::codec::CompressionEncoding;
use tonic::codegen::Service as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::house::{House, PATIENCE, deflate, gzip, message, request};

const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// What a call was answered, taken apart no further than HTTP/2 does.
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) status: Status,
    pub(crate) body: bytes::Bytes,
}

/// A message in its frame.
pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut framed = vec![flag];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// Sends a body over HTTP/2 as it is. A header that is given replaces the one a client sends; `:path`
/// is one of them.
pub(crate) async fn call_body(house: &House, headers: &[(&str, &str)], body: tonic::body::Body) -> Answer {
    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", house.grpc)).unwrap();
    let mut channel = endpoint.connect().await.unwrap();
    let path = headers.iter().find(|(name, _)| *name == ":path").map_or(EXPORT_PATH, |(_, path)| path);
    let mut request = http::Request::post(path).body(body).unwrap();
    request.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    request.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
    for (name, value) in headers.iter().filter(|(name, _)| *name != ":path") {
        request.headers_mut().insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
    let response = tokio::time::timeout(PATIENCE, channel.call(request)).await.expect("an answer comes").unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap();
    let status = Status::from_header_map(&head.headers)
        .or_else(|| body.trailers().and_then(Status::from_header_map))
        .expect("an answer has a grpc-status, in its head or its trailers");
    Answer { http_status: head.status.as_u16(), headers: head.headers, status, body: body.to_bytes() }
}

pub(crate) async fn call(house: &House, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    call_body(house, headers, tonic::body::Body::new(Full::new(bytes::Bytes::from(body)))).await
}

#[tokio::test]
async fn every_good_form_is_kept() {
    let house = House::open().await;
    let plain = house.client().await;
    let clients = [
        plain.clone(),
        plain.clone().send_compressed(CompressionEncoding::Gzip),
        plain.send_compressed(CompressionEncoding::Zstd),
    ];
    for mut client in clients {
        let response = client.export(message(2)).await.unwrap().into_inner();
        assert_eq!(response, ExportTraceServiceResponse::default());
    }
    let whole = request(2);
    let good: [(Headers, Vec<u8>); 3] = [
        (&[("grpc-encoding", "deflate")], framed(1, &deflate(&whole))),
        // An encoding that is named and not used for this message.
        (&[("grpc-encoding", "gzip")], framed(0, &whole)),
        (&[("content-type", "application/grpc+proto")], framed(0, &whole)),
    ];
    for (headers, body) in good {
        let answer = call(&house, headers, body).await;
        assert_eq!((answer.http_status, answer.status.code()), (200, Code::Ok), "{headers:?}: {}", answer.status);
        assert_eq!(answer.body, framed(0, b""));
    }
    assert_eq!(house.outcome("stored", ""), 12);
    assert_eq!((house.requests("otlp_grpc", "accepted", ""), house.all_requests()), (6, 6));
    house.goes_on().await;
}

#[tokio::test]
async fn invalid_spans_are_rejected_alone() {
    let house = House::open().await;
    let mut bad = message(4);
    let spans = &mut bad.resource_spans[0].scope_spans[0].spans;
    spans[0].trace_id = vec![1; 3];
    spans[1].span_id = Vec::new();
    spans[2].parent_span_id = vec![1; 7];
    let response = house.client().await.export(bad).await.unwrap().into_inner();
    let partial = response.partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 3);
    let expected = "rejected spans: 1 invalid_parent_span_id, 1 invalid_span_id, 1 invalid_trace_id";
    assert_eq!(partial.error_message, expected);
    assert_eq!((house.outcome("stored", ""), house.outcome("rejected", "invalid_parent_span_id")), (1, 1));
    assert_eq!(house.requests("otlp_grpc", "accepted", ""), 1);
    house.goes_on().await;
}

type Headers = &'static [(&'static str, &'static str)];

/// What it is, headers, body; then the expected code, counted reason and part of the message.
type Case = (&'static str, Headers, Vec<u8>, Code, &'static str, &'static str);

#[tokio::test]
async fn bad_bodies_are_refused_with_a_reason() {
    let house = House::open().await;
    let whole = request(3);
    let cut = whole[..whole.len() - 5].to_vec();
    let two = [framed(0, &whole), framed(0, &whole)].concat();
    let mut short = framed(0, &whole);
    short.truncate(short.len() - 3);
    let endless = [&[0, 0xff, 0xff, 0xff, 0xff], &whole[..]].concat();
    let gzipped: Headers = &[("grpc-encoding", "gzip")];
    let cases: [Case; 15] = [
        ("garbage", &[], framed(0, b"\xff\xff\xff\xff"), Code::InvalidArgument, "bad_protobuf", "not an OTLP protobuf"),
        ("truncated", &[], framed(0, &cut), Code::InvalidArgument, "bad_protobuf", "protobuf"),
        ("nothing", &[], Vec::new(), Code::Internal, "bad_framing", "0 bytes"),
        ("part of a frame", &[], b"\0\0".to_vec(), Code::Internal, "bad_framing", "2 bytes"),
        ("no frame", &[], whole.clone(), Code::Internal, "bad_framing", "compressed-flag"),
        ("unknown flag", gzipped, framed(7, &whole), Code::Internal, "bad_framing", "compressed-flag 7"),
        ("no encoding", &[], framed(1, &gzip(&whole)), Code::Internal, "bad_framing", "grpc-encoding"),
        ("two messages", &[], two, Code::Internal, "bad_framing", "one message"),
        ("early end", &[], short, Code::InvalidArgument, "incomplete", "ended early"),
        ("huge length", &[], endless, Code::InvalidArgument, "incomplete", "of 4294967295"),
        ("not gzip", gzipped, framed(1, &whole), Code::InvalidArgument, "bad_encoding", "does not decompress"),
        ("cut gzip", gzipped, framed(1, &gzip(&whole)[..20]), Code::InvalidArgument, "bad_encoding", "decompress"),
        (
            "unknown encoding",
            &[("grpc-encoding", "snappy")],
            framed(1, &whole),
            Code::Unimplemented,
            "unsupported_encoding",
            "`snappy` is not understood; send gzip",
        ),
        (
            "another content type",
            &[("content-type", "application/grpc+json")],
            framed(0, b"{}"),
            Code::InvalidArgument,
            "unsupported_media_type",
            "send application/grpc",
        ),
        (
            "another method",
            &[(":path", "/opentelemetry.proto.collector.trace.v1.TraceService/Import")],
            framed(0, &whole),
            Code::Unimplemented,
            "method_not_allowed",
            "TraceService/Export",
        ),
    ];
    for (what, headers, body, code, reason, part) in cases {
        let before = house.refused("otlp_grpc", reason);
        let answer = call(&house, headers, body).await;
        assert_eq!(answer.status.code(), code, "{what}: {}", answer.status);
        assert!(answer.status.message().contains(part), "{what}: {}", answer.status);
        assert!(answer.status.get_details_retry_info().is_none(), "{what}: it is bad however often it comes");
        assert_eq!(house.refused("otlp_grpc", reason), before + 1, "{what}");
        assert_eq!(answer.http_status, if reason == "unsupported_media_type" { 415 } else { 200 }, "{what}");
        assert_eq!(answer.headers.contains_key("grpc-accept-encoding"), reason == "unsupported_encoding", "{what}");
        house.goes_on().await;
    }
}

#[tokio::test]
async fn bombs_and_oversized_messages_are_refused() {
    let house = House::open().await;
    let zeros = vec![0; otlp::MAX_DECOMPRESSED_BYTES + 1];
    let zstd_bomb = zstd::bulk::compress(&zeros, 3).unwrap();
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros)), ("zstd", zstd_bomb)] {
        let answer = call(&house, &[("grpc-encoding", encoding)], framed(1, &bomb)).await;
        assert_eq!(answer.status.code(), Code::ResourceExhausted, "{encoding}: {}", answer.status);
        assert!(answer.status.message().contains("once decompressed"), "{encoding}: {}", answer.status);
        assert!(answer.status.get_details_retry_info().is_none(), "{encoding}: it would be too large again");
    }
    assert_eq!(house.refused("otlp_grpc", "too_large"), 3);

    // As a client sends them, who does not know better.
    let mut huge = message(1);
    huge.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(otlp::MAX_BODY_BYTES + 1);
    let mut client = house.client().await;
    let status = client.export(huge.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("send smaller batches"), "{status}");
    huge.resource_spans[0].scope_spans[0].spans[0].name = "x".repeat(otlp::MAX_DECOMPRESSED_BYTES + 1);
    let mut client = client.send_compressed(CompressionEncoding::Zstd);
    let status = client.export(huge).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!((house.refused("otlp_grpc", "too_large"), house.all_requests()), (5, 5));
    client.export(message(1)).await.expect("the connection goes on");
    house.goes_on().await;
}

#[tokio::test]
async fn a_store_over_its_budget_says_when_to_come_back() {
    let small = |config: &mut EmbeddedConfig| config.hot_bytes_limit = 256 * 1024;
    let house = House::with(small, Limits::default(), |store| store).await;
    let status = house.client().await.export(message(20_000)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("memory budget"), "{status}");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some_and(|delay| !delay.is_zero()));
    assert_eq!((house.refused("otlp_grpc", "store_busy"), house.all_requests()), (1, 1));
    house.goes_on().await;
}

#[tokio::test]
async fn a_closed_store_says_when_to_come_back() {
    let house = House::open().await;
    house.store.close().await.unwrap();
    let status = house.client().await.export(message(4)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some_and(|delay| !delay.is_zero()));
    assert_eq!(house.outcome("dropped", "store_unavailable"), 4);
    assert_eq!((house.refused("otlp_grpc", "store_unavailable"), house.all_requests()), (1, 1));
}

#[tokio::test]
async fn a_client_that_hangs_up_is_counted() {
    let house = House::open().await;
    for _ in 0..5 {
        let mut client = house.client().await;
        let beginning = bytes::Bytes::from(framed(0, &request(3))).slice(..20);
        let call = call_body(&house, &[], never_ending(beginning));
        // The connection ends with the call that is given up.
        assert!(tokio::time::timeout(std::time::Duration::from_millis(100), call).await.is_err());
        client.export(message(1)).await.unwrap();
    }
    house.until("each is counted", |house| house.refused("otlp_grpc", "incomplete") == 5).await;
    assert_eq!((house.requests("otlp_grpc", "accepted", ""), house.all_requests()), (5, 10));
    house.goes_on().await;
}

/// A body that begins so and then stops coming.
pub(crate) fn never_ending(beginning: bytes::Bytes) -> tonic::body::Body {
    let first = futures::stream::iter([Ok::<_, std::convert::Infallible>(beginning)]);
    let stream = futures::StreamExt::chain(first, futures::stream::pending());
    tonic::body::Body::new(axum::body::Body::from_stream(stream))
}
