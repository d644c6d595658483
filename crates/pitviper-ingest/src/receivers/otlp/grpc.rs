//! OTLP over gRPC.
//!
//! The one method is unary, and gRPC around it is a frame and a trailer. The receiver takes them off
//! itself, so that a body passes the same bounds as over HTTP and every refusal is counted; behind a
//! generated service what does not decode would be answered before anybody could count it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use pitviper_wire::decode::trace_service::trace_service_server::SERVICE_NAME;
use pitviper_wire::decode::trace_service::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use pitviper_wire::decode::{ContentEncoding, Decoded};
use tonic::Status;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::body;
use super::decode::{Format, decode};
use super::frame::{self, FRAME_BYTES};
use super::keep::keep;
use super::refusal::Refusal;
use crate::accept::{Accepted, Ingest};
use crate::accounting::{Protocol, RefusalReason, Transport};
use crate::limits::Share;

const CONTENT_TYPE_GRPC: &str = "application/grpc";
const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The gRPC service, to be added to a tonic server.
pub fn grpc(ingest: Arc<Ingest>) -> GrpcReceiver {
    GrpcReceiver { ingest }
}

/// OTLP's trace service.
#[derive(Debug, Clone)]
pub struct GrpcReceiver {
    ingest: Arc<Ingest>,
}

impl NamedService for GrpcReceiver {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<tonic::body::Body>> for GrpcReceiver {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let ingest = Arc::clone(&self.ingest);
        Box::pin(async move { Ok(answer(ingest, request).await) })
    }
}

async fn answer(ingest: Arc<Ingest>, request: Request<tonic::body::Body>) -> Response<tonic::body::Body> {
    let open = ingest.open(Protocol::OtlpGrpc);
    let decoded = match read(&ingest, request).await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    match keep(ingest, open, Transport::OtlpGrpc, decoded).await {
        Ok(accepted) => success(accepted),
        Err(refusal) => refused(&refusal),
    }
}

async fn read(ingest: &Ingest, request: Request<tonic::body::Body>) -> Result<(Decoded, Share), Refusal> {
    if request.method() != Method::POST || request.uri().path() != EXPORT_PATH {
        return Err(Refusal::new(RefusalReason::MethodNotAllowed, format!("the one method is POST {EXPORT_PATH}")));
    }
    check_content_type(request.headers())?;
    let encoding = encoding(request.headers())?;
    let (head, body) = request.into_parts();
    let mut received = body::read(ingest, &head.headers, Body::new(body), FRAME_BYTES).await?;
    let message = frame::unwrap(received.bytes)?;
    received.bytes = message.bytes;
    let encoding = match (message.compressed, encoding) {
        (false, _) => ContentEncoding::Identity,
        (true, ContentEncoding::Identity) => {
            let message = "the compressed-flag is set and no grpc-encoding says what it means";
            return Err(Refusal::new(RefusalReason::BadFraming, message));
        }
        (true, encoding) => encoding,
    };
    decode(ingest, Format::Protobuf, encoding, received).await
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim() {
        CONTENT_TYPE_GRPC | "application/grpc+proto" => Ok(()),
        other => {
            let message = format!("content type `{other}` is not understood; send {CONTENT_TYPE_GRPC}");
            Err(Refusal::new(RefusalReason::UnsupportedMediaType, message))
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<ContentEncoding, Refusal> {
    let named = headers.get("grpc-encoding").map_or("", |value| value.to_str().unwrap_or("?"));
    ContentEncoding::parse(named).ok_or_else(|| {
        let message = format!("grpc-encoding `{named}` is not understood; send {}", ContentEncoding::ACCEPTED);
        Refusal::new(RefusalReason::UnsupportedEncoding, message)
    })
}

fn success(accepted: Accepted) -> Response<tonic::body::Body> {
    let partial_success = (accepted.rejected > 0).then_some(ExportTracePartialSuccess {
        rejected_spans: accepted.rejected as i64,
        error_message: accepted.message,
    });
    let message: Bytes = frame::wrap(&ExportTraceServiceResponse { partial_success });
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(message).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Response::new(tonic::body::Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_GRPC));
    response
}

fn refused(refusal: &Refusal) -> Response<tonic::body::Body> {
    let (code, message) = (refusal.grpc_code(), refusal.message.as_str());
    let status = match refusal.retry_after_ms {
        Some(retry_after_ms) => {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(retry_after_ms)));
            Status::with_error_details(code, message, details)
        }
        None => Status::new(code, message),
    };
    let mut response = status.into_http();
    match refusal.reason {
        RefusalReason::UnsupportedEncoding => {
            let accepted = HeaderValue::from_static(ContentEncoding::ACCEPTED);
            response.headers_mut().insert("grpc-accept-encoding", accepted);
        }
        // Whoever sends another content type does not speak gRPC and looks at the HTTP status.
        RefusalReason::UnsupportedMediaType => *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => {}
    }
    response
}
