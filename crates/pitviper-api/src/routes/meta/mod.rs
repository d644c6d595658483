//! What this server is.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::{Answer, Meta};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Access;
use crate::problem::Problem;
use crate::state::{Api, Endpoints};

/// What this server is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ServerMeta {
    /// Its version.
    pub version: &'static str,
    /// When it started, in microseconds since the epoch.
    pub started_us: i64,
    /// How many spans it holds.
    pub spans_stored: u64,
    /// Whether it has received a span yet.
    pub first_span: bool,
    /// Where it can be reached.
    pub endpoints: Endpoints,
    /// Whether it asks for a token.
    pub auth: bool,
}

/// What this server is: version, addresses, whether it has data.
#[utoipa::path(
    get, path = "/api/v1/meta", tag = "server", operation_id = "getMeta",
    responses((status = 200, description = "The server", body = Answer<ServerMeta>))
)]
pub(crate) async fn meta(State(api): State<Api>) -> Result<Response, Problem> {
    let shared = api.shared.clone();
    api.answer(async move |store, _| {
        let config = &shared.config;
        let spans_stored = store.stats().spans;
        let data = ServerMeta {
            version: config.version,
            started_us: shared.started_us,
            spans_stored,
            first_span: spans_stored > 0,
            endpoints: config.endpoints.clone(),
            auth: matches!(config.access, Access::Token(_)),
        };
        Ok(Answer { data, meta: Meta::exact() })
    })
    .await
}
