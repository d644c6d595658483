//! The flusher: one thread that moves the hot tier into segments.
//!
//! The order makes any crash harmless: segment files are written, synced and renamed; then one
//! manifest transaction makes them count and moves the flushed sequence; then memory and log are
//! freed. A crash before the transaction leaves files nobody knows, which are deleted at open; a
//! crash after it leaves log files whose frames are skipped at open.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::hot::{FlushPolicy, HotBatch, Tiers};
use super::manifest::{Manifest, Table};
use super::segment::Segment;
use super::segment_cache::SegmentCache;
use super::segment_note::Writes;
use super::segment_write::{SegmentPlace, sorted, write_in_order, write_rows};
use super::stages::Stages;
use super::wal::Wal;
use crate::schema::{
    METRIC_BUCKET_NS, SameKey, SpanMetricKey, SpanMetricsBuilder, WriteBatch, fold_seen, read_span_metrics,
    resources_of_spans,
};
use crate::store::{Red, StoreError};

/// How often the policy is looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Wait after a flush that failed; doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LONGEST: Duration = Duration::from_secs(30);

/// What a flush works on.
#[derive(Debug)]
pub(super) struct FlushContext {
    pub(super) segments_dir: PathBuf,
    pub(super) temporary_dir: PathBuf,
    pub(super) segment_cache: Arc<SegmentCache>,
    pub(super) tiers: Arc<Tiers>,
    pub(super) manifest: Manifest,
    pub(super) wal: Arc<Mutex<Wal>>,
    pub(super) policy: FlushPolicy,
    pub(super) flushes: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) stages: Arc<Stages>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Asks for everything up to a write to be flushed.
struct Request {
    through: u64,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Flushes until it is dropped.
#[derive(Debug)]
pub(super) struct Flusher {
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(super) fn start(context: Arc<FlushContext>) -> std::io::Result<Self> {
        let (requests, received) = channel();
        let thread =
            std::thread::Builder::new().name("pitviper-flush".to_owned()).spawn(move || run(&context, &received))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for everything up to a write to be flushed; the receiver hears when it is.
    pub(super) fn request(&self, through: u64) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let (done, finished) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(Request { through, done }).map_err(|_| StoreError::Closed)?;
        Ok(finished)
    }

    /// Ends the thread after the flush under way.
    pub(super) fn stop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the flush thread ended with a panic");
        }
    }
}

fn run(context: &FlushContext, received: &Receiver<Request>) {
    let mut retry = RETRY_FIRST;
    let mut not_before = Instant::now();
    loop {
        match received.recv_timeout(CHECK_INTERVAL) {
            Ok(request) => {
                let result = flush_through(context, request.through);
                let _ = request.done.send(result);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() < not_before {
            continue;
        }
        match flush_due(context) {
            Ok(()) => retry = RETRY_FIRST,
            Err(error) => {
                tracing::warn!(%error, retry_ms = retry.as_millis() as u64, "could not flush, will try again");
                not_before = Instant::now() + retry;
                retry = (retry * 2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Flushes while the policy asks for it.
fn flush_due(context: &FlushContext) -> Result<(), StoreError> {
    while flush_once(context, 0)? {}
    Ok(())
}

fn flush_through(context: &FlushContext, through: u64) -> Result<(), StoreError> {
    while flush_once(context, through)? {}
    Ok(())
}

/// One flush, counted. False when there was nothing to do.
fn flush_once(context: &FlushContext, at_least: u64) -> Result<bool, StoreError> {
    let batches = context.tiers.begin_flush(context.policy, at_least);
    if batches.is_empty() {
        return Ok(false);
    }
    let rows: u64 = batches.iter().map(|batch| batch.row_count() as u64).sum();
    let _mark = tracing::trace_span!(target: "pitviper::self", "flush", rows);
    let began = Instant::now();
    match flush_batches(context, &batches) {
        Ok(()) => {
            context.stages.flush.record_since(began);
            context.stages.flushed_rows.fetch_add(rows, Ordering::Relaxed);
            context.flushes.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        }
        Err(error) => {
            context.failures.fetch_add(1, Ordering::Relaxed);
            Err(error)
        }
    }
}

fn flush_batches(context: &FlushContext, batches: &[Arc<HotBatch>]) -> Result<(), StoreError> {
    let (Some(first), Some(last)) = (batches.first(), batches.last()) else { return Ok(()) };
    let mut rows = WriteBatch::concat(batches.iter().map(|batch| &batch.rows))
        .map_err(|error| StoreError::Engine(format!("putting batches together: {error}")))?;
    let writes = Writes::of_flush(first.first_sequence, last.last_sequence);
    let place = SegmentPlace {
        dir: &context.segments_dir,
        temporary_dir: &context.temporary_dir,
        sequences: (first.first_sequence, last.last_sequence),
        level: 0,
        bucket_ns: METRIC_BUCKET_NS,
        written_ns: context.clock.wall_ns(),
        thinned: false,
        writes: Some(&writes),
    };
    let mut written = Vec::new();
    if let Some(resources) = rows.get(Table::Spans).map(resources_of_spans) {
        rows.set(Table::Resources, resources);
    }
    for (table, rows) in rows.iter() {
        written.push(match table.description().same_key {
            SameKey::Kept => write_in_order(place, table, rows)?,
            SameKey::AddedUp => write_rows(place, table, &sum_metrics(rows))?,
            SameKey::Seen(period_ns) => {
                let joined = fold_seen(table, period_ns, &sorted(table, rows)?)
                    .map_err(|error| StoreError::Engine(format!("putting rows together: {error}")))?;
                write_rows(place, table, &joined)?
            }
        });
    }
    context.manifest.add_segments(&written, last.last_sequence)?;
    let segment = |row| Arc::new(Segment::new(&context.segments_dir, row, Arc::clone(&context.segment_cache)));
    let segments = written.into_iter().map(segment).collect();
    context.tiers.finish_flush(batches, segments);
    // The data is safe from here on; a log file that stays is removed after the next flush.
    if let Err(error) = context.wal.lock().remove_through(last.last_sequence) {
        tracing::warn!(%error, "could not remove a log file that is flushed");
    }
    Ok(())
}

/// Adds up the rows of one key and bucket, sorted by (service, name, bucket).
fn sum_metrics(metrics: &RecordBatch) -> RecordBatch {
    let mut sums: FxHashMap<SpanMetricKey, Red> = FxHashMap::default();
    for (key, red) in read_span_metrics(metrics) {
        sums.entry(key).or_default().merge(&red);
    }
    let mut rows: Vec<(SpanMetricKey, Red)> = sums.into_iter().collect();
    rows.sort_unstable_by(|(left, _), (right, _)| {
        (&left.service, &left.name, left.bucket_start_ns).cmp(&(&right.service, &right.name, right.bucket_start_ns))
    });
    let mut builder = SpanMetricsBuilder::new();
    for (key, red) in &rows {
        builder.append(key, red);
    }
    builder.finish()
}
