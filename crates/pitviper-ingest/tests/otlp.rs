//! OTLP over real sockets into a real store: what is good is kept, what is bad is refused with a
//! reason, counted, and forgotten.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use pitviper_ingest::Ingest;
use pitviper_ingest::receivers::otlp;
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_wire::decode::trace_service::trace_service_client::TraceServiceClient;
use pitviper_wire::decode::trace_service::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

struct House {
    _directory: tempfile::TempDir,
    store: Arc<EmbeddedStore>,
    ingest: Arc<Ingest>,
    http: SocketAddr,
    grpc: SocketAddr,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl House {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::new(directory.path())).await.unwrap();
        let ingest = Ingest::new(store.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let router = otlp::router(Arc::clone(&ingest));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let service = otlp::grpc(Arc::clone(&ingest));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        Self { _directory: directory, store, ingest, http, grpc }
    }

    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        // A server that has refused may close before all is written.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    async fn post(&self, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    async fn protobuf(&self, body: &[u8]) -> Answer {
        self.post(&format!("content-type: {PROTOBUF}"), body).await
    }

    fn outcome(&self, outcome: &str, reason: &str) -> u64 {
        let counts = self.ingest.outcomes();
        counts.iter().filter(|count| count.outcome == outcome && count.reason == reason).map(|count| count.count).sum()
    }

    fn refused(&self, reason: &str) -> u64 {
        let counts = self.ingest.requests();
        counts
            .iter()
            .filter(|count| count.outcome == "refused" && count.reason == reason)
            .map(|count| count.count)
            .sum()
    }

    /// The server still takes a good request, and the books balance.
    async fn goes_on(&self) {
        let before = self.outcome("stored", "");
        let answer = self.protobuf(&request(3)).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.text());
        assert_eq!(self.outcome("stored", ""), before + 3);
        let sum = |outcome: &str| -> u64 {
            self.ingest.outcomes().iter().filter(|count| count.outcome == outcome).map(|count| count.count).sum()
        };
        assert_eq!(sum("received"), sum("stored") + sum("rejected") + sum("dropped"));
        assert_eq!(self.store.stats().spans, sum("stored"));
    }
}

/// A request with that many good spans, as OTLP/JSON.
fn json(spans: usize) -> String {
    let spans: Vec<String> = (1..=spans)
        .map(|number| {
            format!(
                r#"{{"traceId":"{number:032x}","spanId":"{number:016x}","name":"GET /","kind":2,
                "startTimeUnixNano":"1795224367000000000","endTimeUnixNano":"1795224367001000000",
                "attributes":[{{"key":"http.route","value":{{"stringValue":"/"}}}}]}}"#
            )
        })
        .collect();
    let resource = r#"{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]}"#;
    format!(r#"{{"resourceSpans":[{{"resource":{resource},"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","))
}

/// The same, as protobuf.
fn request(spans: usize) -> Vec<u8> {
    message(spans).encode_to_vec()
}

fn message(spans: usize) -> ExportTraceServiceRequest {
    let mut spans_bytes = Vec::new();
    for number in 1..=spans as u64 {
        let mut encoder = pitviper_wire::encode::SpanEncoder::default();
        encoder.attributes.set("http.route", pitviper_wire::encode::Scalar::Str("/"), 8);
        let mut trace_id = [0; 16];
        trace_id[8..].copy_from_slice(&number.to_be_bytes());
        let head = pitviper_wire::encode::SpanHead {
            trace_id: pitviper_model::TraceId(trace_id),
            span_id: pitviper_model::SpanId(number.to_be_bytes()),
            parent_span_id: pitviper_model::SpanId::INVALID,
            trace_state: "",
            flags: 1,
            kind: pitviper_model::SpanKind::Server,
            start_time_unix_nano: 1_795_224_367_000_000_000,
        };
        let status = pitviper_model::StatusCode::Unset;
        encoder.append_span(&mut spans_bytes, &head, "GET /", 1_795_224_367_001_000_000, status, "");
    }
    let mut scope_spans = Vec::new();
    pitviper_wire::encode::append_scope_spans(&mut scope_spans, &pitviper_model::Scope::default(), &spans_bytes);
    let mut bytes = Vec::new();
    let resource = pitviper_model::Resource {
        attributes: [("service.name", "shop")].into_iter().collect(),
        dropped_attributes_count: 0,
    };
    pitviper_wire::encode::append_resource_spans(&mut bytes, &resource, &scope_spans);
    ExportTraceServiceRequest::decode(&*bytes).unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

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

    let mut client = TraceServiceClient::connect(format!("http://{}", house.grpc))
        .await
        .unwrap()
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    let response = client.export(message(2)).await.unwrap().into_inner();
    assert_eq!(response, ExportTraceServiceResponse::default());
    assert_eq!(house.outcome("stored", ""), 10);
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
    let cases: [Case; 12] = [
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
            "zstd bomb",
            format!("{protobuf}\r\ncontent-encoding: zstd"),
            zstd_bomb,
            413,
            "too_large",
            "once decompressed",
        ),
    ];
    for (what, headers, body, status, reason, message) in cases {
        let before = house.refused(reason);
        let answer = house.post(&headers, &body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(answer.text().to_lowercase().contains(message), "{what}: {}", answer.text());
        assert_eq!(house.refused(reason), before + 1, "{what}");
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
    assert_eq!(house.refused("too_large"), 2);
    house.goes_on().await;
}

#[tokio::test]
async fn other_methods_are_named() {
    let house = House::open().await;
    let answer = house.raw(b"GET /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
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
    let mut client = TraceServiceClient::connect(format!("http://{}", house.grpc)).await.unwrap();
    let status = client.export(message(1)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
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
