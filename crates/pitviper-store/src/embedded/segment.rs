//! Segments: sorted, immutable Parquet files.
//!
//! Spans are sorted by (service, name, start), which serves the questions people ask most; the rows
//! of one trace are then scattered, and found through the index beside the segment.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatchReader as _};
use arrow::datatypes::{Schema, UInt32Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use pitviper_model::TraceId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::io_error;
use super::manifest::{SegmentRow, Table};
use super::page_file::{PageFile, ReadCounts};
use super::page_index::{Kind, PageIndex};
use super::prune::{Lookup, Rows};
use super::resources::Summary;
use super::scan::bounds::PageBounds;
use super::trace_ids::{self, TraceIds, TraceIdsReader};
use crate::schema::TRACE_NUMBER;
use crate::store::{StoreError, TimeRange};

/// Most memory for footers, filters and metrics of segments that queries have used, in bytes.
const CACHE_BYTES_LIMIT: usize = 256 * 1024 * 1024;
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
    file: PageFile,
    metadata: ArrowReaderMetadata,
    /// What is known of the pages of a segment of spans.
    pub(super) bounds: PageBounds,
    /// In the order of [`Kind::ALL`].
    indexes: [Option<PageIndex>; 2],
    /// Of spans; none in a segment of before schema version 3, whose rows hold the ids themselves.
    trace_ids: Option<TraceIds>,
    /// All rows of a metrics segment; none of others.
    pub(super) rows: Vec<RecordBatch>,
    bytes: usize,
}

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
}

impl SegmentCache {
    fn get(&self, file: &str) -> Option<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        let (open, used) = state.open.get_mut(file)?;
        *used = now;
        Some(Arc::clone(open))
    }

    fn put(&self, file: &str, open: Arc<OpenSegment>) {
        let mut state = self.state.lock();
        state.clock += 1;
        let entry = (Arc::clone(&open), state.clock);
        if let Some((replaced, _)) = state.open.insert(file.to_owned(), entry) {
            state.bytes -= replaced.bytes;
        }
        state.bytes += open.bytes;
        state.shrink();
    }

    fn forget(&self, file: &str) {
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

    pub(super) fn open(&self) -> Result<Arc<OpenSegment>, StoreError> {
        if let Some(known) = self.cache.get(&self.row.file) {
            return Ok(known);
        }
        let file = PageFile::new(self.file()?, Arc::clone(&self.cache.counts))
            .map_err(io_error(|| format!("opening {}", self.path.display())))?;
        let mut open = OpenSegment::load(file, self.row.table).map_err(|error| self.error(error.as_ref()))?;
        if self.row.table.description().indexed {
            open.open_indexes(&self.path, self.row.rows);
            open.trace_ids = list_of(&self.path, open.metadata.schema()).map_err(|error| self.error(&error))?;
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
        let builder = open.reader().with_projection(open.projection(Some(columns)));
        open.collect(builder).map_err(|error| self.error(error.as_ref()))
    }

    /// All rows, from memory when they were read before. For the small table of metrics.
    pub(super) fn metrics(&self) -> Result<Arc<OpenSegment>, StoreError> {
        self.open()
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
        let wanted = self.wanted(&open, traces)?;
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["trace_id"])), move |batch: RecordBatch| {
            Ok(wanted.mask(batch.column(0).as_ref()))
        });
        let mut builder = open.reader();
        if let Some(rows) = rows {
            builder = open.select(builder, &rows);
        }
        let builder = builder
            .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
            .with_projection(open.projection(columns));
        open.collect(builder).map_err(|error| self.error(error.as_ref()))
    }

    /// Reads these columns, or all, of these rows. Of row groups that have none of them nothing is read.
    /// Traces have the ids that `ids` puts there.
    pub(super) fn read_rows(
        &self,
        open: &OpenSegment,
        rows: &Rows,
        columns: Option<&[&str]>,
        ids: &mut IdColumn,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let builder = open.select(open.reader(), rows).with_projection(open.projection(columns));
        open.collect_with(builder, ids).map_err(|error| self.error(error.as_ref()))
    }

    /// How rows name those of the traces that the segment holds.
    pub(super) fn wanted(&self, open: &OpenSegment, traces: &Arc<FxHashSet<TraceId>>) -> Result<Wanted, StoreError> {
        open.wanted(traces).map_err(|error| self.error(&error))
    }

    /// Reads all rows in order, without keeping anything in the cache.
    pub(super) fn stream(&self) -> Result<SegmentStream, StoreError> {
        let reader = ParquetRecordBatchReaderBuilder::try_new(self.file()?)
            .and_then(|builder| builder.with_batch_size(READ_BATCH_ROWS).build())
            .map_err(|error| self.error(&error))?;
        SegmentStream::new(&self.path, reader).map_err(|error| self.error(&error))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.is_obsolete.load(Ordering::Acquire) {
            return;
        }
        self.cache.forget(&self.row.file);
        for path in beside(&self.path).chain([self.path.clone()]) {
            if let Err(error) = std::fs::remove_file(&path)
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "could not remove a file; the next start will");
            }
        }
    }
}

