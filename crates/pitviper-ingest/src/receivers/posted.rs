//! Bodies that are posted over HTTP by clients with protocols of their own, and answers to them.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request};
use pitviper_wire::decode::ContentEncoding;

use super::refusal::Refusal;
use super::{body, work};
use crate::accept::Ingest;
use crate::accounting::RefusalReason;
use crate::limits::Share;

const JSON: &str = "application/json";

/// Bounds of a body, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// As it comes over the wire.
    pub(super) body: usize,
    /// Once it is decompressed.
    pub(super) decompressed: usize,
}

/// Reads a body, checks its type, and lets `see` make something of it.
pub(super) async fn read<T: Send + 'static>(
    ingest: &Ingest,
    request: Request<Body>,
    types: &'static [&'static str],
    bounds: Bounds,
    see: impl FnOnce(&[u8], &mut Share) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, Share), Refusal> {
    let (head, body) = request.into_parts();
    check_type(&head.headers, types)?;
    let encoding = encoding(&head.headers)?;
    let received = body::read(ingest, &head.headers, body, bounds.body).await?;
    let expected_bytes = work::expected_bytes(encoding, &received.bytes);
    let decode = move || {
        let (plain, mut share) = work::decompress(encoding, received, bounds.decompressed)?;
        let done = see(&plain, &mut share)?;
        Ok((done, share))
    };
    work::decode(ingest, expected_bytes, decode).await
}

/// Clients that do not say what they send are believed to send what the path is for. Without types any is
/// taken.
fn check_type(headers: &HeaderMap, types: &[&str]) -> Result<(), Refusal> {
    let Some(named) = headers.get(CONTENT_TYPE).filter(|_| !types.is_empty()) else { return Ok(()) };
    let named = named.to_str().unwrap_or("?");
    let plain = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if types.iter().any(|known| *known == plain) {
        return Ok(());
    }
    let message = format!("content type `{plain}` is not understood; send {}", types.join(" or "));
    Err(Refusal::new(RefusalReason::UnsupportedMediaType, message))
}

/// How a body is compressed.
pub(super) fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Refusal> {
    let named = headers.get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    ContentEncoding::parse(named).ok_or_else(|| {
        let message = format!("content encoding `{named}` is not understood; send {}", ContentEncoding::ACCEPTED);
        Refusal::new(RefusalReason::UnsupportedEncoding, message)
    })
}

/// An answer that is JSON.
pub(super) fn json(body: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, JSON)], body.into()).into_response()
}

/// Says why a request is not taken.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let body = serde_json::json!({"message": refusal.message}).to_string();
    say_when((refusal.http_status(), [(CONTENT_TYPE, JSON)], body).into_response(), refusal)
}

/// An answer that says when to try again, if that makes sense.
pub(super) fn say_when(mut response: Response, refusal: &Refusal) -> Response {
    if let Some(retry_after_ms) = refusal.retry_after_ms {
        response.headers_mut().insert(RETRY_AFTER, retry_after_ms.div_ceil(1000).max(1).into());
    }
    response
}
