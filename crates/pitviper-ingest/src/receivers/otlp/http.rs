//! OTLP over HTTP.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use pitviper_model::Signal;
use pitviper_wire::decode::{ContentEncoding, Telemetry};
use prost::Message as _;

use super::MAX_BODY_BYTES;
use super::decode::{Format, decode};
use super::success::ExportResponse;
use crate::accept::{Accepted, Ingest};
use crate::accounting::{Protocol, RefusalReason};
use crate::limits::Share;
use crate::receivers::body;
use crate::receivers::keep::keep;
use crate::receivers::posted::{encoding, say_when};
use crate::receivers::refusal::Refusal;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// The routes of the receiver: `POST /v1/traces`, `/v1/metrics` and `/v1/logs`.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let mut router = Router::new();
    for signal in Signal::ALL {
        let export = async move |State(ingest): State<Arc<Ingest>>, request: Request<Body>| {
            export(ingest, signal, request).await
        };
        let other_method = async move |State(ingest): State<Arc<Ingest>>| other_method(&ingest, signal);
        router = router.route(&format!("/v1/{}", signal.as_str()), post(export).fallback(other_method));
    }
    router.with_state(ingest)
}

async fn export(ingest: Arc<Ingest>, signal: Signal, request: Request<Body>) -> Response {
    let open = ingest.open(signal, Protocol::OtlpHttp);
    let format = match format(request.headers()) {
        Ok(format) => format,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(Format::Json, &refusal);
        }
    };
    let (decoded, share) = match read(&ingest, signal, format, request).await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(format, &refusal);
        }
    };
    let transport = format.transport();
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept(transport, decoded).await };
    match keep(ingest, open, share, accept).await {
        Ok(accepted) => success(Some(signal), format, accepted),
        Err(refusal) => refused(format, &refusal),
    }
}

/// Answers what is not a POST; the router adds which methods there are.
fn other_method(ingest: &Ingest, signal: Signal) -> Response {
    let refusal = Refusal::new(RefusalReason::MethodNotAllowed, format!("{} are sent with POST", signal.as_str()));
    ingest.open(signal, Protocol::OtlpHttp).refused(refusal.reason);
    refused(Format::Json, &refusal)
}

/// The form of a request. An answer has the form of its request.
pub(super) fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        PROTOBUF | "application/protobuf" => Ok(Format::Protobuf),
        JSON => Ok(Format::Json),
        other => {
            let message = format!("content type `{other}` is not understood; send {PROTOBUF} or {JSON}");
            Err(Refusal::new(RefusalReason::UnsupportedMediaType, message))
        }
    }
}

async fn read(
    ingest: &Ingest,
    signal: Signal,
    format: Format,
    request: Request<Body>,
) -> Result<(Telemetry, Share), Refusal> {
    let encoding = encoding(request.headers())?;
    let (head, body) = request.into_parts();
    let received = body::read(ingest, &head.headers, body, MAX_BODY_BYTES).await?;
    decode(ingest, signal, format, encoding, received).await
}

/// The answer to what was kept; without a signal it is one to profiles.
pub(super) fn success(signal: Option<Signal>, format: Format, accepted: Accepted) -> Response {
    let response = ExportResponse::of(accepted);
    match format {
        Format::Protobuf => ([(CONTENT_TYPE, PROTOBUF)], response.encode_to_vec()).into_response(),
        Format::Json => ([(CONTENT_TYPE, JSON)], response.to_json(signal)).into_response(),
    }
}

/// `google.rpc.Status`, which OTLP asks for in the body of an error.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

pub(super) fn refused(format: Format, refusal: &Refusal) -> Response {
    let (status, code, message) = (refusal.http_status(), refusal.grpc_code() as i32, &refusal.message);
    let mut response = match format {
        Format::Protobuf => {
            let body = RpcStatus { code, message: message.clone() }.encode_to_vec();
            (status, [(CONTENT_TYPE, PROTOBUF)], body).into_response()
        }
        Format::Json => {
            let body = serde_json::json!({"code": code, "message": message}).to_string();
            (status, [(CONTENT_TYPE, JSON)], body).into_response()
        }
    };
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(ContentEncoding::ACCEPTED));
    }
    say_when(response, refusal)
}
