//! Where imported telemetry goes: to a server, or into a data directory.

use std::cell::Cell;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pitviper_ingest::receivers::otlp::MAX_BODY_BYTES;
use pitviper_ingest::{Ingest, IngestError, Transport};
use pitviper_model::{
    MetricPoints, ResourceLogs, ResourceMetrics, ResourceSpans, ScopeLogs, ScopeMetrics, ScopeSpans, Signal,
};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Retention};
use pitviper_wire::decode::trace_service::ExportTraceServiceResponse;
use pitviper_wire::decode::{Decoded, Telemetry};
use pitviper_wire::export::{logs_to_protobuf, metrics_to_protobuf, traces_to_protobuf};
use prost::Message as _;

/// How often a request is sent before the import is given up; what is through stays.
const MAX_TRIES: u32 = 30;
/// How long to wait when the other side does not say, and the longest it is believed.
const RETRY_AFTER: Duration = Duration::from_secs(1);
const RETRY_AFTER_LONGEST: Duration = Duration::from_secs(30);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// What became of the items of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) stored: u64,
    pub(super) rejected: u64,
}

/// Where telemetry goes.
pub(super) enum Target {
    Server { http: ureq::Agent, url: String, token: Option<String> },
    Directory { runtime: tokio::runtime::Runtime, store: Arc<EmbeddedStore>, ingest: Arc<Ingest>, name: String },
}

enum Answer {
    Taken(Outcome),
    TryAgain { why: String, after: Duration },
    Refused(String),
}

impl Target {
    pub(super) fn open(url: Option<&str>, dir: Option<&Path>, token_file: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(url) = url {
            let url = url.trim_end_matches('/').trim_end_matches("/v1/traces").to_owned();
            let config =
                ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_TIMEOUT));
            return Ok(Self::Server { http: config.build().into(), url, token: token(token_file)? });
        }
        let dir = dir.context("say --to URL or --data-dir DIR")?;
        let runtime = tokio::runtime::Runtime::new().context("the runtime cannot start")?;
        // What the directory keeps is for its server to say.
        let retention = Retention::default();
        let opening = EmbeddedStore::open(EmbeddedConfig { retention, ..EmbeddedConfig::new(dir) });
        let store = runtime.block_on(opening).with_context(|| format!("--data-dir {}", dir.display()))?;
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let name = dir.canonicalize().unwrap_or_else(|_| dir.to_owned()).display().to_string();
        Ok(Self::Directory { runtime, store, ingest: Ingest::new(shared), name })
    }

    /// What the target is called in a checkpoint.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Server { url, .. } => url,
            Self::Directory { name, .. } => name,
        }
    }

    /// Sends telemetry until it is durable, waiting when asked to.
    pub(super) fn send(&self, telemetry: &Telemetry) -> anyhow::Result<Outcome> {
        if count(telemetry) == 0 {
            return Ok(Outcome::default());
        }
        match self {
            Self::Server { http, url, token } => {
                let (signal, _) = written(telemetry);
                post(http, &format!("{url}/v1/{}", signal.as_str()), token.as_deref(), telemetry)
            }
            Self::Directory { runtime, ingest, .. } => {
                retry(|| match runtime.block_on(ingest.accept(Transport::File, telemetry.clone())) {
                    Ok(accepted) => {
                        Answer::Taken(Outcome { stored: accepted.stored as u64, rejected: accepted.rejected as u64 })
                    }
                    Err(IngestError::TryAgain { message, retry_after_ms, .. }) => {
                        Answer::TryAgain { why: message, after: Duration::from_millis(retry_after_ms) }
                    }
                })
            }
        }
    }

    /// Moves what was taken into segments.
    pub(super) fn close(&self) -> anyhow::Result<()> {
        match self {
            Self::Server { .. } => Ok(()),
            Self::Directory { runtime, store, .. } => Ok(runtime.block_on(store.close())?),
        }
    }
}

fn token(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match file {
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("--token-file {}", file.display()))?;
            Ok(Some(text.trim().to_owned()))
        }
        None => Ok(std::env::var(crate::config::TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())),
    }
}

