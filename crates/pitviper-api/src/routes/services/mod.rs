//! All services.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::services::{self as view, Request, Service};

use crate::extract::Params;
use crate::problem::Problem;
use crate::state::Api;

/// All services with rate, failures and response times.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "services", operation_id = "listServices",
    params(Request),
    responses(
        (status = 200, description = "The services, by name", body = Answer<Vec<Service>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn services(State(api): State<Api>, Params(request): Params<Request>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::services(store, &request, now_us).await).await
}
