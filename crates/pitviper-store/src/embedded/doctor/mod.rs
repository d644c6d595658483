//! The doctor: looks at a data directory without a server, says what is wrong with it and what that
//! means, and mends what can be mended.
//!
//! It looks in the order in which the server would trip: the lock, the manifest, the segments the
//! manifest names, what lies beside them, the log, files nobody knows, and the room that is left.
//!
//! Invariants:
//! - Without `repair`, or while a server has the directory, nothing in it is changed.
//! - What a repair takes away that may hold data goes to `damaged/`, with a note, and is reported as
//!   lost with its rows and time. Data is moved before the manifest forgets it, so a repair that is cut
//!   short can be run again.

mod derived;
mod files;
mod log;
mod rebuild;
mod report;
mod segments;
mod sidecars;

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

pub use self::report::{Diagnosis, Finding, Lost, Severity};
use super::manifest::{Manifest, SegmentRow};
use super::{DEFAULT_DISK_RESERVE_BYTES, disk, io_error, lock_dir, sync_dir};
use crate::schema::SCHEMA_VERSION;
use crate::store::StoreError;

/// Where a repair puts what it takes away.
const DAMAGED_DIR: &str = "damaged";
/// Most complaints of SQLite that are shown.
const MAX_COMPLAINTS: usize = 5;

/// How thorough the doctor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Examination {
    /// Read every column of every row, and look every value up in its index. Otherwise the columns that
    /// give the order are read, and the values of some pages looked up.
    pub deep: bool,
    /// Mend what can be mended.
    pub repair: bool,
}

/// A directory being looked at.
struct Patient {
    dir: PathBuf,
    segments_dir: PathBuf,
    temporary_dir: PathBuf,
    deep: bool,
    /// Only when the directory is ours alone.
    repair: bool,
    is_in_use: bool,
}

/// Looks at a data directory.
///
/// # Errors
/// When there is no data directory, and when the file system refuses what a repair needs. What is
/// wrong with the data is a finding and no error.
pub fn examine(dir: &Path, examination: Examination) -> Result<Diagnosis, StoreError> {
    if !dir.join("manifest.sqlite").exists() && !dir.join("segments").exists() && !dir.join("wal").exists() {
        let source = io::Error::new(ErrorKind::NotFound, "no manifest, no segments and no log");
        return Err(StoreError::Io { context: format!("{} is no data directory", dir.display()), source });
    }
    let mut diagnosis = Diagnosis::default();
    let lock = take_lock(dir, examination, &mut diagnosis)?;
    let patient = Patient {
        dir: dir.to_owned(),
        segments_dir: dir.join("segments"),
        temporary_dir: dir.join("tmp"),
        deep: examination.deep,
        repair: examination.repair && lock.is_some(),
        is_in_use: lock.is_none(),
    };
    let manifest = match open_manifest(&patient, &mut diagnosis)? {
        Found::Lost(what) => rebuild::examine(&patient, &what, &mut diagnosis)?,
        Found::NotForUs => None,
        Found::Whole(manifest) => match rebuild::contradiction(&patient, &manifest)? {
            Some(what) => {
                drop(manifest);
                rebuild::examine(&patient, &what, &mut diagnosis)?
            }
            None => Some(manifest),
        },
    };
    let rows = manifest.as_ref().map(Manifest::segments).transpose()?;
    let flushed = manifest.as_ref().map(Manifest::flushed_sequence).transpose()?;
    if let (Some(manifest), Some(rows)) = (&manifest, &rows) {
        for row in rows {
            segments::examine(&patient, manifest, row, &mut diagnosis)?;
        }
    }
    log::examine(&patient, flushed, &mut diagnosis)?;
    files::examine(&patient, rows.as_deref(), &mut diagnosis)?;
    examine_room(&patient, &mut diagnosis);
    drop(lock);
    Ok(diagnosis)
}

