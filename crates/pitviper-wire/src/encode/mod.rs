//! Writing OTLP protobuf by hand, append-only.
//!
//! A span's attributes are encoded when they are set, so nothing is converted later and a finished
//! span is one slice of bytes. Source for the layout: opentelemetry-proto, `trace/v1/trace.proto`,
//! `metrics/v1/metrics.proto`, `logs/v1/logs.proto` and `common/v1/common.proto`; protobuf allows
//! fields in any order. The envelopes of spans, logs and metrics (resource, scope, items) have the
//! same layout, so [`append_resource_spans`] serves all three.

mod attributes;
mod log;
mod metric;
mod protobuf;
mod read;
mod response;
mod span;

pub use attributes::{AttributeList, Scalar, append_attribute_fields, append_key_value};
pub use log::{Body, LogHead, append_log_record};
pub use metric::{
    ExemplarRef, PointHead, append_exponential_histogram_point, append_histogram_point, append_metric,
    append_number_point,
};
pub use response::rejected_items;
pub use span::{SpanEncoder, SpanHead, append_link, append_resource_spans};
