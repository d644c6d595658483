//! Segments: sorted, immutable Parquet files.
//!
//! Spans are sorted by (service, name, start), which serves the questions people ask most; the rows
//! of one trace are then scattered, and found through the index beside the segment.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::array::{AsArray, BooleanArray};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use parquet::arrow::arrow_reader::{ArrowPredicate, ArrowPredicateFn, ParquetRecordBatchReaderBuilder, RowFilter};
use parquet::file::metadata::ParquetMetaDataReader;
use pitviper_model::TraceId;
use rustc_hash::FxHashSet;

use super::facets::{self, Facets};
use super::io_error;
use super::manifest::{SegmentRow, Table};
use super::metric_sums;
use super::open_segment::{IdColumn, OpenSegment, READ_BATCH_ROWS, SegmentStream, list_of};
use super::page_file::PageFile;
use super::page_index::Kind;
use super::prune::{Lookup, Rows, intersect};
use super::read_ahead::read_ahead;
use super::resources::Summary;
use super::segment_cache::SegmentCache;
use super::segment_note::{Note, Writes};
use super::trace_ids;
use super::wanted::Wanted;
use crate::store::{StoreError, TimeRange};

/// From so many rows on, a segment is read by two threads.
const ROWS_FOR_TWO: u64 = 131_072;

/// Columns, and which of their rows are wanted.
pub(super) type RowTest =
    (&'static [&'static str], Box<dyn FnMut(RecordBatch) -> Result<BooleanArray, ArrowError> + Send>);

/// A segment on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) row: SegmentRow,
    pub(super) path: PathBuf,
    cache: Arc<SegmentCache>,
    resources: Mutex<Option<Arc<Summary>>>,
    /// Once they were asked for; without, when they cannot be read.
    facets: OnceLock<Option<Arc<Facets>>>,
    /// Its rows are in other segments now, or not wanted any more.
    is_obsolete: AtomicBool,
}

impl Segment {
    pub(super) fn new(dir: &Path, row: SegmentRow, cache: Arc<SegmentCache>) -> Self {
        let path = dir.join(&row.file);
        Self {
            row,
            path,
            cache,
            resources: Mutex::new(None),
            facets: OnceLock::new(),
            is_obsolete: AtomicBool::new(false),
        }
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

    /// The facets of its rows; `None` when it has none that can be used.
    pub(super) fn facets(&self) -> Option<Arc<Facets>> {
        let read = || match Facets::read(&facets::path(&self.path), self.row.rows) {
            Ok(facets) => Some(Arc::new(facets)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(segment = %self.path.display(), %error, "rare attributes of it are not offered");
                None
            }
        };
        self.facets.get_or_init(read).clone()
    }

    /// What is known of the file, kept for later questions.
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

    /// The writes it holds, as its footer says; `None` when that does not say so.
    pub(super) fn writes(&self) -> Result<Option<Writes>, StoreError> {
        let metadata =
            ParquetMetaDataReader::new().parse_and_finish(&self.file()?).map_err(|error| self.error(&error))?;
        Ok(match Note::read(&metadata, &self.row.file) {
            Some(note) => note.writes,
            // Of before there were notes: then a flush, which is in no merge, holds all it is named for.
            None => (self.row.level == 0).then(|| Writes::of_flush(self.row.min_sequence, self.row.max_sequence)),
        })
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
        if let Some(rows) = &rows {
            read_ahead(&open, rows, &open.projection(columns));
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
        Ok(SegmentStream::with(reader, open.id_column()))
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

/// All that may lie beside a segment's file, and goes where it goes.
pub(super) fn beside(segment: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let others = [trace_ids::path(segment), metric_sums::path(segment), facets::path(segment)];
    Kind::ALL.map(|kind| kind.path(segment)).into_iter().chain(others)
}

/// The size of the files beside a segment, in bytes.
pub(super) fn bytes_beside(segment: &Path) -> u64 {
    beside(segment).filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
}
