//! The OpenAPI document.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use utoipa::OpenApi;

use super::openapi_document;
use crate::queries::{JSON, body_response};

/// What the document says beside its routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Pitviper",
        description = "Traces, services and their figures. Times are integer microseconds since the Unix epoch, durations integer nanoseconds, ids lower-case hex. A time parameter is microseconds, ISO 8601, `now`, or relative to it such as `now-15m`. Errors are RFC 9457 problem documents. Every answer carries `X-Request-Id`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/")),
    tags(
        (name = "services", description = "Services and what they do"),
        (name = "traces", description = "Traces and spans"),
        (name = "logs", description = "Log records"),
        (name = "metrics", description = "Metrics that applications report"),
        (name = "profiles", description = "Samples of what the code was doing"),
        (name = "sql", description = "Read-only SQL"),
        (name = "server", description = "The server itself")
    )
)]
pub(crate) struct Document;

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "server", operation_id = "getOpenApi",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = serde_json::Value))
)]
pub(crate) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<Bytes> =
        LazyLock::new(|| openapi_document().to_json().expect("the document is text, numbers and lists").into());
    body_response(JSON, DOCUMENT.clone())
}