fn retry(mut attempt: impl FnMut() -> Answer) -> anyhow::Result<Outcome> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt() {
            Answer::Taken(outcome) => return Ok(outcome),
            Answer::Refused(why) => bail!("{why}"),
            Answer::TryAgain { why, .. } if tries >= MAX_TRIES => {
                bail!("given up after {tries} tries: {why}; run the same import again to go on from here")
            }
            Answer::TryAgain { after, .. } => std::thread::sleep(after.min(RETRY_AFTER_LONGEST)),
        }
    }
}

/// How many spans, log records or points there are.
fn count(telemetry: &Telemetry) -> u64 {
    let count: usize = match telemetry {
        Telemetry::Traces(decoded) => decoded.batch.iter().map(ResourceSpans::span_count).sum(),
        Telemetry::Metrics(decoded) => decoded.batch.iter().map(ResourceMetrics::point_count).sum(),
        Telemetry::Logs(decoded) => decoded.batch.iter().map(ResourceLogs::record_count).sum(),
    };
    count as u64
}

/// The request that holds these.
fn written(telemetry: &Telemetry) -> (Signal, Vec<u8>) {
    match telemetry {
        Telemetry::Traces(decoded) => (Signal::Traces, traces_to_protobuf(&decoded.batch)),
        Telemetry::Metrics(decoded) => (Signal::Metrics, metrics_to_protobuf(&decoded.batch)),
        Telemetry::Logs(decoded) => (Signal::Logs, logs_to_protobuf(&decoded.batch)),
    }
}

