//! The embedded store: one directory, one process.
//!
//! The path of a write: `frame` makes bytes of it, `commit` groups it with its neighbours, `wal`
//! puts the group on disk, `hot` makes it visible, and a minute later `flush` moves it into sorted
//! `segment`s that the `manifest` makes count; `upkeep` merges them and lets old ones go. The path of a question: a `hot` snapshot of memory
//! and segments; then `traces`, `metrics` and `resources` read what they need directly, and `search`,
//! `aggregate`, `keys` and `survey` go through `scan`, which walks the pages that may hold an answer, and
//! so do the views that `sql` has DataFusion answer statements from.
//!
//! To add a table: its schema and its description in [`crate::schema`]; all but the questions follow
//! from that.

mod aggregate;
mod backup;
mod clock;
mod commit;
mod disk;
mod doctor;
mod export;
mod facets;
mod figures;
mod flush;
mod frame;
mod hot;
mod indexes;
mod keys;
mod manifest;
mod metric_sums;
mod metrics;
mod open_segment;
mod packing;
mod page_file;
mod page_index;
mod prune;
mod read_ahead;
mod resources;
mod scan;
mod search;
mod segment;
mod segment_cache;
mod segment_note;
mod segment_write;
mod sql;
mod stages;
mod survey;
mod tables;
mod trace_ids;
mod traces;
mod upkeep;
mod wal;
mod wanted;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use pitviper_model::{Frame, FrameId, SpanId, StackId, TraceId};
use rustc_hash::FxHashSet;
use tokio::sync::oneshot;

pub use self::backup::{BackupReport, backup};
pub use self::clock::{Clock, SystemClock};
use self::commit::{Committer, Request};
pub use self::disk::DEFAULT_DISK_RESERVE_BYTES;
use self::disk::DiskGuard;
pub use self::doctor::{Diagnosis, Examination, Finding, Lost, Severity, examine};
pub use self::export::{LogScan, PointScan, SpanScan, StoredPoint};
use self::flush::{FlushContext, Flusher};
use self::hot::{FlushPolicy, Snapshot, Tiers, batch_bytes};
use self::manifest::{Manifest, SegmentRow, Table};
use self::search::Engine;
use self::segment::{Segment, beside};
use self::segment_cache::SegmentCache;
use self::sql::SqlEngine;
use self::stages::Stages;
pub use self::upkeep::{Retention, RollUp, Thinning};
use self::upkeep::{Upkeep, UpkeepContext};
use self::wal::{Wal, WalGauges};
use crate::questions::aggregate::{Aggregate, Aggregated};
use crate::questions::keys::{Keys, Matched};
use crate::questions::kin::{Families, Family};
use crate::questions::sql::{SqlAnswer, SqlError, SqlQuestion};
use crate::questions::survey::{KnownAttributes, Survey, Surveyed};
use crate::questions::walk::{Telling, Walk};
use crate::questions::{
    ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, FunctionName, FunctionNames, LibrariesAnswer,
    LibrariesQuery, LogsQuery, MetricPointsAnswer, MetricPointsQuery, MetricSeriesAnswer, MetricSeriesQuery, Page,
    ProfileAnswer, ProfileQuery, Sampled, SampledSpans, StoredException, StoredLog,
};
use crate::schema::{METRIC_BUCKET_NS, WriteBatch};
use crate::store::{
    Ack, MetricRow, MetricsQuery, ResourceSeen, Store, StoreError, StoreStats, StoredSpan, TimeRange, Trace, TraceHit,
};

/// Writes with more rows of a table than this are encoded on a thread that may block.
const INLINE_ENCODE_ROWS: usize = 256;
/// A flush begins at this share of the memory budget, so that writes go on while it runs.
const FLUSH_AT_BUDGET_SHARE: usize = 2;
/// Most memory one flush takes on at once, in bytes; it needs about as much again to sort.
const FLUSH_BYTES_LIMIT: usize = 256 * 1024 * 1024;

/// When a write counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the disk has it: survives loss of power.
    #[default]
    Fsync,
    /// When the system has it: survives the loss of the process, not of power.
    Buffered,
}

