//! Figures of matching spans, split by fields, over time.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use pitviper_query::time::is_closed;
use pitviper_query::views::Answer;
use pitviper_query::views::aggregate::{self as view, AggregateData, Request};
use pitviper_store::Store;

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::{Api, now_us};

/// Any metric of matching spans, split by any fields, over time.
///
/// Made from the metrics when they know all that is asked for, and from the spans otherwise;
/// `meta.source` says from which. Quantiles from the metrics, and of more than two million numbers,
/// are off by at most `meta.relative_error`. `slowest:10%` is the mean of the largest tenth of each
/// step's numbers.
///
/// Of a range in absolute times that ended a minute ago, the answer has an `ETag`, and `If-None-Match` with
/// it is answered by 304 while nothing changed.
#[utoipa::path(
    post, path = "/api/v1/aggregate", tag = "traces", operation_id = "aggregateSpans",
    request_body = Request,
    responses(
        (status = 200, description = "The series, the largest first", body = Answer<AggregateData>),
        (status = 304, description = "The answer is the one whose tag was sent"),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn aggregate(
    State(api): State<Api>,
    headers: HeaderMap,
    Body(request): Body<Request>,
) -> Result<Response, Problem> {
    let api = api.aside();
    let is_closed = is_closed(request.from.as_ref(), request.to.as_ref(), now_us());
    let view = async move |store: &dyn Store, now_us| view::aggregate(store, &request, now_us).await;
    if is_closed { api.answer_tagged(&headers, view).await } else { api.answer(view).await }
}
