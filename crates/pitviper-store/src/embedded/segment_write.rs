//! Writing segments: columns encoded for what they hold, rows in the table's order.
//!
//! A segment is written batch by batch, so that merging large ones needs little memory. It lies in
//! the temporary directory until it is whole and synced, and counts once the manifest names it.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, UInt32Array};
use arrow::compute::{max, min, take_record_batch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::facets::{self, Facets, FacetsBuilder};
use super::indexes::IndexBuilders;
use super::manifest::{SegmentRow, Table};
use super::metric_sums::{self, SumsBuilder};
use super::page_index::Kind;
use super::segment::Segment;
use super::segment_note::{Note, Writes, name_of};
use super::trace_ids::{self, TraceIdsBuilder};
use super::{io_error, sync_dir};
use crate::schema::TRACE_NUMBER;
use crate::store::StoreError;

/// Rows of a row group: the unit of pruning by statistics. Reading any row of it means reading its
/// dictionaries, so the scattered rows of a trace are read faster when there are few.
const ROW_GROUP_ROWS: usize = 262_144;
/// Rows of a data page: the unit of reading a few rows. Small, because a waterfall reads single rows.
pub(super) const PAGE_ROWS: usize = 4_096;
/// Largest dictionary of a column in a row group. Reading one row needs all of it, and text with more
/// distinct values is as small without one.
const DICTIONARY_BYTES: usize = 32 * 1024;
/// What a flush can afford; higher levels save a tenth of the bytes for twice the time.
const ZSTD_LEVEL_OF_NEW: i32 = 1;
/// For what was merged so often that it stays as it is.
const ZSTD_LEVEL_OF_OLD: i32 = 3;
/// From this merge level on segments count as old.
const OLD_FROM_LEVEL: u32 = 2;
/// Rows that are put in order at once.
const ORDERED_ROWS: usize = 32_768;

/// Where segments are written, and what their names say of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct SegmentPlace<'a> {
    /// Where segments live.
    pub(super) dir: &'a Path,
    /// Where files are until they are whole.
    pub(super) temporary_dir: &'a Path,
    /// The first and the last write it holds.
    pub(super) sequences: (u64, u64),
    /// How often its rows were merged: zero for a flush.
    pub(super) level: u32,
    /// Of metrics, the width of its buckets, in nanoseconds.
    pub(super) bucket_ns: i64,
    /// When the youngest of its rows were written; the end of time when not known.
    pub(super) written_ns: i64,
    /// Whether traces are missing that were not worth keeping.
    pub(super) thinned: bool,
    /// The writes it holds; `None` when that is not known.
    pub(super) writes: Option<&'a Writes>,
}

/// Where a segment's facets come from.
enum FacetsSource {
    /// Its rows.
    Rows(FacetsBuilder),
    /// Those of the segments it is merged from.
    Merged(Facets),
}

/// A segment under way. Dropped before [`SegmentWriter::finish`], it leaves a temporary file that the
/// next start removes.
pub(super) struct SegmentWriter<'a> {
    place: SegmentPlace<'a>,
    table: Table,
    file: String,
    temporary: PathBuf,
    writer: ArrowWriter<File>,
    indexes: Option<IndexBuilders>,
    /// Of a table that numbers traces.
    trace_ids: Option<TraceIdsBuilder>,
    sums: Option<SumsBuilder>,
    /// Of a table with facets.
    facets: Option<FacetsSource>,
    rows: u64,
    starts: Option<(i64, i64)>,
    services: BTreeSet<String>,
}

impl<'a> SegmentWriter<'a> {
    pub(super) fn create(place: SegmentPlace<'a>, table: Table) -> Result<Self, StoreError> {
        let file = name_of(table.as_str(), place.sequences, place.level);
        let temporary = place.temporary_dir.join(&file);
        let create = || -> std::io::Result<ArrowWriter<File>> {
            let properties = properties(table, place.level);
            Ok(ArrowWriter::try_new(File::create(&temporary)?, table.segment_schema(), Some(properties))?)
        };
        let writer = create().map_err(io_error(|| format!("writing the segment {}", temporary.display())))?;
        let indexes = table.description().indexed.then(|| IndexBuilders::new(PAGE_ROWS));
        let sums = has_sums(table, place.level).then(|| SumsBuilder::new(place.bucket_ns));
        let (rows, starts, services) = (0, None, BTreeSet::new());
        let trace_ids = table.description().numbers_traces.then(TraceIdsBuilder::default);
        let facets = has_facets(table).then(|| FacetsSource::Rows(FacetsBuilder::default()));
        Ok(Self { place, table, file, temporary, writer, indexes, trace_ids, sums, facets, rows, starts, services })
    }

    /// Takes over the facets of segments with all the rows that will be written, in place of counting
    /// these. Segments without any leave it at that.
    pub(super) fn merge_facets(&mut self, inputs: &[Arc<Segment>]) {
        if !has_facets(self.table) {
            return;
        }
        if let Some(known) = inputs.iter().map(|input| input.facets()).collect::<Option<Vec<_>>>() {
            let mut merged = Facets::default();
            known.iter().for_each(|facets| merged.merge(facets));
            self.facets = Some(FacetsSource::Merged(merged));
        }
    }

