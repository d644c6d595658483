//! Looks at what was counted of a segment's rows and lies beside it: the sums of merged metrics, the facets
//! of spans.
//!
//! What is damaged or missing of it costs time or offers and no rows, and can be made anew from the segment.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustc_hash::FxHashSet;

use super::Patient;
use super::report::{Diagnosis, Severity};
use crate::embedded::facets::{self, COUNTED_COLUMNS, Facets, FacetsBuilder};
use crate::embedded::manifest::{Manifest, SegmentRow};
use crate::embedded::metric_sums::{self, Sums, SumsBuilder};
use crate::embedded::segment::bytes_beside;
use crate::embedded::segment_write::{has_facets, has_sums};
use crate::embedded::{io_error, sync_dir};
use crate::store::StoreError;

type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// A kind of file that is derived from a segment's rows.
struct Derived {
    name: &'static str,
    /// What it means when there is none.
    harm: &'static str,
    path: fn(&Path) -> PathBuf,
    check: fn(&Path, &SegmentRow) -> io::Result<()>,
    /// Writes it anew, from the segment to the path.
    make: fn(&Path, &SegmentRow, &Path) -> Result<(), ReadError>,
}

const SUMS: Derived = Derived {
    name: "sums",
    harm: "questions about long times read each row, and none is lost",
    path: metric_sums::path,
    check: |path, row| Sums::open(path, row.rows).and_then(|sums| sums.verify()),
    make: |segment, row, path| {
        let mut sums = SumsBuilder::new(row.bucket_ns);
        for rows in ParquetRecordBatchReaderBuilder::try_new(File::open(segment)?)?.build()? {
            sums.add(&rows?)?;
        }
        sums.write(path)?;
        Ok(())
    },
};

const FACETS: Derived = Derived {
    name: "facets",
    harm: "attributes that are rare in it are not offered while a search is typed, and no row is lost",
    path: facets::path,
    check: |path, row| Facets::read(path, row.rows).map(drop),
    make: |segment, _, path| {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(segment)?)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), COUNTED_COLUMNS);
        let mut facets = FacetsBuilder::default();
        for rows in builder.with_projection(mask).build()? {
            facets.add(&rows?);
        }
        facets.finish().write(path)?;
        Ok(())
    },
};

/// Looks at what should lie beside a segment that can be read.
pub(super) fn examine(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    if has_sums(row.table, row.level) {
        examine_one(&SUMS, patient, manifest, row, diagnosis)?;
    }
    if has_facets(row.table) {
        examine_one(&FACETS, patient, manifest, row, diagnosis)?;
    }
    Ok(())
}

fn examine_one(
    derived: &Derived,
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let segment = patient.segments_dir.join(&row.file);
    let path = (derived.path)(&segment);
    let wrong = match (derived.check)(&path, row) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => format!("the {} are missing", derived.name),
        Err(error) => error.to_string(),
    };
    if patient.is_in_use && !segment.exists() {
        return Ok(());
    }
    let what = format!("{wrong}; {}", derived.harm);
    if !patient.repair {
        let advice = "run with --repair to make them anew; a merge does so as well";
        diagnosis.add(Severity::Warning, patient.name(&path), what, advice);
        return Ok(());
    }
    if let Err(error) = make(derived, patient, row, &segment) {
        let advice = format!("could not be made anew ({error}); restore the segment from a backup");
        diagnosis.add(Severity::Damage, patient.name(&path), what, advice);
        return Ok(());
    }
    diagnosis.repaired(Severity::Warning, patient.name(&path), what, "made anew");
    let mended = SegmentRow { index_bytes: bytes_beside(&segment), ..row.clone() };
    manifest.replace_segments(&FxHashSet::from_iter([row.file.as_str()]), std::slice::from_ref(&mended), &[])
}

/// Makes the file anew; it appears whole.
fn make(derived: &Derived, patient: &Patient, row: &SegmentRow, segment: &Path) -> Result<(), StoreError> {
    let work = || -> Result<(), ReadError> {
        std::fs::create_dir_all(&patient.temporary_dir)?;
        let temporary = (derived.path)(&patient.temporary_dir.join(&row.file));
        (derived.make)(segment, row, &temporary)?;
        std::fs::rename(temporary, (derived.path)(segment))?;
        sync_dir(&patient.segments_dir)?;
        Ok(())
    };
    work().map_err(|error| {
        io_error(|| format!("making the {} of {} anew", derived.name, segment.display()))(io::Error::other(error))
    })
}