/// Where and how an embedded store keeps its data.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// The directory; made when missing.
    pub data_dir: PathBuf,
    /// Most memory the hot tier may use, in bytes; beyond it writes are refused with
    /// [`StoreError::Busy`].
    pub hot_bytes_limit: usize,
    /// Age at which the hot tier moves to a segment, in milliseconds.
    pub flush_after_ms: u64,
    /// Rows at which the hot tier moves to a segment.
    pub flush_rows: usize,
    /// Free room on the disk that writes leave untouched, in bytes; with less they are refused with
    /// [`StoreError::Busy`].
    pub disk_reserve_bytes: u64,
    /// When a write counts as durable.
    pub durability: Durability,
    /// How long data is kept.
    pub retention: Retention,
    /// How metrics are added up as they age.
    pub roll_up: RollUp,
    /// What says how old data is.
    pub clock: Arc<dyn Clock>,
    /// What stays of spans that are some days old.
    pub thinning: Thinning,
}

impl EmbeddedConfig {
    /// Default of [`EmbeddedConfig::hot_bytes_limit`].
    pub const DEFAULT_HOT_BYTES_LIMIT: usize = 256 * 1024 * 1024;
    /// Default of [`EmbeddedConfig::flush_after_ms`].
    pub const DEFAULT_FLUSH_AFTER_MS: u64 = 60_000;
    /// Default of [`EmbeddedConfig::flush_rows`].
    pub const DEFAULT_FLUSH_ROWS: usize = 131_072;

    /// The defaults for this directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            hot_bytes_limit: Self::DEFAULT_HOT_BYTES_LIMIT,
            flush_after_ms: Self::DEFAULT_FLUSH_AFTER_MS,
            flush_rows: Self::DEFAULT_FLUSH_ROWS,
            disk_reserve_bytes: DEFAULT_DISK_RESERVE_BYTES,
            durability: Durability::default(),
            retention: Retention::default(),
            roll_up: RollUp::default(),
            clock: Arc::new(SystemClock::default()),
            thinning: Thinning::default(),
        }
    }
}

/// Keeps all data in one directory of this machine.
#[derive(Debug)]
pub struct EmbeddedStore {
    tiers: Arc<Tiers>,
    wal: Arc<Mutex<Wal>>,
    wal_gauges: Arc<WalGauges>,
    flush: Arc<FlushContext>,
    upkeep: Arc<UpkeepContext>,
    engine: Engine,
    sql: SqlEngine,
    disk: DiskGuard,
    running: Mutex<Option<Running>>,
    durable_sequence: Arc<AtomicU64>,
    wal_frames_truncated: u64,
    closed: AtomicBool,
}

/// What ends when the store is closed.
#[derive(Debug)]
struct Running {
    committer: Committer,
    flusher: Flusher,
    upkeep: Upkeep,
    /// Held for the lock on the data directory.
    _lock: File,
}

impl EmbeddedStore {
    /// Opens the store, making the directory when it is missing. Takes up every acknowledged write
    /// that no segment holds from the log.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::NewerSchema`] when a newer
    /// version wrote it, and what the file system says.
    pub async fn open(config: EmbeddedConfig) -> Result<Arc<Self>, StoreError> {
        tokio::task::spawn_blocking(move || Self::open_blocking(&config).map(Arc::new))
            .await
            .map_err(|error| StoreError::Engine(error.to_string()))?
    }

