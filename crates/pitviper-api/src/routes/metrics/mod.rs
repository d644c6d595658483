//! The server's own figures, for Prometheus.

mod process;
mod store;

use axum::extract::State;
use axum::response::Response;

use crate::exposition::{CONTENT_TYPE, Exposition, MetricsSource};
use crate::queries::body_response;
use crate::state::Api;

/// The server's own figures.
#[utoipa::path(
    get, path = "/metrics", tag = "server", operation_id = "getMetrics",
    responses((status = 200, description = "Figures in Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let mut out = Exposition::default();
    let config = &api.shared.config;
    out.gauge("pitviper_build_info", "The server's version", &[(&[("version", config.version)], 1.0)]);
    for source in &config.metrics {
        source.collect(&mut out);
    }
    store::write(&config.store.stats(), &mut out);
    api.shared.http.collect(&mut out);
    api.shared.questions.collect(&mut out);
    api.shared.refusals.collect(&mut out);
    process::write(api.shared.started_us, &mut out);
    body_response(CONTENT_TYPE, out.finish().into())
}
