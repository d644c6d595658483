//! Links and events that version 0.5 has as JSON within a text.

use pitviper_model::{Attributes, Event, Link, SpanId, TraceId, Value};
use serde::Deserialize;

use crate::decode::room::{Room, RoomError};

/// How much larger than its text JSON may be in memory: a list of empty lists.
const BYTES_PER_BYTE: usize = 48;

#[derive(Deserialize, Default)]
#[serde(default)]
struct JsonEvent {
    name: String,
    time_unix_nano: u64,
    attributes: serde_json::Map<String, serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct JsonLink {
    trace_id: String,
    span_id: String,
    tracestate: String,
    flags: u32,
    attributes: serde_json::Map<String, serde_json::Value>,
}

/// The events in this text; none when it is not what it should be.
pub(super) fn events(text: &str, room: &mut Room<'_>) -> Result<Vec<Event>, RoomError> {
    room.take(text.len().saturating_mul(BYTES_PER_BYTE))?;
    let events: Vec<JsonEvent> = serde_json::from_str(text).unwrap_or_default();
    let event = |event: JsonEvent| Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name,
        attributes: attributes(event.attributes),
        ..Event::default()
    };
    Ok(events.into_iter().map(event).collect())
}

/// The links in this text; none when it is not what it should be.
pub(super) fn links(text: &str, room: &mut Room<'_>) -> Result<Vec<Link>, RoomError> {
    room.take(text.len().saturating_mul(BYTES_PER_BYTE))?;
    let links: Vec<JsonLink> = serde_json::from_str(text).unwrap_or_default();
    let link = |link: JsonLink| Link {
        trace_id: format!("{:0>32}", link.trace_id).parse().unwrap_or(TraceId::INVALID),
        span_id: format!("{:0>16}", link.span_id).parse().unwrap_or(SpanId::INVALID),
        trace_state: link.tracestate,
        attributes: attributes(link.attributes),
        flags: link.flags & 0xff,
        ..Link::default()
    };
    Ok(links.into_iter().map(link).collect())
}

fn attributes(map: serde_json::Map<String, serde_json::Value>) -> Attributes {
    Attributes(map.into_iter().map(|(key, json)| (key, value(json))).collect())
}

fn value(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::String(String::new()),
        serde_json::Value::Bool(flag) => Value::Bool(flag),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Double(number.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::Array(values.into_iter().map(value).collect()),
        serde_json::Value::Object(map) => Value::Map(attributes(map)),
    }
}