    fn open_blocking(config: &EmbeddedConfig) -> Result<Self, StoreError> {
        let dir = &config.data_dir;
        let make = |name: &str| {
            let path = dir.join(name);
            std::fs::create_dir_all(&path).map_err(io_error(|| format!("making {}", path.display()))).map(|()| path)
        };
        let (segments_dir, temporary_dir) = (make("segments")?, make("tmp")?);
        sync_dir(dir).map_err(io_error(|| format!("syncing {}", dir.display())))?;
        let lock = lock_dir(dir)?;
        refuse_lost_manifest(dir, &segments_dir)?;
        let manifest = Manifest::open(&dir.join("manifest.sqlite"))?;
        let rows = manifest.segments()?;
        // First of all: files that a damaged manifest does not name are not to go for it.
        report_missing(dir, &segments_dir, &rows, manifest.segment_count()?)?;
        let known: FxHashSet<PathBuf> =
            rows.iter().map(|row| segments_dir.join(&row.file)).flat_map(|path| beside(&path).chain([path])).collect();
        remove_others(&segments_dir, &known)?;
        remove_others(&temporary_dir, &FxHashSet::default())?;
        let segment_cache = Arc::new(SegmentCache::default());
        let segments = rows
            .into_iter()
            .map(|row| Arc::new(Segment::new(&segments_dir, row, Arc::clone(&segment_cache))))
            .collect();
        let tiers = Arc::new(Tiers::new(segments, config.hot_bytes_limit));
        let flushed = manifest.flushed_sequence()?;
        let replay = |sequence, batch| tiers.replay(sequence, batch);
        let (wal, recovery) = Wal::open(&dir.join("wal"), config.durability, flushed, replay)?;
        let durable_sequence = Arc::new(AtomicU64::new(wal.last_sequence()));
        let wal_gauges = wal.gauges();
        let wal = Arc::new(Mutex::new(wal));
        let stages = Arc::new(Stages::default());
        let flush = Arc::new(FlushContext {
            segments_dir,
            temporary_dir,
            segment_cache,
            tiers: Arc::clone(&tiers),
            manifest,
            wal: Arc::clone(&wal),
            policy: FlushPolicy {
                rows: config.flush_rows,
                bytes: (config.hot_bytes_limit / FLUSH_AT_BUDGET_SHARE).min(FLUSH_BYTES_LIMIT),
                age: Duration::from_millis(config.flush_after_ms),
            },
            flushes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            stages: Arc::clone(&stages),
            clock: Arc::clone(&config.clock),
        });
        let upkeep = UpkeepContext::new(
            Arc::clone(&flush),
            config.retention,
            config.roll_up,
            config.thinning,
            Arc::clone(&durable_sequence),
        )?;
        let upkeep = Arc::new(upkeep);
        let start = || -> io::Result<(Running, Engine)> {
            let (wal, tiers, durable) = (Arc::clone(&wal), Arc::clone(&tiers), Arc::clone(&durable_sequence));
            let committer = Committer::start(wal, tiers, durable, Arc::clone(&stages))?;
            let (flusher, upkeep) = (Flusher::start(Arc::clone(&flush))?, Upkeep::start(Arc::clone(&upkeep))?);
            Ok((Running { committer, flusher, upkeep, _lock: lock }, Engine::start()?))
        };
        let (running, engine) = start().map_err(io_error(|| "starting the store's threads".to_owned()))?;
        Ok(Self {
            tiers,
            wal,
            wal_gauges,
            flush,
            upkeep,
            engine,
            sql: SqlEngine::default(),
            disk: DiskGuard::new(dir, config.disk_reserve_bytes),
            running: Mutex::new(Some(running)),
            durable_sequence,
            wal_frames_truncated: recovery.frames_truncated,
            closed: AtomicBool::new(false),
        })
    }

