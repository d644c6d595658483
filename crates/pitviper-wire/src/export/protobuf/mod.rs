//! The model as OTLP protobuf.

mod logs;
mod metrics;

pub use logs::logs_to_protobuf;
pub use metrics::metrics_to_protobuf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1 as otlp_resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, Value};
use prost::Message as _;

/// An `ExportTraceServiceRequest` of these spans.
#[must_use]
pub fn traces_to_protobuf(batch: &[ResourceSpans]) -> Vec<u8> {
    let resource_spans = batch.iter().map(resource_spans).collect();
    ExportTraceServiceRequest { resource_spans }.encode_to_vec()
}

fn resource_spans(spans: &ResourceSpans) -> otlp::ResourceSpans {
    otlp::ResourceSpans {
        resource: Some(resource(&spans.resource)),
        scope_spans: spans.scopes.iter().map(scope_spans).collect(),
        schema_url: spans.resource.schema_url.clone(),
    }
}

fn resource(of: &Resource) -> otlp_resource::Resource {
    otlp_resource::Resource {
        attributes: attributes(&of.attributes),
        dropped_attributes_count: of.dropped_attributes_count,
        ..Default::default()
    }
}

fn scope(of: &Scope) -> InstrumentationScope {
    InstrumentationScope {
        name: of.name.clone(),
        version: of.version.clone(),
        attributes: attributes(&of.attributes),
        ..Default::default()
    }
}

fn scope_spans(spans: &ScopeSpans) -> otlp::ScopeSpans {
    otlp::ScopeSpans {
        scope: Some(scope(&spans.scope)),
        spans: spans.spans.iter().map(span).collect(),
        schema_url: spans.scope.schema_url.clone(),
    }
}

fn span(span: &Span) -> otlp::Span {
    otlp::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        parent_span_id: if span.parent_span_id.is_valid() { span.parent_span_id.0.to_vec() } else { Vec::new() },
        trace_state: span.trace_state.clone(),
        flags: span.flags,
        name: span.name.clone(),
        kind: span.kind as i32,
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: attributes(&span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span.events.iter().map(event).collect(),
        dropped_events_count: span.dropped_events_count,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links_count,
        status: Some(otlp::Status { code: span.status.code as i32, message: span.status.message.clone() }),
    }
}

fn event(event: &Event) -> otlp::span::Event {
    otlp::span::Event {
        time_unix_nano: event.time_unix_nano,
        name: event.name.clone(),
        attributes: attributes(&event.attributes),
        dropped_attributes_count: event.dropped_attributes_count,
    }
}

fn link(link: &Link) -> otlp::span::Link {
    otlp::span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        trace_state: link.trace_state.clone(),
        attributes: attributes(&link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    }
}

fn attributes(attributes: &Attributes) -> Vec<KeyValue> {
    attributes
        .iter()
        .map(|(key, value)| KeyValue { key: key.to_owned(), value: Some(any(value)), ..Default::default() })
        .collect()
}

fn any(value: &Value) -> AnyValue {
    let value = match value {
        Value::String(text) => any_value::Value::StringValue(text.clone()),
        Value::Bool(flag) => any_value::Value::BoolValue(*flag),
        Value::Int(number) => any_value::Value::IntValue(*number),
        Value::Double(number) => any_value::Value::DoubleValue(*number),
        Value::Bytes(bytes) => any_value::Value::BytesValue(bytes.clone()),
        Value::Array(values) => any_value::Value::ArrayValue(ArrayValue { values: values.iter().map(any).collect() }),
        Value::Map(list) => any_value::Value::KvlistValue(KeyValueList { values: attributes(list) }),
    };
    AnyValue { value: Some(value) }
}
