//! From the bytes of a body to the model.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use pitviper_model::Signal;
use pitviper_wire::decode::{ContentEncoding, Telemetry, decompress_within, json_cost, protobuf_cost};

use super::MAX_DECOMPRESSED_BYTES;
use super::body::Received;
use super::refusal::Refusal;
use crate::accept::Ingest;
use crate::accounting::RefusalReason;
use crate::limits::Share;

/// Bodies below this are decoded where they are; larger ones on a thread that may block.
const INLINE_DECODE_BYTES: usize = 64 * 1024;

/// How many times larger than its compressed form telemetry is, about.
const COMPRESSION_RATIO: usize = 8;

/// The two forms of an OTLP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Protobuf,
    Json,
}

/// Decompresses and decodes a body. The share comes back, for the model holds the memory next.
pub(super) async fn decode(
    ingest: &Ingest,
    signal: Signal,
    format: Format,
    encoding: ContentEncoding,
    received: Received,
) -> Result<(Telemetry, Share), Refusal> {
    let expected_bytes = match encoding {
        ContentEncoding::Identity => received.bytes.len(),
        _ => received.bytes.len().saturating_mul(COMPRESSION_RATIO),
    };
    let limits = ingest.limits();
    let work = move || {
        let Received { bytes, mut share } = received;
        let plain = match encoding {
            ContentEncoding::Identity => bytes,
            _ => {
                let may_grow = |step| share.grow(step);
                Bytes::from(decompress_within(encoding, &bytes, MAX_DECOMPRESSED_BYTES, may_grow)?)
            }
        };
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
    let began = std::time::Instant::now();
    let decoded = run(expected_bytes > INLINE_DECODE_BYTES, work).await;
    ingest.decode_durations().record_since(began);
    decoded.unwrap_or_else(|panic| {
        ingest.panics().report("decode", &*panic);
        Err(Refusal::internal_error())
    })
}

/// Runs the work here or on a thread that may block. A panic ends it and nothing else.
async fn run<T: Send + 'static>(
    may_block: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Box<dyn Any + Send>> {
    let guarded = || catch_unwind(AssertUnwindSafe(work));
    if !may_block {
        return guarded();
    }
    // The work itself does not panic any more; what is left is that the runtime is ending.
    tokio::task::spawn_blocking(guarded).await.unwrap_or_else(|ended| Err(Box::new(ended.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_the_work_and_nothing_else() {
        for may_block in [false, true] {
            let panic = run(may_block, || panic!("on purpose")).await.map(|()| "no panic").unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
            assert_eq!(run(may_block, || 7).await.ok(), Some(7));
        }
    }
}
