//! One trace.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use pitviper_model::TraceId;
use pitviper_query::views::Answer;
use pitviper_query::views::trace::{self as view, Request, TraceColumns};

use crate::extract::{Params, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// One trace as columns, in display order.
#[utoipa::path(
    get, path = "/api/v1/traces/{trace_id}", tag = "traces", operation_id = "getTrace",
    params(("trace_id" = String, Path, description = "The trace's id, 32 hex digits"), Request),
    responses(
        (status = 200, description = "The trace", body = Answer<TraceColumns>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such trace", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn trace(
    State(api): State<Api>,
    Segment(trace_id): Segment<String>,
    Params(request): Params<Request>,
) -> Result<Response, Problem> {
    let trace_id = parse_trace_id(&trace_id)?;
    api.answer(async move |store, _| view::trace(store, trace_id, &request).await).await
}

pub(super) fn parse_trace_id(text: &str) -> Result<TraceId, Problem> {
    text.parse().map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "bad_request", "the path is not usable")
            .detail("trace_id: a trace id has 32 hex digits")
    })
}
