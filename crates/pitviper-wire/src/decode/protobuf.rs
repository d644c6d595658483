//! OTLP protobuf into the model.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{
    Attributes, Event, Link, RejectReason, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
    StatusCode, TraceId, Value,
};
use prost::Message;

use super::{DecodeError, Decoded, parent_span_id};

/// Reads an `ExportTraceServiceRequest`.
///
/// # Errors
/// When the bytes are not that message.
pub fn traces_from_protobuf(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let request = ExportTraceServiceRequest::decode(bytes)?;
    let mut rejected = Vec::new();
    let batch = request
        .resource_spans
        .into_iter()
        .map(|resource_spans| {
            let resource = resource_spans.resource.unwrap_or_default();
            ResourceSpans {
                resource: Arc::new(Resource {
                    attributes: attributes(resource.attributes),
                    dropped_attributes_count: resource.dropped_attributes_count,
                }),
                scopes: resource_spans.scope_spans.into_iter().map(|spans| scope_spans(spans, &mut rejected)).collect(),
            }
        })
        .collect();
    Ok(Decoded { batch, rejected })
}

fn scope_spans(scope_spans: otlp::ScopeSpans, rejected: &mut Vec<RejectReason>) -> ScopeSpans {
    let mut spans = Vec::with_capacity(scope_spans.spans.len());
    for sent in scope_spans.spans {
        match span(sent) {
            Ok(span) => spans.push(span),
            Err(reason) => rejected.push(reason),
        }
    }
    ScopeSpans { scope: Arc::new(scope(scope_spans.scope.unwrap_or_default())), spans }
}

fn scope(scope: InstrumentationScope) -> Scope {
    Scope { name: scope.name, version: scope.version, attributes: attributes(scope.attributes) }
}

fn span(span: otlp::Span) -> Result<Span, RejectReason> {
    let status = span.status.unwrap_or_default();
    Ok(Span {
        trace_id: trace_id(&span.trace_id),
        span_id: span_id(&span.span_id),
        parent_span_id: parent_span_id(span.parent_span_id.is_empty(), SpanId::from_slice(&span.parent_span_id))?,
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
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_no_id_does_not_make_a_root() {
        let parents = [vec![], vec![0; 8], vec![7; 8], vec![7; 7], vec![7; 9], vec![0; 16]];
        let spans = parents.map(|parent_span_id| otlp::Span { parent_span_id, ..otlp::Span::default() }).into();
        let scope_spans = vec![otlp::ScopeSpans { spans, ..otlp::ScopeSpans::default() }];
        let resource_spans = vec![otlp::ResourceSpans { scope_spans, ..otlp::ResourceSpans::default() }];
        let decoded = traces_from_protobuf(&ExportTraceServiceRequest { resource_spans }.encode_to_vec()).unwrap();
        let kept: Vec<_> = decoded.batch[0].scopes[0].spans.iter().map(|span| span.parent_span_id).collect();
        assert_eq!(kept, [SpanId::INVALID, SpanId::INVALID, SpanId([7; 8])]);
        assert_eq!(decoded.rejected, [RejectReason::InvalidParentSpanId; 3]);
    }
}
