//! The latency heatmap.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::heatmap::{self as view, Heatmap, Request};

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// How many matching spans were how long, over time.
///
/// Counts are exact, and so is the row of each span: rows are made of whole buckets of the histogram
/// that durations are kept in.
#[utoipa::path(
    post, path = "/api/v1/heatmap", tag = "traces", operation_id = "latencyHeatmap",
    request_body = Request,
    responses(
        (status = 200, description = "The cells, column after column", body = Answer<Heatmap>),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn heatmap(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::heatmap(store, &request, now_us).await).await
}
