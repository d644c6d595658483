//! Receivers on real sockets before a real store, and requests for them.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitviper_ingest::receivers::{foreign, otlp, pprof};
use pitviper_ingest::{Ingest, Limits, Subject};
use pitviper_model::Signal;
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_wire::decode::trace_service::ExportTraceServiceRequest;
use pitviper_wire::decode::trace_service::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::Channel;

pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

/// How long something that happens at once may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct House {
    _directory: tempfile::TempDir,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
        let _ = reading.await.expect("an answer comes and the connection is closed");
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}, Limits::default(), |store| store).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::with(|_| {}, limits, |store| store).await
    }

    /// With a store that is configured so, behind limits, and behind whatever `wrap` puts before it.
    pub(crate) async fn with(
        configure: impl FnOnce(&mut EmbeddedConfig),
        limits: Limits,
        wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = EmbeddedConfig::new(directory.path());
        configure(&mut config);
        let store = EmbeddedStore::open(config).await.unwrap();
        let ingest = Ingest::with_limits(wrap(store.clone()), limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap();
        let router = otlp::router(Arc::clone(&ingest))
            .merge(pprof::router(Arc::clone(&ingest)))
            .merge(otlp::profiles_router(Arc::clone(&ingest)))
            .merge(foreign::router(Arc::clone(&ingest)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap();
        let services = tonic::transport::Server::builder()
            .add_service(otlp::grpc::<otlp::Traces>(Arc::clone(&ingest)))
            .add_service(otlp::grpc::<otlp::Metrics>(Arc::clone(&ingest)))
            .add_service(otlp::grpc::<otlp::Logs>(Arc::clone(&ingest)))
            .add_service(otlp::grpc::<otlp::Profiles>(Arc::clone(&ingest)));
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tokio::spawn(services.serve_with_incoming(incoming));
        Self { _directory: directory, store, ingest, http, grpc }
    }

    /// Sends bytes over a connection of its own and reads what comes back until it is closed.
    pub(crate) async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.begin(request).await;
        Answer::read(&mut stream).await
    }

    /// Sends bytes over a connection of its own, which stays open.
    pub(crate) async fn begin(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        // A server that has refused may close before all is written.
        let _ = stream.write_all(bytes).await;
        stream
    }

    pub(crate) async fn client(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::connect(format!("http://{}", self.grpc)).await.unwrap()
    }

    pub(crate) async fn post(&self, headers: &str, body: &[u8]) -> Answer {
        self.post_to(Signal::Traces, headers, body).await
    }

    pub(crate) async fn post_to(&self, signal: Signal, headers: &str, body: &[u8]) -> Answer {
        self.post_at(&format!("/v1/{}", signal.as_str()), headers, body).await
    }

    pub(crate) async fn post_at(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        self.raw(&request).await
    }

    pub(crate) async fn protobuf(&self, body: &[u8]) -> Answer {
        self.post(&format!("content-type: {PROTOBUF}"), body).await
    }

    pub(crate) fn outcome(&self, outcome: &str, reason: &str) -> u64 {
        let all = Signal::ALL.map(Subject::from).into_iter().chain([Subject::Profiles]);
        all.map(|of| self.outcome_of(of, outcome, reason)).sum()
    }

    pub(crate) fn outcome_of(&self, of: impl Into<Subject>, outcome: &str, reason: &str) -> u64 {
        let counts = self.ingest.outcomes();
        let wanted = (of.into(), outcome, reason);
        let matching = counts.iter().filter(|count| (count.signal, count.outcome, count.reason) == wanted);
        matching.map(|count| count.count).sum()
    }

    /// Requests over a protocol that were refused for a reason.
    pub(crate) fn refused(&self, protocol: &str, reason: &str) -> u64 {
        self.requests(protocol, "refused", reason)
    }

    pub(crate) fn requests(&self, protocol: &str, outcome: &str, reason: &str) -> u64 {
        let counts = self.ingest.requests();
        let wanted = (protocol, outcome, reason);
        let matching = counts.iter().filter(|count| (count.protocol.as_str(), count.outcome, count.reason) == wanted);
        matching.map(|count| count.count).sum()
    }

    /// All requests that have an outcome.
    pub(crate) fn all_requests(&self) -> u64 {
        self.ingest.requests().iter().map(|count| count.count).sum()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "{what}: {:?}", self.ingest);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Rows of a table.
    pub(crate) fn rows(&self, table: &str) -> u64 {
        let stats = self.store.stats();
        stats.tables.iter().find(|stats| stats.name == table).map_or(0, |stats| stats.rows)
    }

    /// The server still takes a good request, and the books balance.
    pub(crate) async fn goes_on(&self) {
        let before = self.outcome("stored", "");
        let answer = self.protobuf(&request(3)).await;
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{}", answer.text());
        assert_eq!(self.outcome("stored", ""), before + 3);
        let outcomes = self.ingest.outcomes();
        for signal in Signal::ALL {
            let sum = |outcome: &str| -> u64 {
                let matching =
                    outcomes.iter().filter(|count| (count.signal, count.outcome) == (signal.into(), outcome));
                matching.map(|count| count.count).sum()
            };
            assert_eq!(sum("received"), sum("stored") + sum("rejected") + sum("dropped"), "{signal:?}");
            let table = match signal {
                Signal::Traces => "spans",
                Signal::Metrics => "metric_points",
                Signal::Logs => "logs",
            };
            assert_eq!(self.rows(table), sum("stored"), "{signal:?}");
        }
    }
}

/// A request with that many good spans, as OTLP/JSON.
pub(crate) fn json(spans: usize) -> String {
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
pub(crate) fn request(spans: usize) -> Vec<u8> {
    message(spans).encode_to_vec()
}

pub(crate) fn message(spans: usize) -> ExportTraceServiceRequest {
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
    let scope = pitviper_model::Scope::default();
    let mut bytes = Vec::new();
    let resource = pitviper_model::Resource {
        attributes: [("service.name", "shop")].into_iter().collect(),
        ..pitviper_model::Resource::default()
    };
    pitviper_wire::encode::append_resource_spans(&mut bytes, &resource, &[(&scope, &spans_bytes)]);
    ExportTraceServiceRequest::decode(&*bytes).unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