/// What went wrong with a file's contents: one of the reader's two kinds of error.
type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// All that may lie beside a segment's file, and goes where it goes.
pub(super) fn beside(segment: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    Kind::ALL.map(|kind| kind.path(segment)).into_iter().chain([trace_ids::path(segment)])
}

/// Rows of a segment's file, batch by batch, with trace ids where it has numbers.
pub(super) struct SegmentStream {
    reader: ParquetRecordBatchReader,
    ids: IdColumn,
}

impl SegmentStream {
    /// # Errors
    /// When the file numbers traces and the list beside it cannot be read.
    pub(super) fn new(segment: &Path, reader: ParquetRecordBatchReader) -> std::io::Result<Self> {
        let list = list_of(segment, reader.schema().as_ref())?;
        Ok(Self { reader, ids: IdColumn::new(list.as_ref()) })
    }
}

impl Iterator for SegmentStream {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.and_then(|batch| self.ids.restore(batch)))
    }
}

/// The list of trace ids that belongs to a file with this schema.
fn list_of(segment: &Path, schema: &Schema) -> std::io::Result<Option<TraceIds>> {
    schema.column_with_name(TRACE_NUMBER).map(|_| TraceIds::open(&trace_ids::path(segment))).transpose()
}

/// Puts trace ids where a segment has numbers; by default, leaves the numbers.
#[derive(Debug, Default)]
pub(super) struct IdColumn(Option<TraceIdsReader>);

impl IdColumn {
    fn new(list: Option<&TraceIds>) -> Self {
        Self(list.map(TraceIds::reader))
    }

    fn restore(&mut self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match &mut self.0 {
            Some(reader) => reader.restore(batch),
            None => Ok(batch),
        }
    }
}

/// The traces that are looked for, as rows name them.
#[derive(Debug)]
pub(super) enum Wanted {
    Ids(Arc<FxHashSet<TraceId>>),
    Numbers(FxHashSet<u32>),
}

impl Wanted {
    /// By their ids.
    pub(super) fn of(ids: impl IntoIterator<Item = TraceId>) -> Self {
        Self::Ids(Arc::new(ids.into_iter().collect()))
    }

    /// The column that names them.
    pub(super) fn column(&self) -> &'static str {
        match self {
            Self::Ids(_) => "trace_id",
            Self::Numbers(_) => TRACE_NUMBER,
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Ids(ids) => ids.is_empty(),
            Self::Numbers(numbers) => numbers.is_empty(),
        }
    }

    /// Which rows belong to one of them, by their column.
    pub(super) fn mask(&self, traces: &dyn Array) -> BooleanArray {
        match self {
            Self::Ids(ids) => trace_mask(traces, ids),
            Self::Numbers(wanted) => {
                // Most look-ups are for one trace, and a comparison is far cheaper than a hash.
                let single = (wanted.len() == 1).then(|| wanted.iter().copied().next()).flatten();
                let numbers = traces.as_primitive::<UInt32Type>().values().iter();
                let is_wanted = |number| Some(single.map_or_else(|| wanted.contains(number), |only| *number == only));
                numbers.map(is_wanted).collect()
            }
        }
    }
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

