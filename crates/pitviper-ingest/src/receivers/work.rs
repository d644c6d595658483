//! Decompressing and decoding, where it disturbs nobody.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use pitviper_wire::decode::{ContentEncoding, decompress_within};

use super::body::Received;
use super::refusal::Refusal;
use crate::accept::Ingest;
use crate::limits::Share;

/// Bodies below this are decoded where they are; larger ones on a thread that may block.
const INLINE_DECODE_BYTES: usize = 64 * 1024;

/// How many times larger than its compressed form telemetry is, about.
const COMPRESSION_RATIO: usize = 8;

/// About how large a body is once decompressed.
pub(super) fn expected_bytes(encoding: ContentEncoding, body: &[u8]) -> usize {
    match encoding {
        ContentEncoding::Identity => body.len(),
        _ => body.len().saturating_mul(COMPRESSION_RATIO),
    }
}

/// A body without its encoding; what comes out of it is charged to its share.
pub(super) fn decompress(
    encoding: ContentEncoding,
    received: Received,
    limit: usize,
) -> Result<(Bytes, Share), Refusal> {
    let Received { bytes, mut share } = received;
    let plain = match encoding {
        ContentEncoding::Identity => bytes,
        _ => Bytes::from(decompress_within(encoding, &bytes, limit, |step| share.grow(step))?),
    };
    Ok((plain, share))
}

/// Decodes a body of about so many bytes. A panic costs this request and nothing else.
pub(super) async fn decode<T: Send + 'static>(
    ingest: &Ingest,
    expected_bytes: usize,
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
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
