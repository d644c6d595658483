//! What the store's queues and stages are doing, for whoever runs it.

use pitviper_model::DurationCounts;

/// What became of questions of a kind, of which so many run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TurnStats {
    /// Those that wait for their turn now.
    pub waiting: u64,
    /// Those that run now, those among them that are given up on and have not ended yet.
    pub running: u64,
    /// Those that ran to their end, which may be an error.
    pub ended: u64,
    /// Those that were given up on while they ran: nobody waited for the answer any more.
    pub given_up: u64,
}

/// Figures of the way from a write to its last merge, and of the room there is. Durations and totals
/// count since the store was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StageStats {
    /// Writes that wait for the log now.
    pub commit_waiting: u64,
    /// How long writes waited until their group began to be written.
    pub commit_wait: DurationCounts,
    /// How long it took to write a group to the log and sync it.
    pub log_sync: DurationCounts,
    /// Rows in the hot tier, of all tables.
    pub hot_rows: u64,
    /// Age of the oldest write in the hot tier, in milliseconds.
    pub hot_age_ms: u64,
    /// Most memory the hot tier may take, in bytes.
    pub hot_budget_bytes: u64,
    /// How long flushes took.
    pub flush: DurationCounts,
    /// Rows that flushes wrote.
    pub flushed_rows: u64,
    /// Rows that are due to be flushed and are not yet.
    pub flush_backlog_rows: u64,
    /// How long merges took, with their rests.
    pub merge: DurationCounts,
    /// Segments that wait to be merged, those of the merge under way among them.
    pub merge_backlog_segments: u64,
    /// Scans: searches, surveys and aggregates of spans.
    pub scans: TurnStats,
    /// Direct reads: traces, metrics, logs and the like.
    pub reads: TurnStats,
    /// Memory of what is kept of segments that queries have used, in bytes.
    pub cache_bytes: u64,
    /// Most memory of it, in bytes.
    pub cache_budget_bytes: u64,
    /// Uses of a segment that was kept.
    pub cache_hits: u64,
    /// Uses of a segment that had to be opened.
    pub cache_misses: u64,
    /// Free room on the disk, in bytes; zero when the system does not tell.
    pub disk_free_bytes: u64,
    /// Size of the disk, in bytes; zero when the system does not tell.
    pub disk_total_bytes: u64,
    /// Free room that writes leave untouched, in bytes.
    pub disk_reserve_bytes: u64,
    /// Writes refused because the disk is full up to the reserve.
    pub disk_refusals: u64,
}
