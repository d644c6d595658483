//! Reading a request's body, within bounds of size, time and memory.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;

use super::refusal::Refusal;
use crate::accept::Ingest;
use crate::accounting::RefusalReason;
use crate::limits::Share;

/// Room for a body before any of it is there, in bytes. Not all that is announced: a sender that
/// announces much and sends nothing must not cost memory.
const MAX_INITIAL_BYTES: usize = 64 * 1024;

/// A body, and what it holds of the bytes all requests share.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
}

/// Reads the body to its end. It may have `limit` bytes.
pub(super) async fn read(ingest: &Ingest, headers: &HeaderMap, body: Body, limit: usize) -> Result<Received, Refusal> {
    let announced = announced_bytes(headers);
    if announced > limit {
        return Err(too_large(limit));
    }
    let timeout = ingest.limits().body_timeout;
    let share = ingest.share();
    let all = collect(body, BytesMut::with_capacity(announced.min(MAX_INITIAL_BYTES)), share, limit);
    tokio::time::timeout(timeout, all).await.unwrap_or_else(|_| {
        let message = format!("body did not arrive within {} ms; send smaller batches", timeout.as_millis());
        Err(Refusal::new(RefusalReason::Timeout, message))
    })
}

async fn collect(body: Body, mut bytes: BytesMut, mut share: Share, limit: usize) -> Result<Received, Refusal> {
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk =
            chunk.map_err(|error| Refusal::new(RefusalReason::Incomplete, format!("body ended early: {error}")))?;
        if bytes.len() + chunk.len() > limit {
            return Err(too_large(limit));
        }
        // Charged as it arrives, so that slow senders hold no more than what they have sent.
        if !share.grow(chunk.len()) {
            return Err(Refusal::overloaded());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Received { bytes: bytes.freeze(), share })
}

fn announced_bytes(headers: &HeaderMap) -> usize {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

fn too_large(limit: usize) -> Refusal {
    let message = format!("body is larger than {limit} bytes; send smaller batches");
    Refusal::new(RefusalReason::TooLarge, message)
}
