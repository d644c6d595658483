//! What a query is made of, for the search bar.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::search::Analysis;
use pitviper_query::views::Answer;
use pitviper_query::views::parse::{self as view, Request};

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// Takes a query apart: its tokens, all of its errors with their fixes, its canonical form and the
/// terms that can be taken out.
#[utoipa::path(
    post, path = "/api/v1/query/parse", tag = "traces", operation_id = "parseQuery",
    request_body = Request,
    responses(
        (status = 200, description = "What the query is made of, also when it has errors", body = Answer<Analysis>),
        (status = 400, description = "The body is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn parse(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.answer(async move |_, _| Ok(view::parse(&request))).await
}
