//! Figures of the stages between a write and its last merge, counted where they happen without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use pitviper_model::Durations;

/// What the stages count.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Writes that wait for the log.
    pub(super) commit_waiting: AtomicU64,
    /// How long they waited before their group began.
    pub(super) commit_wait: Durations,
    /// How long writing and syncing a group took.
    pub(super) log_sync: Durations,
    /// How long flushes took.
    pub(super) flush: Durations,
    /// Rows that flushes wrote.
    pub(super) flushed_rows: AtomicU64,
    /// How long merges took, with their rests.
    pub(super) merge: Durations,
    /// Segments that wait to be merged, those of the merge under way among them.
    pub(super) merge_backlog: AtomicU64,
}

impl Stages {
    /// A write begins to wait for the log.
    pub(super) fn wait(&self) {
        self.commit_waiting.fetch_add(1, Ordering::Relaxed);
    }
}
