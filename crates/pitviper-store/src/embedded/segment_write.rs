//! Writing segments: spans sorted by (service, name, start), columns encoded for what they hold.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::manifest::{SegmentRow, Table};
use super::{io_error, sync_dir};
use crate::store::StoreError;

/// Rows of a row group: the unit of pruning by statistics and bloom filter.
const ROW_GROUP_ROWS: usize = 65_536;
/// Rows of a data page: the unit of reading a few rows. Small, because a waterfall reads single rows.
const PAGE_ROWS: usize = 4_096;
/// Higher levels save a tenth of the bytes for twice the time.
const ZSTD_LEVEL: i32 = 1;
/// Share of trace ids that a row group claims to hold wrongly.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;
/// Columns that hold distinct bytes in every row: no dictionary, and nothing for zstd to find.
const RANDOM_COLUMNS: [&str; 3] = ["trace_id", "span_id", "parent_span_id"];
/// Columns nobody prunes by.
const UNPRUNED_COLUMNS: [&str; 9] =
    ["span_id", "parent_span_id", "detail", "events", "links", "trace_state", "attr_types", "resource", "scope"];
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
