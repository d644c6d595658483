//! Segments: sorted, immutable Parquet files.
//!
//! Spans are sorted by (service, name, start), which serves the questions people ask most; the rows
//! of one trace are then scattered, and found through the index beside the segment.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use pitviper_model::TraceId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::io_error;
use super::manifest::{SegmentRow, Table};
use super::metric_sums::{self, Sums};
use super::page_index::{Kind, PageIndex};
use super::prune::{Lookup, Rows};
use super::resources::Summary;
use crate::store::{StoreError, TimeRange};

/// Most memory for footers, filters and metrics of segments that queries have used, in bytes.
const CACHE_BYTES_LIMIT: usize = 256 * 1024 * 1024;
/// Metrics of segments with no more rows are kept in memory once they were read.
const MAX_KEPT_ROWS: u64 = 64 * 1024;
/// Rows decoded at once.
const READ_BATCH_ROWS: usize = 8_192;

/// A segment on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) row: SegmentRow,
    pub(super) path: PathBuf,
    cache: Arc<SegmentCache>,
    resources: Mutex<Option<Arc<Summary>>>,
    /// Its rows are in other segments now, or not wanted any more.
    is_obsolete: AtomicBool,
}

/// What is kept in memory of a segment that queries have used.
#[derive(Debug)]
pub(super) struct OpenSegment {
    metadata: ArrowReaderMetadata,
    /// In the order of [`Kind::ALL`].
    indexes: [Option<PageIndex>; 2],
    /// All rows of a small metrics segment.
    rows: Option<Vec<RecordBatch>>,
    /// Of a metrics segment, its rows added up, when they have been.
    pub(super) sums: Option<Sums>,
    bytes: usize,
}

/// What is kept of segments that queries have used, the least recently used first to go.
#[derive(Debug, Default)]
pub(super) struct SegmentCache(Mutex<CacheState>);

#[derive(Debug, Default)]
struct CacheState {
    open: FxHashMap<String, (Arc<OpenSegment>, u64)>,
    bytes: usize,
    /// Counts uses, to tell which was last.
    clock: u64,
}

impl SegmentCache {
    fn get(&self, file: &str) -> Option<Arc<OpenSegment>> {
        let mut state = self.0.lock();
        state.clock += 1;
        let now = state.clock;
        let (open, used) = state.open.get_mut(file)?;
        *used = now;
        Some(Arc::clone(open))
    }

    fn put(&self, file: &str, open: Arc<OpenSegment>) {
        let mut state = self.0.lock();
        state.clock += 1;
        let entry = (Arc::clone(&open), state.clock);
        if let Some((replaced, _)) = state.open.insert(file.to_owned(), entry) {
            state.bytes -= replaced.bytes;
        }
        state.bytes += open.bytes;
        state.shrink();
    }