    /// Appends rows, which go on in the table's order. Their first column is when they start.
    pub(super) fn write(&mut self, rows: &RecordBatch) -> Result<(), StoreError> {
        let (first, last) = self.table.description().time_columns();
        let times = |column: usize| rows.column(column).as_primitive::<Int64Type>();
        if let (Some(first), Some(last)) = (min(times(first)), max(times(last))) {
            let known = self.starts.get_or_insert((first, last));
            *known = (known.0.min(first), known.1.max(last));
        }
        self.rows += rows.num_rows() as u64;
        add_services(&mut self.services, rows);
        if let Some(indexes) = &mut self.indexes {
            indexes.append(rows);
        }
        if let Some(sums) = &mut self.sums {
            sums.add(rows).map_err(io_error(|| format!("adding up {}", self.temporary.display())))?;
        }
        if let Some(FacetsSource::Rows(facets)) = &mut self.facets {
            facets.add(rows);
        }
        let rows = match &mut self.trace_ids {
            Some(trace_ids) => &trace_ids
                .number(rows, self.table.segment_schema())
                .map_err(|error| self.error(std::io::Error::other(error)))?,
            None => rows,
        };
        self.writer.write(rows).map_err(|error| self.error(std::io::Error::other(error)))
    }

    /// Makes the file and its index durable and moves them to where segments live.
    pub(super) fn finish(mut self) -> Result<SegmentRow, StoreError> {
        let bucket_ns = if self.table == Table::SpanMetrics { self.place.bucket_ns } else { 0 };
        let SegmentPlace { written_ns, thinned, writes, .. } = self.place;
        let note = Note { writes: writes.cloned(), bucket_ns, written_ns, thinned };
        self.writer.append_key_value_metadata(note.entry(&self.file));
        let end = |writer: &mut ArrowWriter<File>| -> std::io::Result<u64> {
            writer.finish()?;
            let file = writer.inner();
            file.sync_all()?;
            Ok(file.metadata()?.len())
        };
        let bytes = end(&mut self.writer).map_err(|error| self.error(error))?;
        let target = self.place.dir.join(&self.file);
        let mut index_bytes = 0;
        if let Some(indexes) = self.indexes.take() {
            index_bytes += self.write_beside(
                &target,
                &[&|path| Kind::Traces.path(path), &|path| Kind::Attributes.path(path)],
                |path| indexes.write(path),
            )?;
        }
        if let Some(trace_ids) = self.trace_ids.take() {
            index_bytes +=
                self.write_beside(&target, &[&trace_ids::path], |path| trace_ids.write(&trace_ids::path(path)))?;
        }
        if let Some(sums) = self.sums.take() {
            index_bytes +=
                self.write_beside(&target, &[&metric_sums::path], |path| sums.write(&metric_sums::path(path)))?;
        }
        if let Some(facets) = self.facets.take() {
            let facets = match facets {
                FacetsSource::Rows(counted) => counted.finish(),
                FacetsSource::Merged(merged) => merged,
            };
            index_bytes += self.write_beside(&target, &[&facets::path], |path| facets.write(&facets::path(path)))?;
        }
        std::fs::rename(&self.temporary, &target)
            .and_then(|()| sync_dir(self.place.dir))
            .map_err(io_error(|| format!("moving the segment to {}", target.display())))?;
        let (min_start_ns, max_start_ns) = self.starts.unwrap_or_default();
        Ok(SegmentRow {
            table: self.table,
            file: self.file,
            rows: self.rows,
            bytes,
            index_bytes,
            min_start_ns,
            max_start_ns,
            min_sequence: self.place.sequences.0,
            max_sequence: self.place.sequences.1,
            level: self.place.level,
            bucket_ns,
            services: self.services.into_iter().collect(),
            written_ns,
            thinned,
        })
    }

    /// Writes files beside the segment and moves them to where it will be; their size in bytes.
    fn write_beside(
        &self,
        target: &Path,
        files: &[&dyn Fn(&Path) -> PathBuf],
        write: impl FnOnce(&Path) -> std::io::Result<u64>,
    ) -> Result<u64, StoreError> {
        let move_there = |file: &&dyn Fn(&Path) -> PathBuf| std::fs::rename(file(&self.temporary), file(target));
        let bytes = write(&self.temporary).and_then(|bytes| files.iter().try_for_each(move_there).map(|()| bytes));
        bytes.map_err(io_error(|| format!("writing what lies beside {}", self.temporary.display())))
    }

    /// Gives up what was written.
    pub(super) fn discard(self) {
        if let Err(error) = std::fs::remove_file(&self.temporary) {
            tracing::warn!(path = %self.temporary.display(), %error, "could not remove a file; the next start will");
        }
    }

    fn error(&self, error: std::io::Error) -> StoreError {
        io_error(|| format!("writing the segment {}", self.temporary.display()))(error)
    }
}

/// Whether the sums of its rows lie beside a segment. What was not merged yet is small, and soon gone.
pub(super) fn has_sums(table: Table, level: u32) -> bool {
    table == Table::SpanMetrics && level > 0
}

