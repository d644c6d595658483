//! The routes, one folder each.

pub mod aggregate;
pub mod client_settings;
pub mod complete;
pub mod facets;
pub mod first_span;
pub mod health;
pub mod heatmap;
pub mod instances;
pub mod logs;
pub mod meta;
pub mod metric_data;
pub mod metrics;
pub mod openapi;
pub mod operations;
pub mod parse;
pub mod profiles;
pub mod search;
pub mod series;
pub mod services;
pub mod spans;
pub mod sql;
pub mod trace;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::auth::{LOGIN_PATH, LOGOUT_PATH, log_in, log_out, login_page};
use crate::layers::remember_route;
use crate::problem::Problem;
use crate::state::Api;
use crate::streams::NDJSON;
use crate::ui;

/// Largest body of a request to the API, in bytes. A query has at most 8 KiB.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How hard answers are compressed: they are made anew each time, so speed counts more than size.
const COMPRESSION: CompressionLevel = CompressionLevel::Fastest;

/// The routes of the API with their documentation.
fn documented() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(openapi::Document::openapi())
        .routes(routes!(health::health))
        .routes(routes!(metrics::metrics))
        .routes(routes!(openapi::openapi))
        .routes(routes!(meta::meta))
        .routes(routes!(first_span::first_span))
        .routes(routes!(services::services))
        .routes(routes!(operations::operations))
        .routes(routes!(instances::instances))
        .routes(routes!(series::series))
        .routes(routes!(aggregate::aggregate))
        .routes(routes!(heatmap::heatmap))
        .routes(routes!(search::search))
        .routes(routes!(parse::parse))
        .routes(routes!(complete::complete))
        .routes(routes!(facets::facets))
        .routes(routes!(sql::sql))
        .routes(routes!(sql::views))
        .routes(routes!(trace::trace))
        .routes(routes!(spans::spans))
        .routes(routes!(logs::search))
        .routes(routes!(logs::of_trace))
        .routes(routes!(metric_data::query))
        .routes(routes!(metric_data::names))
        .routes(routes!(profiles::merge))
        .routes(routes!(profiles::functions))
        .routes(routes!(profiles::values))
        .routes(routes!(profiles::series))
        .routes(routes!(profiles::spans))
        .routes(routes!(profiles::lines))
        .routes(routes!(profiles::longest))
        .routes(routes!(profiles::export))
        .routes(routes!(client_settings::get, client_settings::put))
}

/// API, login and UI.
pub(crate) fn router(api: &Api) -> Router {
    let (router, _) = documented().split_for_parts();
    router
        .route(LOGIN_PATH, get(login_page).post(log_in))
        .route(LOGOUT_PATH, get(log_out).post(log_out))
        .route_layer(axum::middleware::from_fn(remember_route))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .fallback(ui::serve)
        // Lines that are told while they are made must not wait for a block to be full.
        .layer(
            CompressionLayer::new()
                .quality(COMPRESSION)
                .compress_when(DefaultPredicate::new().and(NotForContentType::const_new(NDJSON))),
        )
        .with_state(api.clone())
}

/// The OpenAPI document.
#[must_use]
pub fn openapi_document() -> utoipa::openapi::OpenApi {
    documented().into_openapi()
}

async fn method_not_allowed(request: Request) -> Response {
    let detail =
        format!("{} does not answer {}; the Allow header says what it answers", request.uri().path(), request.method());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "method not allowed")
        .detail(detail)
        .into_response()
}
