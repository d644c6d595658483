//! Segments that questions have used are kept open, within a bound on memory.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::open_segment::OpenSegment;
use super::page_file::ReadCounts;

/// Most memory for footers, filters and metrics of segments that queries have used, in bytes.
const CACHE_BYTES_LIMIT: usize = 256 * 1024 * 1024;

/// What is kept of segments that queries have used, the least recently used first to go.
#[derive(Debug, Default)]
pub(super) struct SegmentCache {
    state: Mutex<CacheState>,
    /// What was read of all segments.
    pub(super) counts: Arc<ReadCounts>,
}

#[derive(Debug, Default)]
struct CacheState {
    open: FxHashMap<String, (Arc<OpenSegment>, u64)>,
    bytes: usize,
    /// Counts uses, to tell which was last.
    clock: u64,
    hits: u64,
    misses: u64,
}

/// What the cache takes and how often it helped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheFigures {
    pub(super) bytes: u64,
    pub(super) budget_bytes: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
}

impl SegmentCache {
    pub(super) fn figures(&self) -> CacheFigures {
        let state = self.state.lock();
        let (bytes, budget_bytes) = (state.bytes as u64, CACHE_BYTES_LIMIT as u64);
        CacheFigures { bytes, budget_bytes, hits: state.hits, misses: state.misses }
    }

    pub(super) fn get(&self, file: &str) -> Option<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        let known = state.open.get_mut(file).map(|(open, used)| {
            *used = now;
            Arc::clone(open)
        });
        state.hits += u64::from(known.is_some());
        state.misses += u64::from(known.is_none());
        known
    }

    pub(super) fn put(&self, file: &str, open: Arc<OpenSegment>) {
        let mut state = self.state.lock();
        state.clock += 1;
        let entry = (Arc::clone(&open), state.clock);
        if let Some((replaced, _)) = state.open.insert(file.to_owned(), entry) {
            state.bytes -= replaced.bytes;
        }
        state.bytes += open.bytes;
        state.shrink();
    }

    pub(super) fn forget(&self, file: &str) {
        let mut state = self.state.lock();
        if let Some((gone, _)) = state.open.remove(file) {
            state.bytes -= gone.bytes;
        }
    }
}

impl CacheState {
    fn shrink(&mut self) {
        while self.bytes > CACHE_BYTES_LIMIT && self.open.len() > 1 {
            let oldest = self.open.iter().min_by_key(|(_, (_, used))| *used).map(|(file, _)| file.clone());
            let Some((gone, _)) = oldest.and_then(|oldest| self.open.remove(&oldest)) else { break };
            self.bytes -= gone.bytes;
        }
    }
}
