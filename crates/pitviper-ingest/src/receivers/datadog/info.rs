//! `/info`: what clients ask before they decide what to send.

use std::sync::{Arc, LazyLock};

use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use pitviper_model::ContentHash;
use pitviper_wire::decode::datadog::stats::PEER_TAGS;
use serde_json::json;

use super::Datadog;
use super::http::json as answer_json;
use crate::accounting::{Protocol, Subject};

/// The agent we are as good as. Clients refuse to use what an older one does not have.
const AGENT_VERSION: &str = "7.65.0";

/// Ask again when this changes.
pub(super) const STATE_HEADER: &str = "datadog-agent-state";

static INFO: LazyLock<String> = LazyLock::new(|| {
    json!({
        "version": AGENT_VERSION,
        "endpoints": [
            "/v0.3/traces", "/v0.4/traces", "/v0.5/traces", "/v0.6/stats", "/v0.7/config", "/telemetry/proxy/",
            "/profiling/v1/input", "/debugger/v1/input", "/debugger/v1/diagnostics", "/debugger/v2/input", "/symdb/v1/input",
            "/evp_proxy/v2/", "/evp_proxy/v4/", "/tracer_flare/v1",
        ],
        // A client that counts its spans may leave out those that are not kept.
        "client_drop_p0s": true,
        "span_meta_structs": true,
        "span_events": true,
        "long_running_spans": true,
        "peer_tags": PEER_TAGS,
        "span_kinds_stats_computed": ["server", "client", "producer", "consumer"],
        "config": {},
    })
    .to_string()
});

static STATE: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = ContentHash::default().text(&INFO).finish();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(hex).expect("hex digits are a header")
});

/// What changes when the answer to `/info` does.
pub(super) fn state() -> HeaderValue {
    STATE.clone()
}

pub(super) async fn answer(State(datadog): State<Arc<Datadog>>) -> Response {
    datadog.ingest.open(Subject::Info, Protocol::Datadog).accepted();
    let mut response = answer_json(INFO.as_str());
    response.headers_mut().insert(STATE_HEADER, state());
    response
}
