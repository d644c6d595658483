//! What can be written in the search bar.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::complete::{self as view, Completion, Request};

use crate::extract::Params;
use crate::problem::Problem;
use crate::state::Api;

/// What can be written at the cursor of a query: keys, values, what compares or relates, functions.
///
/// Values are those of spans that match the rest of the query. What is counted of them may be half a
/// minute old. A query with errors is completed with what can be read of it.
#[utoipa::path(
    get, path = "/api/v1/complete", tag = "traces", operation_id = "completeQuery",
    params(Request),
    responses(
        (status = 200, description = "What to write, the best first, and what it replaces", body = Answer<Completion>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn complete(State(api): State<Api>, Params(request): Params<Request>) -> Result<Response, Problem> {
    let cache = Arc::clone(&api.shared.facets);
    api.aside().answer(async move |store, now_us| view::complete(store, &cache, &request, now_us).await).await
}
