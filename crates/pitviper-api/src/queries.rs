//! Runs views: a bounded number at once, off the network threads, for a bounded time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use pitviper_query::QueryError;
use pitviper_query::views::Answer;
use pitviper_store::Store;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::layers::current_route;
use crate::problem::Problem;
use crate::questions::Ended;
use crate::state::{Api, now_us};

/// Most queries that run at once. Each may use several threads of the store.
pub(crate) const MAX_CONCURRENT_QUERIES: usize = 16;

/// How long a query waits for its turn.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// How long a query may run.
const MAX_QUERY_TIME: Duration = Duration::from_secs(30);

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
        let mut question = self.shared.questions.ask(&current_route());
        let _mark = tracing::trace_span!(target: "pitviper::self", "question");
        let queries = Arc::clone(&self.shared.queries);
        let Ok(Ok(turn)) = tokio::time::timeout(MAX_QUEUE_TIME, queries.acquire_owned()).await else {
            question.end(Ended::Refused);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "too many queries at once")
                .detail(format!("{MAX_CONCURRENT_QUERIES} queries are running; try again"))
                .retry_after(Duration::from_secs(1)));
        };
        question.begin();
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
                        print(&answer)
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
            Ok(Ok(Some(Ok(body)))) => Ok(body_response(content_type, body.into())),
            Ok(Ok(Some(Err(error)))) => Err(error.into()),
            // `None` only comes when this future, which would have got it, was dropped.
            Ok(Ok(None)) => Err(Problem::internal()),
            Ok(Err(panicked)) => {
                tracing::error!(request_id = crate::request_id::current(), %panicked, "a query failed");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the query took too long")
                .detail(format!("it was stopped after {} s; choose a shorter time range", MAX_QUERY_TIME.as_secs()))),
        }
    }
}

/// A successful answer. Data is not to be kept by anyone in between.
pub(crate) fn body_response(content_type: &'static str, body: Bytes) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
