//! A backup of a data directory, taken from outside while a server uses it.
//!
//! The order makes it whole without the server's help. First the log is copied: it holds every
//! acknowledged write that is not in a segment yet. Then a snapshot of the manifest is taken, and the
//! segments it names are linked: they never change. A write that left the log before it was copied is
//! in a segment of a manifest that is read later, and one that is in both is skipped when the backup is
//! opened, as after any crash. When a segment was merged away before it could be linked, the manifest
//! is taken again.
//!
//! The copy is made under another name and renamed when all of it is on disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustc_hash::FxHashSet;

use super::manifest::{Manifest, SegmentRow};
use super::segment::beside;
use super::wal::{HEADER_BYTES, check_header, log_files, whole_bytes};
use super::{io_error, sync_dir};
use crate::store::StoreError;

/// Files that whoever uses the store keeps in its directory, each always whole: settings of agents.
pub(super) const FILES_BESIDE: [&str; 1] = ["client-settings.json"];
/// How often the manifest is taken again because a segment it named is gone.
const MAX_ATTEMPTS: usize = 50;

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupReport {
    /// Segments.
    pub segments: usize,
    /// Rows in them.
    pub rows: u64,
    /// Of these segments' files, those that share their bytes with the original.
    pub linked_files: usize,
    /// Those that had to be copied, because the backup is on another disk.
    pub copied_files: usize,
    /// Bytes of the segments and what lies beside them.
    pub segment_bytes: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// How often the manifest was taken.
    pub attempts: usize,
}

/// Copies a data directory to a new one that a server can be started with. It holds every write that
/// was acknowledged before this was called, each once.
///
/// # Errors
/// When `dest` is there already, when `data_dir` is no data directory, and what the file system says.
pub fn backup(data_dir: &Path, dest: &Path) -> Result<BackupReport, StoreError> {
    refuse_existing(dest)?;
    let parent = match dest.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut name = dest.file_name().unwrap_or_default().to_owned();
    name.push(format!(".partial-{}", std::process::id()));
    let partial = Partial(parent.join(name));
    let made = ["wal", "segments", "tmp"].iter().try_for_each(|part| fs::create_dir_all(partial.0.join(part)));
    made.map_err(io_error(|| format!("making {}", partial.0.display())))?;
    let mut report = BackupReport { log_bytes: copy_log(data_dir, &partial.0)?, ..BackupReport::default() };
    copy_segments(data_dir, &partial.0, &mut report)?;
    copy_beside(data_dir, &partial.0)?;
    let publish = || -> io::Result<()> {
        for part in ["wal", "segments", "tmp", ""] {
            sync_dir(&partial.0.join(part))?;
        }
        fs::rename(&partial.0, dest)?;
        sync_dir(&parent)
    };
    refuse_existing(dest)?;
    publish().map_err(io_error(|| format!("moving the backup to {}", dest.display())))?;
    Ok(report)
}

/// A backup under way: removed when it is not renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refuse_existing(dest: &Path) -> Result<(), StoreError> {
    if dest.symlink_metadata().is_err() {
        return Ok(());
    }
    let source = io::Error::new(ErrorKind::AlreadyExists, "it is there already; name a directory that is not");
    Err(StoreError::Io { context: format!("backup to {}", dest.display()), source })
}

/// Copies what the log holds now, up to its last whole write; its bytes.
fn copy_log(data_dir: &Path, target: &Path) -> Result<u64, StoreError> {
    let mut total = 0;
    for path in log_files(&data_dir.join("wal"))? {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            // Flushed meanwhile: its writes are in segments that the manifest will name.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(|| format!("reading the log {}", path.display()))(error)),
        };
        let begin = check_header(&bytes, &path)?;
        let end = whole_bytes(&bytes, begin);
        if end <= HEADER_BYTES {
            continue;
        }
        let copy = target.join("wal").join(path.file_name().unwrap_or_default());
        let write = || -> io::Result<()> {
            fs::write(&copy, &bytes[..end])?;
            File::open(&copy)?.sync_all()
        };
        write().map_err(io_error(|| format!("writing {}", copy.display())))?;
        total += end as u64;
    }
    Ok(total)
}

