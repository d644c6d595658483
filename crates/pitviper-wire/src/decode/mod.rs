//! Reading OTLP: what anybody sends, into the model, within bounds.
//!
//! Ids are taken as they come; an id of the wrong length becomes the invalid id, which validation
//! rejects span by span, so one bad span does not cost its request. Of a parent's id alone that
//! would make a root, so a span whose parent id is malformed is rejected here.
//!
//! A summary becomes what Prometheus makes of it: a gauge split by `quantile`, and the cumulative sums
//! `…_count` and `…_sum`.
//!
//! Whoever decodes what strangers send asks first what it will cost ([`protobuf_cost`],
//! [`json_cost`]).

mod compression;
mod cost;
pub mod datadog;
mod foreign;
pub mod jaeger;
mod json;
mod points;
mod protobuf;
mod room;
pub mod zipkin;

use pitviper_model::{RejectReason, ResourceLogs, ResourceMetrics, ResourceSpans, Signal, SpanId};

pub use compression::{ContentEncoding, DecompressError, decompress, decompress_within};
pub use cost::{json_cost, protobuf_cost};
pub use foreign::ForeignError;
pub use json::{ProfilesError, logs_from_json, metrics_from_json, profiles_from_json, traces_from_json};
pub use opentelemetry_proto::tonic::collector::logs::v1 as logs_service;
pub use opentelemetry_proto::tonic::collector::metrics::v1 as metrics_service;
pub use opentelemetry_proto::tonic::collector::trace::v1 as trace_service;
pub use protobuf::{logs_from_protobuf, metrics_from_protobuf, traces_from_protobuf};
pub use room::RoomError;

/// A request in the model: by default one of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded<T = ResourceSpans> {
    /// Its items, by who sent them.
    pub batch: Vec<T>,
    /// Why items were left out, one reason for each.
    pub rejected: Vec<RejectReason>,
}

impl<T> Default for Decoded<T> {
    fn default() -> Self {
        Self { batch: Vec::new(), rejected: Vec::new() }
    }
}

/// A request of any signal in the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Telemetry {
    /// Spans.
    Traces(Decoded<ResourceSpans>),
    /// Points of metrics.
    Metrics(Decoded<ResourceMetrics>),
    /// Log records.
    Logs(Decoded<ResourceLogs>),
}

impl Telemetry {
    /// Reads the export request of a signal.
    ///
    /// # Errors
    /// When the bytes are not that message.
    pub fn from_protobuf(signal: Signal, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Traces => Self::Traces(traces_from_protobuf(bytes)?),
            Signal::Metrics => Self::Metrics(metrics_from_protobuf(bytes)?),
            Signal::Logs => Self::Logs(logs_from_protobuf(bytes)?),
        })
    }

    /// Reads the document of a signal's export request.
    ///
    /// # Errors
    /// When the bytes are not JSON, or a field has the wrong type.
    pub fn from_json(signal: Signal, bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(match signal {
            Signal::Traces => Self::Traces(traces_from_json(bytes)?),
            Signal::Metrics => Self::Metrics(metrics_from_json(bytes)?),
            Signal::Logs => Self::Logs(logs_from_json(bytes)?),
        })
    }
}

impl From<Decoded<ResourceSpans>> for Telemetry {
    fn from(decoded: Decoded<ResourceSpans>) -> Self {
        Self::Traces(decoded)
    }
}

impl From<Decoded<ResourceMetrics>> for Telemetry {
    fn from(decoded: Decoded<ResourceMetrics>) -> Self {
        Self::Metrics(decoded)
    }
}

impl From<Decoded<ResourceLogs>> for Telemetry {
    fn from(decoded: Decoded<ResourceLogs>) -> Self {
        Self::Logs(decoded)
    }
}

/// A log record's severity; zero, which says nothing, for what is none.
fn severity(number: i32) -> u8 {
    u8::try_from(number).ok().filter(|number| *number <= 24).unwrap_or_default()
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