fn post(http: &ureq::Agent, url: &str, token: Option<&str>, telemetry: &Telemetry) -> anyhow::Result<Outcome> {
    let items = count(telemetry);
    let (_, body) = written(telemetry);
    if body.len() > MAX_BODY_BYTES {
        if items < 2 {
            return Ok(Outcome { stored: 0, rejected: items });
        }
        let (left, right) = halves(telemetry);
        let (left, right) = (post(http, url, token, &left)?, post(http, url, token, &right)?);
        return Ok(Outcome { stored: left.stored + right.stored, rejected: left.rejected + right.rejected });
    }
    retry(|| {
        let mut request = http.post(url).header("content-type", "application/x-protobuf");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let mut response = match request.send(&body[..]) {
            Ok(response) => response,
            Err(error) => return Answer::TryAgain { why: format!("{url}: {error}"), after: RETRY_AFTER },
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let answer = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().unwrap_or_default();
        match status {
            200 => {
                // Those of the other signals are the same message but for its fields' names.
                let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default().partial_success;
                let rejected = partial.map_or(0, |partial| partial.rejected_spans.max(0).cast_unsigned()).min(items);
                Answer::Taken(Outcome { stored: items - rejected, rejected })
            }
            408 | 429 | 502 | 503 | 504 => Answer::TryAgain {
                why: format!("{url} answers {status}"),
                after: after.map_or(RETRY_AFTER, Duration::from_secs),
            },
            401 => Answer::Refused(format!("{url} asks for a token: say --token-file")),
            _ => Answer::Refused(format!("{url} answers {status}: {}", String::from_utf8_lossy(&answer))),
        }
    })
}

/// The items in two halves.
fn halves(telemetry: &Telemetry) -> (Telemetry, Telemetry) {
    let (middle, end) = (count(telemetry) as usize / 2, count(telemetry) as usize);
    (within(telemetry, 0..middle), within(telemetry, middle..end))
}

/// The items with these numbers, without what then holds none.
fn within(telemetry: &Telemetry, wanted: Range<usize>) -> Telemetry {
    let cut = Cut { wanted, at: Cell::new(0) };
    match telemetry {
        Telemetry::Traces(decoded) => {
            let scope = |of: &ScopeSpans| Some(ScopeSpans { scope: Arc::clone(&of.scope), spans: cut.of(&of.spans)? });
            let resource = |of: &ResourceSpans| {
                let scopes = filled(of.scopes.iter().filter_map(scope).collect())?;
                Some(ResourceSpans { resource: Arc::clone(&of.resource), scopes })
            };
            Decoded { batch: decoded.batch.iter().filter_map(resource).collect(), rejected: Vec::new() }.into()
        }
        Telemetry::Logs(decoded) => {
            let scope =
                |of: &ScopeLogs| Some(ScopeLogs { scope: Arc::clone(&of.scope), records: cut.of(&of.records)? });
            let resource = |of: &ResourceLogs| {
                let scopes = filled(of.scopes.iter().filter_map(scope).collect())?;
                Some(ResourceLogs { resource: Arc::clone(&of.resource), scopes })
            };
            Decoded { batch: decoded.batch.iter().filter_map(resource).collect(), rejected: Vec::new() }.into()
        }
        Telemetry::Metrics(decoded) => {
            let metric =
                |of: &MetricPoints| Some(MetricPoints { metric: of.metric.clone(), points: cut.of(&of.points)? });
            let scope = |of: &ScopeMetrics| {
                let metrics = filled(of.metrics.iter().filter_map(metric).collect())?;
                Some(ScopeMetrics { scope: Arc::clone(&of.scope), metrics })
            };
            let resource = |of: &ResourceMetrics| {
                let scopes = filled(of.scopes.iter().filter_map(scope).collect())?;
                Some(ResourceMetrics { resource: Arc::clone(&of.resource), scopes })
            };
            Decoded { batch: decoded.batch.iter().filter_map(resource).collect(), rejected: Vec::new() }.into()
        }
    }
}

/// Takes some of all items, list after list.
struct Cut {
    wanted: Range<usize>,
    /// How many items came before.
    at: Cell<usize>,
}

impl Cut {
    /// Those of the next list that are wanted; `None` when there are none.
    fn of<T: Clone>(&self, items: &[T]) -> Option<Vec<T>> {
        let from = self.at.replace(self.at.get() + items.len());
        let place = |number: usize| number.saturating_sub(from).min(items.len());
        filled(items[place(self.wanted.start)..place(self.wanted.end)].to_vec())
    }
}

fn filled<T>(items: Vec<T>) -> Option<Vec<T>> {
    if items.is_empty() { None } else { Some(items) }
}

#[cfg(test)]
mod tests {
    use pitviper_model::Span;

    use super::*;

    #[test]
    fn halves_hold_every_item_once() {
        let scope = |spans: usize| ScopeSpans { scope: Arc::default(), spans: vec![Span::default(); spans] };
        let batch = vec![
            ResourceSpans { resource: Arc::default(), scopes: vec![scope(5), scope(1)] },
            ResourceSpans { resource: Arc::default(), scopes: vec![scope(2)] },
        ];
        let points = vec![Default::default(); 3];
        let metrics = vec![MetricPoints { points, ..MetricPoints::default() }];
        let scopes = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
        let points = vec![ResourceMetrics { scopes, ..ResourceMetrics::default() }];
        let scopes = vec![ScopeLogs { records: vec![Default::default(); 2], ..ScopeLogs::default() }];
        let records = vec![ResourceLogs { scopes, ..ResourceLogs::default() }];
        let rejected = Vec::new;
        for (telemetry, expect) in [
            (Telemetry::from(Decoded { batch, rejected: rejected() }), (4, 4)),
            (Decoded { batch: points, rejected: rejected() }.into(), (1, 2)),
            (Decoded { batch: records, rejected: rejected() }.into(), (1, 1)),
        ] {
            let (left, right) = halves(&telemetry);
            assert_eq!((count(&left), count(&right)), expect);
            // However they are spread, halving comes to an end.
            let mut part = right;
            while count(&part) > 1 {
                let (left, right) = halves(&part);
                assert!(count(&left) > 0 && count(&right) > 0);
                part = right;
            }
        }
    }

    #[test]
    fn a_request_is_tried_again_and_given_up_on() {
        let mut asked = 0;
        let taken = retry(|| {
            asked += 1;
            if asked < 3 {
                Answer::TryAgain { why: "busy".to_owned(), after: Duration::ZERO }
            } else {
                Answer::Taken(Outcome { stored: 1, rejected: 0 })
            }
        });
        assert_eq!(taken.unwrap().stored, 1);
        let given_up = retry(|| Answer::TryAgain { why: "busy".to_owned(), after: Duration::ZERO }).unwrap_err();
        assert!(given_up.to_string().contains("busy; run the same import again"), "{given_up}");
    }
}
