//! What this server is.

use axum::extract::State;
use axum::response::Response;
use pitviper_query::views::{Answer, Meta};
use pitviper_store::{KeptStats, ThinStats};
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
    /// Up to when traces are a sample, by their start in microseconds since the epoch: failed, slow and
    /// rare ones, those asked for, and a share of the others, each whole. Null when all are there.
    pub sampled_through_us: Option<i64>,
    /// What became of the spans of that time since the server started.
    pub thinning: Thinning,
    /// Whether it has received a span yet.
    pub first_span: bool,
    /// Where it can be reached.
    pub endpoints: Endpoints,
    /// Whether it asks for a token.
    pub auth: bool,
}

/// What thinning did since the server started.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Thinning {
    /// Spans let go.
    pub spans_let_go: u64,
    /// What was kept, by reason.
    pub kept: Vec<Kept>,
}

/// What thinning kept for one reason; a trace has one, the most telling.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Kept {
    /// `error`, `rule` (it was asked for), `slow`, `rare`, `crossing` (some of its spans lie outside of
    /// what was thinned) or `share` (of all others).
    pub reason: &'static str,
    /// How many traces.
    pub traces: u64,
    /// How many spans they have.
    pub spans: u64,
}

impl From<&ThinStats> for Thinning {
    fn from(stats: &ThinStats) -> Self {
        let kept = |kept: &KeptStats| Kept { reason: kept.reason, traces: kept.traces, spans: kept.spans };
        Self { spans_let_go: stats.spans_thinned, kept: stats.kept.iter().map(kept).collect() }
    }
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
        let stats = store.stats();
        let spans_stored = stats.spans;
        let data = ServerMeta {
            version: config.version,
            started_us: shared.started_us,
            spans_stored,
            sampled_through_us: stats.thinning.sampled_through_ns.map(|start_ns| start_ns.div_euclid(1_000)),
            thinning: Thinning::from(&stats.thinning),
            first_span: spans_stored > 0,
            endpoints: config.endpoints.clone(),
            auth: matches!(config.access, Access::Token(_)),
        };
        Ok(Answer { data, meta: Meta::exact() })
    })
    .await
}
