//! Looks at a segment: there, readable, as large and as long as the manifest says, and in order.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::ParquetMetaDataReader;
use rustc_hash::FxHashSet;

use super::report::{Diagnosis, Severity};
use super::{Patient, derived, lost, sidecars};
use crate::embedded::manifest::{Manifest, SegmentRow, Table};
use crate::embedded::segment::beside;
use crate::embedded::segment_note::{Note, parts_of_name};
use crate::embedded::segment_write::add_services;
use crate::embedded::trace_ids::{self, TraceIds};
use crate::schema::TRACE_NUMBER;
use crate::store::StoreError;

/// Rows decoded at once.
const READ_BATCH_ROWS: usize = 8_192;

/// What a file turned out to hold.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) starts_ns: Option<(i64, i64)>,
    /// Of a table that has them.
    pub(super) services: Option<BTreeSet<String>>,
    /// The first row that stands before one it should follow.
    disorder_at: Option<u64>,
}

/// Why a file cannot be used.
pub(super) enum Trouble {
    Missing,
    Unreadable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it is not there"),
            Self::Unreadable(error) => f.write_str(error),
        }
    }
}

/// Looks at one segment and what lies beside it.
pub(super) fn examine(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let path = patient.segments_dir.join(&row.file);
    diagnosis.segments += 1;
    diagnosis.rows += row.rows;
    match read(&path, row.table, patient.deep) {
        Ok(facts) => {
            let row = compare(patient, manifest, row, &facts, diagnosis)?;
            sidecars::examine(patient, manifest, &row, diagnosis)?;
            derived::examine(patient, manifest, &row, diagnosis)
        }
        Err(_) if patient.is_in_use && is_forgotten(manifest, row)? => {
            // Merged or expired since the list was read.
            (diagnosis.segments, diagnosis.rows) = (diagnosis.segments - 1, diagnosis.rows - row.rows);
            Ok(())
        }
        Err(trouble) => give_up(patient, manifest, row, &trouble, diagnosis),
    }
}

fn is_forgotten(manifest: &Manifest, row: &SegmentRow) -> Result<bool, StoreError> {
    Ok(!manifest.segments()?.iter().any(|known| known.file == row.file))
}

fn give_up(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    trouble: &Trouble,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let path = patient.segments_dir.join(&row.file);
    let name = patient.name(&path);
    let (what, advice) = match trouble {
        Trouble::Missing => (
            format!("the segment is missing; the server refuses to start without its {} rows", row.rows),
            "restore the file from a backup, or run with --repair to go on without these rows",
        ),
        Trouble::Unreadable(error) => (
            format!("the segment cannot be read ({error}); questions that need its {} rows fail", row.rows),
            "restore the file from a backup, or run with --repair to move it to damaged/ and go on without it",
        ),
    };
    if !patient.repair {
        diagnosis.add(Severity::Damage, name, what, advice);
        return Ok(());
    }
    let note = format!(
        "{what}\ntable {}, {} rows that start between {} and {} ns since the Unix epoch, writes {} to {}",
        row.table.as_str(),
        row.rows,
        row.min_start_ns,
        row.max_start_ns,
        row.min_sequence,
        row.max_sequence
    );
    let mut files = vec![path.clone()];
    files.extend(beside(&path));
    patient.set_aside(&files, &note)?;
    manifest.replace_segments(&FxHashSet::from_iter([row.file.as_str()]), &[], &[])?;
    let done = match trouble {
        Trouble::Missing => "taken out of the manifest; a note is in damaged/",
        Trouble::Unreadable(_) => "moved to damaged/ and taken out of the manifest",
    };
    diagnosis.repaired(Severity::Damage, name, what, done);
    diagnosis.lost.push(lost(row));
    Ok(())
}

/// Compares the manifest's row with the file. The row comes back as the file has it; the manifest is
/// mended where that was asked for.
fn compare(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    facts: &Facts,
    diagnosis: &mut Diagnosis,
) -> Result<SegmentRow, StoreError> {
    let name = patient.name(&patient.segments_dir.join(&row.file));
    if let Some(at) = facts.disorder_at {
        let what = format!("row {at} stands out of order; merges that take it in would be out of order as well");
        diagnosis.add(Severity::Damage, name.as_str(), what, "restore the file from a backup, or report this");
    }
    let mut mended = row.clone();
    (mended.rows, mended.bytes) = (facts.rows, facts.bytes);
    (mended.min_start_ns, mended.max_start_ns) = facts.starts_ns.unwrap_or_default();
    // Services may be unknown, as when one of them has a line break in its name.
    if let (Some(services), false) = (&facts.services, row.services.is_empty()) {
        mended.services = services.iter().cloned().collect();
    }
    let is_counted_right = mended == *row;
    if let Some((_, first, last, level)) = parts_of_name(&row.file) {
        (mended.min_sequence, mended.max_sequence, mended.level) = (first, last, level);
    }
    if let Ok(Some(note)) = note(&patient.segments_dir.join(&row.file)) {
        (mended.bucket_ns, mended.written_ns, mended.thinned) = (note.bucket_ns, note.written_ns, note.thinned);
    }
    if mended == *row {
        return Ok(mended);
    }
    let what = format!(
        "the manifest says {} rows, {} bytes, starts {} to {}, and the file has {} rows, {} bytes, starts {} to {}; \
         questions may leave rows out",
        row.rows,
        row.bytes,
        row.min_start_ns,
        row.max_start_ns,
        mended.rows,
        mended.bytes,
        mended.min_start_ns,
        mended.max_start_ns
    );
    let what = if is_counted_right {
        "the manifest says other writes, another level, width of buckets or age than the file itself; retention and \
         merges may take it for another"
            .to_owned()
    } else {
        what
    };
    if !patient.repair {
        let advice = "restore the file from a backup, or run with --repair to believe the file";
        diagnosis.add(Severity::Damage, name, what, advice);
        return Ok(mended);
    }
    manifest.replace_segments(&FxHashSet::from_iter([row.file.as_str()]), std::slice::from_ref(&mended), &[])?;
    diagnosis.repaired(Severity::Damage, name, what, "the manifest now says what the file has");
    Ok(mended)
}

