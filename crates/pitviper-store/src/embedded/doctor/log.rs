//! Looks at the log: whole frames, torn ends, writes behind a damaged place, numbers that are missing.
//!
//! The server reads each file up to its first damaged frame and cuts off the rest. Behind a frame that
//! rotted on disk there may be whole ones, which a repair keeps.

use std::path::Path;

use rustc_hash::FxHashSet;

use super::report::{Diagnosis, Lost, Severity};
use super::{DAMAGED_DIR, Patient};
use crate::embedded::wal::{FRAME_HEADER_BYTES, HEADER_BYTES, check_header, log_files, next_frame};
use crate::embedded::{frame, io_error, sync_dir};
use crate::store::StoreError;

/// How far the number of a write behind a damaged place may be from the last whole one. Looking for it
/// at every byte is only cheap when most places can be ruled out at a glance.
const MAX_SEQUENCE_LEAP: u64 = 1 << 20;

/// One log file, taken apart.
#[derive(Default)]
struct LogFile {
    /// Where the whole writes lie, in order, and their numbers.
    frames: Vec<(u64, std::ops::Range<usize>)>,
    /// Whole frames that do not decode.
    undecodable: Vec<u64>,
    /// Where what is not a whole frame begins.
    torn_at: Option<usize>,
    /// Whole writes behind it.
    behind: usize,
}

/// Looks at all log files.
pub(super) fn examine(patient: &Patient, flushed: Option<u64>, diagnosis: &mut Diagnosis) -> Result<(), StoreError> {
    let dir = patient.dir.join("wal");
    if !dir.exists() {
        return Ok(());
    }
    let paths = log_files(&dir)?;
    let mut last_sequence: Option<u64> = None;
    for (index, path) in paths.iter().enumerate() {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            // The server has flushed it meanwhile.
            Err(_) if patient.is_in_use && !path.exists() => continue,
            Err(error) => return Err(io_error(|| format!("reading the log {}", path.display()))(error)),
        };
        let begin = match check_header(&bytes, path) {
            Ok(begin) => begin,
            Err(error) => {
                refuse(patient, path, &error, diagnosis)?;
                continue;
            }
        };
        let log = take_apart(&bytes, begin, last_sequence.unwrap_or_default());
        for (sequence, _) in &log.frames {
            note_gap(patient, path, flushed, last_sequence, *sequence, diagnosis);
            last_sequence = Some(*sequence);
            diagnosis.log_writes += 1;
            diagnosis.log_writes_unflushed += u64::from(flushed.is_none_or(|flushed| *sequence > flushed));
        }
        // The server may be in the middle of its next write.
        let is_under_way = patient.is_in_use && index + 1 == paths.len() && log.behind == 0;
        judge(patient, path, &bytes, begin, &log, is_under_way, diagnosis)?;
    }
    Ok(())
}

/// The numbers of the whole writes in the log, and whether there is nothing in it but these and at most a torn
/// end.
pub(super) fn sequences(patient: &Patient) -> Result<(FxHashSet<u64>, bool), StoreError> {
    let dir = patient.dir.join("wal");
    let (mut found, mut last, mut is_whole) = (FxHashSet::default(), 0, true);
    for path in if dir.exists() { log_files(&dir)? } else { Vec::new() } {
        let bytes = std::fs::read(&path).map_err(io_error(|| format!("reading the log {}", path.display())))?;
        let Ok(begin) = check_header(&bytes, &path) else {
            is_whole = false;
            continue;
        };
        let log = take_apart(&bytes, begin, last);
        is_whole &= log.behind == 0 && log.undecodable.is_empty();
        last = log.frames.last().map_or(last, |(sequence, _)| *sequence);
        found.extend(log.frames.iter().map(|(sequence, _)| *sequence));
    }
    Ok((found, is_whole))
}

/// A file the server cannot start with.
fn refuse(patient: &Patient, path: &Path, error: &StoreError, diagnosis: &mut Diagnosis) -> Result<(), StoreError> {
    let what = format!("the server refuses to start with this file: {error}");
    let is_newer = matches!(error, StoreError::NewerSchema { .. });
    if patient.repair && !is_newer {
        patient.set_aside(&[path.to_owned()], &what)?;
        diagnosis.repaired(Severity::Damage, patient.name(path), what, "moved to damaged/");
        diagnosis.lost.push(Lost { table: "log", rows: None, starts_ns: None });
        return Ok(());
    }
    let advice = if is_newer {
        "use the newer pitviper-server that wrote it"
    } else {
        "restore it from a backup, or run with --repair to move it to damaged/"
    };
    diagnosis.add(Severity::Damage, patient.name(path), what, advice);
    Ok(())
}

