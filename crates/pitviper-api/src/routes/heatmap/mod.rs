//! The latency heatmap.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use pitviper_query::time::is_closed;
use pitviper_query::views::Answer;
use pitviper_query::views::heatmap::{self as view, Heatmap, Request};
use pitviper_store::Store;

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::{Api, now_us};

/// How many matching spans were how long, over time.
///
/// Counts are exact, and so is the row of each span: rows are made of whole buckets of the histogram
/// that durations are kept in.
///
/// Of a range in absolute times that ended a minute ago, the answer has an `ETag`, and `If-None-Match` with
/// it is answered by 304 while nothing changed.
#[utoipa::path(
    post, path = "/api/v1/heatmap", tag = "traces", operation_id = "latencyHeatmap",
    request_body = Request,
    responses(
        (status = 200, description = "The cells, column after column", body = Answer<Heatmap>),
        (status = 304, description = "The answer is the one whose tag was sent"),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn heatmap(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    let api = api.aside();
    let is_closed = is_closed(request.from.as_ref(), request.to.as_ref(), now_us());
    let view = async move |store: &dyn Store, now_us| view::heatmap(store, &request, now_us).await;
    if is_closed { api.answer_tagged(&headers, view).await } else { api.answer(view).await }
}
