//! OTLP over gRPC.
//!
//! Each signal has a service of one method. It is unary, and gRPC around it is a frame and a trailer. The receiver takes them off
//! itself, so that a body passes the same bounds as over HTTP and every refusal is counted; behind a
//! generated service what does not decode would be answered before anybody could count it.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use pitviper_model::Signal;
use pitviper_wire::decode::logs_service::logs_service_server::SERVICE_NAME as LOGS;
use pitviper_wire::decode::metrics_service::metrics_service_server::SERVICE_NAME as METRICS;
use pitviper_wire::decode::trace_service::trace_service_server::SERVICE_NAME as TRACES;
use pitviper_wire::decode::{ContentEncoding, Telemetry};
use tonic::Status;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic_types::{ErrorDetails, StatusExt as _};

use super::decode::{Format, decode};
use super::frame::{self, FRAME_BYTES};
use super::success::ExportResponse;
use super::{MAX_BODY_BYTES, profiles};
use crate::accept::{Accepted, Ingest};
use crate::accounting::{Protocol, RefusalReason, Subject, Transport};
use crate::limits::Share;
use crate::processors::profiles::ProfileRows;
use crate::receivers::body;
use crate::receivers::keep::keep;
use crate::receivers::refusal::Refusal;

const CONTENT_TYPE_GRPC: &str = "application/grpc";

/// The service of a development version, whose proto is not generated here.
const PROFILES: &str = "opentelemetry.proto.collector.profiles.v1development.ProfilesService";

/// A signal that has a gRPC service.
pub trait GrpcSignal: Send + Sync + 'static {
    /// The signal; `None` for profiles, of which there is but a development version.
    const SIGNAL: Option<Signal>;
    /// The service's full name.
    const SERVICE: &'static str;
}

/// Spans, by [`GrpcSignal`].
#[derive(Debug)]
pub struct Traces;

/// Points of metrics, by [`GrpcSignal`].
#[derive(Debug)]
pub struct Metrics;

/// Log records, by [`GrpcSignal`].
#[derive(Debug)]
pub struct Logs;

/// Samples of profiles, by [`GrpcSignal`].
#[derive(Debug)]
pub struct Profiles;

impl GrpcSignal for Profiles {
    const SIGNAL: Option<Signal> = None;
    const SERVICE: &'static str = PROFILES;
}

impl GrpcSignal for Traces {
    const SIGNAL: Option<Signal> = Some(Signal::Traces);
    const SERVICE: &'static str = TRACES;
}

impl GrpcSignal for Metrics {
    const SIGNAL: Option<Signal> = Some(Signal::Metrics);
    const SERVICE: &'static str = METRICS;
}

impl GrpcSignal for Logs {
    const SIGNAL: Option<Signal> = Some(Signal::Logs);
    const SERVICE: &'static str = LOGS;
}

/// The gRPC service of a signal, to be added to a tonic server.
pub fn grpc<S: GrpcSignal>(ingest: Arc<Ingest>) -> GrpcReceiver<S> {
    GrpcReceiver { ingest, signal: PhantomData }
}

/// OTLP's service for one signal.
#[derive(Debug)]
pub struct GrpcReceiver<S> {
    ingest: Arc<Ingest>,
    signal: PhantomData<fn() -> S>,
}

impl<S> Clone for GrpcReceiver<S> {
    fn clone(&self) -> Self {
        Self { ingest: Arc::clone(&self.ingest), signal: PhantomData }
    }
}

impl<S: GrpcSignal> NamedService for GrpcReceiver<S> {
    const NAME: &'static str = S::SERVICE;
}

impl<S: GrpcSignal> Service<Request<tonic::body::Body>> for GrpcReceiver<S> {
    type Response = Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let ingest = Arc::clone(&self.ingest);
        Box::pin(async move { Ok(answer::<S>(ingest, request).await) })
    }
}

async fn answer<S: GrpcSignal>(
    ingest: Arc<Ingest>,
    request: Request<tonic::body::Body>,
) -> Response<tonic::body::Body> {
    let open = ingest.open(S::SIGNAL.map_or(Subject::Profiles, Subject::from), Protocol::OtlpGrpc);
    let (decoded, share) = match read::<S>(&ingest, request).await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let accept = move |ingest: Arc<Ingest>| async move {
        match decoded {
            Decoded::Telemetry(telemetry) => ingest.accept(Transport::OtlpGrpc, telemetry).await,
            Decoded::Samples(rows) => ingest.accept_samples(Transport::OtlpGrpc, *rows).await,
        }
    };
    match keep(ingest, open, share, accept).await {
        Ok(accepted) => success(accepted),
        Err(refusal) => refused(&refusal),
    }
}

/// What a request holds.
enum Decoded {
    Telemetry(Telemetry),
    Samples(Box<ProfileRows>),
}

async fn read<S: GrpcSignal>(
    ingest: &Ingest,
    request: Request<tonic::body::Body>,
) -> Result<(Decoded, Share), Refusal> {
    let export = format!("/{}/Export", S::SERVICE);
    if request.method() != Method::POST || request.uri().path() != export {
        return Err(Refusal::new(RefusalReason::MethodNotAllowed, format!("the one method is POST {export}")));
    }
    check_content_type(request.headers())?;
    let encoding = encoding(request.headers())?;
    let (head, body) = request.into_parts();
    let mut received = body::read(ingest, &head.headers, Body::new(body), MAX_BODY_BYTES + FRAME_BYTES).await?;
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
    match S::SIGNAL {
        Some(signal) => {
            let (telemetry, share) = decode(ingest, signal, Format::Protobuf, encoding, received).await?;
            Ok((Decoded::Telemetry(telemetry), share))
        }
        None => {
            let (rows, share) = profiles::decode(ingest, encoding, received).await?;
            Ok((Decoded::Samples(Box::new(rows)), share))
        }
    }
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
    let message: Bytes = frame::wrap(&ExportResponse::of(accepted));
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
