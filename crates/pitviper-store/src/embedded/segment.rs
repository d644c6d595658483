//! Segments: sorted, immutable Parquet files.
//!
//! Spans are sorted by (service, name, start), which serves the questions people ask most; the rows
//! of one trace are then scattered, and found through a bloom filter on the trace id in each row group.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use pitviper_model::TraceId;
use rustc_hash::FxHashSet;

use super::manifest::{SegmentRow, Table};
use super::resources::Summary;
use super::{io_error, sync_dir};
use crate::store::{StoreError, TimeRange};

/// Rows of a row group: the unit of pruning by statistics and bloom filter.
const ROW_GROUP_ROWS: usize = 65_536;
/// Rows of a data page: the unit of reading a few rows. Small, because a waterfall reads single rows.
const PAGE_ROWS: usize = 4_096;
/// Higher levels save a tenth of the bytes for twice the time.
const ZSTD_LEVEL: i32 = 1;
/// Share of trace ids that a row group claims to hold wrongly.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// Rows decoded at once.
const READ_BATCH_ROWS: usize = 8_192;
/// Columns that hold distinct bytes in every row: no dictionary, and nothing for zstd to find.
const RANDOM_COLUMNS: [&str; 3] = ["trace_id", "span_id", "parent_span_id"];
/// Columns nobody prunes by.
const UNPRUNED_COLUMNS: [&str; 9] =
    ["span_id", "parent_span_id", "detail", "events", "links", "trace_state", "attr_types", "resource", "scope"];

/// A segment on disk.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) row: SegmentRow,
    pub(super) path: PathBuf,
    /// The footer and the filters, read when first needed.
    opened: Mutex<Option<Arc<OpenSegment>>>,
    resources: Mutex<Option<Arc<Summary>>>,
}

/// What is kept in memory of a segment that queries have used.
#[derive(Debug)]
pub(super) struct OpenSegment {
    metadata: ArrowReaderMetadata,
    trace_filters: Vec<Option<Sbbf>>,
}

impl Segment {
    pub(super) fn new(dir: &Path, row: SegmentRow) -> Self {
        let path = dir.join(&row.file);
        Self { row, path, opened: Mutex::new(None), resources: Mutex::new(None) }
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
        for batch in self.read(Some(columns))? {
            summary.add(&batch, TimeRange::ALL);
        }
        let summary = Arc::new(summary);
        *self.resources.lock() = Some(Arc::clone(&summary));
        Ok(summary)
    }

    fn open(&self) -> Result<(File, Arc<OpenSegment>), StoreError> {
        let file = File::open(&self.path).map_err(io_error(|| format!("opening {}", self.path.display())))?;
        let mut opened = self.opened.lock();
        if let Some(known) = &*opened {
            return Ok((file, Arc::clone(known)));
        }
        let open = Arc::new(OpenSegment::load(&file, self.row.table).map_err(|error| self.error(&error))?);
        *opened = Some(Arc::clone(&open));
        Ok((file, open))
    }

    fn error(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Engine(format!("reading {}: {error}", self.path.display()))
    }

    /// Reads these columns of all rows, or all columns.
    pub(super) fn read(&self, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, StoreError> {
        let (file, open) = self.open()?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, open.metadata.clone())
            .with_projection(open.projection(columns))
            .with_batch_size(READ_BATCH_ROWS);
        let read = || -> Result<Vec<RecordBatch>, Box<dyn std::error::Error>> {
            Ok(builder.build()?.collect::<Result<_, ArrowError>>()?)
        };
        read().map_err(|error| self.error(&error))
    }

    /// Reads these columns, or all, of the spans of these traces.
    pub(super) fn read_traces(
        &self,
        traces: &Arc<FxHashSet<TraceId>>,
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, StoreError> {
        let (file, open) = self.open()?;
        let row_groups = open.row_groups_with(traces);
        if row_groups.is_empty() {
            return Ok(Vec::new());
        }
        let wanted = Arc::clone(traces);
        let is_wanted = ArrowPredicateFn::new(open.projection(Some(&["trace_id"])), move |batch: RecordBatch| {
            Ok(trace_mask(batch.column(0).as_ref(), &wanted))
        });
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, open.metadata.clone())
            .with_row_groups(row_groups)
            .with_row_filter(RowFilter::new(vec![Box::new(is_wanted)]))
            .with_projection(open.projection(columns))
            .with_batch_size(READ_BATCH_ROWS);
        let read = || -> Result<Vec<RecordBatch>, Box<dyn std::error::Error>> {
            Ok(builder.build()?.collect::<Result<_, ArrowError>>()?)
        };
        read().map_err(|error| self.error(&error))
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
    fn load(file: &File, table: Table) -> Result<Self, ParquetError> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata = ArrowReaderMetadata::load(file, options)?;
        let mut trace_filters = Vec::new();
        if table == Table::Spans {
            let schema = metadata.parquet_schema();
            let column = schema.columns().iter().position(|column| column.name() == "trace_id");
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.try_clone()?, metadata.clone());
            for row_group in 0..metadata.metadata().num_row_groups() {
                let filter = match column {
                    Some(column) => builder.get_row_group_column_bloom_filter(row_group, column)?,
                    None => None,
                };
                trace_filters.push(filter);
            }
        }
        Ok(Self { metadata, trace_filters })
    }

    /// The row groups that may hold one of the traces.
    fn row_groups_with(&self, traces: &FxHashSet<TraceId>) -> Vec<usize> {
        let may_hold = |filter: &Option<Sbbf>| match filter {
            Some(filter) => traces.iter().any(|trace| filter.check(trace.0.as_slice())),
            None => true,
        };
        (0..self.trace_filters.len()).filter(|&row_group| may_hold(&self.trace_filters[row_group])).collect()
    }

    fn projection(&self, columns: Option<&[&str]>) -> ProjectionMask {
        match columns {
            None => ProjectionMask::all(),
            Some(columns) => ProjectionMask::columns(self.metadata.parquet_schema(), columns.iter().copied()),
        }
    }
}