    /// Runs a reading job where it cannot hold up the caller's runtime.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Snapshot) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let snapshot = self.tiers.snapshot();
        self.engine.run_blocking(move || job(&snapshot)).await
    }

    fn request_flush(&self) -> Result<oneshot::Receiver<Result<(), StoreError>>, StoreError> {
        let running = self.running.lock();
        let running = running.as_ref().ok_or(StoreError::Closed)?;
        running.flusher.request(self.durable_sequence.load(Ordering::Acquire))
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn append(&self, batch: WriteBatch) -> Result<Ack, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if batch.is_empty() {
            return Ok(Ack { sequence: self.durable_sequence.load(Ordering::Acquire) });
        }
        self.disk.admit()?;
        let reservation = self.tiers.reserve(batch_bytes(&batch))?;
        let is_small = batch.longest() <= INLINE_ENCODE_ROWS;
        let encode = move || {
            let mut body = Vec::new();
            frame::encode(&batch, &mut body)
                .map(|()| (batch, body))
                .map_err(|error| StoreError::Engine(format!("encoding a write: {error}")))
        };
        let (rows, body) = if is_small { encode()? } else { blocking(encode).await? };
        let (ack, acknowledged) = oneshot::channel();
        {
            let running = self.running.lock();
            let running = running.as_ref().ok_or(StoreError::Closed)?;
            running.committer.submit(Request { body, rows, reservation, ack, queued: Instant::now() })?;
        }
        acknowledged.await.map_err(|_| StoreError::Closed)?
    }

    async fn trace(&self, trace_id: TraceId, limit: usize) -> Result<Trace, StoreError> {
        let mut found = self.traces(&[trace_id], limit).await?;
        Ok(found.pop().map(|(_, trace)| trace).unwrap_or_default())
    }

    async fn trace_details(
        &self,
        trace_id: TraceId,
        span_ids: &[SpanId],
        offset: usize,
        limit: usize,
    ) -> Result<Vec<StoredSpan>, StoreError> {
        let span_ids = span_ids.to_vec();
        self.read(move |snapshot| traces::details(snapshot, trace_id, &span_ids, offset, limit)).await
    }

    fn walk_spans(&self, walk: &Walk) -> Telling<StoredSpan> {
        self.engine.walk_spans(self.tiers.snapshot(), walk)
    }

    fn walk_traces(&self, walk: &Walk) -> Telling<TraceHit> {
        self.engine.walk_traces(self.tiers.snapshot(), walk)
    }

    async fn traces(&self, trace_ids: &[TraceId], limit_per_trace: usize) -> Result<Vec<(TraceId, Trace)>, StoreError> {
        let trace_ids = trace_ids.to_vec();
        self.read(move |snapshot| traces::waterfalls(snapshot, &trace_ids, limit_per_trace)).await
    }

    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| metrics::metrics(snapshot, &query)).await
    }

    fn metric_bucket_ns(&self, range: TimeRange) -> i64 {
        let snapshot = self.tiers.snapshot();
        let widths = snapshot.segments_in(Table::SpanMetrics, range).map(|segment| segment.row.bucket_ns);
        widths.fold(METRIC_BUCKET_NS, i64::max)
    }

    async fn aggregate(&self, question: &Aggregate) -> Result<Aggregated, StoreError> {
        let snapshot = self.tiers.snapshot();
        self.engine.aggregate(snapshot, question).await
    }

    async fn keys(&self, question: &Keys) -> Result<Matched, StoreError> {
        let (snapshot, question) = (self.tiers.snapshot(), question.clone());
        self.engine.run_scan(move |interrupt| keys::keys(&snapshot, &question, interrupt)).await
    }

    async fn families(&self, question: &Families) -> Result<Option<Vec<(TraceId, Family)>>, StoreError> {
        let question = question.clone();
        self.read(move |snapshot| traces::families(snapshot, &question)).await
    }

    async fn survey(&self, question: &Survey) -> Result<Surveyed, StoreError> {
        let (snapshot, question) = (self.tiers.snapshot(), question.clone());
        self.engine.run_scan(move |interrupt| survey::survey(&snapshot, &question, interrupt)).await
    }

    async fn known_attributes(&self, range: TimeRange) -> Result<KnownAttributes, StoreError> {
        self.read(move |snapshot| survey::known_attributes(snapshot, range)).await
    }

    async fn sql(&self, question: &SqlQuestion) -> Result<SqlAnswer, SqlError> {
        let snapshot = self.tiers.snapshot();
        self.sql.answer(snapshot, question).await
    }

    async fn resources(&self, range: TimeRange) -> Result<Vec<ResourceSeen>, StoreError> {
        self.read(move |snapshot| resources::resources(snapshot, range)).await
    }

    async fn logs(&self, query: &LogsQuery) -> Result<Page<StoredLog>, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::logs(snapshot, &query)).await
    }

    async fn metric_series(&self, query: &MetricSeriesQuery) -> Result<MetricSeriesAnswer, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::metric_series(snapshot, &query)).await
    }

    async fn metric_points(&self, query: &MetricPointsQuery) -> Result<MetricPointsAnswer, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::metric_points(snapshot, &query)).await
    }

    async fn profile(&self, query: &ProfileQuery) -> Result<ProfileAnswer, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::profile(snapshot, &query)).await
    }

    async fn stacks(&self, range: TimeRange, ids: &[StackId]) -> Result<Vec<(StackId, Vec<FrameId>)>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |snapshot| tables::stacks(snapshot, range, &ids)).await
    }

    async fn frames(&self, range: TimeRange, ids: &[FrameId]) -> Result<Vec<(FrameId, Frame)>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |snapshot| tables::frames(snapshot, range, &ids)).await
    }

    async fn sampled_spans(&self, question: &SampledSpans) -> Result<Sampled, StoreError> {
        let question = question.clone();
        self.read(move |snapshot| tables::sampled(snapshot, &question)).await
    }

    async fn function_names(&self, question: &FunctionNames) -> Result<Vec<FunctionName>, StoreError> {
        let question = question.clone();
        self.read(move |snapshot| tables::function_names(snapshot, &question)).await
    }

    async fn exception_groups(&self, query: &ExceptionGroupsQuery) -> Result<ExceptionGroups, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::exception_groups(snapshot, &query)).await
    }

    async fn exceptions(&self, query: &ExceptionsQuery) -> Result<Page<StoredException>, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::exceptions(snapshot, &query)).await
    }

    async fn libraries(&self, query: &LibrariesQuery) -> Result<LibrariesAnswer, StoreError> {
        let query = query.clone();
        self.read(move |snapshot| tables::libraries(snapshot, &query)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.request_flush()?.await.map_err(|_| StoreError::Closed)?
    }

    async fn compact(&self) -> Result<(), StoreError> {
        let requested = {
            let running = self.running.lock();
            running.as_ref().ok_or(StoreError::Closed)?.upkeep.request()?
        };
        requested.await.map_err(|_| StoreError::Closed)?
    }

    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let Some(mut running) = self.running.lock().take() else { return Ok(()) };
        let durable_sequence = Arc::clone(&self.durable_sequence);
        let wal = Arc::clone(&self.wal);
        blocking(move || {
            // What is queued is still written and acknowledged; then all of it is flushed.
            running.upkeep.stop();
            running.committer.stop();
            wal.lock().rotate();
            let flushed = running.flusher.request(durable_sequence.load(Ordering::Acquire))?;
            let result = flushed.blocking_recv().map_err(|_| StoreError::Closed)?;
            running.flusher.stop();
            result
        })
        .await
    }

    fn stats(&self) -> StoreStats {
        self.figures()
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.lock().take() {
            running.upkeep.stop();
            running.committer.stop();
            running.flusher.stop();
        }
    }
}

