//! The receiver before a store, and what clients send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pitviper_ingest::receivers::datadog::{self, Datadog, Instruction, Remote};
use pitviper_ingest::{Ingest, Limits, Subject};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::{Dimension, MetricsQuery, SpanScope, Store, TimeRange};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How long something that happens at once may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// When the spans start, in nanoseconds.
pub(crate) const START: u64 = 1_795_224_360_000_000_000;

pub(crate) struct House {
    _directory: tempfile::TempDir,
    pub(crate) store: Arc<EmbeddedStore>,
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) datadog: Arc<Datadog>,
    pub(crate) address: SocketAddr,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl House {
    pub(crate) async fn open(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(EmbeddedConfig::new(directory.path())).await.unwrap();
        let ingest = Ingest::with_limits(store.clone(), limits);
        let instruction = Instruction {
            service: "shop".into(),
            environment: "prod".into(),
            sample_rate: Some(0.5),
            sampling_rules: Vec::new(),
            tags: Vec::new(),
            log_injection: None,
            tracing: None,
        };
        let datadog = Datadog::new(Arc::clone(&ingest), Remote::new(3, &[instruction]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = datadog::router(&datadog);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { _directory: directory, store, ingest, datadog, address }
    }

    /// Sends bytes over a connection of its own, which stays open.
    pub(crate) async fn begin(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that has refused may close before all is written.
        let _ = stream.write_all(bytes).await;
        stream
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        read_answer(self.begin(&request).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send("POST", path, "", body).await
    }

    /// Requests about a subject with an outcome.
    pub(crate) fn requests(&self, subject: &str, outcome: &str, reason: &str) -> u64 {
        let counts = self.ingest.requests();
        let wanted = (subject, outcome, reason, "datadog");
        let of = counts
            .iter()
            .filter(|count| (count.subject.as_str(), count.outcome, count.reason, count.protocol.as_str()) == wanted);
        of.map(|count| count.count).sum()
    }

    pub(crate) fn items(&self, of: impl Into<Subject>, outcome: &str) -> u64 {
        let counts = self.ingest.outcomes();
        let wanted = (of.into(), outcome);
        counts.iter().filter(|count| (count.signal, count.outcome) == wanted).map(|count| count.count).sum()
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(tokio::time::Instant::now() < deadline, "{what}: {:?}", self.datadog);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// How often spans were counted, by name.
    pub(crate) async fn hits(&self) -> Vec<(String, u64)> {
        let start = START as i64;
        let query = MetricsQuery {
            range: TimeRange { start_ns: start - 60_000_000_000, end_ns: start + 600_000_000_000 },
            step_ns: None,
            service: None,
            environment: None,
            name: None,
            kind: None,
            scope: SpanScope::All,
            group_by: vec![Dimension::Name],
        };
        let rows = self.store.metrics(&query).await.unwrap();
        let mut hits: Vec<_> = rows.into_iter().map(|row| (row.labels[0].clone(), row.red.hits)).collect();
        hits.sort();
        hits
    }
}

pub(crate) async fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes));
    let _ = reading.await.expect("an answer comes and the connection is closed");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(0xd9);
    out.push(u8::try_from(text.len()).unwrap());
    out.extend_from_slice(text.as_bytes());
}

fn number(out: &mut Vec<u8>, number: u64) {
    out.push(0xcf);
    out.extend_from_slice(&number.to_be_bytes());
}

/// A payload of version 0.4: one trace of that many good spans, of which the first is at the top.
pub(crate) fn spans(count: u64) -> Vec<u8> {
    sampled(count, 1)
}

/// The same, with a priority of sampling.
pub(crate) fn sampled(count: u64, priority: u64) -> Vec<u8> {
    let mut out = vec![0x91, 0xdd];
    out.extend_from_slice(&u32::try_from(count).unwrap().to_be_bytes());
    for place in 1..=count {
        out.push(0x89);
        let span_type = if place == 1 { "web" } else { "" };
        for (key, value) in [
            ("service", "shop"),
            ("type", span_type),
            ("name", "flask.request"),
            ("resource", if place == 1 { "GET /" } else { "work" }),
        ] {
            text(&mut out, key);
            text(&mut out, value);
        }
        for (key, value) in [("trace_id", 7), ("span_id", place), ("start", START + place), ("duration", 1_000)] {
            text(&mut out, key);
            number(&mut out, value);
        }
        text(&mut out, "metrics");
        out.push(0x82);
        text(&mut out, "_dd.top_level");
        number(&mut out, u64::from(place == 1));
        text(&mut out, "_sampling_priority_v1");
        number(&mut out, priority);
    }
    out
}

/// Statistics of that many spans at the top.
pub(crate) fn statistics(hits: u64) -> Vec<u8> {
    let mut out = vec![0x81];
    text(&mut out, "Stats");
    out.extend_from_slice(&[0x91, 0x82]);
    text(&mut out, "Start");
    number(&mut out, START);
    text(&mut out, "Stats");
    out.extend_from_slice(&[0x91, 0x86]);
    for (key, value) in [("Service", "shop"), ("Type", "web"), ("Name", "flask.request"), ("Resource", "GET /")] {
        text(&mut out, key);
        text(&mut out, value);
    }
    for (key, value) in [("Hits", hits), ("Duration", 5_000)] {
        text(&mut out, key);
        number(&mut out, value);
    }
    out
}
