//! The server's own figures, for Prometheus.

mod process;

use axum::extract::State;
use axum::response::Response;
use pitviper_store::{KeptStats, StoreStats, ThinStats};

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
    write_store(&config.store.stats(), &mut out);
    api.shared.http.collect(&mut out);
    process::write(api.shared.started_us, &mut out);
    body_response(CONTENT_TYPE, out.finish().into())
}

fn write_thinning(stats: &ThinStats, out: &mut Exposition) {
    let (thinned, left_whole) = (stats.spans_thinned as f64, stats.left_whole as f64);
    out.counter("pitviper_store_spans_thinned_total", "Stored spans let go by thinning", &[(&[], thinned)]);
    let help = "Days left whole because deciding what to keep would have taken too much memory";
    out.counter("pitviper_store_thinning_left_whole_total", help, &[(&[], left_whole)]);
    for (name, help, count) in [
        (
            "pitviper_store_thinning_kept_spans_total",
            "Spans that thinning kept",
            (|kept| kept.spans) as fn(&KeptStats) -> u64,
        ),
        ("pitviper_store_thinning_kept_traces_total", "Traces that thinning kept", |kept| kept.traces),
    ] {
        let labels: Vec<_> = stats.kept.iter().map(|kept| ([("reason", kept.reason)], count(kept) as f64)).collect();
        let samples: Vec<(&[(&str, &str)], f64)> = labels.iter().map(|(labels, count)| (&labels[..], *count)).collect();
        out.counter(name, help, &samples);
    }
}

fn write_store(stats: &StoreStats, out: &mut Exposition) {
    let gauges: [(&str, &str, u64); 7] = [
        ("pitviper_store_spans", "Spans that queries can see", stats.spans),
        ("pitviper_store_hot_spans", "Spans in the hot tier", stats.hot_spans),
        ("pitviper_store_hot_bytes", "Memory of the hot tier, in bytes", stats.hot_bytes),
        ("pitviper_store_segments", "Segment files", stats.segments),
        ("pitviper_store_segment_bytes", "Size of the segment files, in bytes", stats.segment_bytes),
        ("pitviper_store_wal_bytes", "Size of the write-ahead log, in bytes", stats.wal_bytes),
        ("pitviper_store_durable_sequence", "Sequence number of the last durable write", stats.durable_sequence),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, &[(&[], value as f64)]);
    }
    let counters: [(&str, &str, u64); 8] = [
        ("pitviper_store_wal_syncs_total", "Syncs of the write-ahead log", stats.wal_syncs),
        ("pitviper_store_flushes_total", "Flushes from the hot tier to segments", stats.flushes),
        ("pitviper_store_flush_failures_total", "Flushes that failed and were tried again", stats.flush_failures),
        ("pitviper_store_busy_total", "Writes refused because a budget was used up", stats.busy_rejections),
        (
            "pitviper_store_wal_frames_truncated_total",
            "Damaged frames cut off the log when it was opened",
            stats.wal_frames_truncated,
        ),
        ("pitviper_store_merges_total", "Merges of segments", stats.merges),
        ("pitviper_store_merged_rows_total", "Rows rewritten by merges of segments", stats.merged_rows),
        ("pitviper_store_upkeep_failures_total", "Merges and removals that failed", stats.upkeep_failures),
    ];
    for (name, help, value) in counters {
        out.counter(name, help, &[(&[], value as f64)]);
    }
    let expired: [(&[(&str, &str)], f64); 2] = [
        (&[("reason", "age")], stats.spans_expired_by_age as f64),
        (&[("reason", "size")], stats.spans_expired_by_size as f64),
    ];
    out.counter("pitviper_store_spans_expired_total", "Stored spans let go by retention", &expired);
    write_thinning(&stats.thinning, out);
}
