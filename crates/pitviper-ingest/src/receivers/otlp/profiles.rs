//! OTLP's profiles, a development version: over HTTP (`POST /v1development/profiles`, protobuf and JSON) and over
//! gRPC.
//!
//! The protocol may change with every release of OpenTelemetry, so that a server takes it only when asked to.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::Request;
use pitviper_model::{Attributes, Resource};
use pitviper_pprof::{Label, LabelValue, OfProcess, read_otlp_within};
use pitviper_wire::decode::{ContentEncoding, profiles_from_json};

use super::decode::Format;
use super::http::{format, refused, success};
use super::{MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES};
use crate::accept::{Ingest, now_unix_nano};
use crate::accounting::{Protocol, RefusalReason, Subject};
use crate::limits::Share;
use crate::processors::profiles::{ProfileRows, cost_bytes, rows_into};
use crate::receivers::body::Received;
use crate::receivers::keep::keep;
use crate::receivers::posted::{self, Bounds};
use crate::receivers::refusal::Refusal;
use crate::receivers::work;

const PATH: &str = "/v1development/profiles";

const BOUNDS: Bounds = Bounds { body: MAX_BODY_BYTES, decompressed: MAX_DECOMPRESSED_BYTES };

/// The route of the receiver: `POST /v1development/profiles`.
pub fn profiles_router(ingest: Arc<Ingest>) -> Router {
    let other_method = async |State(ingest): State<Arc<Ingest>>| {
        let refusal = Refusal::new(RefusalReason::MethodNotAllowed, "profiles are sent with POST");
        ingest.open(Subject::Profiles, Protocol::OtlpHttp).refused(refusal.reason);
        refused(Format::Json, &refusal)
    };
    Router::new().route(PATH, post(take).fallback(other_method)).with_state(ingest)
}

async fn take(State(ingest): State<Arc<Ingest>>, request: Request<Body>) -> Response {
    let open = ingest.open(Subject::Profiles, Protocol::OtlpHttp);
    let format = match format(request.headers()) {
        Ok(format) => format,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(Format::Json, &refusal);
        }
    };
    let limit = ingest.limits().bytes_under_way;
    let see = move |bytes: &[u8], share: &mut Share| match format {
        Format::Protobuf => rows_of(bytes, limit, share),
        Format::Json => {
            let room = limit.saturating_sub(share.held());
            let message = profiles_from_json(bytes, room, |step| share.grow(step))?;
            rows_of(&message, limit, share)
        }
    };
    // The type was looked at already.
    let (rows, share) = match posted::read(&ingest, request, &[], BOUNDS, see).await {
        Ok(read) => read,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(format, &refusal);
        }
    };
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept_samples(format.transport(), rows).await };
    match keep(ingest, open, share, accept).await {
        Ok(accepted) => success(None, format, accepted),
        Err(refusal) => refused(format, &refusal),
    }
}

/// Decompresses and decodes a message of gRPC.
pub(super) async fn decode(
    ingest: &Ingest,
    encoding: ContentEncoding,
    received: Received,
) -> Result<(ProfileRows, Share), Refusal> {
    let limit = ingest.limits().bytes_under_way;
    let expected_bytes = work::expected_bytes(encoding, &received.bytes);
    let decode = move || {
        let (plain, mut share) = work::decompress(encoding, received, MAX_DECOMPRESSED_BYTES)?;
        let rows = rows_of(&plain, limit, &mut share)?;
        Ok((rows, share))
    };
    work::decode(ingest, expected_bytes, decode).await
}

/// The rows of a request, for which at most `limit` bytes are taken.
fn rows_of(bytes: &[u8], limit: usize, share: &mut Share) -> Result<ProfileRows, Refusal> {
    let room = limit.saturating_sub(share.held());
    let profiles = read_otlp_within(bytes, room, |step| share.grow(step))?;
    let cost = profiles.iter().map(|of| cost_bytes(&of.profile)).fold(0, usize::saturating_add);
    // More than it may take when it is alone: to come again would not help.
    if cost > limit.saturating_sub(share.held()) {
        let message = format!("the profiles take {cost} bytes more as rows; send profiles more often");
        return Err(Refusal::new(RefusalReason::TooLarge, message));
    }
    if !share.grow(cost) {
        return Err(Refusal::overloaded());
    }
    let mut rows = ProfileRows::default();
    for OfProcess { attributes, profile } in &profiles {
        rows_into(&resource(attributes), profile, now_unix_nano(), &mut rows);
    }
    Ok(rows)
}

fn resource(attributes: &[Label]) -> Resource {
    let mut found = Attributes::default();
    for Label { name, value } in attributes {
        match value {
            LabelValue::Text(text) => found.set(&**name, text.as_str()),
            LabelValue::Number(number) => found.set(&**name, *number),
        }
    }
    Resource { attributes: found, ..Resource::default() }
}