    fn forget(&self, file: &str) {
        let mut state = self.0.lock();
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

impl Segment {
    pub(super) fn new(dir: &Path, row: SegmentRow, cache: Arc<SegmentCache>) -> Self {
        let path = dir.join(&row.file);
        Self { row, path, cache, resources: Mutex::new(None), is_obsolete: AtomicBool::new(false) }
    }

    /// Lets the files go once no query reads them any more. To be called when the manifest has
    /// already forgotten the segment.
    pub(super) fn retire(&self) {
        self.is_obsolete.store(true, Ordering::Release);
    }

    /// Whether it has rows that may start in the range.
    pub(super) fn overlaps(&self, range: TimeRange) -> bool {
        self.row.min_start_ns < range.end_ns && self.row.max_start_ns >= range.start_ns
    }

    /// Whether all of its rows start in the range.
    pub(super) fn is_within(&self, range: TimeRange) -> bool {
        self.row.min_start_ns >= range.start_ns && self.row.max_start_ns < range.end_ns
    }

    /// Whether spans of the service may be in it.
    pub(super) fn may_hold_service(&self, service: &str) -> bool {
        let services = &self.row.services;
        services.is_empty() || services.binary_search_by(|known| known.as_str().cmp(service)).is_ok()
    }

    /// The resources of all of its rows; worked out once.
    pub(super) fn resource_summary(&self, columns: &[&str]) -> Result<Arc<Summary>, StoreError> {
        if let Some(summary) = &*self.resources.lock() {
            return Ok(Arc::clone(summary));
        }
        let mut summary = Summary::default();
        for batch in self.read(columns)? {
            summary.add(&batch, TimeRange::ALL);
        }
        let summary = Arc::new(summary);
        *self.resources.lock() = Some(Arc::clone(&summary));
        Ok(summary)
    }

    fn open(&self) -> Result<Arc<OpenSegment>, StoreError> {
        if let Some(known) = self.cache.get(&self.row.file) {
            return Ok(known);
        }
        let mut open = OpenSegment::load(self.file()?, &self.row).map_err(|error| self.error(error.as_ref()))?;
        if self.row.table.description().indexed {
            open.open_indexes(&self.path, self.row.rows);
        }
        if self.row.table == Table::SpanMetrics {
            open.open_sums(&self.path, self.row.rows);
        }
        let open = Arc::new(open);
        self.cache.put(&self.row.file, Arc::clone(&open));
        Ok(open)
    }

    fn file(&self) -> Result<File, StoreError> {
        File::open(&self.path).map_err(io_error(|| format!("opening {}", self.path.display())))
    }

    fn error(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Engine(format!("reading {}: {error}", self.path.display()))
    }

    /// Reads these columns of all rows.
    pub(super) fn read(&self, columns: &[&str]) -> Result<Vec<RecordBatch>, StoreError> {
        let open = self.open()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file()?, open.metadata.clone())
            .with_projection(open.projection(Some(columns)));
        collect(builder).map_err(|error| self.error(error.as_ref()))
    }

    /// Reads the metrics of a service and a name, or all, whose buckets begin in the range. There may
    /// be others among them.
    pub(super) fn read_metrics(
        &self,
        service: Option<&str>,
        name: Option<&str>,
        range: TimeRange,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let open = self.open()?;
        if let Some(rows) = &open.rows {
            return Ok(rows.clone());
        }
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file()?, open.metadata.clone());
        if let (Some(service), Some(sums)) = (service, &open.sums) {
            let rows = sums.rows_of(service);
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            builder = builder.with_row_selection(selection(vec![rows], self.row.rows));
        }
        let mut conditions: Vec<Box<dyn ArrowPredicate>> = Vec::new();
        if !self.is_within(range) {
            let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["bucket_start_ns"])), move |batch| {
                let starts = batch.column(0).as_primitive::<Int64Type>();
                Ok(BooleanArray::from_unary(starts, |start| (range.start_ns..range.end_ns).contains(&start)))
            });
            conditions.push(Box::new(is_wanted));
        }
        if let Some(name) = name.map(str::to_owned) {
            let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["name"])), move |batch| {
                let names = batch.column(0).as_string::<i32>();
                Ok(BooleanArray::from_unary(names, |known| known == name))
            });
            conditions.push(Box::new(is_wanted));
        }
        if !conditions.is_empty() {
            builder = builder.with_row_filter(RowFilter::new(conditions));
        }
        collect(builder).map_err(|error| self.error(error.as_ref()))
    }

    /// Reads these columns, or all, of the spans of these traces; those that the look-up leaves out
    /// may be missing.
    pub(super) fn read_traces(
        &self,
        traces: &Arc<FxHashSet<TraceId>>,
        lookup: &Lookup,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let open = self.open()?;
        let rows = lookup.rows(&open);
        if rows.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let wanted = Arc::clone(traces);
        let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["trace_id"])), move |batch: RecordBatch| {
            Ok(trace_mask(batch.column(0).as_ref(), &wanted))
        });
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file()?, open.metadata.clone());
        if let Some(rows) = rows {
            builder = builder.with_row_selection(selection(rows, self.row.rows));
        }
        let builder = builder
            .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
            .with_projection(open.projection(columns));
        collect(builder).map_err(|error| self.error(error.as_ref()))
    }

    /// Which rows a look-up leaves, for those who read the file themselves; `None` when the indexes
    /// cannot tell.
    pub(super) fn rows_for(&self, lookup: &Lookup) -> Result<Option<RowSelection>, StoreError> {
        Ok(lookup.rows(&*self.open()?).map(|rows| selection(rows, self.row.rows)))
    }

    /// What is known of the file, kept for later questions.
    pub(super) fn opened(&self) -> Result<Arc<OpenSegment>, StoreError> {
        self.open()
    }

    /// Reads these columns, or all, of these rows, or of all, where the test of other columns holds.
    pub(super) fn reader(
        &self,
        columns: Option<&[&str]>,
        rows: Option<Rows>,
        test: Option<RowTest>,
    ) -> Result<ParquetRecordBatchReader, StoreError> {
        let open = self.open()?;
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.file()?, open.metadata.clone())
            .with_projection(open.projection(columns))
            .with_batch_size(READ_BATCH_ROWS);
        if let Some(rows) = rows {
            builder = builder.with_row_selection(selection(rows, self.row.rows));
        }
        if let Some((columns, test)) = test {
            let predicate = ArrowPredicateFn::new(open.projection(Some(columns)), test);
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        builder.build().map_err(|error| self.error(&error))
    }

    /// Reads all rows in order, without keeping anything in the cache.
    pub(super) fn stream(&self) -> Result<ParquetRecordBatchReader, StoreError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.file()?)
            .and_then(|builder| builder.with_batch_size(READ_BATCH_ROWS).build());
        reader.map_err(|error| self.error(&error))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.is_obsolete.load(Ordering::Acquire) {
            return;
        }
        self.cache.forget(&self.row.file);
        for path in &files(&self.path) {
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not remove a file; the next start will");
            }
        }
    }
}

