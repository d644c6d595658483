//! The model as OTLP/JSON, on one line. Source: OTLP specification, "JSON Protobuf Encoding": ids are hex,
//! 64-bit integers are text, enums are numbers, bytes are base64.

mod logs;
mod metrics;

use std::fmt::Write as _;

use base64::Engine as _;
pub use logs::logs_to_json;
pub use metrics::metrics_to_json;
use pitviper_model::{Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Value};

/// An `ExportTraceServiceRequest` document of these spans, without a line break.
#[must_use]
pub fn traces_to_json(batch: &[ResourceSpans]) -> String {
    let mut out = String::from("{\"resourceSpans\":");
    list(batch, &mut out, resource_spans);
    out.push('}');
    out
}

fn list<T>(items: impl IntoIterator<Item = T>, out: &mut String, write: impl Fn(T, &mut String)) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

fn text(text: &str, out: &mut String) {
    out.push_str(&serde_json::to_string(text).expect("text is always JSON"));
}

fn resource_spans(spans: &ResourceSpans, out: &mut String) {
    resource(&spans.resource, out);
    out.push_str(",\"scopeSpans\":");
    list(&spans.scopes, out, scope_spans);
    schema_url(&spans.resource.schema_url, out);
    out.push('}');
}

/// Begins an object with what sent it.
fn resource(resource: &Resource, out: &mut String) {
    out.push_str("{\"resource\":{\"attributes\":");
    attributes(&resource.attributes, out);
    let _ = write!(out, ",\"droppedAttributesCount\":{}}}", resource.dropped_attributes_count);
}

/// Begins an object with the library that made it.
fn scope(scope: &Scope, out: &mut String) {
    out.push_str("{\"scope\":{\"name\":");
    text(&scope.name, out);
    out.push_str(",\"version\":");
    text(&scope.version, out);
    out.push_str(",\"attributes\":");
    attributes(&scope.attributes, out);
    out.push('}');
}

fn schema_url(url: &str, out: &mut String) {
    if !url.is_empty() {
        out.push_str(",\"schemaUrl\":");
        text(url, out);
    }
}

fn scope_spans(spans: &ScopeSpans, out: &mut String) {
    scope(&spans.scope, out);
    out.push_str(",\"spans\":");
    list(&spans.spans, out, span);
    schema_url(&spans.scope.schema_url, out);
    out.push('}');
}

fn span(span: &Span, out: &mut String) {
    let _ = write!(out, "{{\"traceId\":\"{}\",\"spanId\":\"{}\"", span.trace_id, span.span_id);
    if span.parent_span_id.is_valid() {
        let _ = write!(out, ",\"parentSpanId\":\"{}\"", span.parent_span_id);
    }
    out.push_str(",\"traceState\":");
    text(&span.trace_state, out);
    let _ = write!(out, ",\"flags\":{},\"name\":", span.flags);
    text(&span.name, out);
    let _ = write!(
        out,
        ",\"kind\":{},\"startTimeUnixNano\":\"{}\",\"endTimeUnixNano\":\"{}\",\"attributes\":",
        span.kind as i32, span.start_time_unix_nano, span.end_time_unix_nano
    );
    attributes(&span.attributes, out);
    let _ = write!(out, ",\"droppedAttributesCount\":{},\"events\":", span.dropped_attributes_count);
    list(&span.events, out, event);
    let _ = write!(out, ",\"droppedEventsCount\":{},\"links\":", span.dropped_events_count);
    list(&span.links, out, link);
    let _ = write!(out, ",\"droppedLinksCount\":{},\"status\":{{\"message\":", span.dropped_links_count);
    text(&span.status.message, out);
    let _ = write!(out, ",\"code\":{}}}}}", span.status.code as i32);
}

fn event(event: &Event, out: &mut String) {
    let _ = write!(out, "{{\"timeUnixNano\":\"{}\",\"name\":", event.time_unix_nano);
    text(&event.name, out);
    out.push_str(",\"attributes\":");
    attributes(&event.attributes, out);
    let _ = write!(out, ",\"droppedAttributesCount\":{}}}", event.dropped_attributes_count);
}

fn link(link: &Link, out: &mut String) {
    let _ = write!(out, "{{\"traceId\":\"{}\",\"spanId\":\"{}\",\"traceState\":", link.trace_id, link.span_id);
    text(&link.trace_state, out);
    out.push_str(",\"attributes\":");
    attributes(&link.attributes, out);
    let _ = write!(out, ",\"droppedAttributesCount\":{},\"flags\":{}}}", link.dropped_attributes_count, link.flags);
}

fn attributes(attributes: &Attributes, out: &mut String) {
    list(attributes.iter(), out, |(key, own), out| {
        out.push_str("{\"key\":");
        text(key, out);
        out.push_str(",\"value\":");
        value(own, out);
        out.push('}');
    });
}

fn value(value: &Value, out: &mut String) {
    match value {
        Value::String(own) => {
            out.push_str("{\"stringValue\":");
            text(own, out);
        }
        Value::Bool(flag) => {
            let _ = write!(out, "{{\"boolValue\":{flag}");
        }
        Value::Int(number) => {
            let _ = write!(out, "{{\"intValue\":\"{number}\"");
        }
        Value::Double(number) => {
            out.push_str("{\"doubleValue\":");
            double(*number, out);
        }
        Value::Bytes(bytes) => {
            let _ = write!(out, "{{\"bytesValue\":\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes));
        }
        Value::Array(values) => {
            out.push_str("{\"arrayValue\":{\"values\":");
            list(values, out, self::value);
            out.push('}');
        }
        Value::Map(list) => {
            out.push_str("{\"kvlistValue\":{\"values\":");
            attributes(list, out);
            out.push('}');
        }
    }
    out.push('}');
}

/// A number where readers agree on it, and text, which is read exactly, elsewhere.
fn double(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str("\"NaN\"");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        let text = format!("{number:?}");
        let is_exact = serde_json::from_str::<f64>(&text).is_ok_and(|read| read.to_bits() == number.to_bits());
        let quote = if is_exact { "" } else { "\"" };
        let _ = write!(out, "{quote}{text}{quote}");
    }
}
