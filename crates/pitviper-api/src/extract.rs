//! Parameters and bodies, with problems for what cannot be read.

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
        Json::from_request(request, state).await.map(|Json(body)| Self(body)).map_err(body_problem)
    }
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
