//! What clients say of themselves: their packages go to the library inventory, their configuration and
//! integrations become log events of the process.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use pitviper_model::{Attributes, Library, LogRecord, Resource, ResourceLogs, Scope, ScopeLogs, Value};
use pitviper_wire::decode::Decoded;
use pitviper_wire::decode::datadog::telemetry::{Said, TelemetryError, telemetry};

use super::Datadog;
use super::figures::add;
use super::http::{json, read, refused};
use crate::accept::Ingest;
use crate::accounting::{OpenRequest, RefusalReason, Transport};
use crate::receivers::keep::keep;
use crate::receivers::refusal::Refusal;

const JSON: &[&str] = &["application/json"];
/// What OpenTelemetry calls the severity of these events: `INFO`.
const SEVERITY_INFO: u8 = 9;
/// The events that tell of a client's settings, and of what it traces.
const CONFIGURATION: &str = "ddtrace.configuration";
const INTEGRATIONS: &str = "ddtrace.integrations";

/// Keeps what a client says.
pub(super) async fn take(datadog: Arc<Datadog>, open: OpenRequest, request: Request<Body>) -> Response {
    let limit = datadog.ingest.limits().bytes_under_way;
    let decoded = read(&datadog, request, JSON, move |bytes, share| {
        Ok(telemetry(bytes, limit.saturating_sub(share.held()), |step| share.grow(step))?)
    });
    let (said, share) = match decoded.await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let libraries = said.libraries.len() as u64;
    let accept = move |ingest: Arc<Ingest>| async move {
        let now = now_unix_nano();
        ingest.accept_libraries(&of_said(&said, now)).await?;
        let records: Vec<LogRecord> = [(CONFIGURATION, said.configuration), (INTEGRATIONS, said.integrations)]
            .into_iter()
            .filter(|(_, body)| !body.is_empty())
            .map(|(name, body)| event(name, body, now))
            .collect();
        if !records.is_empty() {
            let scope = Scope { name: "ddtrace".to_owned(), ..Scope::default() };
            let resource = Arc::new(Resource { attributes: said.resource, ..Resource::default() });
            let scopes = vec![ScopeLogs { scope: Arc::new(scope), records }];
            let decoded = Decoded { batch: vec![ResourceLogs { resource, scopes }], rejected: Vec::new() };
            ingest.accept(Transport::Datadog, decoded).await?;
        }
        Ok(())
    };
    match keep(Arc::clone(&datadog.ingest), open, share, accept).await {
        Ok(()) => {
            add(&datadog.counters.libraries, libraries);
            let mut response = json("{}");
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        Err(refusal) => refused(&refusal),
    }
}

fn of_said(said: &Said, now: u64) -> Vec<Library> {
    let resource = Resource { attributes: said.resource.clone(), ..Resource::default() };
    let library = |(package, version): &(String, String)| Library {
        service: resource.service().to_owned(),
        environment: resource.environment().to_owned(),
        runtime: said.runtime.clone(),
        package: package.clone(),
        version: version.clone(),
        host: resource.host().to_owned(),
        first_seen_unix_nano: now,
        last_seen_unix_nano: now,
    };
    said.libraries.iter().map(library).collect()
}

fn event(name: &str, body: Attributes, now: u64) -> LogRecord {
    LogRecord {
        time_unix_nano: now,
        observed_time_unix_nano: now,
        severity_number: SEVERITY_INFO,
        event_name: name.to_owned(),
        body: Some(Value::Map(body)),
        ..LogRecord::default()
    }
}

fn now_unix_nano() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

impl From<TelemetryError> for Refusal {
    fn from(error: TelemetryError) -> Self {
        match error {
            TelemetryError::Json(_) => Self::new(RefusalReason::BadJson, error.to_string()),
            TelemetryError::Room(error) => Self::from(error),
        }
    }
}
