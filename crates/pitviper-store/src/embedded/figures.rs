//! The store's own figures, read where they are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::EmbeddedStore;
use super::hot::Snapshot;
use super::manifest::Table;
use super::upkeep::Kept;
use crate::stages::StageStats;
use crate::store::{KeptStats, StoreStats, TableStats, ThinStats, TimeRange};

impl EmbeddedStore {
    /// All of them.
    pub(super) fn figures(&self) -> StoreStats {
        let snapshot = self.tiers.snapshot();
        let hot_spans = snapshot.hot_rows(Table::Spans, TimeRange::ALL).map(|rows| rows.num_rows() as u64).sum();
        let in_segments: u64 = snapshot.segments_in(Table::Spans, TimeRange::ALL).map(|segment| segment.row.rows).sum();
        StoreStats {
            spans: hot_spans + in_segments,
            hot_spans,
            hot_bytes: self.tiers.reserved_bytes() as u64,
            segments: snapshot.segments.len() as u64,
            segment_bytes: snapshot.segments.iter().map(|segment| segment.row.disk_bytes()).sum(),
            wal_bytes: self.wal_gauges.bytes.load(Ordering::Relaxed),
            durable_sequence: self.durable_sequence.load(Ordering::Acquire),
            wal_syncs: self.wal_gauges.syncs.load(Ordering::Relaxed),
            flushes: self.flush.flushes.load(Ordering::Relaxed),
            flush_failures: self.flush.failures.load(Ordering::Relaxed),
            busy_rejections: self.tiers.busy_rejections() + self.disk.refusals(),
            wal_frames_truncated: self.wal_frames_truncated,
            merges: self.upkeep.figures.merges.load(Ordering::Relaxed),
            merged_rows: self.upkeep.figures.merged_rows.load(Ordering::Relaxed),
            upkeep_failures: self.upkeep.figures.failures.load(Ordering::Relaxed),
            spans_expired_by_age: self.upkeep.figures.spans_expired_by_age.load(Ordering::Relaxed),
            spans_expired_by_size: self.upkeep.figures.spans_expired_by_size.load(Ordering::Relaxed),
            stages: self.stages(),
            thinning: self.thin_stats(&snapshot),
            tables: Table::ALL.map(|table| self.table_stats(&snapshot, table)).into(),
        }
    }

    fn stages(&self) -> StageStats {
        let (stages, room) = (&self.flush.stages, self.disk.room());
        let hot = self.tiers.waiting(self.flush.policy);
        let cache = self.flush.segment_cache.figures();
        let [scans, reads] = self.engine.figures();
        StageStats {
            commit_waiting: stages.commit_waiting.load(Ordering::Relaxed),
            commit_wait: stages.commit_wait.counts(),
            log_sync: stages.log_sync.counts(),
            hot_rows: hot.rows as u64,
            hot_age_ms: hot.age.as_millis() as u64,
            hot_budget_bytes: self.tiers.bytes_limit() as u64,
            flush: stages.flush.counts(),
            flushed_rows: stages.flushed_rows.load(Ordering::Relaxed),
            flush_backlog_rows: hot.due_rows as u64,
            merge: stages.merge.counts(),
            merge_backlog_segments: stages.merge_backlog.load(Ordering::Relaxed),
            scans,
            reads,
            cache_bytes: cache.bytes,
            cache_budget_bytes: cache.budget_bytes,
            cache_hits: cache.hits,
            cache_misses: cache.misses,
            disk_free_bytes: room.free_bytes,
            disk_total_bytes: room.total_bytes,
            disk_reserve_bytes: self.disk.reserve_bytes(),
            disk_refusals: self.disk.refusals(),
        }
    }

    fn thin_stats(&self, snapshot: &Snapshot) -> ThinStats {
        let figures = &self.upkeep.thinned;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let thinned = snapshot.segments.iter().filter(|segment| segment.row.thinned);
        ThinStats {
            sampled_through_ns: thinned.map(|segment| segment.row.max_start_ns).max(),
            spans_thinned: count(&figures.spans_thinned),
            left_whole: count(&figures.left_whole),
            kept: Kept::ALL.map(|reason| KeptStats {
                reason: reason.as_str(),
                spans: count(&figures.spans_kept[reason as usize]),
                traces: count(&figures.traces_kept[reason as usize]),
            }),
        }
    }

    fn table_stats(&self, snapshot: &Snapshot, table: Table) -> TableStats {
        let hot_rows = snapshot.hot_rows(table, TimeRange::ALL).map(|rows| rows.num_rows() as u64).sum();
        let [by_age, by_size] = &self.upkeep.figures.expired[table as usize];
        let mut stats = TableStats {
            name: table.as_str(),
            rows: hot_rows,
            hot_rows,
            expired_by_age: by_age.load(Ordering::Relaxed),
            expired_by_size: by_size.load(Ordering::Relaxed),
            ..TableStats::default()
        };
        for segment in snapshot.segments_in(table, TimeRange::ALL) {
            stats.rows += segment.row.rows;
            stats.segments += 1;
            stats.segment_bytes += segment.row.disk_bytes();
        }
        stats
    }
}
