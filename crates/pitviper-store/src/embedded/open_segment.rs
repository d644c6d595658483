//! What is known of a segment's file once a question has used it, and how rows are read with that.

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatchReader as _;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::basic::Encoding;
use parquet::column::page::PageReader as _;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;
use pitviper_model::TraceId;
use rustc_hash::FxHashSet;

use super::manifest::{SegmentRow, Table};
use super::metric_sums::{self, Sums};
use super::page_file::PageFile;
use super::page_index::{Kind, PageIndex};
use super::prune::Rows;
use super::scan::bounds::PageBounds;
use super::trace_ids::{self, TraceIds, TraceIdsReader};
use super::wanted::Wanted;
use crate::schema::TRACE_NUMBER;

/// Metrics of segments with no more rows are kept in memory once they were read.
const MAX_KEPT_ROWS: u64 = 64 * 1024;
/// Rows decoded at once.
pub(super) const READ_BATCH_ROWS: usize = 8_192;

/// What is kept in memory of a segment that queries have used.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub(super) file: PageFile,
    pub(super) metadata: ArrowReaderMetadata,
    /// What is known of the pages of a segment of spans.
    pub(super) bounds: PageBounds,
    /// In the order of [`Kind::ALL`].
    pub(super) indexes: [Option<PageIndex>; 2],
    /// Of spans; none in a segment of before schema version 3, whose rows hold the ids themselves.
    pub(super) trace_ids: Option<TraceIds>,
    /// All rows of a small metrics segment.
    pub(super) rows: Option<Vec<RecordBatch>>,
    /// Of a metrics segment, its rows added up, when they have been.
    pub(super) sums: Option<Sums>,
    pub(super) bytes: usize,
}

/// What went wrong with a file's contents: one of the reader's two kinds of error.
type ReadError = Box<dyn std::error::Error + Send + Sync>;

impl OpenSegment {
    /// What the file's footer says.
    pub(super) fn footer(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    pub(super) fn load(file: PageFile, row: &SegmentRow) -> Result<Self, ReadError> {
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

    pub(super) fn reader(&self) -> ParquetRecordBatchReaderBuilder<PageFile> {
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
    pub(super) fn passing_pages(
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
    pub(super) fn select(
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

    pub(super) fn collect(
        &self,
        builder: ParquetRecordBatchReaderBuilder<PageFile>,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        self.collect_with(builder, &mut self.id_column())
    }

    pub(super) fn collect_with(
        &self,
        builder: ParquetRecordBatchReaderBuilder<PageFile>,
        ids: &mut IdColumn,
    ) -> Result<Vec<RecordBatch>, ReadError> {
        let reader = builder.with_batch_size(READ_BATCH_ROWS).build()?;
        Ok(reader.map(|batch| ids.restore(batch?)).collect::<Result<_, _>>()?)
    }

    /// How rows name those of the traces that the segment holds.
    pub(super) fn wanted(&self, traces: &Arc<FxHashSet<TraceId>>) -> std::io::Result<Wanted> {
        let Some(list) = &self.trace_ids else { return Ok(Wanted::Ids(Arc::clone(traces))) };
        let mut reader = list.reader();
        let numbers = traces.iter().filter_map(|trace| reader.number(*trace).transpose()).collect::<Result<_, _>>()?;
        Ok(Wanted::Numbers(numbers))
    }

    /// Opens the sums of a segment of metrics, which only merged ones have. Without them its rows are read.
    pub(super) fn open_sums(&mut self, segment: &Path, rows: u64) {
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
    pub(super) fn open_indexes(&mut self, segment: &Path, rows: u64) {
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

    /// The rows that may have an attribute with the key of this hash; `None` when the index cannot tell.
    pub(super) fn find_key(&self, hash: u64) -> Option<Rows> {
        let has_keys = self.indexes[Kind::Attributes as usize].as_ref().is_some_and(PageIndex::has_keys);
        if has_keys { self.find(Kind::Attributes, hash) } else { None }
    }

    pub(super) fn projection(&self, columns: Option<&[&str]>) -> ProjectionMask {
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

/// Rows of a segment's file, batch by batch, with trace ids where it has numbers.
pub(super) struct SegmentStream {
    reader: ParquetRecordBatchReader,
    ids: IdColumn,
}

impl SegmentStream {
    pub(super) fn with(reader: ParquetRecordBatchReader, ids: IdColumn) -> Self {
        Self { reader, ids }
    }

    /// # Errors
    /// When the file numbers traces and the list beside it cannot be read.
    pub(super) fn new(segment: &Path, reader: ParquetRecordBatchReader) -> std::io::Result<Self> {
        let list = list_of(segment, reader.schema().as_ref())?;
        Ok(Self::with(reader, IdColumn::new(list.as_ref())))
    }
}

impl Iterator for SegmentStream {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.and_then(|batch| self.ids.restore(batch)))
    }
}

/// The list of trace ids that belongs to a file with this schema.
pub(super) fn list_of(segment: &Path, schema: &Schema) -> std::io::Result<Option<TraceIds>> {
    schema.column_with_name(TRACE_NUMBER).map(|_| TraceIds::open(&trace_ids::path(segment))).transpose()
}

/// Puts trace ids where a segment has numbers; by default, leaves the numbers.
#[derive(Debug, Default)]
pub(super) struct IdColumn(Option<TraceIdsReader>);

impl IdColumn {
    pub(super) fn new(list: Option<&TraceIds>) -> Self {
        Self(list.map(TraceIds::reader))
    }

    fn restore(&mut self, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match &mut self.0 {
            Some(reader) => reader.restore(batch),
            None => Ok(batch),
        }
    }
}
