//! Which path leads where, and how answers look.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::MethodFilter;
use axum::routing::{MethodRouter, any, get, on};
use http::{HeaderMap, Request, Uri};
use pitviper_wire::decode::datadog::TracesVersion;

use super::{Datadog, MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES, info, profiles, remote, rest, stats, telemetry, traces};
use crate::accounting::{OpenRequest, Protocol, RefusalReason, Subject};
use crate::limits::Share;
use crate::receivers::posted::{self, Bounds};
pub(super) use crate::receivers::posted::{json, refused};
use crate::receivers::refusal::Refusal;

const BOUNDS: Bounds = Bounds { body: MAX_BODY_BYTES, decompressed: MAX_DECOMPRESSED_BYTES };

/// The routes of the receiver.
pub fn router(datadog: &Arc<Datadog>) -> Router {
    let spans = |version| {
        sent(Subject::Traces, async move |datadog: Arc<Datadog>, open, request| {
            traces::take(datadog, open, version, request).await
        })
    };
    let ignored = |subject| {
        any(async move |state: State<Arc<Datadog>>, request: Request<Body>| rest::take(state.0, subject, request).await)
    };
    Router::new()
        .route("/info", get(info::answer))
        .route("/v0.3/traces", spans(TracesVersion::V04))
        .route("/v0.4/traces", spans(TracesVersion::V04))
        .route("/v0.5/traces", spans(TracesVersion::V05))
        .route("/v0.6/stats", sent(Subject::Stats, stats::take))
        .route("/v0.7/config", sent(Subject::Config, remote::take))
        .route("/telemetry/proxy/api/v2/apmtelemetry", sent(Subject::Telemetry, telemetry::take))
        .route("/profiling/v1/input", sent(Subject::Profiles, profiles::take))
        .route("/debugger/{*rest}", ignored(Subject::Debugger))
        .route("/symdb/{*rest}", ignored(Subject::Symbols))
        .route("/evp_proxy/{*rest}", ignored(Subject::Events))
        .route("/tracer_flare/{*rest}", ignored(Subject::Flare))
        .fallback(unknown)
        .with_state(Arc::clone(datadog))
}

/// A path that clients send to; some languages' clients PUT.
fn sent<F, R>(subject: Subject, take: F) -> MethodRouter<Arc<Datadog>>
where
    F: FnOnce(Arc<Datadog>, OpenRequest, Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send,
{
    let handler = async move |State(datadog): State<Arc<Datadog>>, request: Request<Body>| {
        let open = datadog.ingest.open(subject, Protocol::Datadog);
        take(datadog, open, request).await
    };
    let other_method = async move |State(datadog): State<Arc<Datadog>>| {
        let message = format!("{} are sent with POST", subject.as_str());
        let refusal = Refusal::new(RefusalReason::MethodNotAllowed, message);
        datadog.ingest.open(subject, Protocol::Datadog).refused(refusal.reason);
        refused(&refusal)
    };
    on(MethodFilter::POST.or(MethodFilter::PUT), handler).fallback(other_method)
}

async fn unknown(State(datadog): State<Arc<Datadog>>, uri: Uri) -> Response {
    let message = format!("there is no {} here; /info lists what there is", uri.path());
    let refusal = Refusal::new(RefusalReason::UnknownPath, message);
    datadog.ingest.open(Subject::Unknown, Protocol::Datadog).refused(refusal.reason);
    refused(&refusal)
}

/// Reads a body, checks its type, and lets `see` make something of it.
pub(super) async fn read<T: Send + 'static>(
    datadog: &Datadog,
    request: Request<Body>,
    types: &'static [&'static str],
    see: impl FnOnce(&[u8], &mut Share) -> Result<T, Refusal> + Send + 'static,
) -> Result<(T, Share), Refusal> {
    posted::read(&datadog.ingest, request, types, BOUNDS, see).await
}

/// The text of a header; empty when there is none.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
