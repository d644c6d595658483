//! Zipkin's spans, version 2, as JSON.
//!
//! Source: Zipkin's API, `zipkin2-api.yaml`, and OpenTelemetry's transformation to Zipkin. A server that
//! *shares* its client's span gets an id of its own here and is below the client, for two spans of one id
//! would be one; what it did within itself is below it as far as that came with the same request. Some
//! clients share without saying so, which is seen where both halves come together.

use std::collections::{BTreeMap, HashMap, HashSet};

use pitviper_model::{Attributes, Event, RejectReason, Span, SpanId, SpanKind, TraceId, Value};
use serde::Deserialize;

use super::cost::zipkin_cost;
use super::foreign::{ForeignError, Processes, nanos};
use super::room::Room;
use super::{Decoded, parent_span_id};

/// Reads a list of spans that may take `limit` bytes, each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not that list, or take more room than there is.
pub fn spans(bytes: &[u8], limit: usize, mut may_grow: impl FnMut(usize) -> bool) -> Result<Decoded, ForeignError> {
    let mut room = Room::new(limit, &mut may_grow);
    room.take(zipkin_cost(bytes))?;
    let documents: Vec<SpanDocument> = serde_json::from_slice(bytes)?;
    let shared = shared(&documents);
    let (mut processes, mut rejected) = (Processes::default(), Vec::new());
    for document in documents {
        let service = document.local_endpoint.service_name.clone();
        match document.into_model(&shared, &mut room)? {
            Ok(span) => processes.add(&service, span),
            Err(reason) => rejected.push(reason),
        }
    }
    Ok(Decoded { batch: processes.with(&Attributes::default(), &mut room)?, rejected })
}

/// What a span takes while it is decoded, beyond its text and what hangs on it, in bytes.
pub(super) const SPAN_BYTES: usize = size_of::<SpanDocument>() + 2 * size_of::<Span>();
/// The same for an annotation, the largest thing that hangs on a span.
pub(super) const ANNOTATION_BYTES: usize = size_of::<Annotation>() + size_of::<Event>();
/// The same for a tag.
pub(super) const TAG_BYTES: usize = 2 * size_of::<(String, Value)>();

