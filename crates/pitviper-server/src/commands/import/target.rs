//! Where imported spans go: to a server, or into a data directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use pitviper_ingest::receivers::otlp::MAX_BODY_BYTES;
use pitviper_ingest::{Ingest, IngestError, Transport};
use pitviper_model::{ResourceSpans, ScopeSpans};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Retention};
use pitviper_wire::decode::Decoded;
use pitviper_wire::decode::trace_service::ExportTraceServiceResponse;
use pitviper_wire::export::traces_to_protobuf;
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

/// What became of the spans of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) stored: u64,
    pub(super) rejected: u64,
}

/// Where spans go.
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
            let url = format!("{}/v1/traces", url.trim_end_matches('/').trim_end_matches("/v1/traces"));
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

    /// Sends spans until they are durable, waiting when asked to.
    pub(super) fn send(&self, batch: Vec<ResourceSpans>) -> anyhow::Result<Outcome> {
        if batch.iter().all(|spans| spans.span_count() == 0) {
            return Ok(Outcome::default());
        }
        match self {
            Self::Server { http, url, token } => post(http, url, token.as_deref(), &batch),
            Self::Directory { runtime, ingest, .. } => retry(|| {
                let decoded = Decoded { batch: batch.clone(), rejected: Vec::new() };
                match runtime.block_on(ingest.accept(Transport::File, decoded)) {
                    Ok(accepted) => {
                        Answer::Taken(Outcome { stored: accepted.stored as u64, rejected: accepted.rejected as u64 })
                    }
                    Err(IngestError::TryAgain { message, retry_after_ms, .. }) => {
                        Answer::TryAgain { why: message, after: Duration::from_millis(retry_after_ms) }
                    }
                }
            }),
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

fn post(http: &ureq::Agent, url: &str, token: Option<&str>, batch: &[ResourceSpans]) -> anyhow::Result<Outcome> {
    let spans: u64 = batch.iter().map(|spans| spans.span_count() as u64).sum();
    let body = traces_to_protobuf(batch);
    if body.len() > MAX_BODY_BYTES {
        if spans < 2 {
            return Ok(Outcome { stored: 0, rejected: spans });
        }
        let (left, right) = halves(batch);
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
                let partial = ExportTraceServiceResponse::decode(answer.as_slice()).unwrap_or_default().partial_success;
                let rejected = partial.map_or(0, |partial| partial.rejected_spans.max(0).cast_unsigned()).min(spans);
                Answer::Taken(Outcome { stored: spans - rejected, rejected })
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

/// The spans of a batch in two halves.
fn halves(batch: &[ResourceSpans]) -> (Vec<ResourceSpans>, Vec<ResourceSpans>) {
    let mut halves = (Vec::new(), Vec::new());
    for resource in batch {
        for scope in &resource.scopes {
            let (left, right) = scope.spans.split_at(scope.spans.len() / 2);
            for (half, spans) in [(&mut halves.0, left), (&mut halves.1, right)] {
                if !spans.is_empty() {
                    let scopes = vec![ScopeSpans { scope: Arc::clone(&scope.scope), spans: spans.to_vec() }];
                    half.push(ResourceSpans { resource: Arc::clone(&resource.resource), scopes });
                }
            }
        }
    }
    halves
}

#[cfg(test)]
mod tests {
    use pitviper_model::Span;

    use super::*;

    #[test]
    fn halves_hold_every_span_once() {
        let scope = |spans: usize| ScopeSpans { scope: Arc::default(), spans: vec![Span::default(); spans] };
        let batch = [
            ResourceSpans { resource: Arc::default(), scopes: vec![scope(5), scope(1)] },
            ResourceSpans { resource: Arc::default(), scopes: vec![scope(2)] },
        ];
        let count = |half: &[ResourceSpans]| half.iter().map(ResourceSpans::span_count).sum::<usize>();
        let (left, right) = halves(&batch);
        assert_eq!((count(&left), count(&right)), (3, 5));
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
