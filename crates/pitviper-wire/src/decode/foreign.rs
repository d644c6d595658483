//! What Zipkin's and Jaeger's spans have in common: tags that say what OpenTelemetry's model has fields for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pitviper_model::{Attributes, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanKind, StatusCode, Value};

use super::room::{Room, RoomError};

/// Why a request of another system's client is not read.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It is not JSON, or another document.
    #[error("not a list of Zipkin's spans, version 2: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not Thrift's binary protocol, or another structure.
    #[error("not a batch of Jaeger's spans in Thrift's binary protocol: {0}")]
    Thrift(&'static str),
    /// There is no room for it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Tags with whole numbers, which Zipkin has as text.
const INTEGERS: [&str; 6] = [
    "http.response.status_code",
    "http.status_code",
    "net.peer.port",
    "network.peer.port",
    "server.port",
    "messaging.batch.message_count",
];

/// The library that made a span: name and version.
type Library = (String, String);
/// What spans say of the process that made them, in order.
type Process = Vec<(String, String)>;
type Libraries = BTreeMap<Library, Vec<Span>>;

/// Names of what a process is begin with one of these. OpenTelemetry's exporters for Zipkin and Jaeger say it
/// again with every span.
const OF_PROCESS: [&str; 11] = [
    "cloud.",
    "container.",
    "deployment.",
    "faas.",
    "host.",
    "k8s.",
    "os.",
    "process.",
    "service.",
    "telemetry.",
    "webengine.",
];

/// Spans by their processes and the libraries that made them.
#[derive(Debug, Default)]
pub(super) struct Processes(BTreeMap<Process, Libraries>);

impl Processes {
    /// Adds a span of a service, with its tags: those that mean something to the model are taken out of its
    /// attributes.
    pub(super) fn add(&mut self, service: &str, mut span: Span) {
        let (library, mut process) = take_meaning(&mut span);
        process.retain(|(key, _)| key != "service.name");
        if !service.is_empty() {
            process.push(("service.name".to_owned(), service.to_owned()));
        }
        process.sort_unstable();
        self.0.entry(process).or_default().entry(library).or_default().push(span);
    }

    /// The spans, each process with what else is known of all of them. That is there once a process, so it is
    /// asked for each time: a batch may name many.
    pub(super) fn with(self, common: &Attributes, room: &mut Room<'_>) -> Result<Vec<ResourceSpans>, RoomError> {
        let common_bytes = bytes_of(common);
        let mut batch = Vec::with_capacity(self.0.len());
        for (process, libraries) in self.0 {
            room.take(common_bytes)?;
            let mut attributes = common.clone();
            attributes.0.extend(process.into_iter().map(|(key, value)| (key, Value::String(value))));
            let scopes = libraries.into_iter().map(|((name, version), spans)| ScopeSpans {
                scope: Arc::new(Scope { name, version, ..Scope::default() }),
                spans,
            });
            let resource = Resource { attributes: unique(attributes), ..Resource::default() };
            batch.push(ResourceSpans { resource: Arc::new(resource), scopes: scopes.collect() });
        }
        Ok(batch)
    }
}

/// About how many bytes attributes take.
fn bytes_of(attributes: &Attributes) -> usize {
    let text = |value: &Value| match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    };
    attributes.0.iter().map(|(key, value)| size_of::<(String, Value)>() + key.len() + text(value)).sum()
}

/// Reads kind, status, library and process from tags. Source: OpenTelemetry's transformations to Zipkin and Jaeger,
/// and OpenTracing's semantic conventions.
fn take_meaning(span: &mut Span) -> (Library, Process) {
    let (mut library, mut process) = (Library::default(), Vec::new());
    let mut says_error = false;
    let mut message = String::new();
    let mut kept = Attributes::default();
    for (key, value) in std::mem::take(&mut span.attributes).0 {
        let text = value.as_str().unwrap_or_default();
        match key.as_str() {
            "span.kind" => span.kind = SpanKind::parse(&text.to_ascii_lowercase()).unwrap_or(span.kind),
            "otel.status_code" => match text.to_ascii_uppercase().as_str() {
                "ERROR" => says_error = true,
                "OK" => span.status.code = StatusCode::Ok,
                _ => {}
            },
            "otel.status_description" => text.clone_into(&mut message),
            // In Zipkin any value but `false` is an error, and may be its message.
            "error" => match value {
                Value::Bool(is_error) => says_error |= is_error,
                Value::String(text) if text.eq_ignore_ascii_case("false") => {}
                Value::String(text) => {
                    says_error = true;
                    if !text.eq_ignore_ascii_case("true") && message.is_empty() {
                        message = text;
                    }
                }
                _ => says_error = true,
            },
            "otel.scope.name" | "otel.library.name" => text.clone_into(&mut library.0),
            "otel.scope.version" | "otel.library.version" => text.clone_into(&mut library.1),
            // How OpenTelemetry's exporter for Jaeger marks what the model has anyway.
            "internal.span.format" => {}
            key if OF_PROCESS.iter().any(|prefix| key.starts_with(prefix)) => {
                process.push((key.to_owned(), value.to_text()));
            }
            _ => kept.0.push((key.clone(), as_number(&key, value))),
        }
    }
    if says_error {
        span.status.code = StatusCode::Error;
        span.status.message = message;
    }
    span.attributes = kept;
    (library, process)
}

fn as_number(key: &str, value: Value) -> Value {
    match value {
        Value::String(text) if INTEGERS.contains(&key) => text.parse().map_or(Value::String(text), Value::Int),
        value => value,
    }
}

/// The same without earlier values of a key, in time that grows with their number and not with its square.
pub(super) fn unique(tags: Attributes) -> Attributes {
    let mut places = HashMap::with_capacity(tags.0.len());
    let mut kept: Vec<(String, Value)> = Vec::with_capacity(tags.0.len());
    for (key, value) in tags.0 {
        match places.get(&key) {
            Some(&at) => {
                let (_, known): &mut (String, Value) = &mut kept[at];
                *known = value;
            }
            None => {
                places.insert(key.clone(), kept.len());
                kept.push((key, value));
            }
        }
    }
    Attributes(kept)
}

/// Nanoseconds of microseconds since the epoch; what is beyond the range is the end of it, which validation
/// rejects.
pub(super) fn nanos(micros: u64) -> u64 {
    micros.saturating_mul(1_000)
}
