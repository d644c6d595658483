//! Whether the server is up.

pub(crate) const PATH: &str = "/healthz";

/// Whether the server is up.
#[utoipa::path(
    get, path = "/healthz", tag = "server", operation_id = "getHealth",
    responses((status = 200, description = "It is up", body = String, content_type = "text/plain"))
)]
pub(crate) async fn health() -> &'static str {
    "ok"
}
