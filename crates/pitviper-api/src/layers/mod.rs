//! What is done for every request, whatever it asks for.

mod headers;
mod metrics;

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use http::{HeaderName, HeaderValue};

pub use metrics::HttpMetrics;
use tracing::Instrument as _;

use crate::problem::Problem;
use crate::request_id;
use crate::state::Api;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Gives the request its id, catches panics, and adds timing and security headers to the answer.
pub async fn frame(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id::of(request.headers());
    let method = request.method().clone();
    let in_flight = api.shared.http.begin();
    let mark = tracing::trace_span!(
        target: "pitviper::self",
        "request",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        http.request.method = method.as_str(),
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
        error.type = tracing::field::Empty,
    );
    let answer = AssertUnwindSafe(next.run(request).instrument(mark.clone())).catch_unwind();
    let mut response = request_id::scope(id.clone(), async {
        answer.await.unwrap_or_else(|_| {
            // The panic hook has printed the place and the reason.
            tracing::error!(request_id = request_id::current(), "a request handler panicked");
            Problem::internal().into_response()
        })
    })
    .await;
    drop(in_flight);
    let took = started.elapsed();
    let route = response.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    api.shared.http.count(&method, &route, response.status(), took);
    if !mark.is_disabled() {
        mark.record("otel.name", format!("{method} {route}")).record("http.route", route.as_str());
        mark.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            mark.record("error.type", response.status().as_str());
        }
    }
    tracing::debug!(request_id = id, %method, route, status = response.status().as_u16(), took_ms = took.as_millis() as u64, "answered");

    let headers = response.headers_mut();
    headers::add_security_headers(headers);
    headers.insert(request_id::HEADER, HeaderValue::try_from(id).expect("ids are plain ASCII"));
    let timing = format!("total;dur={:.1}", took.as_secs_f64() * 1e3);
    headers.insert(SERVER_TIMING, HeaderValue::try_from(timing).expect("a number and ASCII text"));
    response
}

tokio::task_local! {
    static ROUTE: String;
}

/// The route of the request being answered; `other` outside of one.
pub(crate) fn current_route() -> String {
    ROUTE.try_with(Clone::clone).unwrap_or_else(|_| "other".to_owned())
}

/// Leaves the matched route with the answer, where [`frame`] finds it, and where questions find it.
pub(crate) async fn remember_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let name = route.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    let mut response = ROUTE.scope(name, next.run(request)).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}
