//! Starts servers, speaks HTTP and makes spans.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValueValue;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::Value;

/// The longest anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The binary under test, with an environment that holds nothing of the developer's.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pitviper-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PITVIPER_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut child = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("{arguments:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) http: String,
    pub(crate) otlp_http: String,
    pub(crate) otlp_grpc: String,
    log: PathBuf,
}

impl Server {
    /// Starts a server on free ports of loopback.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[], &[])
    }

    pub(crate) fn start_with(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let ready_file = dir.join("ready.json");
        // Left behind by a server that was killed; the new one clears it as well, but later.
        let _ = std::fs::remove_file(&ready_file);
        let log = dir.join("server.log");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let child = command()
            .args(["serve", "--http", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"])
            .args(["--datadog", "127.0.0.1:0", "--dogstatsd", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--ready-file")
            .arg(&ready_file)
            .args(arguments)
            .envs(environment.iter().copied())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let mut server = Self { child, http: String::new(), otlp_http: String::new(), otlp_grpc: String::new(), log };
        let deadline = Instant::now() + PATIENCE;
        let ready = loop {
            if let Ok(text) = std::fs::read_to_string(&ready_file) {
                break serde_json::from_str::<Value>(&text).expect("the ready file is written in one step");
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {}", server.log());
            }
            assert!(Instant::now() < deadline, "the server is not ready: {}", server.log());
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(ready["pid"], server.child.id());
        let address = |name: &str| ready[name].as_str().unwrap().to_owned();
        server.http = address("http");
        server.otlp_http = address("otlp_http");
        server.otlp_grpc = address("otlp_grpc");
        server
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal("-TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not stop: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        send(&self.http, &Request::get(path)).unwrap()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        send(&self.http, &Request::post(path, "application/json", body.to_string().as_bytes())).unwrap()
    }

    /// Posts spans as protobuf to the OTLP port.
    pub(crate) fn export(&self, request: &ExportTraceServiceRequest) -> Answer {
        export(&self.otlp_http, request).unwrap()
    }

    /// Asks until the answer is right. Returns how long that took.
    pub(crate) fn wait_for(&self, path: &str, is_right: impl Fn(&Answer) -> bool) -> Duration {
        let started = Instant::now();
        loop {
            let answer = self.get(path);
            if is_right(&answer) {
                return started.elapsed();
            }
            assert!(started.elapsed() < PATIENCE, "{path} still answers {} {}", answer.status, answer.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks until there is what was looked for.
    pub(crate) fn wait_until<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(started.elapsed() < PATIENCE, "{what} did not come from {}", self.http);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP request.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn get(path: &str) -> Self {
        Self { method: "GET", path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn post(path: &str, content_type: &str, body: &[u8]) -> Self {
        let request = Self { method: "POST", body: body.to_vec(), ..Self::get(path) };
        request.header("content-type", content_type)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The data of a successful answer.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["data"].take()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Checks that this is a problem document of that status and code.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{body}");
        assert_eq!((&body["status"], &body["code"]), (&status.into(), &code.into()), "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        body
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn send(address: &str, request: &Request) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", request.method, request.path);
    if !request.headers.iter().any(|(name, _)| name == "host") {
        head += &format!("host: {address}\r\n");
    }
    for (name, value) in &request.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", request.body.len());
    let mut message = head.into_bytes();
    message.extend_from_slice(&request.body);
    stream.write_all(&message)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    read_answer(&answer).ok_or_else(|| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}

fn read_answer(message: &[u8]) -> Option<Answer> {
    let end = message.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&message[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut rest = &message[end + 4..];
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let line = rest.windows(2).position(|window| window == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
            rest = &rest[line + 2 + size + 2..];
        }
    } else {
        let length: usize = headers.get("content-length").map_or(Some(rest.len()), |length| length.parse().ok())?;
        body.extend_from_slice(rest.get(..length)?);
    }
    Some(Answer { status, headers, body })
}

pub(crate) fn export(address: &str, request: &ExportTraceServiceRequest) -> std::io::Result<Answer> {
    send(address, &Request::post("/v1/traces", "application/x-protobuf", &prost::Message::encode_to_vec(request)))
}

/// The current time in nanoseconds since the epoch.
pub(crate) fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, AnyValueValue::StringValue(value.to_owned()))
}

pub(crate) fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, AnyValueValue::IntValue(value))
}

fn attribute(key: &str, value: AnyValueValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

/// A span; `kind` by its OTLP number, times in nanoseconds.
pub(crate) fn span(trace: [u8; 16], id: u64, parent: u64, name: &str, kind: i32, start: u64, duration: u64) -> Span {
    Span {
        trace_id: trace.to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: if parent == 0 { Vec::new() } else { parent.to_be_bytes().to_vec() },
        name: name.to_owned(),
        kind,
        start_time_unix_nano: start,
        end_time_unix_nano: start + duration,
        ..Default::default()
    }
}

pub(crate) fn failed(span: Span, message: &str) -> Span {
    Span { status: Some(Status { code: 2, message: message.to_owned() }), ..span }
}

/// One process's spans as a request.
pub(crate) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let attributes = vec![
        text("service.name", service),
        text("service.version", "2.1.0"),
        text("deployment.environment.name", "test"),
        text("service.instance.id", &format!("{service}-1")),
        text("telemetry.sdk.language", "python"),
        text("process.runtime.version", "3.11.7"),
    ];
    let scope = InstrumentationScope { name: "pitviper.flask".into(), version: "3.1.0".into(), ..Default::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource { attributes, ..Default::default() }),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
            ..Default::default()
        }],
    }
}
