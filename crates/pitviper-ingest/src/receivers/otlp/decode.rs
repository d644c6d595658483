//! From the bytes of a body to the model.

use pitviper_model::Signal;
use pitviper_wire::decode::{ContentEncoding, Telemetry, json_cost, protobuf_cost};

use super::MAX_DECOMPRESSED_BYTES;
use crate::accept::Ingest;
use crate::accounting::{RefusalReason, Transport};
use crate::limits::Share;
use crate::receivers::body::Received;
use crate::receivers::refusal::Refusal;
use crate::receivers::work;

/// The two forms of an OTLP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

impl Format {
    /// The transport of what was sent in this form over HTTP.
    pub(super) fn transport(self) -> Transport {
        match self {
            Self::Protobuf => Transport::OtlpHttpProtobuf,
            Self::Json => Transport::OtlpHttpJson,
        }
    }
}

/// Decompresses and decodes a body. The share comes back, for the model holds the memory next.
pub(super) async fn decode(
    ingest: &Ingest,
    signal: Signal,
    format: Format,
    encoding: ContentEncoding,
    received: Received,
) -> Result<(Telemetry, Share), Refusal> {
    let expected_bytes = work::expected_bytes(encoding, &received.bytes);
    let limits = ingest.limits();
    let work = move || {
        let (plain, mut share) = work::decompress(encoding, received, MAX_DECOMPRESSED_BYTES)?;
        let cost = match format {
            Format::Protobuf => protobuf_cost(signal, &plain),
            Format::Json => json_cost(signal, &plain),
        };
        if cost > limits.bytes_under_way {
            let message = format!("the request takes {cost} bytes once decoded; send smaller batches");
            return Err(Refusal::new(RefusalReason::TooLarge, message));
        }
        if !share.grow(cost) {
            return Err(Refusal::overloaded());
        }
        let decoded = match format {
            Format::Protobuf => Telemetry::from_protobuf(signal, &plain)?,
            Format::Json => Telemetry::from_json(signal, &plain)?,
        };
        Ok((decoded, share))
    };
    work::decode(ingest, expected_bytes, work).await
}
