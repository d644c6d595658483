//! Spans.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request};
use pitviper_wire::decode::datadog::{Sender, TracesVersion, traces};

use super::figures::add;
use super::http::{header, json, read, refused};
use super::{Datadog, info};
use crate::accept::Ingest;
use crate::accounting::{OpenRequest, Transport};
use crate::receivers::keep::keep;

const MSGPACK: &[&str] = &["application/msgpack", "application/x-msgpack"];

/// Keeps a payload; the answer says which share of each service's traces to keep.
pub(super) async fn take(
    datadog: Arc<Datadog>,
    open: OpenRequest,
    version: TracesVersion,
    request: Request<Body>,
) -> Response {
    let sender = sender(request.headers());
    let dropped = header(request.headers(), "datadog-client-dropped-p0-spans").parse().unwrap_or_default();
    let limit = datadog.ingest.limits().bytes_under_way;
    let decoded = read(&datadog, request, MSGPACK, move |bytes, share| {
        Ok(traces(version, bytes, &sender, limit.saturating_sub(share.held()), |step| share.grow(step))?)
    });
    let (decoded, share) = match decoded.await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let rates = datadog.remote.rates(
        decoded
            .decoded
            .batch
            .iter()
            .chain(&decoded.sampled_out)
            .map(|of| (of.resource.service(), of.resource.environment())),
    );
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept_spans(Transport::Datadog, decoded).await };
    match keep(Arc::clone(&datadog.ingest), open, share, accept).await {
        Ok(_) => {
            add(&datadog.counters.client_dropped_spans, dropped);
            let mut response = json(rates);
            response.headers_mut().insert(info::STATE_HEADER, info::state());
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

fn sender(headers: &HeaderMap) -> Sender {
    let text = |name: &str| header(headers, name).to_owned();
    let is_set = |name: &str| !matches!(header(headers, name), "" | "0" | "f" | "F" | "false" | "FALSE" | "False");
    let container = match header(headers, "datadog-container-id") {
        "" => header(headers, "datadog-entity-id").strip_prefix("ci-").unwrap_or_default(),
        container => container,
    };
    Sender {
        language: text("datadog-meta-lang"),
        language_version: text("datadog-meta-lang-version"),
        interpreter: text("datadog-meta-lang-interpreter"),
        tracer_version: text("datadog-meta-tracer-version"),
        container_id: container.to_owned(),
        computed_stats: is_set("datadog-client-computed-stats"),
    }
}
