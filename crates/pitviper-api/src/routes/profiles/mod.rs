//! Profiles: where the time, the memory and the waiting went.

mod export;

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::Answer;
use pitviper_query::views::profiles::{
    self as view, FunctionSpans, FunctionsData, FunctionsRequest, LinesData, LinesRequest, LongestData, LongestRequest,
    MergeRequest, MergedProfile, ProfileValues, SeriesData, SeriesRequest, SpansRequest, ValuesRequest,
};

pub(crate) use self::export::{__path_export, export};
use crate::extract::Body;
use crate::problem::Problem;
use crate::state::Api;

/// The stacks of samples put together to a tree, by columns, as a flame graph draws it.
///
/// With a baseline every node has what it has there beside it.
#[utoipa::path(
    post, path = "/api/v1/profiles/merge", tag = "profiles", operation_id = "mergeProfiles",
    request_body = MergeRequest,
    responses(
        (status = 200, description = "The tree; its root alone when there are no samples", body = Answer<MergedProfile>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn merge(State(api): State<Api>, Body(request): Body<MergeRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::merge(store, &request, now_us).await).await
}

/// The functions that samples are in, those with most of their own first.
#[utoipa::path(
    post, path = "/api/v1/profiles/functions", tag = "profiles", operation_id = "listProfileFunctions",
    request_body = FunctionsRequest,
    responses(
        (status = 200, description = "The functions", body = Answer<FunctionsData>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn functions(
    State(api): State<Api>,
    Body(request): Body<FunctionsRequest>,
) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::functions(store, &request, now_us).await).await
}

/// The lines of a function that samples were taken in.
#[utoipa::path(
    post, path = "/api/v1/profiles/lines", tag = "profiles", operation_id = "listProfileLines",
    request_body = LinesRequest,
    responses(
        (status = 200, description = "The lines", body = Answer<LinesData>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn lines(State(api): State<Api>, Body(request): Body<LinesRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::lines(store, &request, now_us).await).await
}

/// Where one sample took longest: what blocked an event loop, where a lock was waited for.
#[utoipa::path(
    post, path = "/api/v1/profiles/longest", tag = "profiles", operation_id = "listLongestSamples",
    request_body = LongestRequest,
    responses(
        (status = 200, description = "The places, that of the longest sample first", body = Answer<LongestData>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn longest(State(api): State<Api>, Body(request): Body<LongestRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::longest(store, &request, now_us).await).await
}

/// What there is to choose from: types of samples, services, endpoints, threads and so on.
#[utoipa::path(
    post, path = "/api/v1/profiles/values", tag = "profiles", operation_id = "listProfileValues",
    request_body = ValuesRequest,
    responses(
        (status = 200, description = "The values, those with most first", body = Answer<ProfileValues>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn values(State(api): State<Api>, Body(request): Body<ValuesRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::values(store, &request, now_us).await).await
}

/// What was measured over time.
#[utoipa::path(
    post, path = "/api/v1/profiles/series", tag = "profiles", operation_id = "getProfileSeries",
    request_body = SeriesRequest,
    responses(
        (status = 200, description = "The series, those with most first", body = Answer<SeriesData>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn series(State(api): State<Api>, Body(request): Body<SeriesRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::series(store, &request, now_us).await).await
}

/// The spans that ran a function.
#[utoipa::path(
    post, path = "/api/v1/profiles/spans", tag = "profiles", operation_id = "listSpansOfFunction",
    request_body = SpansRequest,
    responses(
        (status = 200, description = "The spans, those in which it took most first", body = Answer<FunctionSpans>),
        (status = 400, description = "A parameter is not usable", body = Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn spans(State(api): State<Api>, Body(request): Body<SpansRequest>) -> Result<Response, Problem> {
    api.answer(async move |store, now_us| view::spans(store, &request, now_us).await).await
}