fn take_apart(bytes: &[u8], begin: usize, last_sequence: u64) -> LogFile {
    let mut log = LogFile::default();
    let (mut at, mut last) = (begin, last_sequence);
    while at < bytes.len() {
        match next_frame(&bytes[at..]) {
            Some((sequence, body)) => {
                let end = at + FRAME_HEADER_BYTES + body.len();
                match frame::decode(body) {
                    Ok(_) => log.frames.push((sequence, at..end)),
                    Err(_) => log.undecodable.push(sequence),
                }
                log.behind += usize::from(log.torn_at.is_some());
                (at, last) = (end, sequence);
            }
            None => {
                log.torn_at.get_or_insert(at);
                match find_frame(bytes, at + 1, last) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    log
}

/// Where the next whole frame begins whose number can follow.
fn find_frame(bytes: &[u8], from: usize, last: u64) -> Option<usize> {
    (from..bytes.len().saturating_sub(FRAME_HEADER_BYTES)).find(|&at| {
        let Some(Ok(sequence)) = bytes.get(at + 8..at + 16).map(<[u8; 8]>::try_from) else { return false };
        let leap = u64::from_le_bytes(sequence).checked_sub(last);
        leap.is_some_and(|leap| (1..=MAX_SEQUENCE_LEAP).contains(&leap)) && next_frame(&bytes[at..]).is_some()
    })
}

fn note_gap(
    patient: &Patient,
    path: &Path,
    flushed: Option<u64>,
    last: Option<u64>,
    sequence: u64,
    diagnosis: &mut Diagnosis,
) {
    let before = last.into_iter().chain(flushed).max();
    let Some(before) = before else { return };
    if sequence > before + 1 && !patient.is_in_use {
        let what = format!(
            "writes {} to {} are not in the log; numbers are left out when the disk refuses a write, and such a \
             write was not acknowledged",
            before + 1,
            sequence - 1
        );
        let advice = "nothing, unless a log file was deleted: then restore it from a backup";
        diagnosis.add(Severity::Note, patient.name(path), what, advice);
    }
}

fn judge(
    patient: &Patient,
    path: &Path,
    bytes: &[u8],
    begin: usize,
    log: &LogFile,
    is_under_way: bool,
    diagnosis: &mut Diagnosis,
) -> Result<(), StoreError> {
    let torn_bytes = log.torn_at.map_or(0, |at| bytes.len() - at);
    let is_only_torn = log.behind == 0 && log.undecodable.is_empty();
    let (severity, what) = if is_only_torn && (torn_bytes == 0 || is_under_way) {
        return Ok(());
    } else if is_only_torn {
        let what = format!(
            "its last {torn_bytes} bytes are not a whole write, as a crash in the middle of one leaves them; a write \
             is acknowledged when it is whole, so none that was acknowledged is missing unless the disk lost it"
        );
        (Severity::Warning, what)
    } else if log.undecodable.is_empty() {
        let what = format!(
            "there is a damaged place at byte {}, and {} whole writes behind it, which the server would cut off",
            log.torn_at.unwrap_or_default(),
            log.behind
        );
        (Severity::Damage, what)
    } else {
        let what = format!("writes {:?} are whole and not readable; the server refuses to start", log.undecodable);
        (Severity::Damage, what)
    };
    if !patient.repair {
        let advice = if is_only_torn {
            "nothing, the server cuts it off when it starts; or run with --repair"
        } else {
            "do not start the server; run with --repair to keep all whole writes"
        };
        diagnosis.add(severity, patient.name(path), what, advice);
        return Ok(());
    }
    rewrite(patient, path, bytes, begin, log)?;
    let done = if is_only_torn {
        format!("cut off; the bytes are in {DAMAGED_DIR}/")
    } else {
        format!("whole writes kept; the file as it was is in {DAMAGED_DIR}/")
    };
    diagnosis.repaired(severity, patient.name(path), what, done);
    diagnosis.lost.push(Lost { table: "log", rows: None, starts_ns: None });
    Ok(())
}

/// Puts a file with only the whole writes in place of the damaged one, which goes to `damaged/`.
fn rewrite(patient: &Patient, path: &Path, bytes: &[u8], begin: usize, log: &LogFile) -> Result<(), StoreError> {
    let context = || format!("mending the log {}", path.display());
    let mut whole = bytes[..begin.min(bytes.len())].to_vec();
    for (_, range) in &log.frames {
        whole.extend_from_slice(&bytes[range.clone()]);
    }
    let mend = || -> std::io::Result<()> {
        std::fs::create_dir_all(&patient.temporary_dir)?;
        let name = path.file_name().unwrap_or_default();
        let temporary = patient.temporary_dir.join(name);
        let aside = patient.dir.join(DAMAGED_DIR);
        std::fs::create_dir_all(&aside)?;
        std::fs::copy(path, aside.join(name))?;
        sync_dir(&aside)?;
        if whole.len() <= HEADER_BYTES {
            std::fs::remove_file(path)?;
        } else {
            std::fs::write(&temporary, &whole)?;
            std::fs::File::open(&temporary)?.sync_all()?;
            std::fs::rename(&temporary, path)?;
        }
        path.parent().map_or(Ok(()), sync_dir)
    };
    mend().map_err(io_error(context))
}