/// What an event's document takes for each of its bytes, at most.
const BYTES_PER_BYTE: usize = 48;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpanDocument {
    trace_id: String,
    id: String,
    parent_id: Option<String>,
    kind: Option<String>,
    name: Option<String>,
    timestamp: Option<u64>,
    duration: Option<u64>,
    local_endpoint: Endpoint,
    remote_endpoint: Endpoint,
    annotations: Vec<Annotation>,
    tags: BTreeMap<String, String>,
    shared: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Endpoint {
    service_name: String,
    ipv4: String,
    ipv6: String,
    port: Option<u16>,
}

impl Endpoint {
    fn address(self) -> String {
        if self.ipv4.is_empty() { self.ipv6 } else { self.ipv4 }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotation {
    timestamp: u64,
    value: String,
}

/// The ids of shared spans, each with its trace and the service that serves it.
type Shared = HashMap<(TraceId, SpanId), String>;

fn shared(documents: &[SpanDocument]) -> Shared {
    let ids = |document: &SpanDocument| Some((trace_id(&document.trace_id)?, document.id.parse().ok()?));
    let calling: HashSet<(TraceId, SpanId)> =
        documents.iter().filter(|document| document.kind() == Some(SpanKind::Client)).filter_map(ids).collect();
    let serves = |document: &&SpanDocument| {
        let may_share =
            document.kind() == Some(SpanKind::Server) && ids(document).is_some_and(|ids| calling.contains(&ids));
        document.shared == Some(true) || may_share
    };
    let pair = |document: &SpanDocument| Some((ids(document)?, document.local_endpoint.service_name.clone()));
    documents.iter().filter(serves).filter_map(pair).collect()
}

/// The id of the server's half of a shared span.
fn servers_half(id: SpanId) -> SpanId {
    SpanId(id.0.map(|byte| !byte))
}

/// Of 16 or 32 digits.
fn trace_id(text: &str) -> Option<TraceId> {
    match text.len() {
        1..32 => format!("{text:0>32}").parse().ok(),
        _ => text.parse().ok(),
    }
}

impl SpanDocument {
    fn kind(&self) -> Option<SpanKind> {
        SpanKind::parse(&self.kind.as_deref()?.to_ascii_lowercase())
    }

    fn into_model(self, shared: &Shared, room: &mut Room<'_>) -> Result<Result<Span, RejectReason>, ForeignError> {
        // What is no id becomes the invalid one, which validation rejects with its reason.
        let trace_id = trace_id(&self.trace_id).unwrap_or_default();
        let id: SpanId = self.id.parse().unwrap_or_default();
        let parent = self.parent_id.as_deref().unwrap_or_default();
        let parent = match parent_span_id(parent.is_empty(), parent.parse().ok()) {
            Ok(parent) => parent,
            Err(reason) => return Ok(Err(reason)),
        };
        let kind = self.kind();
        let is_shared_by =
            |id| shared.get(&(trace_id, id)).is_some_and(|serving| *serving == self.local_endpoint.service_name);
        let (span_id, parent_span_id) = if is_shared_by(id) && kind != Some(SpanKind::Client) {
            (servers_half(id), id)
        } else if is_shared_by(parent) {
            (id, servers_half(parent))
        } else {
            (id, parent)
        };
        let start = nanos(self.timestamp.unwrap_or_default());
        let mut span = Span {
            trace_id,
            span_id,
            parent_span_id,
            name: self.name.unwrap_or_default(),
            kind: kind.unwrap_or(SpanKind::Internal),
            start_time_unix_nano: start,
            end_time_unix_nano: start.saturating_add(nanos(self.duration.unwrap_or_default())),
            ..Span::default()
        };
        for (key, value) in self.tags {
            span.attributes.0.push((key, Value::String(value)));
        }
        let mut add = |key: &str, value: Value| {
            if value != Value::String(String::new()) && span.attributes.get(key).is_none() {
                span.attributes.0.push((key.to_owned(), value));
            }
        };
        let peer = self.remote_endpoint;
        if let Some(port) = peer.port {
            add("network.peer.port", Value::Int(port.into()));
        }
        add("peer.service", Value::String(peer.service_name.clone()));
        add("network.peer.address", Value::String(peer.address()));
        for annotation in self.annotations {
            room.take(annotation.value.len().saturating_mul(BYTES_PER_BYTE))?;
            span.events.push(annotation.into_model());
        }
        Ok(Ok(span))
    }
}

impl Annotation {
    /// OpenTelemetry's exporters write an event as a document, `{"name": {"key": value}}`.
    fn into_model(self) -> Event {
        let time_unix_nano = nanos(self.timestamp);
        let document = self.value.starts_with('{').then(|| serde_json::from_str::<EventDocument>(&self.value));
        if let Some(Ok(EventDocument(mut events))) = document
            && events.len() == 1
            && let Some((name, attributes)) = events.pop_first()
        {
            let text = |value: serde_json::Value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            let attributes = attributes.into_iter().map(|(key, value)| (key, Value::String(text(value)))).collect();
            return Event { time_unix_nano, name, attributes: Attributes(attributes), ..Event::default() };
        }
        Event { time_unix_nano, name: self.value, ..Event::default() }
    }
}

#[derive(Debug, Deserialize)]
struct EventDocument(BTreeMap<String, BTreeMap<String, serde_json::Value>>);

#[cfg(test)]
mod tests {
    use pitviper_model::StatusCode;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Decoded {
        spans(text.as_bytes(), usize::MAX, |_| true).unwrap()
    }

    #[test]
    fn a_span_is_read_whole() {
        let decoded = read(
            r#"[{"traceId":"5af7183fb1d4cf5f","parentId":"6b221d5bc9e6496c","id":"352bff9a74ca9ad2","kind":"CLIENT",
            "name":"get /api","timestamp":1556604172355737,"duration":1431,"debug":true,
            "localEndpoint":{"serviceName":"backend","ipv4":"192.168.99.1","port":3306},
            "remoteEndpoint":{"serviceName":"db","ipv4":"172.19.0.2","port":58648},
            "annotations":[{"timestamp":1556604172355800,"value":"retry"},
            {"timestamp":1,"value":"{\"exception\": {\"exception.type\": \"KeyError\"}}"}],
            "tags":{"http.status_code":"503","error":"too slow","otel.scope.name":"brave","service.version":"2"}}]"#,
        );
        let [process] = &decoded.batch[..] else { panic!("{decoded:?}") };
        assert_eq!(process.resource.attributes.get("service.name").and_then(Value::as_str), Some("backend"));
        assert_eq!(process.scopes[0].scope.name, "brave");
        let [span] = &process.scopes[0].spans[..] else { panic!("{process:?}") };
        assert_eq!(span.trace_id.to_string(), "00000000000000005af7183fb1d4cf5f");
        assert_eq!((span.kind, span.name.as_str()), (SpanKind::Client, "get /api"));
        assert_eq!(span.duration_nano(), 1_431_000);
        assert_eq!((span.status.code, span.status.message.as_str()), (StatusCode::Error, "too slow"));
        assert_eq!(span.attributes.get("http.status_code"), Some(&Value::Int(503)));
        assert_eq!(span.attributes.get("network.peer.port"), Some(&Value::Int(58_648)));
        assert_eq!(span.attributes.get("peer.service").and_then(Value::as_str), Some("db"));
        assert_eq!(process.resource.attributes.get("service.version").and_then(Value::as_str), Some("2"));
        let exception = span.events[1].attributes.get("exception.type").and_then(Value::as_str);
        assert_eq!((span.events[1].name.as_str(), exception), ("exception", Some("KeyError")));
        assert_eq!((span.events[0].name.as_str(), span.events[0].time_unix_nano), ("retry", 1_556_604_172_355_800_000));
    }

    const SHARED: &str = r#"[{"traceId":"1","id":"00000000000000aa","kind":"CLIENT","localEndpoint":{"serviceName":"front"}},
            {"traceId":"1","id":"00000000000000aa","kind":"SERVER","shared":true,"localEndpoint":{"serviceName":"back"}},
            {"traceId":"1","id":"00000000000000bb","parentId":"00000000000000aa","localEndpoint":{"serviceName":"back"}},
            {"traceId":"1","id":"00000000000000cc","parentId":"00000000000000aa","localEndpoint":{"serviceName":"front"}}]"#;

    #[test]
    fn a_shared_span_becomes_two() {
        let decoded = read(SHARED);
        // Zipkin's own client for Python does not say that it shares.
        let silent = SHARED.replace(r#""shared":true,"#, "");
        assert_eq!(decoded, read(&silent));
        let all: Vec<(String, String)> = decoded
            .batch
            .iter()
            .flat_map(|process| &process.scopes[0].spans)
            .map(|span| (span.span_id.to_string(), span.parent_span_id.to_string()))
            .collect();
        let expect = [
            ("ffffffffffffff55", "00000000000000aa"),
            ("00000000000000bb", "ffffffffffffff55"),
            ("00000000000000aa", "0000000000000000"),
            ("00000000000000cc", "00000000000000aa"),
        ];
        assert_eq!(all, expect.map(|(id, parent)| (id.to_owned(), parent.to_owned())));
    }

    #[test]
    fn what_is_no_list_of_spans_is_refused_and_a_bomb_costs_nothing() {
        for text in ["", "{}", "[1]", r#"[{"tags":1}]"#] {
            assert!(matches!(spans(text.as_bytes(), usize::MAX, |_| true), Err(ForeignError::Json(_))), "{text}");
        }
        let bomb = format!("[{}]", vec!["{}"; 100_000].join(","));
        assert!(matches!(spans(bomb.as_bytes(), 1_000_000, |_| true), Err(ForeignError::Room(_))));
        let deep = "[".repeat(100_000);
        assert!(spans(deep.as_bytes(), usize::MAX, |_| true).is_err());
        let decoded = read(r#"[{"traceId":"zz","id":"1","parentId":"nothing"}]"#);
        assert_eq!(decoded.rejected, [RejectReason::InvalidParentSpanId]);
    }

    proptest! {
        #[test]
        fn hostile_documents_never_break(text in r#"[\[\]{}:,"a-z0-9A-Z ]{0,200}"#, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = spans(text.as_bytes(), usize::MAX, |_| true);
            let _ = spans(&bytes, usize::MAX, |_| true);
        }
    }
}
