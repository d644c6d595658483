//! The operations of a service.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::operations::{self as view, Operation, Request};

use crate::extract::{Params, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// The operations of a service: entry operations first, each group by the time it took.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/operations", tag = "services", operation_id = "listOperations",
    params(("service" = String, Path, description = "The service's name"), Request),
    responses(
        (status = 200, description = "The operations; none for an unknown service", body = Answer<Vec<Operation>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn operations(
    State(api): State<Api>,
    Segment(service): Segment<String>,
    Params(request): Params<Request>,
) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::operations(store, &service, &request, now_us).await).await
}
