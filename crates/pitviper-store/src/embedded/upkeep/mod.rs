//! The upkeep thread: merges segments and lets old ones go, beside everything else.
//!
//! A merge is written, synced and renamed like a flush; then one manifest transaction swaps it for
//! its inputs; then the list that queries see is swapped under its lock. A query that began before
//! goes on with the inputs, whose files stay until the last such query has ended. A crash at any
//! point leaves files the manifest does not know, which are deleted at open.

mod merge;
mod plan;
mod roll_up;
mod thin;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::oneshot;

use self::merge::Merge;
pub use self::plan::Retention;
use self::plan::{Eagerness, Reason};
use self::roll_up::Fold;
pub use self::roll_up::RollUp;
pub use self::thin::Thinning;
pub(super) use self::thin::{Kept, ThinFigures};
use super::clock::LeapWatch;
use super::flush::FlushContext;
use super::manifest::{SegmentRow, Table};
use super::segment::Segment;
use super::segment_note::Writes;
use super::segment_write::{SegmentPlace, SegmentWriter};
use crate::schema::{SameKey, SeenFold};
use crate::store::StoreError;

/// How often the segments are looked at.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Wait after work that failed; doubles up to the longest.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_LONGEST: Duration = Duration::from_secs(600);
/// While writes come in, upkeep rests this long for each unit of time it works.
const REST_WHILE_BUSY: u32 = 1;
/// With more files than this to merge it does not rest: what waits slows every question.
const BACKLOG_WITHOUT_REST: u64 = 48;

/// Names of counters in the manifest.
const SPANS_EXPIRED_BY_AGE: &str = "spans_expired_by_age";
const SPANS_EXPIRED_BY_SIZE: &str = "spans_expired_by_size";

/// What upkeep did since the store was opened.
#[derive(Debug, Default)]
pub(super) struct UpkeepFigures {
    pub(super) merges: AtomicU64,
    pub(super) merged_rows: AtomicU64,
    pub(super) failures: AtomicU64,
    /// These ever, as the manifest counts.
    pub(super) spans_expired_by_age: AtomicU64,
    pub(super) spans_expired_by_size: AtomicU64,
    /// Rows of each table let go by age and by size, by the table's place in [`Table::ALL`].
    pub(super) expired: [[AtomicU64; 2]; Table::ALL.len()],
}

/// What upkeep works on.
#[derive(Debug)]
pub(super) struct UpkeepContext {
    pub(super) flush: Arc<FlushContext>,
    pub(super) retention: Retention,
    pub(super) roll_up: RollUp,
    /// The last write, to tell whether there are any.
    pub(super) durable_sequence: Arc<AtomicU64>,
    pub(super) thinning: Thinning,
    pub(super) figures: UpkeepFigures,
    leaps: Mutex<LeapWatch>,
    pub(super) thinned: ThinFigures,
    looked: thin::Looked,
    stopping: AtomicBool,
}

impl UpkeepContext {
    pub(super) fn new(
        flush: Arc<FlushContext>,
        retention: Retention,
        roll_up: RollUp,
        thinning: Thinning,
        durable_sequence: Arc<AtomicU64>,
    ) -> Result<Self, StoreError> {
        let figures = UpkeepFigures {
            spans_expired_by_age: flush.manifest.counter(SPANS_EXPIRED_BY_AGE)?.into(),
            spans_expired_by_size: flush.manifest.counter(SPANS_EXPIRED_BY_SIZE)?.into(),
            ..UpkeepFigures::default()
        };
        Ok(Self {
            thinned: ThinFigures::load(&flush.manifest)?,
            flush,
            retention,
            roll_up,
            durable_sequence,
            thinning,
            figures,
            leaps: Mutex::default(),
            looked: thin::Looked::default(),
            stopping: AtomicBool::new(false),
        })
    }
}

/// Asks for everything to be merged that can be.
type Request = oneshot::Sender<Result<(), StoreError>>;