/// Runs a job on a thread that may block.
async fn blocking<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(job).await.map_err(|error| StoreError::Engine(error.to_string()))?
}

/// One process at a time; the lock goes with the process, however it ends.
fn lock_dir(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(io_error(|| format!("opening {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.display().to_string() }),
        Err(TryLockError::Error(source)) => {
            Err(StoreError::Io { context: format!("locking {}", path.display()), source })
        }
    }
}

/// Deletes what a crash left behind: files the manifest does not know.
fn remove_others(dir: &Path, known: &FxHashSet<PathBuf>) -> Result<(), StoreError> {
    let remove = || -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if !known.contains(&entry.path()) {
                tracing::info!(path = %entry.path().display(), "removing a file that no finished flush wrote");
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    remove().map_err(io_error(|| format!("cleaning {}", dir.display())))
}

/// Refuses to open with a segment missing: answering without its rows would look like an answer.
fn report_missing(dir: &Path, segments_dir: &Path, rows: &[SegmentRow], count: u64) -> Result<(), StoreError> {
    if rows.len() as u64 != count {
        let what = "the manifest names segments of tables that there are not".to_owned();
        return Err(StoreError::Damaged { what, path: dir.display().to_string() });
    }
    for row in rows {
        let path = segments_dir.join(&row.file);
        if let Err(error) = std::fs::metadata(&path) {
            let what = format!("the segment {} cannot be found: {error}", path.display());
            return Err(StoreError::Damaged { what, path: dir.display().to_string() });
        }
    }
    Ok(())
}

/// Refuses to open segments without a manifest: an empty one would make all of them superfluous files.
fn refuse_lost_manifest(dir: &Path, segments_dir: &Path) -> Result<(), StoreError> {
    if dir.join("manifest.sqlite").metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    let mut segments =
        std::fs::read_dir(segments_dir).map_err(io_error(|| format!("listing {}", segments_dir.display())))?;
    if segments.next().is_none() {
        return Ok(());
    }
    let what = "there are segments and no manifest.sqlite that names them".to_owned();
    Err(StoreError::Damaged { what, path: dir.display().to_string() })
}

/// Makes a rename or a new file in the directory durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Names what was being done when the file system refused.
fn io_error(context: impl FnOnce() -> String) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io { context: context(), source }
}
