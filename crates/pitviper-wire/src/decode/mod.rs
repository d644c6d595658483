//! Reading OTLP: what anybody sends, into the model, within bounds.
//!
//! Ids are taken as they come; an id of the wrong length becomes the invalid id, which validation
//! rejects span by span, so one bad span does not cost its request. Of a parent's id alone that
//! would make a root, so a span whose parent id is malformed is rejected here.
//!
//! Whoever decodes what strangers send asks first what it will cost ([`protobuf_cost`],
//! [`json_cost`]).

mod compression;
mod cost;
mod json;
mod protobuf;

use pitviper_model::{RejectReason, ResourceSpans, SpanId};

pub use compression::{ContentEncoding, DecompressError, decompress, decompress_within};
pub use cost::{json_cost, protobuf_cost};
pub use json::traces_from_json;
pub use opentelemetry_proto::tonic::collector::trace::v1 as trace_service;
pub use protobuf::traces_from_protobuf;

/// A request in the model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    /// Its spans.
    pub batch: Vec<ResourceSpans>,
    /// Why spans were left out, one reason for each.
    pub rejected: Vec<RejectReason>,
}

/// The parent a span names: none when the id is empty or all zero, an error when it is not an id.
fn parent_span_id(is_empty: bool, id: Option<SpanId>) -> Result<SpanId, RejectReason> {
    match id {
        Some(id) => Ok(id),
        None if is_empty => Ok(SpanId::INVALID),
        None => Err(RejectReason::InvalidParentSpanId),
    }
}

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
