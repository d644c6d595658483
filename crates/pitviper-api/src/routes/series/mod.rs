//! Figures over time.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::series::{self as view, Request, SeriesData};

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// Figures over time, several in one answer.
#[utoipa::path(
    post, path = "/api/v1/series", tag = "services", operation_id = "querySeries",
    request_body = Request,
    responses(
        (status = 200, description = "The series", body = Answer<SeriesData>),
        (status = 400, description = "The request is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn series(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::series(store, &request, now_us).await).await
}
