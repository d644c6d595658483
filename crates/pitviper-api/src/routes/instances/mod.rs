//! The processes of a service.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::instances::{self as view, Instance, Request};

use crate::extract::{Params, Segment};
use crate::problem::Problem;
use crate::state::Api;

/// The processes of a service, those seen last first, with what they say of themselves and their latest
/// metrics.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/instances", tag = "services", operation_id = "listInstances",
    params(("service" = String, Path, description = "The service's name"), Request),
    responses(
        (status = 200, description = "The processes; none for an unknown service", body = Answer<Vec<Instance>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn instances(
    State(api): State<Api>,
    Segment(service): Segment<String>,
    Params(request): Params<Request>,
) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::instances(store, &service, &request, now_us).await).await
}