/// A segment that is written and synced, and not yet in the manifest.
pub(super) struct SegmentWriter<'a> {
    /// Where segments live.
    pub(super) dir: &'a Path,
    /// Where files are until they are whole.
    pub(super) temporary_dir: &'a Path,
    /// The first and the last write it holds.
    pub(super) sequences: (u64, u64),
}

impl SegmentWriter<'_> {
    /// Sorts spans and writes them.
    pub(super) fn write_spans(&self, spans: &RecordBatch) -> Result<SegmentRow, StoreError> {
        let order = span_order(spans);
        let sorted = take_record_batch(spans, &order).map_err(|error| StoreError::Engine(error.to_string()))?;
        let services = spans.column_by_name("service").map(|column| column.as_dictionary::<Int32Type>().values());
        let mut services: Vec<String> =
            services.iter().flat_map(|values| values.as_string::<i32>().iter().flatten()).map(str::to_owned).collect();
        services.sort_unstable();
        services.dedup();
        self.write(Table::Spans, &sorted, services)
    }

    /// Writes rows as they are. Their first column is when they start.
    pub(super) fn write(
        &self,
        table: Table,
        rows: &RecordBatch,
        services: Vec<String>,
    ) -> Result<SegmentRow, StoreError> {
        let (min_sequence, max_sequence) = self.sequences;
        let file = format!("{}-{min_sequence:020}-{max_sequence:020}.parquet", table.as_str());
        let temporary = self.temporary_dir.join(&file);
        let target = self.dir.join(&file);
        let bytes = write_file(&temporary, table, rows)
            .map_err(io_error(|| format!("writing the segment {}", temporary.display())))?;
        std::fs::rename(&temporary, &target)
            .and_then(|()| sync_dir(self.dir))
            .map_err(io_error(|| format!("moving the segment to {}", target.display())))?;
        let starts = rows.column(0).as_primitive::<Int64Type>();
        Ok(SegmentRow {
            table,
            file,
            rows: rows.num_rows() as u64,
            bytes,
            min_start_ns: arrow::compute::min(starts).unwrap_or_default(),
            max_start_ns: arrow::compute::max(starts).unwrap_or_default(),
            min_sequence,
            max_sequence,
            level: 0,
            services,
        })
    }
}

fn write_file(path: &Path, table: Table, rows: &RecordBatch) -> std::io::Result<u64> {
    let file = File::create(path)?;
    let mut writer = ArrowWriter::try_new(&file, rows.schema(), Some(properties(table)))?;
    writer.write(rows)?;
    writer.close()?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn properties(table: Table) -> WriterProperties {
    let level = ZstdLevel::try_new(ZSTD_LEVEL).expect("the level is within zstd's range");
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("pitviper ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS);
    if table == Table::Spans {
        for column in RANDOM_COLUMNS {
            let column = ColumnPath::from(column);
            properties = properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_compression(column, Compression::UNCOMPRESSED);
        }
        for column in UNPRUNED_COLUMNS {
            properties = properties.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::None);
        }
        for map in ["attrs", "attrs_num"] {
            for part in ["key", "value"] {
                let column = ColumnPath::from(vec![map.to_owned(), "key_value".to_owned(), part.to_owned()]);
                properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
            }
        }
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from("start_ns"), false)
            .set_column_encoding(ColumnPath::from("start_ns"), Encoding::DELTA_BINARY_PACKED)
            .set_column_dictionary_enabled(ColumnPath::from("duration_ns"), false)
            .set_column_bloom_filter_enabled(ColumnPath::from("trace_id"), true)
            .set_column_bloom_filter_fpp(ColumnPath::from("trace_id"), BLOOM_FALSE_POSITIVES)
            .set_column_bloom_filter_max_ndv(ColumnPath::from("trace_id"), ROW_GROUP_ROWS as u64);
    }
    properties.build()
}

/// The rows by (service, name, start). Text is ranked once per distinct value, so that sorting
/// compares numbers.
fn span_order(spans: &RecordBatch) -> UInt32Array {
    let ranks = |name: &str| -> Vec<u32> {
        let column = spans.column_by_name(name).expect("the schema has the column").as_dictionary::<Int32Type>();
        let values = column.values().as_string::<i32>();
        let mut sorted: Vec<usize> = (0..values.len()).collect();
        sorted.sort_unstable_by_key(|&at| values.value(at));
        let mut rank_of = vec![0u32; values.len()];
        for (rank, &at) in (0u32..).zip(&sorted) {
            rank_of[at] = rank;
        }
        column.keys().values().iter().map(|&key| rank_of[key as usize]).collect()
    };
    let starts = spans.column(0).as_primitive::<Int64Type>().values();
    let (services, names) = (ranks("service"), ranks("name"));
    let mut order: Vec<(u64, i64, u32)> = (0u32..)
        .zip(services.iter().zip(&names).zip(starts))
        .map(|(row, ((&service, &name), &start))| (u64::from(service) << 32 | u64::from(name), start, row))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, row)| row).collect()
}
