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

use arrow::array::{AsArray, BooleanArray, RecordBatchReader as _};
use arrow::datatypes::{Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicate, ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder, RowFilter, RowSelection,
};
use parquet::basic::Encoding;
use parquet::column::page::PageReader as _;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;
use pitviper_model::TraceId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::io_error;
use super::manifest::{SegmentRow, Table};
use super::metric_sums::{self, Sums};
use super::page_file::{PageFile, ReadCounts};
use super::page_index::{Kind, PageIndex};
use super::prune::{Lookup, Rows, intersect};
use super::resources::Summary;
use super::scan::bounds::PageBounds;
use super::trace_ids::{self, TraceIds, TraceIdsReader};
use super::wanted::Wanted;
use crate::schema::TRACE_NUMBER;
use crate::store::{StoreError, TimeRange};

/// Most memory for footers, filters and metrics of segments that queries have used, in bytes.
const CACHE_BYTES_LIMIT: usize = 256 * 1024 * 1024;
/// Metrics of segments with no more rows are kept in memory once they were read.
const MAX_KEPT_ROWS: u64 = 64 * 1024;
/// Rows decoded at once.
const READ_BATCH_ROWS: usize = 8_192;

/// From so many rows on, a segment is read by two threads.
const ROWS_FOR_TWO: u64 = 131_072;

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
    /// All rows of a small metrics segment.
    rows: Option<Vec<RecordBatch>>,
    /// Of a metrics segment, its rows added up, when they have been.
    pub(super) sums: Option<Sums>,
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

    fn get(&self, file: &str) -> Option<Arc<OpenSegment>> {
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
        let mut open = OpenSegment::load(file, &self.row).map_err(|error| self.error(error.as_ref()))?;
        if self.row.table.description().indexed {
            open.open_indexes(&self.path, self.row.rows);
            open.trace_ids = list_of(&self.path, open.metadata.schema()).map_err(|error| self.error(&error))?;
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
        let builder = open.reader().with_projection(open.projection(Some(columns)));
        open.collect(builder).map_err(|error| self.error(error.as_ref()))
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
        let mut builder = open.reader();
        if let (Some(service), Some(sums)) = (service, &open.sums) {
            let rows = sums.rows_of(service);
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            builder = open.select(builder, &vec![rows]);
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
        open.collect(builder).map_err(|error| self.error(error.as_ref()))
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
        let wanted = Arc::new(wanted);
        let read = |rows: Option<&Rows>| {
            let wanted = Arc::clone(&wanted);
            let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["trace_id"])), move |batch: RecordBatch| {
                Ok(wanted.mask(batch.column(0).as_ref()))
            });
            let mut builder = open.reader();
            if let Some(rows) = rows {
                builder = open.select(builder, rows);
            }
            let builder = builder
                .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
                .with_projection(open.projection(columns));
            open.collect(builder).map_err(|error| self.error(error.as_ref()))
        };
        match &rows {
            Some(rows) if rows_in(rows) >= ROWS_FOR_TWO => {
                let (first, second) = halves(rows);
                std::thread::scope(|scope| {
                    let other = scope.spawn(|| read(Some(&second)));
                    let mut found = read(Some(&first))?;
                    match other.join() {
                        Ok(others) => found.extend(others?),
                        Err(panic) => std::panic::resume_unwind(panic),
                    }
                    Ok(found)
                })
            }
            rows => read(rows.as_ref()),
        }
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
    ) -> Result<SegmentStream, StoreError> {
        let open = self.open()?;
        let mut builder = open.reader();
        if let Some(rows) = rows {
            builder = open.select(builder, &rows);
        }
        builder = builder.with_projection(open.projection(columns)).with_batch_size(READ_BATCH_ROWS);
        if let Some((columns, test)) = test {
            let predicate = ArrowPredicateFn::new(open.projection(Some(columns)), test);
            builder = builder.with_row_filter(RowFilter::new(vec![Box::new(predicate)]));
        }
        let reader = builder.build().map_err(|error| self.error(&error))?;
        Ok(SegmentStream { reader, ids: IdColumn::new(open.trace_ids.as_ref()) })
    }

    /// Those of the rows, all of one row group, that lie in pages of a text column whose bytes pass the
    /// test. Bytes of the texts follow each other there, with others between them; a page that holds
    /// them in another way passes. Decodes nothing.
    pub(super) fn rows_of_pages(
        &self,
        open: &OpenSegment,
        rows: &Rows,
        column: &[&str],
        test: impl Fn(&[u8]) -> bool,
    ) -> Result<Rows, StoreError> {
        let Some(first) = rows.first() else { return Ok(Rows::new()) };
        let passing = open.passing_pages(open.row_group_of(first.start), rows, column, test);
        let passing = passing.map_err(|error| self.error(&error))?;
        Ok(passing.map_or_else(|| rows.clone(), |pages| intersect(rows, &pages)))
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

fn rows_in(rows: &Rows) -> u64 {
    rows.iter().map(|range| range.end - range.start).sum()
}

/// The first half of the rows, and the others.
fn halves(rows: &Rows) -> (Rows, Rows) {
    let mut left = rows_in(rows) / 2;
    let (mut first, mut second) = (Rows::new(), Rows::new());
    for range in rows {
        let middle = range.start + left.min(range.end - range.start);
        left -= middle - range.start;
        first.extend((middle > range.start).then_some(range.start..middle));
        second.extend((middle < range.end).then_some(middle..range.end));
    }
    (first, second)
}

/// What went wrong with a file's contents: one of the reader's two kinds of error.
type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// All that may lie beside a segment's file, and goes where it goes.
pub(super) fn beside(segment: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    Kind::ALL.map(|kind| kind.path(segment)).into_iter().chain([trace_ids::path(segment), metric_sums::path(segment)])
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

/// Columns, and which of their rows are wanted.
pub(super) type RowTest =
    (&'static [&'static str], Box<dyn FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + Send>);

impl OpenSegment {
    /// What the file's footer says.
    pub(super) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    fn load(file: PageFile, row: &SegmentRow) -> Result<Self, ReadError> {
        let metadata = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = metadata.parse_and_finish(&file)?;
        let bounds = if row.table == Table::Spans { PageBounds::new(&metadata) } else { PageBounds::default() };
        // What is needed of the bounds of pages has been taken over.
        let metadata = match row.table {
            Table::Spans => metadata.into_builder().set_column_index(None).build(),
            _ => metadata,
        };
        let metadata = Arc::new(metadata);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
        let bytes = metadata.metadata().memory_size() + bounds.memory_size();
        let mut open =
            Self { file, metadata, bounds, indexes: [None, None], trace_ids: None, rows: None, sums: None, bytes };
        if row.table == Table::SpanMetrics && row.rows <= MAX_KEPT_ROWS {
            let rows = open.collect(open.reader())?;
            open.bytes += rows.iter().map(RecordBatch::get_array_memory_size).sum::<usize>();
            open.rows = Some(rows);
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

    /// The rows of the pages of a text column that hold some of these rows and pass the test; `None` when
    /// the file does not say where the pages are.
    fn passing_pages(
        &self,
        row_group: usize,
        rows: &Rows,
        column: &[&str],
        test: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<Rows>, ParquetError> {
        let metadata = self.metadata.metadata();
        let group = metadata.row_group(row_group);
        let place = group.columns().iter().position(|chunk| chunk.column_path().parts() == column);
        let offsets = metadata.offset_index().and_then(|groups| groups.get(row_group));
        let (Some(place), Some(offsets)) = (place, offsets) else { return Ok(None) };
        let Some(locations) = offsets.get(place).map(|index| index.page_locations().clone()) else { return Ok(None) };
        let before: u64 = metadata.row_groups()[..row_group].iter().map(|group| group.num_rows().unsigned_abs()).sum();
        let count = group.num_rows().unsigned_abs();
        let firsts: Vec<u64> = locations.iter().map(|page| before + page.first_row_index.unsigned_abs()).collect();
        let file = Arc::new(self.file.clone());
        let mut reader = SerializedPageReader::new(file, group.column(place), count as usize, Some(locations))?;
        let mut dictionary_passes = true;
        let mut passing = Rows::new();
        let mut pages = firsts.iter().enumerate();
        while let Some(next) = reader.peek_next_page()? {
            if next.is_dict {
                dictionary_passes = reader.get_next_page()?.is_none_or(|page| test(page.buffer()));
                continue;
            }
            let Some((at, &first)) = pages.next() else { break };
            let page_rows = first..firsts.get(at + 1).copied().unwrap_or(before + count);
            let from = rows.partition_point(|range| range.end <= page_rows.start);
            if rows.get(from).is_none_or(|range| range.start >= page_rows.end) {
                reader.skip_next_page()?;
                continue;
            }
            let passes = reader.get_next_page()?.is_none_or(|page| match page.encoding() {
                Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => dictionary_passes,
                Encoding::PLAIN | Encoding::DELTA_LENGTH_BYTE_ARRAY => test(page.buffer()),
                _ => true,
            });
            if passes {
                passing.push(page_rows);
            }
        }
        Ok(Some(passing))
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
            Some(columns) => {
                let has_list = self.trace_ids.is_some();
                let in_file = |&column| if has_list && column == "trace_id" { TRACE_NUMBER } else { column };
                ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().map(in_file))
            }
        }
    }
}
