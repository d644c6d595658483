//! The route, and what it answers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{Request, Uri};
use pitviper_model::{Attributes, Resource};

use super::{MAX_ATTRIBUTES, MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES, decoded};
use crate::accept::{Accepted, Ingest};
use crate::accounting::{Protocol, RefusalReason, Subject, Transport};
use crate::limits::Share;
use crate::receivers::keep::keep;
use crate::receivers::posted::{self, Bounds, json, say_when};
use crate::receivers::refusal::Refusal;

const PATH: &str = "/v1/pprof";

const BOUNDS: Bounds = Bounds { body: MAX_BODY_BYTES, decompressed: MAX_DECOMPRESSED_BYTES };

/// The route of the receiver: `POST /v1/pprof`.
pub fn router(ingest: Arc<Ingest>) -> Router {
    let other_method = async |State(ingest): State<Arc<Ingest>>| {
        let refusal = Refusal::new(RefusalReason::MethodNotAllowed, "profiles are sent with POST");
        ingest.open(Subject::Profiles, Protocol::Pprof).refused(refusal.reason);
        refused(&refusal)
    };
    Router::new().route(PATH, post(take).fallback(other_method)).with_state(ingest)
}

async fn take(State(ingest): State<Arc<Ingest>>, request: Request<Body>) -> Response {
    let open = ingest.open(Subject::Profiles, Protocol::Pprof);
    let limit = ingest.limits().bytes_under_way;
    let read = async {
        let resource = resource(request.uri())?;
        // Whatever type it is said to be: what curl says by itself is a form.
        let see = move |bytes: &[u8], share: &mut Share| decoded(bytes, &resource, limit, share);
        posted::read(&ingest, request, &[], BOUNDS, see).await
    };
    let (rows, share) = match read.await {
        Ok(read) => read,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept_samples(Transport::Pprof, rows).await };
    match keep(ingest, open, share, accept).await {
        Ok(accepted) => taken(&accepted),
        Err(refusal) => refused(&refusal),
    }
}

/// The process that the query's parameters tell of.
fn resource(uri: &Uri) -> Result<Resource, Refusal> {
    let unreadable =
        |error: String| Refusal::new(RefusalReason::BadProfile, format!("the query is not usable: {error}"));
    let Query(pairs) =
        Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|error| unreadable(error.body_text()))?;
    if pairs.len() > MAX_ATTRIBUTES {
        return Err(unreadable(format!("it has more than {MAX_ATTRIBUTES} parameters")));
    }
    let mut attributes = Attributes::default();
    for (name, value) in pairs {
        attributes.set(name, value);
    }
    Ok(Resource { attributes, ..Resource::default() })
}

/// Says what was kept; nothing when that is all.
fn taken(accepted: &Accepted) -> Response {
    if accepted.rejected == 0 {
        return json("{}");
    }
    let partial = serde_json::json!({"rejectedSamples": accepted.rejected, "errorMessage": accepted.message});
    json(serde_json::json!({ "partialSuccess": partial }).to_string())
}

/// Says why a profile is not taken, as a problem document of RFC 9457.
fn refused(refusal: &Refusal) -> Response {
    let status = refusal.http_status();
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": "the profile is not taken",
        "status": status.as_u16(),
        "code": refusal.reason.as_str(),
        "detail": refusal.message,
    });
    let response = (status, [(CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response();
    say_when(response, refusal)
}
