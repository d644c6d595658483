//! Metrics that applications report; those of the server itself are in [`super::metrics`].

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::metrics::{self as view, MetricData, MetricName, NamesRequest, Request};

use crate::extract::{Body, Params};
use crate::problem::Problem;
use crate::state::Api;

/// A metric over time, split by attributes.
///
/// What a sum that grows and a distribution counted is worked out for each step, whatever their
/// temporality. Percentiles are estimated from the buckets.
#[utoipa::path(
    post, path = "/api/v1/metrics/query", tag = "metrics", operation_id = "queryMetric",
    request_body = Request,
    responses(
        (status = 200, description = "The groups, the largest first; none for an unknown metric", body = Answer<MetricData>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn query(State(api): State<Api>, Body(request): Body<Request>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::query(store, &request, now_us).await).await
}

/// Which metrics there are.
#[utoipa::path(
    get, path = "/api/v1/metrics/names", tag = "metrics", operation_id = "listMetrics",
    params(NamesRequest),
    responses(
        (status = 200, description = "The metrics, by name", body = Answer<Vec<MetricName>>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn names(State(api): State<Api>, Params(request): Params<NamesRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::names(store, &request, now_us).await).await
}
