//! Runs views: a bounded number at once, off the network threads, for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pitviper_query::QueryError;
use pitviper_query::views::Answer;
use pitviper_store::Store;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::layers::current_route;
use crate::problem::Problem;
use crate::questions::{Ended, Question};
use crate::state::{Api, now_us};

/// Most queries that run at once. Each may use several threads of the store.
pub(crate) const MAX_CONCURRENT_QUERIES: usize = 16;

/// How long a query waits for its turn.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// How long a query may run.
pub(crate) const MAX_QUERY_TIME: Duration = Duration::from_secs(30);

/// Bytes of a hash that tell answers apart.
const TAG_BYTES: usize = 16;

/// The content type of answers.
pub(crate) const JSON: &str = "application/json";

impl Api {
    /// Answers with what a view says, as JSON.
    pub(crate) async fn answer<T, F>(&self, view: F) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: AsyncFnOnce(&dyn Store, i64) -> Result<Answer<T>, QueryError> + Send + 'static,
    {
        self.render(JSON, view, |answer| {
            serde_json::to_vec(answer).expect("answers hold no map whose keys are not text")
        })
        .await
    }

    /// Answers with what a view says of a closed time range, as JSON: with a tag of what it says, and
    /// with no more than that tag when the caller has it already.
    pub(crate) async fn answer_tagged<T, F>(&self, known: &HeaderMap, view: F) -> Result<Response, Problem>
    where
        T: Serialize + 'static,
        F: AsyncFnOnce(&dyn Store, i64) -> Result<Answer<T>, QueryError> + Send + 'static,
    {
        // How long it took is not a part of what is said, so it is not a part of the tag.
        let tagged = |answer: &mut Answer<T>| {
            let elapsed_ms = std::mem::take(&mut answer.meta.elapsed_ms);
            let said = serde_json::to_vec(&answer).expect("answers hold no map whose keys are not text");
            answer.meta.elapsed_ms = elapsed_ms;
            let tag: String = Sha256::digest(&said)[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
            let body = serde_json::to_vec(&answer).expect("answers hold no map whose keys are not text");
            (format!("\"{tag}\""), body)
        };
        let (tag, body) = self.run(view, tagged).await?;
        let mut tags = known.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = tags.any(|tags| {
            tags.split(',').any(|known| known.trim() == "*" || known.trim().trim_start_matches("W/") == tag)
        });
        let mut response =
            if is_known { StatusCode::NOT_MODIFIED.into_response() } else { body_response(JSON, body.into()) };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::try_from(tag).expect("hex digits between quotes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        Ok(response)
    }

    /// Answers with what a view says, in another form.
    pub(crate) async fn render<T, F>(
        &self,
        content_type: &'static str,
        view: F,
        print: fn(&Answer<T>) -> Vec<u8>,
    ) -> Result<Response, Problem>
    where
        T: 'static,
        F: AsyncFnOnce(&dyn Store, i64) -> Result<Answer<T>, QueryError> + Send + 'static,
    {
        let body = self.run(view, move |answer| print(answer)).await?;
        Ok(body_response(content_type, body.into()))
    }

    /// Waits for the turn of a query, not for long.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let queries = Arc::clone(&self.shared.queries);
        match tokio::time::timeout(MAX_QUEUE_TIME, queries.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many queries at once")
                .detail(format!("{MAX_CONCURRENT_QUERIES} queries are running; try again"))
                .retry_after(Duration::from_secs(1))),
        }
    }

    /// A question to the current route and its turn among those that run, once it has come.
    pub(crate) async fn begin_question(&self) -> Result<(Question, OwnedSemaphorePermit), Problem> {
        let mut question = self.shared.questions.ask(&current_route());
        match self.turn().await {
            Ok(turn) => {
                question.begin();
                Ok((question, turn))
            }
            Err(problem) => {
                question.end(Ended::Refused);
                Err(problem)
            }
        }
    }

    /// What is made of a view's answer.
    async fn run<T, F, P>(
        &self,
        view: F,
        print: impl FnOnce(&mut Answer<T>) -> P + Send + 'static,
    ) -> Result<P, Problem>
    where
        T: 'static,
        F: AsyncFnOnce(&dyn Store, i64) -> Result<Answer<T>, QueryError> + Send + 'static,
        P: Send + 'static,
    {
        let _mark = tracing::trace_span!(target: "pitviper::self", "question");
        let (question, turn) = self.begin_question().await?;
        let started = Instant::now();
        let store = Arc::clone(self.store());
        let runtime = tokio::runtime::Handle::current();
        // Dropped with this future when the client goes away or time is up, which ends the query.
        let (_wanted, abandoned) = oneshot::channel::<()>();
        let query = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            runtime.block_on(async {
                tokio::select! {
                    answer = view(&*store, now_us()) => Some(answer.map(|mut answer| {
                        answer.meta.elapsed_ms = started.elapsed().as_millis() as u64;
                        print(&mut answer)
                    })),
                    _ = abandoned => None,
                }
            })
        });
        let ended = tokio::time::timeout(MAX_QUERY_TIME, query).await;
        question.end(match &ended {
            Ok(Ok(Some(Ok(_)))) => Ended::Answered,
            Ok(_) => Ended::Failed,
            Err(_) => Ended::TimedOut,
        });
        match ended {
            Ok(Ok(Some(Ok(printed)))) => Ok(printed),
            Ok(Ok(Some(Err(error)))) => Err(error.into()),
            // `None` only comes when this future, which would have got it, was dropped.
            Ok(Ok(None)) => Err(Problem::internal()),
            Ok(Err(panicked)) => {
                tracing::error!(request_id = crate::request_id::current(), %panicked, "a query failed");
                Err(Problem::internal())
            }
            Err(_) => Err(time_is_over().into()),
        }
    }
}

/// What is said of a query that runs for longer than it may.
pub(crate) fn time_is_over() -> QueryError {
    let seconds = MAX_QUERY_TIME.as_secs();
    QueryError::TooSlow { message: format!("it was stopped after {seconds} s; choose a shorter time range") }
}

/// A successful answer. Data is not to be kept by anyone in between.
pub(crate) fn body_response(content_type: &'static str, body: Bytes) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
