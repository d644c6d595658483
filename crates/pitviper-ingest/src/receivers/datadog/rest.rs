//! What is taken so that clients go on, counted, and not kept: snapshots of the debugger, symbols, events
//! for other products, flares.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};

use super::http::refused;
use super::{Datadog, MAX_BODY_BYTES};
use crate::accounting::{Protocol, Subject};
use crate::receivers::body;

/// Reads a body to its end and lets it go.
pub(super) async fn take(datadog: Arc<Datadog>, subject: Subject, request: Request<Body>) -> Response {
    let open = datadog.ingest.open(subject, Protocol::Datadog);
    let (head, body) = request.into_parts();
    match body::read(&datadog.ingest, &head.headers, body, MAX_BODY_BYTES).await {
        Ok(_) => {
            open.accepted();
            (StatusCode::ACCEPTED, "{}").into_response()
        }
        Err(refusal) => {
            open.refused(refusal.reason);
            refused(&refusal)
        }
    }
}
