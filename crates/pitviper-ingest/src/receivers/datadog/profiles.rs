//! Profiles: a form with what they are of (`event.json`) and one profile or several.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http::header::CONTENT_TYPE;
use pitviper_model::{Attributes, Resource};
use serde::Deserialize;

use super::http::{header, json, refused};
use super::multipart::{self, Part};
use super::{Datadog, MAX_BODY_BYTES, MAX_DECOMPRESSED_BYTES};
use crate::accept::Ingest;
use crate::accounting::{OpenRequest, RefusalReason, Transport};
use crate::limits::Share;
use crate::processors::profiles::ProfileRows;
use crate::receivers::keep::keep;
use crate::receivers::posted::{self, Bounds};
use crate::receivers::pprof;
use crate::receivers::refusal::Refusal;

const FORM: &[&str] = &["multipart/form-data"];
const BOUNDS: Bounds = Bounds { body: MAX_BODY_BYTES, decompressed: MAX_DECOMPRESSED_BYTES };

/// The part that says what the profiles are of.
const EVENT: &str = "event.json";
/// What names of profiles end in.
const PROFILE_SUFFIX: &str = ".pprof";
/// Largest such part, in bytes.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// Tags that OpenTelemetry has attributes for.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("service", "service.name"),
    ("env", "deployment.environment.name"),
    ("version", "service.version"),
    ("host", "host.name"),
    ("runtime-id", "service.instance.id"),
    ("process_id", "process.pid"),
    ("language", "telemetry.sdk.language"),
    ("runtime", "process.runtime.name"),
    ("runtime_version", "process.runtime.version"),
];

/// What the profiles are of.
#[derive(Debug, Default, Deserialize)]
struct Event {
    #[serde(default)]
    tags_profiler: String,
}

/// Keeps the profiles of a form.
pub(super) async fn take(datadog: Arc<Datadog>, open: OpenRequest, request: Request<Body>) -> Response {
    let limit = datadog.ingest.limits().bytes_under_way;
    let content_type = header(request.headers(), CONTENT_TYPE.as_str()).to_owned();
    let see = move |bytes: &[u8], share: &mut Share| see(bytes, &content_type, limit, share);
    let (rows, share) = match posted::read(&datadog.ingest, request, FORM, BOUNDS, see).await {
        Ok(read) => read,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept_samples(Transport::Datadog, rows).await };
    match keep(Arc::clone(&datadog.ingest), open, share, accept).await {
        Ok(_) => json("{}"),
        Err(refusal) => refused(&refusal),
    }
}

fn see(bytes: &[u8], content_type: &str, limit: usize, share: &mut Share) -> Result<ProfileRows, Refusal> {
    let bad = |fault: &str| Refusal::new(RefusalReason::BadProfile, format!("not a form with a profile: {fault}"));
    let boundary = multipart::boundary(content_type).ok_or_else(|| bad("its content type has no boundary"))?;
    let parts = multipart::parts(bytes, boundary).map_err(bad)?;
    let event = event(&parts, share)?;
    let resource = resource(&event.tags_profiler);
    let mut profiles = parts.iter().filter(|part| part.name.ends_with(PROFILE_SUFFIX));
    let first = profiles.next().ok_or_else(|| bad("no part of it is a .pprof"))?;
    if profiles.next().is_some() {
        return Err(bad("it has more than one .pprof"));
    }
    pprof::decoded(first.content, &resource, limit, share)
}

fn event(parts: &[Part<'_>], share: &mut Share) -> Result<Event, Refusal> {
    let Some(part) = parts.iter().find(|part| part.name == EVENT) else {
        return Err(Refusal::new(RefusalReason::BadProfile, format!("the form has no part {EVENT}")));
    };
    let text = pprof::unpacked(part.content, share)?;
    if text.len() > MAX_EVENT_BYTES {
        let message = format!("{EVENT} is larger than {MAX_EVENT_BYTES} bytes");
        return Err(Refusal::new(RefusalReason::TooLarge, message));
    }
    serde_json::from_slice(&text)
        .map_err(|error| Refusal::new(RefusalReason::BadJson, format!("{EVENT} is not understood: {error}")))
}

/// The process that tags such as `service:shop,env:prod` tell of.
fn resource(tags: &str) -> Resource {
    let tags: BTreeMap<&str, &str> = tags.split(',').filter_map(|tag| tag.trim().split_once(':')).collect();
    let mut attributes = Attributes::default();
    for (name, value) in tags {
        let known = ATTRIBUTES.iter().find(|(tag, _)| *tag == name);
        attributes.set(known.map_or(name, |(_, attribute)| attribute), value);
    }
    Resource { attributes, ..Resource::default() }
}