/// A segment's file and those that may lie beside it.
pub(super) fn files(segment: &Path) -> [PathBuf; 4] {
    let [traces, attributes] = Kind::ALL.map(|kind| kind.path(segment));
    [traces, attributes, metric_sums::path(segment), segment.to_owned()]
}

fn selection(rows: Rows, total: u64) -> RowSelection {
    let rows = rows.into_iter().map(|range| range.start as usize..range.end as usize);
    RowSelection::from_consecutive_ranges(rows, total as usize)
}

/// What went wrong with a file's contents: one of the reader's two kinds of error.
type ReadError = Box<dyn std::error::Error + Send + Sync>;

fn collect(builder: ParquetRecordBatchReaderBuilder<File>) -> Result<Vec<RecordBatch>, ReadError> {
    Ok(builder.with_batch_size(READ_BATCH_ROWS).build()?.collect::<Result<_, _>>()?)
}

/// Which rows belong to one of the traces.
pub(super) fn trace_mask(trace_ids: &dyn Array, wanted: &FxHashSet<TraceId>) -> BooleanArray {
    let ids = trace_ids.as_fixed_size_binary();
    let bytes = ids.value_data();
    let id_at = |row: usize| TraceId::from_slice(&bytes[row * 16..row * 16 + 16]).unwrap_or_default();
    // Most lookups are for one trace, and a comparison is far cheaper than a hash.
    let single = (wanted.len() == 1).then(|| wanted.iter().copied().next()).flatten();
    (0..ids.len())
        .map(|row| Some(single.map_or_else(|| wanted.contains(&id_at(row)), |only| id_at(row) == only)))
        .collect()
}

/// Columns, and which of their rows are wanted.
pub(super) type RowTest =
    (&'static [&'static str], Box<dyn FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + Send>);

impl OpenSegment {
    /// What the file's footer says.
    pub(super) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    fn load(file: File, row: &SegmentRow) -> Result<Self, ReadError> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(&file, options)?;
        let mut bytes = metadata.metadata().memory_size();
        let mut rows = None;
        if row.table == Table::SpanMetrics && row.rows <= MAX_KEPT_ROWS {
            let read = collect(ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata.clone()))?;
            bytes += read.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            rows = Some(read);
        }
        Ok(Self { metadata, indexes: [None, None], rows, sums: None, bytes })
    }

    /// Opens the sums of a segment of metrics, which only merged ones have. Without them its rows are read.
    fn open_sums(&mut self, segment: &Path, rows: u64) {
        match Sums::open(&metric_sums::path(segment), rows) {
            Ok(sums) => {
                self.bytes += sums.memory_size();
                self.sums = Some(sums);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(segment = %segment.display(), %error, "long ranges are slow until it is merged");
            }
        }
    }

    /// Opens the indexes that are there. Without one, whole segments are read.
    fn open_indexes(&mut self, segment: &Path, rows: u64) {
        for (kind, slot) in Kind::ALL.into_iter().zip(&mut self.indexes) {
            match PageIndex::open(&kind.path(segment), rows) {
                Ok(index) => {
                    self.bytes += index.memory_size();
                    *slot = Some(index);
                }
                Err(error) => {
                    tracing::warn!(segment = %segment.display(), ?kind, %error, "no index; searching this is slow");
                }
            }
        }
    }

    /// The rows that may have the value of this hash; `None` when the index cannot tell.
    pub(super) fn find(&self, kind: Kind, hash: u64) -> Option<Rows> {
        let index = self.indexes[kind as usize].as_ref()?;
        let mut rows = Vec::new();
        match index.find(hash, &mut rows) {
            Ok(is_rare) => is_rare.then_some(rows),
            Err(error) => {
                tracing::warn!(?kind, %error, "looking through all of the segment instead");
                None
            }
        }
    }

    fn projection(&self, columns: Option<&[&str]>) -> ProjectionMask {
        match columns {
            None => ProjectionMask::all(),
            Some(columns) => ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied()),
        }
    }
}
