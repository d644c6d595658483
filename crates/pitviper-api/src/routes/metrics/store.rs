//! The store's figures.

use pitviper_model::DurationCounts;
use pitviper_store::{KeptStats, StageStats, StoreStats, TableStats, ThinStats, TurnStats};

use crate::exposition::Exposition;

pub(super) fn write(stats: &StoreStats, out: &mut Exposition) {
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
    write_tables(&stats.tables, out);
    write_thinning(&stats.thinning, out);
    write_stages(&stats.stages, stats, out);
}

/// Picks one of a table's figures.
type Figure = fn(&TableStats) -> u64;

fn write_tables(tables: &[TableStats], out: &mut Exposition) {
    let gauges: [(&str, &str, Figure); 4] = [
        ("pitviper_store_table_rows", "Rows of a table that questions can see", |table| table.rows),
        ("pitviper_store_table_hot_rows", "Rows of a table in the hot tier", |table| table.hot_rows),
        ("pitviper_store_table_segments", "Segment files of a table", |table| table.segments),
        ("pitviper_store_table_bytes", "Size of a table's segments and what lies beside them, in bytes", |table| {
            table.segment_bytes
        }),
    ];
    for (name, help, figure) in gauges {
        let labels: Vec<_> = tables.iter().map(|table| ([("table", table.name)], figure(table) as f64)).collect();
        let samples: Vec<(&[(&str, &str)], f64)> =
            labels.iter().map(|(labels, figure)| (&labels[..], *figure)).collect();
        out.gauge(name, help, &samples);
    }
    let expired = tables.iter().flat_map(|table| {
        [("age", table.expired_by_age), ("size", table.expired_by_size)]
            .map(|(reason, count)| ([("table", table.name), ("reason", reason)], count as f64))
    });
    let labels: Vec<_> = expired.collect();
    let samples: Vec<(&[(&str, &str)], f64)> = labels.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    let help = "Rows let go by retention since start, by table";
    out.counter("pitviper_store_table_rows_expired_total", help, &samples);
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

fn write_stages(stages: &StageStats, stats: &StoreStats, out: &mut Exposition) {
    let gauges: [(&str, &str, f64); 12] = [
        ("pitviper_store_commit_queue_writes", "Writes that wait for the log", stages.commit_waiting as f64),
        ("pitviper_store_hot_rows", "Rows of all tables in the hot tier", stages.hot_rows as f64),
        (
            "pitviper_store_hot_age_seconds",
            "Age of the oldest write in the hot tier, in seconds",
            stages.hot_age_ms as f64 / 1e3,
        ),
        ("pitviper_store_hot_budget_bytes", "Most memory of the hot tier, in bytes", stages.hot_budget_bytes as f64),
        (
            "pitviper_store_flush_backlog_rows",
            "Rows that are due to be flushed and are not yet",
            stages.flush_backlog_rows as f64,
        ),
        (
            "pitviper_store_merge_backlog_segments",
            "Segments that wait to be merged, those of the merge under way among them",
            stages.merge_backlog_segments as f64,
        ),
        ("pitviper_store_cache_bytes", "Memory of segments that are kept open, in bytes", stages.cache_bytes as f64),
        ("pitviper_store_cache_budget_bytes", "Most memory of it, in bytes", stages.cache_budget_bytes as f64),
        ("pitviper_store_disk_free_bytes", "Free room on the disk, in bytes", stages.disk_free_bytes as f64),
        ("pitviper_store_disk_size_bytes", "Size of the disk, in bytes", stages.disk_total_bytes as f64),
        (
            "pitviper_store_disk_reserve_bytes",
            "Free room that writes leave untouched, in bytes",
            stages.disk_reserve_bytes as f64,
        ),
        (
            "pitviper_store_disk_used_bytes",
            "Room that segments, indexes and log take, in bytes",
            (stats.segment_bytes + stats.wal_bytes) as f64,
        ),
    ];
    for (name, help, value) in gauges {
        out.gauge(name, help, &[(&[], value)]);
    }
    let counters: [(&str, &str, u64); 4] = [
        ("pitviper_store_flushed_rows_total", "Rows that flushes wrote", stages.flushed_rows),
        ("pitviper_store_cache_hits_total", "Uses of a segment that was open", stages.cache_hits),
        ("pitviper_store_cache_misses_total", "Uses of a segment that had to be opened", stages.cache_misses),
        (
            "pitviper_store_disk_refusals_total",
            "Writes refused because the disk is full up to the reserve",
            stages.disk_refusals,
        ),
    ];
    for (name, help, value) in counters {
        out.counter(name, help, &[(&[], value as f64)]);
    }
    write_turns(&[("scan", stages.scans), ("read", stages.reads)], out);
    let durations: [(&str, &str, DurationCounts); 4] = [
        (
            "pitviper_store_commit_wait_seconds",
            "Time writes waited for their group to be written to the log",
            stages.commit_wait,
        ),
        ("pitviper_store_log_sync_seconds", "Time to write a group to the log and sync it", stages.log_sync),
        ("pitviper_store_flush_duration_seconds", "Time of flushes", stages.flush),
        ("pitviper_store_merge_duration_seconds", "Time of merges, their rests included", stages.merge),
    ];
    for (name, help, counts) in durations {
        out.durations(name, help, &[(&[], counts)]);
    }
}

fn write_turns(kinds: &[(&str, TurnStats)], out: &mut Exposition) {
    let labels: Vec<[(&str, &str); 1]> = kinds.iter().map(|(kind, _)| [("kind", *kind)]).collect();
    let samples = |figure: fn(&TurnStats) -> u64| -> Vec<(&[(&str, &str)], f64)> {
        labels.iter().zip(kinds).map(|(labels, (_, stats))| (&labels[..], figure(stats) as f64)).collect()
    };
    let help = "Scans and direct reads of the store that wait for their turn";
    out.gauge("pitviper_store_questions_waiting", help, &samples(|stats| stats.waiting));
    let help = "Scans and direct reads of the store that run";
    out.gauge("pitviper_store_questions_running", help, &samples(|stats| stats.running));
    let outcomes = kinds.iter().flat_map(|(kind, stats)| {
        [("ended", stats.ended), ("given_up", stats.given_up)]
            .map(|(outcome, count)| ([("kind", *kind), ("outcome", outcome)], count as f64))
    });
    let labels: Vec<_> = outcomes.collect();
    let samples: Vec<(&[(&str, &str)], f64)> = labels.iter().map(|(labels, count)| (&labels[..], *count)).collect();
    let help = "Scans and direct reads that ran to their end, and those whose asker went away";
    out.counter("pitviper_store_questions_total", help, &samples);
}
