//! What clients have counted of their spans.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use pitviper_wire::decode::datadog::stats::stats;

use super::Datadog;
use super::figures::add;
use super::http::{json, read, refused};
use crate::accept::Ingest;
use crate::accounting::OpenRequest;
use crate::receivers::keep::keep;

const MSGPACK: &[&str] = &["application/msgpack", "application/x-msgpack"];

/// Keeps statistics.
pub(super) async fn take(datadog: Arc<Datadog>, open: OpenRequest, request: Request<Body>) -> Response {
    let limit = datadog.ingest.limits().bytes_under_way;
    let decoded = read(&datadog, request, MSGPACK, move |bytes, share| {
        Ok(stats(bytes, limit.saturating_sub(share.held()), |step| share.grow(step))?)
    });
    let (stats, share) = match decoded.await {
        Ok(decoded) => decoded,
        Err(refusal) => {
            open.refused(refusal.reason);
            return refused(&refusal);
        }
    };
    let (groups, damaged) = (stats.counted.len() as u64, stats.damaged as u64);
    let accept = move |ingest: Arc<Ingest>| async move { ingest.accept_counted(&stats.counted).await };
    match keep(Arc::clone(&datadog.ingest), open, share, accept).await {
        Ok(()) => {
            add(&datadog.counters.stats_groups, groups);
            add(&datadog.counters.stats_damaged, damaged);
            json("{}")
        }
        Err(refusal) => refused(&refusal),
    }
}