fn copy_beside(data_dir: &Path, target: &Path) -> Result<(), StoreError> {
    for name in FILES_BESIDE {
        let (from, to) = (data_dir.join(name), target.join(name));
        let copy = || match fs::copy(&from, &to) {
            Ok(_) => File::open(&to)?.sync_all(),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        copy().map_err(io_error(|| format!("copying {}", from.display())))?;
    }
    Ok(())
}

fn copy_segments(data_dir: &Path, target: &Path, report: &mut BackupReport) -> Result<(), StoreError> {
    let (from, to) = (data_dir.join("segments"), target.join("segments"));
    let source = data_dir.join("manifest.sqlite");
    let copy = target.join("manifest.sqlite");
    let (mut there, mut bare) = (FxHashSet::default(), FxHashSet::default());
    for attempt in 1..=MAX_ATTEMPTS {
        let _ = fs::remove_file(&copy);
        Manifest::copy(&source, &copy)?;
        let rows = Manifest::open_read_only(&copy)?.0.segments()?;
        if !take_all(&rows, &from, &to, &mut there, &mut bare, report)? {
            continue;
        }
        report.attempts = attempt;
        report.segments = rows.len();
        report.rows = rows.iter().map(|row| row.rows).sum();
        report.segment_bytes = rows.iter().map(SegmentRow::disk_bytes).sum();
        remove_others(&to, &rows)?;
        return File::open(&copy)
            .and_then(|file| file.sync_all())
            .map_err(io_error(|| format!("syncing {}", copy.display())));
    }
    let source = io::Error::other("segments go away faster than they can be linked; try again");
    Err(StoreError::Io { context: format!("backup of {}", data_dir.display()), source })
}

/// Takes the segments that are not taken yet. False when one is gone. `bare` are those whose indexes were
/// missing while the segment was there.
fn take_all(
    rows: &[SegmentRow],
    from: &Path,
    to: &Path,
    there: &mut FxHashSet<String>,
    bare: &mut FxHashSet<String>,
    report: &mut BackupReport,
) -> Result<bool, StoreError> {
    for row in rows {
        if there.contains(&row.file) {
            continue;
        }
        let (source, target) = (from.join(&row.file), to.join(&row.file));
        let mut taken_bytes = 0;
        for (source, target) in beside(&source).zip(beside(&target)) {
            if take(&source, &target, report)? {
                taken_bytes += fs::metadata(&target).map_or(0, |file| file.len());
            }
        }
        if !take(&source, &target, report)? {
            return Ok(false);
        }
        // What lies beside a segment goes before it does: it may just be going, and then the next manifest
        // does not name it. One that is still named has lost its index, which costs time and no rows.
        if taken_bytes < row.index_bytes && bare.insert(row.file.clone()) {
            return Ok(false);
        }
        there.insert(row.file.clone());
    }
    Ok(true)
}

/// Links a file that never changes, or copies it to another disk. False when it is gone.
fn take(from: &Path, to: &Path, report: &mut BackupReport) -> Result<bool, StoreError> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            report.linked_files += 1;
            return Ok(true);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        // From a try before this one.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(true),
        // Another disk, or a file system without links: copied below.
        Err(_) => {}
    }
    let copy = || -> io::Result<()> {
        fs::copy(from, to)?;
        File::open(to)?.sync_all()
    };
    match copy() {
        Ok(()) => {
            report.copied_files += 1;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error(|| format!("copying {} to {}", from.display(), to.display()))(error)),
    }
}

/// Lets go of what an earlier snapshot named and the last one does not.
fn remove_others(dir: &Path, rows: &[SegmentRow]) -> Result<(), StoreError> {
    let known: FxHashSet<PathBuf> =
        rows.iter().map(|row| dir.join(&row.file)).flat_map(|path| beside(&path).chain([path])).collect();
    super::remove_others(dir, &known)
}
