//! OTLP over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use pitviper_wire::decode::trace_service::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use pitviper_wire::decode::{
    ContentEncoding, DecodeError, Decoded, DecompressError, decompress, traces_from_json, traces_from_protobuf,
};
use prost::Message as _;

use super::{MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES};
use crate::accept::{Accepted, Ingest, IngestError};
use crate::accounting::{RefusalReason, Transport};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Bodies below this are decoded where they are; larger ones on a thread that may block.
const INLINE_DECODE_BYTES: usize = 64 * 1024;

/// The routes of the receiver: `POST /v1/traces`.
pub fn router(ingest: Arc<Ingest>) -> Router {
    Router::new().route("/v1/traces", post(traces)).with_state(ingest)
}

/// The two forms of OTLP over HTTP. An answer has the form of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

/// A request that is not taken: what the client is told, and why it is counted.
struct Refusal {
    status: StatusCode,
    reason: RefusalReason,
    message: String,
}

async fn traces(State(ingest): State<Arc<Ingest>>, request: Request<Body>) -> Response {
    let format = match format(request.headers()) {
        Ok(format) => format,
        Err(refusal) => return refuse(&ingest, Format::Json, &refusal),
    };
    let batch = match read(format, request).await {
        Ok(batch) => batch,
        Err(refusal) => return refuse(&ingest, format, &refusal),
    };
    let transport = match format {
        Format::Protobuf => Transport::OtlpHttpProtobuf,
        Format::Json => Transport::OtlpHttpJson,
    };
    // On its own task: a client that hangs up must not undo what is half written.
    let kept = tokio::spawn(async move { ingest.accept(transport, batch).await });
    match kept.await {
        Ok(Ok(accepted)) => success(format, accepted),
        Ok(Err(error)) => try_again(format, &error),
        Err(_) => status_response(format, StatusCode::INTERNAL_SERVER_ERROR, "the request could not be processed"),
    }
}

fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        PROTOBUF | "application/protobuf" => Ok(Format::Protobuf),
        JSON => Ok(Format::Json),
        other => {
            let message = format!("content type `{other}` is not understood; send {PROTOBUF} or {JSON}");
            let (status, reason) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusalReason::UnsupportedMediaType);
            Err(Refusal { status, reason, message })
        }
    }
}

async fn read(format: Format, request: Request<Body>) -> Result<Decoded, Refusal> {
    let named = request.headers().get(CONTENT_ENCODING).map_or("", |value| value.to_str().unwrap_or("?"));
    let Some(encoding) = ContentEncoding::parse(named) else {
        let message = format!("content encoding `{named}` is not understood; send {}", ContentEncoding::ACCEPTED);
        let (status, reason) = (StatusCode::UNSUPPORTED_MEDIA_TYPE, RefusalReason::UnsupportedEncoding);
        return Err(Refusal { status, reason, message });
    };
    let body = collect(request).await?;
    let heavy = body.len() > INLINE_DECODE_BYTES;
    let decode = move || {
        let plain = match encoding {
            ContentEncoding::Identity => body,
            _ => Bytes::from(decompress(encoding, &body, MAX_DECOMPRESSED_BYTES)?),
        };
        match format {
            Format::Protobuf => Ok(traces_from_protobuf(&plain)?),
            Format::Json => Ok(traces_from_json(&plain)?),
        }
    };
    if heavy {
        tokio::task::spawn_blocking(decode).await.unwrap_or_else(|_| {
            let message = "the request could not be decoded".to_owned();
            Err(Refusal { status: StatusCode::BAD_REQUEST, reason: RefusalReason::BadProtobuf, message })
        })
    } else {
        decode()
    }
}

async fn collect(request: Request<Body>) -> Result<Bytes, Refusal> {
    let too_large = || Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        reason: RefusalReason::TooLarge,
        message: format!("body is larger than {MAX_BODY_BYTES} bytes; send smaller batches"),
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > MAX_BODY_BYTES {
        return Err(too_large());
    }
    let mut body = BytesMut::with_capacity(announced);
    let mut stream = request.into_body().into_data_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| Refusal {
            status: StatusCode::BAD_REQUEST,
            reason: RefusalReason::Incomplete,
            message: format!("body ended early: {error}"),
        })?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

impl From<DecompressError> for Refusal {
    fn from(error: DecompressError) -> Self {
        let (status, reason) = match error {
            DecompressError::Malformed(_) => (StatusCode::BAD_REQUEST, RefusalReason::BadEncoding),
            DecompressError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, RefusalReason::TooLarge),
        };
        Self { status, reason, message: error.to_string() }
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let reason = match error {
            DecodeError::Protobuf(_) => RefusalReason::BadProtobuf,
            DecodeError::Json(_) => RefusalReason::BadJson,
        };
        Self { status: StatusCode::BAD_REQUEST, reason, message: error.to_string() }
    }
}

fn refuse(ingest: &Ingest, format: Format, refusal: &Refusal) -> Response {
    ingest.refuse(refusal.reason);
    status_response(format, refusal.status, &refusal.message)
}

fn success(format: Format, accepted: Accepted) -> Response {
    match format {
        Format::Protobuf => {
            let partial_success = (accepted.rejected > 0).then_some(ExportTracePartialSuccess {
                rejected_spans: accepted.rejected as i64,
                error_message: accepted.message,
            });
            let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
            ([(CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        Format::Json => {
            let body = if accepted.rejected > 0 {
                // 64-bit integers are text in OTLP/JSON.
                let rejected = accepted.rejected.to_string();
                serde_json::json!({"partialSuccess": {"rejectedSpans": rejected, "errorMessage": accepted.message}})
            } else {
                serde_json::json!({})
            };
            ([(CONTENT_TYPE, JSON)], body.to_string()).into_response()
        }
    }
}

fn try_again(format: Format, error: &IngestError) -> Response {
    let IngestError::TryAgain { message, retry_after_ms, overloaded } = error;
    let status = if *overloaded { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = status_response(format, status, message);
    response.headers_mut().insert(RETRY_AFTER, retry_after_ms.div_ceil(1000).max(1).into());
    response
}

/// `google.rpc.Status`, which OTLP asks for in the body of an error.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

fn status_response(format: Format, status: StatusCode, message: &str) -> Response {
    let code = match status {
        StatusCode::TOO_MANY_REQUESTS => tonic::Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => tonic::Code::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR => tonic::Code::Internal,
        _ => tonic::Code::InvalidArgument,
    } as i32;
    let mut response = match format {
        Format::Protobuf => {
            let body = RpcStatus { code, message: message.to_owned() }.encode_to_vec();
            (status, [(CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        Format::Json => {
            let body = serde_json::json!({"code": code, "message": message}).to_string();
            (status, [(CONTENT_TYPE, JSON)], body).into_response()
        }
    };
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(ACCEPT_ENCODING, http::HeaderValue::from_static(ContentEncoding::ACCEPTED));
    }
    response
}
