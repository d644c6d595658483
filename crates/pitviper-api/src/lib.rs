//! The HTTP API and the embedded UI.
//!
//! A request passes, from the outside in: [`layers::frame`] (request id, timing, counting, panics),
//! [`auth`] (who may), then the routes under [`routes`]: each reads its parameters, asks a view of
//! `pitviper-query` and answers. Queries run on the blocking pool, a bounded number at once, and are
//! abandoned when the client goes away or their time is up.
//!
//! Invariants:
//! - No computation here: a route parses, calls a view, answers.
//! - Whatever goes wrong is answered with an RFC 9457 problem that carries the request id.
//! - No token, attribute value or query text is logged.
//!
//! To add a route: a folder under `routes/` and a line in `routes/mod.rs`; then
//! `cargo run --release -p pitviper-api --example openapi > crates/pitviper-api/openapi.json`.

pub mod auth;
pub mod exposition;
mod extract;
pub mod layers;
pub mod problem;
mod queries;
mod questions;
mod request_id;
pub mod routes;
mod state;
mod streams;
mod ui;
mod work;

use axum::Router;
use axum::extract::Request;
use axum::response::IntoResponse;
use tower::ServiceExt;

use crate::problem::Problem;

pub use exposition::{Exposition, MetricsSource};
pub use routes::client_settings;
pub use state::{Api, ApiConfig, Endpoints};

/// Path prefixes of the receivers that share the port with the API.
const RECEIVER_PREFIXES: [&str; 2] = ["/v1/", "/v1development/"];

/// Everything the main port answers: API, UI, and the receivers where their paths allow. Not yet
/// behind [`guarded`].
pub fn app(api: &Api, receivers: Router) -> Router {
    by_path(receivers, routes::router(api))
}

/// What a port of receivers answers: the receivers, those of other systems at paths of their own, a health
/// probe, and a problem for all else. Not yet behind [`guarded`].
pub fn receivers_only(receivers: Router, foreign: Router) -> Router {
    let elsewhere =
        foreign.route(routes::health::PATH, axum::routing::get(routes::health::health)).fallback(no_such_path);
    by_path(receivers, elsewhere)
}

fn by_path(receivers: Router, rest: Router) -> Router {
    let receivers = receivers.fallback(no_such_path);
    Router::new().fallback(move |request: Request| {
        let to_receivers = RECEIVER_PREFIXES.iter().any(|prefix| request.uri().path().starts_with(prefix));
        let router = if to_receivers { receivers.clone() } else { rest.clone() };
        async move { router.oneshot(request).await.into_response() }
    })
}

async fn no_such_path(request: Request) -> Problem {
    Problem::no_such_path(request.uri().path())
}

/// Puts access control and the frame around what a port answers.
pub fn guarded(api: &Api, inner: Router) -> Router {
    let guard = axum::middleware::from_fn_with_state(api.clone(), auth::guard);
    framed(api, inner.layer(guard))
}

/// Puts the frame around what a port answers that only this machine can reach and whose clients have no
/// token: requests have to be addressed to loopback.
pub fn guarded_loopback(api: &Api, inner: Router) -> Router {
    framed(api, inner.layer(axum::middleware::from_fn_with_state(api.clone(), auth::guard_loopback)))
}

/// Puts the frame around what a unix socket answers: the file's permissions say who may use it.
pub fn framed(api: &Api, inner: Router) -> Router {
    inner.layer(axum::middleware::from_fn_with_state(api.clone(), layers::frame))
}
