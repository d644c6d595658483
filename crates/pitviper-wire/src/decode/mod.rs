//! Reading OTLP: what anybody sends, into the model, within bounds.
//!
//! Ids are taken as they come; an id of the wrong length becomes the invalid id, which validation
//! rejects span by span, so one bad span does not cost its request.

mod compression;
mod json;
mod protobuf;

pub use compression::{ContentEncoding, DecompressError, decompress};
pub use json::traces_from_json;
pub use opentelemetry_proto::tonic::collector::trace::v1 as trace_service;
pub use protobuf::{request_to_model, traces_from_protobuf};

/// The bytes are not an OTLP message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not protobuf, or another message.
    #[error("not an OTLP protobuf message: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// They are not JSON, or another document.
    #[error("not an OTLP JSON document: {0}")]
    Json(#[from] serde_json::Error),
}
