//! OTLP protobuf into the model.

mod logs;
mod metrics;
mod traces;

use std::sync::Arc;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1 as otlp;
use pitviper_model::{Attributes, Resource, Scope, SpanId, TraceId, Value};

pub use logs::logs_from_protobuf;
pub use metrics::metrics_from_protobuf;
pub use traces::traces_from_protobuf;

fn resource(resource: Option<otlp::Resource>, schema_url: String) -> Arc<Resource> {
    let resource = resource.unwrap_or_default();
    Arc::new(Resource {
        attributes: attributes(resource.attributes),
        dropped_attributes_count: resource.dropped_attributes_count,
        schema_url,
    })
}

fn scope(scope: Option<InstrumentationScope>, schema_url: String) -> Arc<Scope> {
    let scope = scope.unwrap_or_default();
    Arc::new(Scope { name: scope.name, version: scope.version, attributes: attributes(scope.attributes), schema_url })
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
