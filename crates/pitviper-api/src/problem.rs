//! Errors as RFC 9457 problem documents.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use pitviper_query::QueryError;
use pitviper_query::search::SyntaxError;
use pitviper_store::StoreError;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::request_id;

/// Why there is no answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the code says what kind of problem it is.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: AboutBlank,
    /// What went wrong, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong, for programs: `bad_request`, `query.syntax`, `not_found` and so on.
    #[schema(value_type = String)]
    pub code: &'static str,
    /// What exactly, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The id of the request; the server's log names it as well.
    pub request_id: String,
    /// What is wrong with the query, and where.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Option<Vec<SyntaxError>>)]
    pub errors: Box<[SyntaxError]>,
    /// After how many seconds to try again.
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
}

/// The type of all problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AboutBlank;

impl Serialize for AboutBlank {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("about:blank")
    }
}

impl Problem {
    /// A problem of this kind.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, title: impl Into<String>) -> Self {
        Self {
            kind: AboutBlank,
            title: title.into(),
            status: status.as_u16(),
            code,
            detail: None,
            request_id: request_id::current(),
            errors: Box::default(),
            retry_after_s: None,
        }
    }

    /// Adds what exactly went wrong.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        self.retry_after_s = Some(u32::try_from(seconds.max(1)).unwrap_or(u32::MAX));
        self
    }

    /// The path leads nowhere.
    #[must_use]
    pub fn no_such_path(path: &str) -> Self {
        let detail = format!("there is no {path} here; /api/openapi.json lists what there is");
        Self::new(StatusCode::NOT_FOUND, "not_found", "not found").detail(detail)
    }

    /// The server failed; its log has the reason.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed")
            .detail("the server's log has the reason, under the request id")
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Syntax(errors) => {
                let title = errors.0.first().map_or_else(String::new, |error| error.message.clone());
                Self { errors: errors.0.into(), ..Self::new(StatusCode::BAD_REQUEST, "query.syntax", title) }
            }
            QueryError::Statement(errors) => {
                let title = errors.0.first().map_or_else(String::new, |error| error.message.clone());
                Self { errors: errors.0.into(), ..Self::new(StatusCode::BAD_REQUEST, "sql.statement", title) }
            }
            QueryError::TooLarge { message } => {
                Self::new(StatusCode::BAD_REQUEST, "too_large", "the question needs too much memory").detail(message)
            }
            QueryError::TooSlow { message } => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the query took too long").detail(message)
            }
            QueryError::Time { .. } | QueryError::Parameter { .. } => {
                Self::new(StatusCode::BAD_REQUEST, "bad_request", "a parameter is not usable").detail(error.to_string())
            }
            QueryError::NotFound { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not_found", "not found").detail(error.to_string())
            }
            QueryError::Store(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy { retry_after_ms, .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "store.busy", "the store is busy")
                    .detail(error.to_string())
                    .retry_after(Duration::from_millis(retry_after_ms))
            }
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "store.closed", "the server is stopping")
                .retry_after(Duration::from_secs(5)),
            other => {
                tracing::error!(request_id = request_id::current(), error = %other, "the store failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).expect("text and numbers always serialise");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_store_says_when_to_try_again() {
        let busy = StoreError::Busy { budget: "memory", retry_after_ms: 1_200 };
        let response = Problem::from(QueryError::from(busy)).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }

    #[test]
    fn what_the_store_says_of_its_files_stays_in_the_log() {
        let error = StoreError::Io { context: "reading /secret/path".into(), source: std::io::Error::other("no") };
        let body = serde_json::to_value(Problem::from(error)).unwrap();
        assert_eq!((&body["status"], &body["type"]), (&500.into(), &"about:blank".into()));
        assert!(!body.to_string().contains("secret"));
    }
}
