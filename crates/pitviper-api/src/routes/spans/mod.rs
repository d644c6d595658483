//! Spans of a trace with all of their details.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::spans::{self as view, Request, SpanDetails};

use super::trace::parse_trace_id;
use crate::extract::{Params, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// Spans of a trace with all of their details, by start.
#[utoipa::path(
    get, path = "/api/v1/traces/{trace_id}/spans", tag = "traces", operation_id = "listSpans",
    params(("trace_id" = String, Path, description = "The trace's id, 32 hex digits"), Request),
    responses(
        (status = 200, description = "The spans, at most 1000, and in `meta.next` the cursor of the next page", body = Answer<Vec<SpanDetails>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such trace", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn spans(
    State(api): State<Api>,
    Segment(trace_id): Segment<String>,
    Params(request): Params<Request>,
) -> Result<Response, Problem> {
    let trace_id = parse_trace_id(&trace_id)?;
    api.answer(async move |store, _| view::spans(store, trace_id, &request).await).await
}
