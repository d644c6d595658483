//! OTLP protobuf into the model.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{
    Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
    TraceId, Value,
};
use prost::Message;

use super::DecodeError;

/// Reads an `ExportTraceServiceRequest`.
///
/// # Errors
/// When the bytes are not that message.
pub fn traces_from_protobuf(bytes: &[u8]) -> Result<Vec<ResourceSpans>, DecodeError> {
    Ok(request_to_model(ExportTraceServiceRequest::decode(bytes)?))
}

/// Moves a decoded request into the model.
#[must_use]
pub fn request_to_model(request: ExportTraceServiceRequest) -> Vec<ResourceSpans> {
    request
        .resource_spans
        .into_iter()
        .map(|resource_spans| {
            let resource = resource_spans.resource.unwrap_or_default();
            ResourceSpans {
                resource: Arc::new(Resource {
                    attributes: attributes(resource.attributes),
                    dropped_attributes_count: resource.dropped_attributes_count,
                }),
                scopes: resource_spans
                    .scope_spans
                    .into_iter()
                    .map(|scope_spans| ScopeSpans {
                        scope: Arc::new(scope(scope_spans.scope.unwrap_or_default())),
                        spans: scope_spans.spans.into_iter().map(span).collect(),
                    })
                    .collect(),
            }
        })
        .collect()
}

fn scope(scope: InstrumentationScope) -> Scope {
    Scope { name: scope.name, version: scope.version, attributes: attributes(scope.attributes) }
}

fn span(span: otlp::Span) -> Span {
    let status = span.status.unwrap_or_default();
    Span {
        trace_id: trace_id(&span.trace_id),
        span_id: span_id(&span.span_id),
        parent_span_id: span_id(&span.parent_span_id),
        trace_state: span.trace_state,
        flags: span.flags,
        name: span.name,
        kind: SpanKind::from_otlp(span.kind),
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span
            .events
            .into_iter()
            .map(|event| Event {
                time_unix_nano: event.time_unix_nano,
                name: event.name,
                attributes: attributes(event.attributes),
                dropped_attributes_count: event.dropped_attributes_count,
            })
            .collect(),
        dropped_events_count: span.dropped_events_count,
        links: span
            .links
            .into_iter()
            .map(|link| Link {
                trace_id: trace_id(&link.trace_id),
                span_id: span_id(&link.span_id),
                trace_state: link.trace_state,
                attributes: attributes(link.attributes),
                dropped_attributes_count: link.dropped_attributes_count,
                flags: link.flags,
            })
            .collect(),
        dropped_links_count: span.dropped_links_count,
        status: Status { code: StatusCode::from_otlp(status.code), message: status.message },
    }
}

fn trace_id(bytes: &[u8]) -> TraceId {
    TraceId::from_slice(bytes).unwrap_or_default()
}

fn span_id(bytes: &[u8]) -> SpanId {
    SpanId::from_slice(bytes).unwrap_or_default()
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    Attributes(pairs.into_iter().map(|pair| (pair.key, value(pair.value.unwrap_or_default()))).collect())
}

fn value(any: AnyValue) -> Value {
    match any.value {
        Some(any_value::Value::StringValue(text)) => Value::String(text),
        Some(any_value::Value::BoolValue(flag)) => Value::Bool(flag),
        Some(any_value::Value::IntValue(number)) => Value::Int(number),
        Some(any_value::Value::DoubleValue(number)) => Value::Double(number),
        Some(any_value::Value::BytesValue(bytes)) => Value::Bytes(bytes),
        Some(any_value::Value::ArrayValue(array)) => Value::Array(array.values.into_iter().map(value).collect()),
        Some(any_value::Value::KvlistValue(list)) => Value::Map(attributes(list.values)),
        // An index into a table only profiles have, or nothing: an empty value.
        Some(any_value::Value::StringValueStrindex(_)) | None => Value::String(String::new()),
    }
}
