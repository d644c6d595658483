//! Which keys and values matching spans have.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::facets::{self as view, Facets, Request};

use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// The keys that matching spans have, with their most frequent values.
///
/// Counted over the newest 2000 matching spans; `sampled` says whether there are more. Of a query that
/// names no more than a service, an environment, a kind or a name, those keys are counted exactly.
#[utoipa::path(
    post, path = "/api/v1/facets", tag = "traces", operation_id = "listFacets",
    request_body = Request,
    responses(
        (status = 200, description = "The keys, reserved fields first and unique ones last", body = Answer<Facets>),
        (status = 400, description = "The query or a parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn facets(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.aside().answer(async move |store, now_us| view::facets(store, &request, now_us).await).await
}