/// What the file says of itself; `None` when it says nothing, and an error when it cannot be read.
pub(super) fn note(path: &Path) -> Result<Option<Note>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| error.to_string())?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(Note::read(&metadata, name))
}

pub(super) fn read(path: &Path, table: Table, deep: bool) -> Result<Facts, Trouble> {
    let unreadable = |error: &dyn std::fmt::Display| Trouble::Unreadable(error.to_string());
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Trouble::Missing,
        _ => unreadable(&error),
    })?;
    let bytes = file.metadata().map_err(|error| unreadable(&error))?.len();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(&error))?;
    if builder.schema().column_with_name(TRACE_NUMBER).is_some() {
        let list = TraceIds::open(&trace_ids::path(path)).and_then(|list| list.verify());
        list.map_err(|error| unreadable(&format!("its trace ids: {error}")))?;
    }
    let (order, times) = (table.description().order, table.description().time_columns());
    let schema = builder.schema().clone();
    let mut fields = Vec::with_capacity(order.len());
    for name in order {
        let field = schema.field_with_name(name).map_err(|error| unreadable(&error))?;
        fields.push(SortField::new(field.data_type().clone()));
    }
    let mut check = OrderCheck {
        order,
        times: [times.0, times.1].map(|column| schema.field(column).name().clone()),
        converter: RowConverter::new(fields).map_err(|error| unreadable(&error))?,
        last: None,
        facts: Facts {
            bytes,
            services: schema.column_with_name("service").map(|_| BTreeSet::new()),
            ..Facts::default()
        },
    };
    let mask = if deep {
        ProjectionMask::all()
    } else {
        let times = [times.0, times.1].map(|column| schema.field(column).name().as_str());
        ProjectionMask::columns(builder.parquet_schema(), order.iter().copied().chain(times).chain(["service"]))
    };
    let reader =
        builder.with_projection(mask).with_batch_size(READ_BATCH_ROWS).build().map_err(|error| unreadable(&error))?;
    for batch in reader {
        check.add(&batch.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
    }
    Ok(check.facts)
}

struct OrderCheck<'a> {
    order: &'a [&'static str],
    /// The columns with the earliest and the latest moment of a row.
    times: [String; 2],
    converter: RowConverter,
    last: Option<OwnedRow>,
    facts: Facts,
}

impl OrderCheck<'_> {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), arrow::error::ArrowError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Some(services) = &mut self.facts.services {
            add_services(services, batch);
        }
        let [firsts, lasts] = self.times.each_ref().map(|name| batch.column_by_name(name));
        let firsts = firsts.and_then(|column| min(column.as_primitive::<Int64Type>()));
        let lasts = lasts.and_then(|column| max(column.as_primitive::<Int64Type>()));
        if let (Some(first), Some(last)) = (firsts, lasts) {
            let known = self.facts.starts_ns.get_or_insert((first, last));
            *known = (known.0.min(first), known.1.max(last));
        }
        if self.facts.disorder_at.is_none() {
            let columns = self
                .order
                .iter()
                .map(|name| batch.schema_ref().index_of(name).map(|index| batch.column(index).clone()))
                .collect::<Result<Vec<_>, _>>()?;
            let keys = self.converter.convert_columns(&columns)?;
            if self.last.as_ref().is_some_and(|last| last.row() > keys.row(0)) {
                self.facts.disorder_at = Some(self.facts.rows);
            }
            let inside = (1..keys.num_rows()).find(|&at| keys.row(at - 1) > keys.row(at));
            if let (None, Some(at)) = (self.facts.disorder_at, inside) {
                self.facts.disorder_at = Some(self.facts.rows + at as u64);
            }
            self.last = Some(keys.row(keys.num_rows() - 1).owned());
        }
        self.facts.rows += batch.num_rows() as u64;
        Ok(())
    }
}
