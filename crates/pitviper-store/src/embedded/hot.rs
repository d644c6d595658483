//! What queries see: the hot tier in memory and the segments on disk, always as one snapshot.
//!
//! Invariants:
//! - A write is either in the hot tier or in a segment. Both lists change under one lock, so a
//!   snapshot holds each row exactly once while a flush swaps them.
//! - The hot tier is ordered by sequence; a flush takes it from the front.
//! - Reserved bytes never exceed the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;

use super::manifest::Table;
use super::segment::Segment;
use crate::schema::WriteBatch;
use crate::store::{StoreError, TimeRange};

/// This many neighbours of a size class are merged into one, so that a query meets few batches
/// however small the writes are, and each row is copied at most three times.
const MERGE_FAN_IN: usize = 16;
/// Batches of at least this many rows are left alone.
const MERGE_ROWS_LIMIT: usize = 4096;
/// When a client should try again after the hot tier was full; a flush takes about this long.
const MEMORY_RETRY_MS: u64 = 1_000;

/// Consecutive writes in memory.
#[derive(Debug)]
pub(super) struct HotBatch {
    pub(super) first_sequence: u64,
    pub(super) last_sequence: u64,
    pub(super) rows: WriteBatch,
    bytes: usize,
    added: Instant,
    /// Earliest and latest moment of the rows of each table.
    starts: Vec<(Table, (i64, i64))>,
}

impl HotBatch {
    /// The rows of a table, unless none starts in the range.
    pub(super) fn rows_in(&self, table: Table, range: TimeRange) -> Option<&RecordBatch> {
        let &(_, (first, last)) = self.starts.iter().find(|(of, _)| *of == table)?;
        (first < range.end_ns && last >= range.start_ns).then_some(self.rows.get(table)?)
    }

    pub(super) fn row_count(&self) -> usize {
        self.rows.iter().map(|(_, rows)| rows.num_rows()).sum()
    }

    fn size_class(&self) -> u32 {
        self.row_count().max(1).ilog(MERGE_FAN_IN)
    }
}

/// Memory a write takes in the hot tier, in bytes.
pub(super) fn batch_bytes(rows: &WriteBatch) -> usize {
    rows.iter().map(|(_, rows)| rows.get_array_memory_size()).sum()
}

/// All that was visible at one moment.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) hot: Vec<Arc<HotBatch>>,
    pub(super) segments: Arc<Vec<Arc<Segment>>>,
}

impl Snapshot {
    /// The hot rows of a table, leaving out batches that have none in the range.
    pub(super) fn hot_rows(&self, table: Table, range: TimeRange) -> impl Iterator<Item = &RecordBatch> {
        self.hot.iter().filter_map(move |batch| batch.rows_in(table, range))
    }

    /// The segments of a table with rows in the range, oldest writes first.
    pub(super) fn segments_in(&self, table: Table, range: TimeRange) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().filter(move |segment| segment.row.table == table && segment.overlaps(range))
    }
}

#[derive(Debug)]
struct State {
    hot: Vec<Arc<HotBatch>>,
    segments: Arc<Vec<Arc<Segment>>>,
    /// The last write of the flush under way; batches up to it must stay as they are.
    flushing_through: u64,
}

/// What the hot tier holds and how long it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Waiting {
    pub(super) rows: usize,
    /// Of the oldest write.
    pub(super) age: Duration,
    /// Rows the policy wants flushed by now.
    pub(super) due_rows: usize,
}

/// Why and how far to flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct FlushPolicy {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) age: Duration,
}

/// The hot tier and the list of segments.
#[derive(Debug)]
pub(super) struct Tiers {
    state: Mutex<State>,
    bytes_limit: usize,
    reserved_bytes: AtomicUsize,
    busy_rejections: AtomicU64,
}

/// Memory promised to a write that is under way; given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    tiers: Arc<Tiers>,
    bytes: usize,
}

