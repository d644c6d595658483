//! Log records.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::logs::{self as view, LogRow, Request, TraceRequest};

use super::trace::parse_trace_id;
use crate::extract::{Body, Params, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// One page of the log records that match, the newest first.
#[utoipa::path(
    post, path = "/api/v1/logs/search", tag = "logs", operation_id = "searchLogs",
    request_body = Request,
    responses(
        (status = 200, description = "The records, and in `meta.next` the cursor of the next page", body = Answer<Vec<LogRow>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn search(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::search(store, &request, now_us).await).await
}

/// Log records that were written in a trace, whatever their time, the newest first.
#[utoipa::path(
    get, path = "/api/v1/traces/{trace_id}/logs", tag = "logs", operation_id = "listTraceLogs",
    params(("trace_id" = String, Path, description = "The trace's id, 32 hex digits"), TraceRequest),
    responses(
        (status = 200, description = "The records, and in `meta.next` the cursor of the next page; none for an unknown trace", body = Answer<Vec<LogRow>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn of_trace(
    State(api): State<Api>,
    Segment(trace_id): Segment<String>,
    Params(request): Params<TraceRequest>,
) -> Result<Response, Problem> {
    let trace_id = parse_trace_id(&trace_id)?;
    api.answer(async move |store, _| view::of_trace(store, trace_id, &request).await).await
}
