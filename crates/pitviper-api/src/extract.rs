//! Parameters and bodies, with problems for what cannot be read.

use std::time::Duration;

use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Json, Path, Query, Request};
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The query string.
pub(crate) struct Params<T>(pub(crate) T);

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

/// Longest time a body may take to arrive: one that comes drop by drop must not keep its connection for good.
const BODY_TIME: Duration = Duration::from_secs(30);

/// A part of the path.
pub(crate) struct Segment<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |rejection: QueryRejection| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", "a parameter is not usable")
                .detail(rejection.body_text())
        };
        Query::from_request_parts(parts, state).await.map(|Query(params)| Self(params)).map_err(wrong)
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |rejection: PathRejection| {
            Problem::new(StatusCode::BAD_REQUEST, "bad_request", "the path is not usable").detail(rejection.body_text())
        };
        Path::from_request_parts(parts, state).await.map(|Path(segment)| Self(segment)).map_err(wrong)
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        read_within(BODY_TIME, request, state).await
    }
}

async fn read_within<T: DeserializeOwned, S: Send + Sync>(
    time: Duration,
    request: Request,
    state: &S,
) -> Result<Body<T>, Problem> {
    let read = tokio::time::timeout(time, Json::from_request(request, state)).await;
    let late = |_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time")
            .detail(format!("it had {} ms; send all of it at once", time.as_millis()))
    };
    read.map_err(late)?.map(|Json(body)| Body(body)).map_err(body_problem)
}

fn body_problem(rejection: JsonRejection) -> Problem {
    let (status, code, title) = match rejection.status() {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            let title = "the body has to be JSON, with content-type application/json";
            (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", title)
        }
        StatusCode::PAYLOAD_TOO_LARGE => (StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is too large"),
        _ => (StatusCode::BAD_REQUEST, "bad_request", "the body is not usable"),
    };
    Problem::new(status, code, title).detail(rejection.body_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let never = axum::body::Body::from_stream(futures::stream::pending::<Result<&'static [u8], std::io::Error>>());
        let request = Request::put("/").header("content-type", "application/json").body(never).unwrap();
        let read = read_within::<serde_json::Value, ()>(Duration::from_millis(10), request, &()).await;
        let problem = read.err().expect("nothing came");
        let text = format!("{problem:?}");
        assert!(text.contains("body_timeout") && text.contains("10 ms"), "{text}");
        let whole = Request::put("/").header("content-type", "application/json").body("[1]".into()).unwrap();
        let read = read_within::<serde_json::Value, ()>(Duration::from_secs(20), whole, &()).await;
        assert_eq!(read.ok().map(|Body(value)| value), Some(serde_json::json!([1])));
    }
}