/// Whether the facets of its rows lie beside a segment.
pub(super) fn has_facets(table: Table) -> bool {
    table == Table::Spans
}

/// Writes rows that are already in the table's order as one segment.
pub(super) fn write_rows(place: SegmentPlace<'_>, table: Table, rows: &RecordBatch) -> Result<SegmentRow, StoreError> {
    let mut writer = SegmentWriter::create(place, table)?;
    writer.write(rows)?;
    writer.finish()
}

/// Writes rows as one segment, in the table's order. They are put in order piece by piece, so that memory
/// holds them once.
pub(super) fn write_in_order(
    place: SegmentPlace<'_>,
    table: Table,
    rows: &RecordBatch,
) -> Result<SegmentRow, StoreError> {
    let order = order_of(table, rows)?;
    let mut writer = SegmentWriter::create(place, table)?;
    for from in (0..order.len()).step_by(ORDERED_ROWS) {
        writer.write(&take(rows, &order.slice(from, ORDERED_ROWS.min(order.len() - from)))?)?;
    }
    writer.finish()
}

/// The rows in the table's order.
pub(super) fn sorted(table: Table, rows: &RecordBatch) -> Result<RecordBatch, StoreError> {
    take(rows, &order_of(table, rows)?)
}

fn order_of(table: Table, rows: &RecordBatch) -> Result<UInt32Array, StoreError> {
    let order = match table {
        Table::Spans => span_order(rows),
        _ => row_order(rows, table.description().order),
    };
    order.map_err(|error| StoreError::Engine(error.to_string()))
}

fn take(rows: &RecordBatch, order: &UInt32Array) -> Result<RecordBatch, StoreError> {
    take_record_batch(rows, order).map_err(|error| StoreError::Engine(error.to_string()))
}

/// Adds the services of the rows.
pub(super) fn add_services(services: &mut BTreeSet<String>, rows: &RecordBatch) {
    let Some(column) = rows.column_by_name("service") else { return };
    let mut add = |service: &str| {
        if !services.contains(service) {
            services.insert(service.to_owned());
        }
    };
    if let Some(column) = column.as_dictionary_opt::<Int32Type>() {
        // A dictionary may hold texts that no row uses any more.
        let values = column.values().as_string::<i32>();
        let mut used = vec![false; values.len()];
        column.keys().values().iter().for_each(|&key| used[key as usize] = true);
        (0..values.len()).filter(|&at| used[at]).for_each(|at| add(values.value(at)));
    } else if let Some(column) = column.as_string_opt::<i32>() {
        column.iter().flatten().for_each(add);
    }
}

fn properties(table: Table, level: u32) -> WriterProperties {
    let zstd_level = if level >= OLD_FROM_LEVEL { ZSTD_LEVEL_OF_OLD } else { ZSTD_LEVEL_OF_NEW };
    let zstd_level = ZstdLevel::try_new(zstd_level).expect("the level is within zstd's range");
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("pitviper ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(zstd_level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_write_batch_size(PAGE_ROWS);
    let table = table.description();
    for column in table.random {
        let column = ColumnPath::from(*column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_compression(column, Compression::UNCOMPRESSED);
    }
    for column in table.unpruned {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(*column), EnabledStatistics::None);
    }
    for map in table.maps {
        for part in ["key", "value"] {
            let column = ColumnPath::from(vec![(*map).to_owned(), "key_value".to_owned(), part.to_owned()]);
            properties = properties.set_column_statistics_enabled(column, EnabledStatistics::None);
        }
    }
    for column in table.rising {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(*column), false)
            .set_column_encoding(ColumnPath::from(*column), Encoding::DELTA_BINARY_PACKED);
    }
    if table.numbers_traces {
        let column = ColumnPath::from(TRACE_NUMBER);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_statistics_enabled(column, EnabledStatistics::None);
    }
    for column in table.various {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
    }
    for column in table.split {
        properties = properties
            .set_column_dictionary_enabled(ColumnPath::from(*column), false)
            .set_column_encoding(ColumnPath::from(*column), Encoding::BYTE_STREAM_SPLIT);
    }
    properties.build()
}

/// The rows by (service, name, start). Text is ranked once per distinct value, so that sorting
/// compares numbers.
fn span_order(spans: &RecordBatch) -> Result<UInt32Array, ArrowError> {
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
    Ok(order.into_iter().map(|(_, _, row)| row).collect())
}

/// The rows by these columns; equal ones stay in the order they came in.
fn row_order(rows: &RecordBatch, columns: &[&str]) -> Result<UInt32Array, ArrowError> {
    let columns = columns
        .iter()
        .map(|name| rows.schema_ref().index_of(name).map(|index| Arc::clone(rows.column(index))))
        .collect::<Result<Vec<_>, _>>()?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let keys = RowConverter::new(fields)?.convert_columns(&columns)?;
    let mut order: Vec<u32> = (0u32..).take(rows.num_rows()).collect();
    order.sort_unstable_by(|&left, &right| (keys.row(left as usize), left).cmp(&(keys.row(right as usize), right)));
    Ok(order.into())
}
