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
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
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
    tracing::debug!(request_id = id, %method, route, status = response.status().as_u16(), took_ms = took.as_millis() as u64, "answered");

    let headers = response.headers_mut();
    headers::add_security_headers(headers);
    headers.insert(request_id::HEADER, HeaderValue::try_from(id).expect("ids are plain ASCII"));
    let timing = format!("total;dur={:.1}", took.as_secs_f64() * 1e3);
    headers.insert(SERVER_TIMING, HeaderValue::try_from(timing).expect("a number and ASCII text"));
    response
}

/// Leaves the matched route with the answer, where [`frame`] finds it.
pub(crate) async fn remember_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(route);
    }
    response
}