fn take_lock(dir: &Path, examination: Examination, diagnosis: &mut Diagnosis) -> Result<Option<File>, StoreError> {
    match lock_dir(dir) {
        Ok(lock) => Ok(Some(lock)),
        Err(StoreError::Locked { .. }) => {
            diagnosis.is_in_use = true;
            let what = "a server has the directory open, so this is a look from outside: nothing is changed, and \
                        what the server is writing right now is left out";
            if examination.repair {
                let advice = "stop the server and run the doctor with --repair again";
                diagnosis.add(Severity::Warning, "lock", what, advice);
            } else {
                diagnosis.add(Severity::Note, "lock", what, "nothing; to repair, stop the server first");
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What there is of a manifest.
enum Found {
    Whole(Manifest),
    /// Of a version that is not looked at; that is said already.
    NotForUs,
    /// Why it can say nothing any more.
    Lost(String),
}

fn open_manifest(patient: &Patient, diagnosis: &mut Diagnosis) -> Result<Found, StoreError> {
    const PLACE: &str = rebuild::MANIFEST;
    let path = patient.dir.join(PLACE);
    if !path.exists() {
        let what = "the manifest is missing, which says which segments count; the server refuses to start with \
                    segments without it";
        return Ok(Found::Lost(what.to_owned()));
    }
    let looked = Manifest::open_read_only(&path).and_then(|(manifest, version)| {
        let complaints = manifest.integrity()?;
        if complaints.is_empty() && version == SCHEMA_VERSION {
            // All that is ever asked of it.
            manifest.segments()?;
            manifest.segment_count()?;
            manifest.flushed_sequence()?;
            manifest.counter("")?;
        }
        Ok((manifest, version, complaints))
    });
    let (manifest, version, complaints) = match looked {
        Ok(looked) => looked,
        Err(error) => return Ok(Found::Lost(format!("the manifest cannot be read: {error}"))),
    };
    if !complaints.is_empty() {
        let shown = complaints.iter().take(MAX_COMPLAINTS).map(String::as_str).collect::<Vec<_>>().join("; ");
        let count = complaints.len();
        return Ok(Found::Lost(format!("SQLite finds the manifest damaged ({count} complaints): {shown}")));
    }
    if version == 0 {
        return Ok(Found::Lost("the manifest is empty".to_owned()));
    }
    if version > SCHEMA_VERSION {
        let what = format!("the data has schema version {version}, and this program knows up to {SCHEMA_VERSION}");
        let advice = "use the newer pitviper-server that wrote it; if there never was one, the manifest is damaged: move \
                      it elsewhere and run the doctor with --repair";
        diagnosis.add(Severity::Damage, PLACE, what, advice);
        return Ok(Found::NotForUs);
    }
    if version == SCHEMA_VERSION && !patient.repair {
        return Ok(Found::Whole(manifest));
    }
    drop(manifest);
    if patient.repair {
        // Also carries an older version forward, as the server would.
        return Ok(match Manifest::open(&path) {
            Ok(manifest) => Found::Whole(manifest),
            Err(error) => Found::Lost(format!("the manifest cannot be opened: {error}")),
        });
    }
    let what = format!("the data has the older schema version {version}; segments were not looked at");
    let advice = "start the server once, which carries it forward, or run the doctor with --repair";
    diagnosis.add(Severity::Warning, PLACE, what, advice);
    Ok(Found::NotForUs)
}

fn examine_room(patient: &Patient, diagnosis: &mut Diagnosis) {
    let Some(room) = disk::room(&patient.dir) else { return };
    diagnosis.free_bytes = Some(room.free_bytes);
    if room.free_bytes < DEFAULT_DISK_RESERVE_BYTES {
        let what = format!(
            "{} MiB are free on the disk, less than the {} MiB the server keeps for itself: it refuses writes",
            room.free_bytes >> 20,
            DEFAULT_DISK_RESERVE_BYTES >> 20
        );
        let advice = "make room, or start the server with a smaller --max-disk, which lets the oldest spans go";
        diagnosis.add(Severity::Warning, "disk", what, advice);
    }
}

impl Patient {
    /// A path as people know it: from the data directory on.
    fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap_or(path).display().to_string()
    }

    /// Moves files that are there to `damaged/` and leaves a note beside the first.
    fn set_aside(&self, paths: &[PathBuf], note: &str) -> Result<(), StoreError> {
        let target_dir = self.dir.join(DAMAGED_DIR);
        let context = || format!("moving damaged files to {}", target_dir.display());
        std::fs::create_dir_all(&target_dir).map_err(io_error(context))?;
        for (index, path) in paths.iter().enumerate() {
            let Some(name) = path.file_name() else { continue };
            if index == 0 {
                let mut name = name.to_owned();
                name.push(".txt");
                std::fs::write(target_dir.join(name), format!("{note}\n")).map_err(io_error(context))?;
            }
            match std::fs::rename(path, target_dir.join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                moved => moved.map_err(io_error(context))?,
            }
            if let Some(parent) = path.parent() {
                sync_dir(parent).map_err(io_error(context))?;
            }
        }
        sync_dir(&target_dir).map_err(io_error(context))
    }
}

/// A segment's rows as lost.
fn lost(row: &SegmentRow) -> Lost {
    Lost { table: row.table.as_str(), rows: Some(row.rows), starts_ns: Some((row.min_start_ns, row.max_start_ns)) }
}
