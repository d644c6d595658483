//! Looks at the sums beside a merged segment of metrics, each part of them whole.
//!
//! Sums that are damaged or missing cost time and no rows, and can be made anew from the segment.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustc_hash::FxHashSet;

use super::Patient;
use super::report::{Diagnosis, Severity};
use crate::embedded::manifest::{Manifest, SegmentRow};
use crate::embedded::metric_sums::{self, Sums, SumsBuilder};
use crate::embedded::segment_write::has_sums;
use crate::embedded::{io_error, sync_dir};
use crate::store::StoreError;

/// Looks at the sums of a segment that can be read, if it should have any.
pub(super) fn examine(
    patient: &Patient,
    manifest: &Manifest,
    row: &SegmentRow,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    if !has_sums(row.table, row.level) {
        return Ok(());
    }
    let segment = patient.segments_dir.join(&row.file);
    let path = metric_sums::path(&segment);
    let wrong = match Sums::open(&path, row.rows).and_then(|sums| sums.verify()) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => "the sums are missing".to_owned(),
        Err(error) => error.to_string(),
    };
    if patient.is_in_use && !segment.exists() {
        return Ok(());
    }
    let what = format!("{wrong}; questions about long times read each row, and none is lost");
    if !patient.repair {
        let advice = "run with --repair to make them anew; a merge does so as well";
        diagnosis.add(Severity::Warning, patient.name(&path), what, advice);
        return Ok(());
    }
    let index_bytes = match rebuild(patient, row, &segment) {
        Ok(bytes) => bytes,
        Err(error) => {
            let advice = format!("could not be made anew ({error}); restore the segment from a backup");
            diagnosis.add(Severity::Damage, patient.name(&path), what, advice);
            return Ok(());
        }
    };
    diagnosis.repaired(Severity::Warning, patient.name(&path), what, "made anew");
    let mended = SegmentRow { index_bytes, ..row.clone() };
    manifest.replace_segments(&FxHashSet::from_iter([row.file.as_str()]), std::slice::from_ref(&mended), &[])
}

/// Adds up the rows of a segment anew; the size of the sums in bytes, which appear whole.
fn rebuild(patient: &Patient, row: &SegmentRow, segment: &Path) -> Result<u64, StoreError> {
    let context = || format!("adding up {} anew", segment.display());
    let work = || -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        std::fs::create_dir_all(&patient.temporary_dir)?;
        let mut sums = SumsBuilder::new(row.bucket_ns);
        for rows in ParquetRecordBatchReaderBuilder::try_new(File::open(segment)?)?.build()? {
            sums.add(&rows?)?;
        }
        let temporary = metric_sums::path(&patient.temporary_dir.join(&row.file));
        let bytes = sums.write(&temporary)?;
        std::fs::rename(temporary, metric_sums::path(segment))?;
        sync_dir(&patient.segments_dir)?;
        Ok(bytes)
    };
    work().map_err(|error| io_error(context)(io::Error::other(error)))
}
