//! Zipkin and Jaeger: what their clients post to a collector.
//!
//! Source: Zipkin's API version 2 (`POST /api/v2/spans`, JSON), and Jaeger's collector (`POST /api/traces`,
//! Thrift's binary protocol). Both answer 202. docs/guides/zipkin-and-jaeger.md says what becomes of spans.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{Request, StatusCode};
use pitviper_model::Signal;
use pitviper_wire::decode::{Decoded, ForeignError, jaeger, zipkin};

use super::keep::keep;
use super::posted::{self, Bounds, refused};
use super::refusal::Refusal;
use crate::accept::Ingest;
use crate::accounting::{Protocol, RefusalReason, Transport};

const BOUNDS: Bounds = Bounds { body: super::otlp::MAX_BODY_BYTES, decompressed: super::otlp::MAX_DECOMPRESSED_BYTES };

/// Decodes a body, within bytes that a function grants.
type Decode = fn(&[u8], usize, &mut dyn FnMut(usize) -> bool) -> Result<Decoded, ForeignError>;

/// A protocol that spans are posted in.
#[derive(Debug, Clone, Copy)]
struct Posted {
    path: &'static str,
    protocol: Protocol,
    transport: Transport,
    types: &'static [&'static str],
    decode: Decode,
}

const ALL: [Posted; 2] = [
    Posted {
        path: "/api/v2/spans",
        protocol: Protocol::Zipkin,
        transport: Transport::Zipkin,
        types: &["application/json"],
        decode: |bytes, limit, grow| zipkin::spans(bytes, limit, grow),
    },
    Posted {
        path: "/api/traces",
        protocol: Protocol::Jaeger,
        transport: Transport::Jaeger,
        types: &["application/x-thrift", "application/vnd.apache.thrift.binary"],
        decode: |bytes, limit, grow| jaeger::spans(bytes, limit, grow),
    },
];

/// The routes of the receivers.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let mut router = Router::new();
    for posted in ALL {
        let take =
            async move |State(ingest): State<Arc<Ingest>>, request: Request<Body>| take(ingest, posted, request).await;
        let other_method = async move |State(ingest): State<Arc<Ingest>>| other_method(&ingest, posted);
        router = router.route(posted.path, post(take).fallback(other_method));
    }
    router.with_state(ingest)
}

async fn take(ingest: Arc<Ingest>, posted: Posted, request: Request<Body>) -> Response {
    let open = ingest.open(Signal::Traces, posted.protocol);
    let limit = ingest.limits().bytes_under_way;
    let decoded = posted::read(&ingest, request, posted.types, BOUNDS, move |bytes, share| {
        let room = limit.saturating_sub(share.held());
        Ok((posted.decode)(bytes, room, &mut |step| share.grow(step))?)
    });
    let (decoded, share) = match decoded.await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept(posted.transport, decoded).await };
    match keep(ingest, open, share, accept).await {
        Ok(_) => StatusCode::ACCEPTED.into_response(),
        Err(refusal) => refused(&refusal),
    }
}

/// Answers what is not a POST; the router adds which methods there are.
fn other_method(ingest: &Ingest, posted: Posted) -> Response {
    let refusal = Refusal::new(RefusalReason::MethodNotAllowed, "spans are sent with POST");
    ingest.open(Signal::Traces, posted.protocol).refused(refusal.reason);
    refused(&refusal)
}
