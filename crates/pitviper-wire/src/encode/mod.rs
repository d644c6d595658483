//! Writing OTLP protobuf by hand, append-only.
//!
//! A span's attributes are encoded when they are set, so nothing is converted later and a finished
//! span is one slice of bytes. Source for the layout: opentelemetry-proto, `trace/v1/trace.proto`
//! and `common/v1/common.proto`; protobuf allows fields in any order.

mod attributes;
mod protobuf;
mod response;
mod span;

pub use attributes::{AttributeList, Scalar, append_key_value};
pub use response::rejected_spans;
pub use span::{SpanEncoder, SpanHead, append_link, append_resource_spans, append_scope_spans};