impl Reservation {
    /// Leaves the memory reserved, for whoever now accounts for it.
    fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.tiers.reserved_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Tiers {
    pub(super) fn new(segments: Vec<Arc<Segment>>, bytes_limit: usize) -> Self {
        Self {
            state: Mutex::new(State { hot: Vec::new(), segments: Arc::new(segments), flushing_through: 0 }),
            bytes_limit,
            reserved_bytes: AtomicUsize::new(0),
            busy_rejections: AtomicU64::new(0),
        }
    }

    /// Promises memory to a write, or says that the budget is used up.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Reservation, StoreError> {
        let take = |reserved: usize| reserved.checked_add(bytes).filter(|sum| *sum <= self.bytes_limit);
        match self.reserved_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Reservation { tiers: Arc::clone(self), bytes }),
            Err(_) => {
                self.busy_rejections.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::Busy { budget: "memory", retry_after_ms: MEMORY_RETRY_MS })
            }
        }
    }

    /// Makes a durable write visible. Its memory stays reserved until it is flushed.
    pub(super) fn push(&self, sequence: u64, rows: WriteBatch, reservation: Reservation) {
        let batch = hot_batch(sequence, sequence, rows, reservation.keep(), Instant::now());
        self.state.lock().hot.push(Arc::new(batch));
    }

    /// Takes up a write from the log at open, whatever the budget: it was acknowledged.
    pub(super) fn replay(&self, sequence: u64, rows: WriteBatch) {
        let bytes = batch_bytes(&rows);
        self.reserved_bytes.fetch_add(bytes, Ordering::Relaxed);
        let batch = hot_batch(sequence, sequence, rows, bytes, Instant::now());
        self.state.lock().hot.push(Arc::new(batch));
        self.merge_small();
    }

    /// Merges small neighbours at the end of the hot tier. Called by the only thread that pushes.
    pub(super) fn merge_small(&self) {
        loop {
            let run = {
                let state = self.state.lock();
                let Some(last) = state.hot.last() else { return };
                let class = last.size_class();
                let is_mergeable = |batch: &&Arc<HotBatch>| {
                    batch.size_class() == class
                        && batch.row_count() < MERGE_ROWS_LIMIT
                        && batch.first_sequence > state.flushing_through
                };
                let length = state.hot.iter().rev().take_while(is_mergeable).take(MERGE_FAN_IN).count();
                if length < MERGE_FAN_IN {
                    return;
                }
                state.hot[state.hot.len() - length..].to_vec()
            };
            match merge(&run) {
                Ok(merged) => self.replace_tail(&run, merged),
                Err(error) => {
                    tracing::warn!(%error, "could not merge small batches in memory");
                    return;
                }
            }
        }
    }

    fn replace_tail(&self, run: &[Arc<HotBatch>], merged: HotBatch) {
        let mut state = self.state.lock();
        // A flush may have begun meanwhile and now owns these batches.
        if state.flushing_through >= merged.first_sequence {
            return;
        }
        let before: usize = run.iter().map(|batch| batch.bytes).sum();
        let start = state.hot.len() - run.len();
        // The merged rows may take more by a little, so this can go over the limit by as much.
        self.reserved_bytes.fetch_add(merged.bytes, Ordering::Relaxed);
        self.reserved_bytes.fetch_sub(before, Ordering::Relaxed);
        state.hot.truncate(start);
        state.hot.push(Arc::new(merged));
    }

    /// Takes the oldest batches for a flush when the policy says so, or when there are writes up to
    /// `at_least`. They stay visible until [`Tiers::finish_flush`].
    pub(super) fn begin_flush(&self, policy: FlushPolicy, at_least: u64) -> Vec<Arc<HotBatch>> {
        let mut state = self.state.lock();
        let Some(oldest) = state.hot.first() else { return Vec::new() };
        let rows: usize = state.hot.iter().map(|batch| batch.row_count()).sum();
        let bytes = self.reserved_bytes.load(Ordering::Relaxed);
        let due = rows >= policy.rows || bytes >= policy.bytes || oldest.added.elapsed() >= policy.age;
        if !due && oldest.first_sequence > at_least {
            return Vec::new();
        }
        let (mut rows, mut bytes) = (0, 0);
        let mut taken = Vec::new();
        for batch in &state.hot {
            if rows >= policy.rows || bytes >= policy.bytes {
                break;
            }
            rows += batch.row_count();
            bytes += batch.bytes;
            taken.push(Arc::clone(batch));
        }
        state.flushing_through = taken.last().map_or(0, |batch| batch.last_sequence);
        taken
    }

    /// Swaps flushed batches for their segments.
    pub(super) fn finish_flush(&self, flushed: &[Arc<HotBatch>], segments: Vec<Arc<Segment>>) {
        let Some(last) = flushed.last() else { return };
        let mut state = self.state.lock();
        state.hot.retain(|batch| batch.first_sequence > last.last_sequence);
        Arc::make_mut(&mut state.segments).extend(segments);
        let bytes: usize = flushed.iter().map(|batch| batch.bytes).sum();
        self.reserved_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Swaps segments for those that hold their rows, or for none; returns those that are gone.
    pub(super) fn replace_segments(&self, files: &FxHashSet<&str>, with: Vec<Arc<Segment>>) -> Vec<Arc<Segment>> {
        let mut state = self.state.lock();
        let segments = Arc::make_mut(&mut state.segments);
        let is_gone = |segment: &Arc<Segment>| files.contains(segment.row.file.as_str());
        let (gone, mut kept): (Vec<_>, Vec<_>) = std::mem::take(segments).into_iter().partition(is_gone);
        kept.extend(with);
        kept.sort_by_key(|segment| segment.row.min_sequence);
        *segments = kept;
        gone
    }

    /// All that is visible now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.state.lock();
        Snapshot { hot: state.hot.clone(), segments: Arc::clone(&state.segments) }
    }

    /// What waits to be flushed.
    pub(super) fn waiting(&self, policy: FlushPolicy) -> Waiting {
        let state = self.state.lock();
        let rows = state.hot.iter().map(|batch| batch.row_count()).sum();
        let age = state.hot.first().map_or(Duration::ZERO, |oldest| oldest.added.elapsed());
        let is_due = rows >= policy.rows || self.reserved_bytes() >= policy.bytes || age >= policy.age;
        Waiting { rows, age, due_rows: if is_due { rows } else { 0 } }
    }

    /// Most memory, in bytes.
    pub(super) fn bytes_limit(&self) -> usize {
        self.bytes_limit
    }

    /// Memory in use, in bytes.
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes.load(Ordering::Relaxed)
    }

    /// Writes refused so far.
    pub(super) fn busy_rejections(&self) -> u64 {
        self.busy_rejections.load(Ordering::Relaxed)
    }
}

fn hot_batch(first_sequence: u64, last_sequence: u64, rows: WriteBatch, bytes: usize, added: Instant) -> HotBatch {
    let starts_of = |(table, rows): (Table, &RecordBatch)| {
        let (first, last) = table.description().time_columns();
        let times = |column: usize| rows.column(column).as_primitive::<Int64Type>();
        Some((table, (min(times(first))?, max(times(last))?)))
    };
    let starts = rows.iter().filter_map(starts_of).collect();
    HotBatch { first_sequence, last_sequence, rows, bytes, added, starts }
}

fn merge(run: &[Arc<HotBatch>]) -> Result<HotBatch, ArrowError> {
    let rows = WriteBatch::concat(run.iter().map(|batch| &batch.rows))?;
    let bytes = batch_bytes(&rows);
    Ok(hot_batch(run[0].first_sequence, run[run.len() - 1].last_sequence, rows, bytes, run[0].added))
}
