//! Answers questions with what views say, as a whole.

use std::time::Instant;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pitviper_query::QueryError;
use pitviper_query::views::Answer;
use pitviper_store::Store;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::problem::Problem;
use crate::state::Api;
use crate::work::mark_read;

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
        let mut work = self
            .begin(async move |store, now_us| {
                let started = Instant::now();
                let mut answer = view(store, now_us).await?;
                mark_read(answer.meta.scanned, None);
                answer.meta.elapsed_ms = started.elapsed().as_millis() as u64;
                Ok(print(&mut answer))
            })
            .await?;
        work.end().await
    }
}

/// A successful answer. Data is not to be kept by anyone in between.
pub(crate) fn body_response(content_type: &'static str, body: Bytes) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
