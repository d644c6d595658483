//! Answers that are told line by line while they are made, as NDJSON.
//!
//! The first line decides: until there is one, what goes wrong is a problem with its status; behind it,
//! the last line is one of type `error`. A client that reads slowly makes the view wait; one that goes
//! away ends it.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::{HeaderName, HeaderValue, header};
use pitviper_query::QueryError;
use pitviper_store::Store;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::problem::Problem;
use crate::request_id;
use crate::state::Api;
use crate::work::Work;

/// The content type of streams.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// Lines that wait for a client at most; then the view waits.
const MAX_LINES_WAITING: usize = 16;

/// Asks a proxy to pass lines on as they come.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Where a view puts its lines.
#[derive(Debug, Clone)]
pub(crate) struct Lines(mpsc::Sender<Bytes>);

impl Lines {
    /// Adds a line, as soon as there is room for it. When nobody reads any more this does not come back: the
    /// view is about to be dropped, and must not end as if it had been read.
    pub(crate) async fn put(&self, line: &impl Serialize) {
        let mut text = serde_json::to_vec(line).expect("lines hold no map whose keys are not text");
        text.push(b'\n');
        if self.0.send(text.into()).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The last line of a stream that something went wrong with.
#[derive(Serialize)]
struct ErrorLine<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    problem: &'a Problem,
}

impl Api {
    /// Answers with the lines that a view tells.
    pub(crate) async fn stream<F>(&self, view: F) -> Result<Response, Problem>
    where
        F: AsyncFnOnce(&dyn Store, i64, Lines) -> Result<(), QueryError> + Send + 'static,
    {
        let (lines, mut waiting) = mpsc::channel(MAX_LINES_WAITING);
        let work = self.begin(async move |store, now_us| view(store, now_us, Lines(lines)).await).await?;
        let first = waiting.recv().await;
        let mut told = Told { first, waiting, work: Some(work), request_id: request_id::current() };
        if told.first.is_none()
            && let Some(problem) = told.failure().await
        {
            return Err(problem);
        }
        let lines = stream::unfold(told, async |mut told| {
            let line = told.next().await?;
            Some((Ok::<_, Infallible>(line), told))
        });
        let mut response = Body::from_stream(lines).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }
}

/// Lines that were told, and what becomes of the view.
struct Told {
    first: Option<Bytes>,
    waiting: mpsc::Receiver<Bytes>,
    /// Until it has ended. Dropped with the answer when the client goes away, which ends the view.
    work: Option<Work<()>>,
    /// Of the request, which is over when the lines are read.
    request_id: String,
}

impl Told {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if let Some(line) = self.waiting.recv().await {
            return Some(line);
        }
        let problem = self.failure().await?;
        let line = ErrorLine { kind: "error", problem: &problem };
        let mut text = serde_json::to_vec(&line).expect("text and numbers always serialise");
        text.push(b'\n');
        Some(text.into())
    }

    /// What went wrong, once all lines were told.
    async fn failure(&mut self) -> Option<Problem> {
        let mut work = self.work.take()?;
        request_id::scope(self.request_id.clone(), work.end()).await.err()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
    use serde_json::{Value, json};
    use tokio::sync::watch;

    use super::*;
    use crate::auth::Access;
    use crate::client_settings::{ClientSetting, ClientSettings, KeepsClientSettings};
    use crate::{ApiConfig, Endpoints};

    /// Keeps no settings.
    struct NoSettings;

    impl KeepsClientSettings for NoSettings {
        fn get(&self) -> ClientSettings {
            ClientSettings::default()
        }

        fn replace(&self, _: Vec<ClientSetting>) -> std::io::Result<ClientSettings> {
            Ok(ClientSettings::default())
        }
    }

    #[tokio::test]
    async fn what_goes_wrong_later_is_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let (_stop, stopping) = watch::channel(false);
        let api = Api::new(ApiConfig {
            store: EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap(),
            version: "1",
            endpoints: Endpoints { http: "a".into(), otlp_http: "b".into(), otlp_grpc: "c".into() },
            access: Access::Loopback,
            metrics: Vec::new(),
            client_settings: std::sync::Arc::new(NoSettings),
            stopping,
        });
        let view = async |_: &dyn Store, _: i64, lines: Lines| {
            lines.put(&json!({ "type": "row" })).await;
            Err(QueryError::TooSlow { message: "too much".to_owned() })
        };
        let answer = request_id::scope("r-1".to_owned(), api.stream(view)).await.unwrap();
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let lines: Vec<Value> =
            text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!((lines.len(), &lines[0], &lines[1]["type"]), (2, &json!({ "type": "row" }), &json!("error")));
        let problem = &lines[1]["problem"];
        assert_eq!((&problem["code"], &problem["status"]), (&json!("timeout"), &json!(504)));
        assert_eq!((&problem["detail"], &problem["request_id"]), (&json!("too much"), &json!("r-1")));
    }
}
