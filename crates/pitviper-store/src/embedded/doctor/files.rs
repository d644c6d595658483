//! Looks for files nobody knows: what a crash left behind, and what does not belong here.

use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use super::report::{Diagnosis, Severity};
use super::{DAMAGED_DIR, Patient};
use crate::embedded::backup::FILES_BESIDE;
use crate::embedded::io_error;
use crate::embedded::manifest::SegmentRow;
use crate::embedded::segment::beside;
use crate::store::StoreError;

/// What a data directory holds.
const KNOWN: [&str; 8] =
    ["lock", "manifest.sqlite", "manifest.sqlite-wal", "manifest.sqlite-shm", "segments", "tmp", "wal", DAMAGED_DIR];

/// How the copies begin that exports read and remove.
const EXPORT_PREFIX: &str = ".export-";

/// Looks at everything that was not looked at before.
pub(super) fn examine(
    patient: &Patient,
    rows: Option<&[SegmentRow]>,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    for path in entries(&patient.dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(EXPORT_PREFIX) && !patient.is_in_use {
            remove(patient, &path, "it is the copy of an export that was cut short", diagnosis)?;
        } else if !KNOWN.contains(&name) && !FILES_BESIDE.contains(&name) {
            let what = "this file is not the store's; it is left alone and takes room";
            diagnosis.add(Severity::Note, patient.name(&path), what, "move it elsewhere if it is yours");
        }
    }
    for path in entries(&patient.dir.join("wal"))? {
        if path.extension().is_none_or(|extension| extension != "wal") {
            let what = "this file is not a log; it is left alone and takes room";
            diagnosis.add(Severity::Note, patient.name(&path), what, "move it elsewhere if it is yours");
        }
    }
    // A running server is writing these, or about to make them count.
    if patient.is_in_use {
        return Ok(());
    }
    for path in entries(&patient.temporary_dir)? {
        remove(patient, &path, "it is the beginning of a file that was never finished", diagnosis)?;
    }
    // Without a manifest they may be all there is.
    let Some(rows) = rows else { return Ok(()) };
    let known: FxHashSet<PathBuf> = rows
        .iter()
        .flat_map(|row| {
            let path = patient.segments_dir.join(&row.file);
            beside(&path).chain([path])
        })
        .collect();
    for path in entries(&patient.segments_dir)? {
        if !known.contains(&path) {
            let what = "the manifest does not know it: a crash left it, and its rows are elsewhere";
            remove(patient, &path, what, diagnosis)?;
        }
    }
    Ok(())
}

fn remove(patient: &Patient, path: &Path, what: &str, diagnosis: &mut Diagnosis) -> Result<(), StoreError> {
    if !patient.repair {
        let advice = if path.parent() == Some(&patient.dir) {
            "run with --repair to remove it"
        } else {
            "nothing, the server removes it when it starts; or run with --repair"
        };
        diagnosis.add(Severity::Warning, patient.name(path), what, advice);
        return Ok(());
    }
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.map_err(io_error(|| format!("removing {}", path.display())))?;
    diagnosis.repaired(Severity::Warning, patient.name(path), what, "removed");
    Ok(())
}

/// The paths in a directory, sorted; none when it is not there.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    list().map_err(io_error(|| format!("listing {}", dir.display())))
}
