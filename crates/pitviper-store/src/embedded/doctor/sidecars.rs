//! Looks at what lies beside a segment: its page indexes, each whole and naming every value's page.
//!
//! An index that is damaged or missing costs time and no rows, and can be made anew from the segment.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use rustc_hash::FxHashSet;

use super::Patient;
use super::report::{Diagnosis, Severity};
use crate::embedded::indexes::{INDEXED_COLUMNS, IndexBuilders};
use crate::embedded::manifest::{Manifest, SegmentRow, Table};
use crate::embedded::open_segment::SegmentStream;
use crate::embedded::page_index::{Kind, PageIndex};
use crate::embedded::segment::bytes_beside;
use crate::embedded::segment_write::PAGE_ROWS;
use crate::embedded::{io_error, sync_dir};
use crate::schema::TRACE_NUMBER;
use crate::store::StoreError;

/// Pages of a segment whose values are looked up when not all are.
const SAMPLED_PAGES: u64 = 8;

/// The indexes a table's segments have.
fn kinds(table: Table) -> &'static [Kind] {
    if table.description().indexed { &Kind::ALL } else { &[] }
}

/// Looks at the indexes of a segment that can be read.
pub(super) fn examine(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let segment = patient.segments_dir.join(&row.file);
    let mut wrong: Vec<(PathBuf, String)> = Vec::new();
    let mut whole = Vec::new();
    for &kind in kinds(row.table) {
        let path = kind.path(&segment);
        match PageIndex::open(&path, row.rows).and_then(|index| index.verify().map(|()| index)) {
            Ok(index) => whole.push((kind, index)),
            Err(error) if error.kind() == ErrorKind::NotFound => wrong.push((path, "the index is missing".to_owned())),
            Err(error) => wrong.push((path, error.to_string())),
        }
    }
    if !whole.is_empty() {
        match look_up(&segment, row, &whole, patient.deep) {
            Ok(missing) => wrong.extend(missing.into_iter().map(|kind| {
                (kind.path(&segment), "the index leaves out a page of a value: look-ups miss rows".to_owned())
            })),
            Err(error) => wrong.push((segment.clone(), format!("its pages cannot be read: {error}"))),
        }
    }
    if wrong.is_empty() || (patient.is_in_use && !segment.exists()) {
        return Ok(());
    }
    let misses_rows = |what: &str| what.contains("miss rows") || what.contains("cannot be read");
    let severity = |what: &str| if misses_rows(what) { Severity::Damage } else { Severity::Warning };
    let explain = |what: &str| {
        if misses_rows(what) {
            what.to_owned()
        } else {
            format!("{what}; searching its segment is slow, no row is lost")
        }
    };
    if !patient.repair {
        for (path, what) in wrong {
            let advice = "run with --repair to make it anew; a merge does so as well";
            diagnosis.add(severity(&what), patient.name(&path), explain(&what), advice);
        }
        return Ok(());
    }
    let rebuilt = rebuild(patient, row, &segment);
    for (path, what) in wrong {
        match &rebuilt {
            Ok(()) => diagnosis.repaired(severity(&what), patient.name(&path), explain(&what), "made anew"),
            Err(error) => {
                let advice = format!("could not be made anew ({error}); restore the segment from a backup");
                diagnosis.add(Severity::Damage, patient.name(&path), explain(&what), advice);
            }
        }
    }
    if rebuilt.is_ok() {
        let mended = SegmentRow { index_bytes: bytes_beside(&segment), ..row.clone() };
        manifest.replace_segments(&FxHashSet::from_iter([row.file.as_str()]), std::slice::from_ref(&mended), &[])?;
    }
    Ok(())
}

fn indexed_columns(file: &ParquetRecordBatchReaderBuilder<File>) -> ProjectionMask {
    ProjectionMask::columns(file.parquet_schema(), INDEXED_COLUMNS.into_iter().chain([TRACE_NUMBER]))
}

type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// Looks values up and returns the indexes that do not name the page each lies in.
fn look_up(
    segment: &Path,
    row: &SegmentRow,
    indexes: &[(Kind, PageIndex)],
    deep: bool,
) -> Result<Vec<Kind>, ReadError> {
    let page_rows = PAGE_ROWS as u64;
    let pages = row.rows.div_ceil(page_rows);
    let step = if deep { 1 } else { (pages / SAMPLED_PAGES).max(1) };
    let sampled: Vec<u64> = (0..pages).step_by(step as usize).collect();
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(segment)?)?;
    let mask = indexed_columns(&builder);
    let ranges =
        sampled.iter().map(|page| (page * page_rows) as usize..((page + 1) * page_rows).min(row.rows) as usize);
    let selection = RowSelection::from_consecutive_ranges(ranges, row.rows as usize);
    // Row groups hold whole pages, so each batch is a page.
    let reader = builder.with_projection(mask).with_row_selection(selection).with_batch_size(PAGE_ROWS).build()?;
    let reader = SegmentStream::new(segment, reader)?;
    let has_keys = indexes.iter().any(|(kind, index)| *kind == Kind::Attributes && index.has_keys());
    let mut missing: Vec<Kind> = Vec::new();
    let mut named = Vec::new();
    for (page, batch) in sampled.iter().zip(reader) {
        let hashes = IndexBuilders::page_hashes(&batch?, has_keys);
        for (kind, index) in indexes {
            if missing.contains(kind) {
                continue;
            }
            for &hash in &hashes[*kind as usize] {
                named.clear();
                let is_rare = index.find(hash, &mut named)?;
                if is_rare && !named.iter().any(|range| range.contains(&(page * page_rows))) {
                    missing.push(*kind);
                    break;
                }
            }
        }
    }
    Ok(missing)
}

/// Makes all indexes of a segment anew, each appearing whole.
fn rebuild(patient: &Patient, row: &SegmentRow, segment: &Path) -> Result<(), StoreError> {
    let context = || format!("making the indexes of {} anew", segment.display());
    let work = || -> Result<(), ReadError> {
        std::fs::create_dir_all(&patient.temporary_dir)?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(segment)?)?;
        let mask = indexed_columns(&builder);
        let mut indexes = IndexBuilders::new(PAGE_ROWS);
        let reader = builder.with_projection(mask).with_batch_size(PAGE_ROWS).build()?;
        for batch in SegmentStream::new(segment, reader)? {
            indexes.append(&batch?);
        }
        let temporary = patient.temporary_dir.join(&row.file);
        indexes.write(&temporary)?;
        for kind in kinds(row.table) {
            std::fs::rename(kind.path(&temporary), kind.path(segment))?;
        }
        sync_dir(&patient.segments_dir)?;
        Ok(())
    };
    work().map_err(|error| io_error(context)(io::Error::other(error)))
}