/// Keeps the segments few and recent until it is stopped.
#[derive(Debug)]
pub(super) struct Upkeep {
    context: Arc<UpkeepContext>,
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(super) fn start(context: Arc<UpkeepContext>) -> std::io::Result<Self> {
        let (requests, received) = channel();
        let own = Arc::clone(&context);
        let thread =
            std::thread::Builder::new().name("pitviper-upkeep".to_owned()).spawn(move || run(&own, &received))?;
        Ok(Self { context, requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for everything to be merged that can be; the receiver hears when it is.
    pub(super) fn request(&self) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let (done, finished) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or(StoreError::Closed)?;
        requests.send(done).map_err(|_| StoreError::Closed)?;
        Ok(finished)
    }

    /// Ends the thread, giving up a merge under way.
    pub(super) fn stop(&mut self) {
        self.context.stopping.store(true, Ordering::Release);
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the upkeep thread ended with a panic");
        }
    }
}

fn run(context: &UpkeepContext, received: &Receiver<Request>) {
    let mut retry = RETRY_FIRST;
    let mut not_before = Instant::now();
    loop {
        match received.recv_timeout(CHECK_INTERVAL) {
            Ok(done) => {
                let _ = done.send(work(context, Eagerness::Everything));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() < not_before {
            continue;
        }
        match work(context, Eagerness::AsNeeded) {
            Ok(()) => retry = RETRY_FIRST,
            Err(StoreError::Closed) => return,
            Err(error) => {
                context.figures.failures.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, retry_s = retry.as_secs(), "upkeep failed, will try again");
                not_before = Instant::now() + retry;
                retry = (retry * 2).min(RETRY_LONGEST);
            }
        }
    }
}

/// Lets go what is too old, then merges and thins until there is nothing more to do.
fn work(context: &UpkeepContext, eagerness: Eagerness) -> Result<(), StoreError> {
    let mut tried = FxHashSet::default();
    loop {
        let now_ns = context.flush.clock.wall_ns();
        expire(context, now_ns)?;
        let snapshot = context.flush.tiers.snapshot();
        let rows = snapshot.segments.iter().map(|segment| &segment.row);
        let planned = plan::merge(rows, now_ns, &context.roll_up, eagerness);
        let waiting = planned.as_ref().map_or(0, |merge| merge.waiting) as u64;
        context.flush.stages.merge_backlog.store(waiting, Ordering::Relaxed);
        let Some(plan::Merge { inputs, .. }) = planned else {
            if thin::thin_next(context, now_ns, eagerness, &mut tried)? {
                continue;
            }
            return Ok(());
        };
        let files: FxHashSet<&str> = inputs.iter().map(|input| input.file.as_str()).collect();
        let inputs: Vec<Arc<Segment>> =
            snapshot.segments.iter().filter(|segment| files.contains(segment.row.file.as_str())).cloned().collect();
        merge_segments(context, &inputs, now_ns)?;
    }
}

fn expire(context: &UpkeepContext, now_ns: i64) -> Result<(), StoreError> {
    let snapshot = context.flush.tiers.snapshot();
    let retention = if context.leaps.lock().is_believed(context.flush.clock.as_ref()) {
        context.retention
    } else {
        Retention { max_bytes: context.retention.max_bytes, ..Retention::default() }
    };
    let gone = plan::expired(snapshot.segments.iter().map(|segment| &segment.row), now_ns, &retention);
    if gone.is_empty() {
        return Ok(());
    }
    let files: FxHashSet<&str> = gone.iter().map(|(row, _)| row.file.as_str()).collect();
    let spans = |wanted: Reason| -> u64 {
        let of_reason = gone.iter().filter(|(row, reason)| row.table == Table::Spans && *reason == wanted);
        of_reason.map(|(row, _)| row.rows).sum()
    };
    let (by_age, by_size) = (spans(Reason::Age), spans(Reason::Size));
    replace(context, &files, Vec::new(), &[(SPANS_EXPIRED_BY_AGE, by_age), (SPANS_EXPIRED_BY_SIZE, by_size)])?;
    context.figures.spans_expired_by_age.fetch_add(by_age, Ordering::Relaxed);
    context.figures.spans_expired_by_size.fetch_add(by_size, Ordering::Relaxed);
    for (row, reason) in gone {
        let place = usize::from(reason == Reason::Size);
        context.figures.expired[row.table as usize][place].fetch_add(row.rows, Ordering::Relaxed);
        tracing::info!(file = row.file, rows = row.rows, ?reason, "let go of old data");
    }
    Ok(())
}

fn merge_segments(context: &UpkeepContext, inputs: &[Arc<Segment>], now_ns: i64) -> Result<(), StoreError> {
    let rows = || inputs.iter().map(|input| &input.row);
    let (Some(first), Some(last), Some(level), Some(latest), Some(written_ns), Some(widest)) = (
        rows().map(|row| row.min_sequence).min(),
        rows().map(|row| row.max_sequence).max(),
        rows().map(|row| row.level).max(),
        rows().map(|row| row.latest_ns(now_ns)).max(),
        rows().map(|row| row.written_ns).max(),
        rows().map(|row| row.bucket_ns).max(),
    ) else {
        return Ok(());
    };
    let writes = inputs.iter().map(|input| input.writes()).collect::<Result<Option<Vec<_>>, _>>()?.map(Writes::union);
    let place = SegmentPlace {
        dir: &context.flush.segments_dir,
        temporary_dir: &context.flush.temporary_dir,
        sequences: (first, last),
        level: level + 1,
        // Never narrower than they are already, which they would be once the clock was set back.
        bucket_ns: context.roll_up.width(latest, now_ns).max(widest),
        written_ns,
        // Thinned segments are merged with each other only.
        thinned: rows().all(|row| row.thinned),
        writes: writes.as_ref(),
    };
    let count: u64 = rows().map(|row| row.rows).sum();
    let _mark = tracing::trace_span!(target: "pitviper::self", "merge", segments = inputs.len(), rows = count);
    let began = Instant::now();
    let merged = write_merged(context, place, inputs)?;
    context.flush.stages.merge.record_since(began);
    let files: FxHashSet<&str> = rows().map(|row| row.file.as_str()).collect();
    tracing::debug!(
        inputs = inputs.len(),
        rows = count,
        took_ms = began.elapsed().as_millis() as u64,
        file = merged.file,
        "merged segments"
    );
    replace(context, &files, vec![merged], &[])?;
    context.figures.merges.fetch_add(1, Ordering::Relaxed);
    context.figures.merged_rows.fetch_add(count, Ordering::Relaxed);
    Ok(())
}

/// Makes the manifest and then the queries see some segments, or none, in place of others. What is
/// counted is counted in the manifest.
fn replace(
    context: &UpkeepContext,
    files: &FxHashSet<&str>,
    with: Vec<SegmentRow>,
    counted: &[(&str, u64)],
) -> Result<(), StoreError> {
    let flush = &context.flush;
    flush.manifest.replace_segments(files, &with, counted)?;
    let segment = |row| Arc::new(Segment::new(&flush.segments_dir, row, Arc::clone(&flush.segment_cache)));
    for segment in flush.tiers.replace_segments(files, with.into_iter().map(segment).collect()) {
        segment.retire();
    }
    Ok(())
}

fn engine(error: arrow::error::ArrowError) -> StoreError {
    StoreError::Engine(format!("merging segments: {error}"))
}

/// Writes the rows of the inputs, in order, as one segment; those of metrics added up on the way.
fn write_merged(
    context: &UpkeepContext,
    place: SegmentPlace<'_>,
    inputs: &[Arc<Segment>],
) -> Result<SegmentRow, StoreError> {
    let table = inputs[0].row.table;
    let (schema, order) = (table.schema(), table.description().order);
    let mut fold = match table.description().same_key {
        SameKey::Kept => SameRows::Stay,
        SameKey::AddedUp => SameRows::AddUp(Box::new(Fold::new(place.bucket_ns))),
        SameKey::Seen(period_ns) => SameRows::Join(SeenFold::new(table, period_ns).map_err(engine)?),
    };
    let readers = inputs.iter().map(|input| input.stream()).collect::<Result<Vec<_>, _>>()?;
    let mut merge = Merge::new(readers, &schema, order).map_err(engine)?;
    let mut writer = SegmentWriter::create(place, table)?;
    writer.merge_facets(inputs);
    let mut pace = Pace::new(context);
    while let Some(rows) = merge.next().map_err(engine)? {
        match &mut fold {
            SameRows::Stay => writer.write(&rows)?,
            SameRows::AddUp(fold) => writer.write(&fold.add(&rows))?,
            SameRows::Join(fold) => writer.write(&fold.add(&rows).map_err(engine)?)?,
        }
        pace.rest()?;
    }
    match fold {
        SameRows::Stay => {}
        SameRows::AddUp(fold) => writer.write(&fold.finish())?,
        SameRows::Join(fold) => writer.write(&fold.finish().map_err(engine)?)?,
    }
    writer.finish()
}

/// What becomes of rows of one key while segments are merged.
enum SameRows {
    Stay,
    AddUp(Box<Fold>),
    Join(SeenFold),
}

/// Keeps a merge from taking what writes need.
struct Pace<'a> {
    context: &'a UpkeepContext,
    seen: u64,
    began: Instant,
}

impl<'a> Pace<'a> {
    fn new(context: &'a UpkeepContext) -> Self {
        Self { context, seen: context.durable_sequence.load(Ordering::Relaxed), began: Instant::now() }
    }

    /// To be called after each piece of work: rests when writes came in meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Closed`] when the store is closing; the merge is given up.
    fn rest(&mut self) -> Result<(), StoreError> {
        if self.context.stopping.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        let now = self.context.durable_sequence.load(Ordering::Relaxed);
        let backlog = self.context.flush.stages.merge_backlog.load(Ordering::Relaxed);
        if now != self.seen && backlog <= BACKLOG_WITHOUT_REST {
            std::thread::sleep(self.began.elapsed() * REST_WHILE_BUSY);
        }
        (self.seen, self.began) = (now, Instant::now());
        Ok(())
    }
}