impl OpenSegment {
    fn load(file: PageFile, table: Table) -> Result<Self, ReadError> {
        let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = metadata.parse_and_finish(&file)?;
        let bounds = if table == Table::Spans { PageBounds::new(&metadata) } else { PageBounds::default() };
        // What is needed of the bounds of pages has been taken over.
        let metadata = Arc::new(metadata.into_builder().set_column_index(None).build());
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
        let bytes = metadata.metadata().memory_size() + bounds.memory_size();
        let mut open = Self { file, metadata, bounds, indexes: [None, None], trace_ids: None, rows: Vec::new(), bytes };
        if table == Table::SpanMetrics {
            open.rows = open.collect(open.reader())?;
            open.bytes += open.rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
        }
        Ok(open)
    }

    fn reader(&self) -> ParquetRecordBatchReaderBuilder<PageFile> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
    }

    /// The row group that a row lies in.
    pub(super) fn row_group_of(&self, row: u64) -> usize {
        let groups = self.metadata.metadata().row_groups();
        let ends = groups.iter().scan(0, |end, group| {
            *end += group.num_rows().unsigned_abs();
            Some(*end)
        });
        ends.take_while(|end| *end <= row).count()
    }

    /// Has the reader read these rows only, and nothing of row groups without any.
    fn select(
        &self,
        builder: ParquetRecordBatchReaderBuilder<PageFile>,
        rows: &Rows,
    ) -> ParquetRecordBatchReaderBuilder<PageFile> {
        let mut groups = Vec::new();
        let mut selected: Vec<Range<usize>> = Vec::with_capacity(rows.len());
        // Rows before the group, in the file and in the groups chosen so far.
        let (mut before, mut chosen) = (0u64, 0u64);
        let mut next = 0;
        for (number, group) in self.metadata.metadata().row_groups().iter().enumerate() {
            let end = before + group.num_rows().unsigned_abs();
            next += rows[next..].partition_point(|range| range.end <= before);
            let within = rows[next..].iter().take_while(|range| range.start < end);
            let count = selected.len();
            selected.extend(within.map(|range| {
                let (from, to) = (range.start.max(before), range.end.min(end));
                (chosen + from - before) as usize..(chosen + to - before) as usize
            }));
            if selected.len() > count {
                groups.push(number);
                chosen += end - before;
            }
            before = end;
        }
        self.file.counts().row_groups.fetch_add(groups.len() as u64, Ordering::Relaxed);
        let selection = RowSelection::from_consecutive_ranges(selected.into_iter(), chosen as usize);
        builder.with_row_groups(groups).with_row_selection(selection)
    }

    /// Puts trace ids into rows of this segment.
    pub(super) fn id_column(&self) -> IdColumn {
        IdColumn::new(self.trace_ids.as_ref())
    }

    fn collect(&self, builder: ParquetRecordBatchReaderBuilder<PageFile>) -> Result<Vec<RecordBatch>, ReadError> {
        self.collect_with(builder, &mut self.id_column())
    }

    fn collect_with(
        &self,
        builder: ParquetRecordBatchReaderBuilder<PageFile>,
        ids: &mut IdColumn,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        let reader = builder.with_batch_size(READ_BATCH_ROWS).build()?;
        Ok(reader.map(|batch| ids.restore(batch?)).collect::<Result<_, _>>()?)
    }

    /// How rows name those of the traces that the segment holds.
    fn wanted(&self, traces: &Arc<FxHashSet<TraceId>>) -> std::io::Result<Wanted> {
        let Some(list) = &self.trace_ids else { return Ok(Wanted::Ids(Arc::clone(traces))) };
        let mut reader = list.reader();
        let numbers = traces.iter().filter_map(|trace| reader.number(*trace).transpose()).collect::<Result<_, _>>()?;
        Ok(Wanted::Numbers(numbers))
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
            Some(columns) => {
                let has_list = self.trace_ids.is_some();
                let in_file = |&column| if has_list && column == "trace_id" { TRACE_NUMBER } else { column };
                ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().map(in_file))
            }
        }
    }
}
