//! Makes a manifest that is lost anew, from what the segments and the log say of themselves.
//!
//! No row may come back twice. Which segments count is known from the writes they hold, which their
//! footers name (see [`segment_note`](crate::embedded::segment_note)): those that count never overlap, and
//! of two that do, the one of the lower level was merged into the other. The segments of the last flush
//! count once the manifest knew them, which their files do not tell; but it knew them before any of their
//! writes left the log. So when the log still has all of these, they are taken from there.
//!
//! What retention had let go in the moment of a crash may come back, and goes again.

use std::fs;
use std::path::PathBuf;

use rustc_hash::FxHashSet;

use super::report::{Diagnosis, Lost, Severity};
use super::{Patient, log, segments};
use crate::embedded::manifest::{Manifest, SegmentRow, Table};
use crate::embedded::segment::{beside, bytes_beside};
use crate::embedded::segment_note::{Writes, parts_of_name};
use crate::embedded::{io_error, sync_dir};
use crate::store::StoreError;

/// What the manifest is called.
pub(super) const MANIFEST: &str = "manifest.sqlite";
/// Most files that are named in a finding.
const MAX_NAMED: usize = 5;

/// A segment's file that can be read.
struct Candidate {
    row: SegmentRow,
    /// `None` when it was merged from segments that did not say which they hold.
    writes: Option<Writes>,
}

/// What the manifest has to say.
#[derive(Default)]
struct Plan {
    rows: Vec<SegmentRow>,
    flushed_sequence: u64,
    /// Files that cannot be read, and why.
    unreadable: Vec<(String, String)>,
    /// Files of which nobody can tell whether others hold their rows.
    unclear: Vec<String>,
    /// Files that bear no segment's name.
    strange: Vec<String>,
    /// How many files hold rows that others, or the log, hold as well.
    superseded: usize,
}

/// Says that the manifest is lost, and makes it anew where that was asked for and can be done.
pub(super) fn examine(
    patient: &Patient,
    what: &str,
    diagnosis: &mut Diagnosis,
) -> Result<Option<Manifest>, StoreError> {
    const RESTORE: &str = "restore the directory from a backup, or keep it and report this";
    if patient.is_in_use {
        diagnosis.add(Severity::Damage, MANIFEST, what, RESTORE);
        return Ok(None);
    }
    let plan = Plan::make(patient)?;
    if !plan.unclear.is_empty() {
        let what = format!(
            "{what}; it cannot be made anew, as {} segments were merged by a version that did not write down from \
             which others, and nobody can tell whether their rows are there twice: {}",
            plan.unclear.len(),
            named(&plan.unclear)
        );
        diagnosis.add(Severity::Damage, MANIFEST, what, RESTORE);
        return Ok(None);
    }
    let what = format!("{what}; the files of {} segments say what stood in it", plan.rows.len());
    if !patient.repair {
        let advice = "restore the directory from a backup, or run with --repair to make it anew from the segments";
        diagnosis.add(Severity::Damage, MANIFEST, what, advice);
        return Ok(None);
    }
    let manifest = plan.carry_out(patient, &what)?;
    let done = format!(
        "made anew with {} segments and the writes up to {}; {} files hold rows that are elsewhere as well and were \
         left out; how many spans retention and thinning ever let go is counted from zero again",
        plan.rows.len(),
        plan.flushed_sequence,
        plan.superseded
    );
    diagnosis.repaired(Severity::Damage, MANIFEST, what, done);
    for (file, why) in &plan.unreadable {
        let parts = parts_of_name(file);
        let is_in_log = parts.is_some_and(|(_, first, ..)| first > plan.flushed_sequence);
        let rest = if is_in_log { "its writes are still in the log" } else { "what only it held is lost" };
        let what = format!("the segment cannot be read ({why}); {rest}");
        diagnosis.repaired(Severity::Damage, format!("segments/{file}"), what, "moved to damaged/");
        if !is_in_log {
            let table = parts.and_then(|(table, ..)| Table::parse(table)).map_or("unknown", Table::as_str);
            diagnosis.lost.push(Lost { table, rows: None, starts_ns: None });
        }
    }
    for file in &plan.strange {
        let what = "this file has no segment's name, so it was never the manifest's";
        diagnosis.repaired(Severity::Warning, format!("segments/{file}"), what, "moved to damaged/");
    }
    Ok(Some(manifest))
}

/// What a manifest that SQLite finds whole says all the same that cannot be; `None` when there is nothing.
pub(super) fn contradiction(patient: &Patient, manifest: &Manifest) -> Result<Option<String>, StoreError> {
    if patient.is_in_use {
        return Ok(None);
    }
    let rows = manifest.segments()?;
    let count = manifest.segment_count()?;
    if count != rows.len() as u64 {
        let unknown = count - rows.len() as u64;
        return Ok(Some(format!("the manifest names {unknown} segments of tables that there are not")));
    }
    let names: FxHashSet<&str> = rows.iter().map(|row| row.file.as_str()).collect();
    let files = segment_files(patient)?;
    let missing = rows.iter().filter(|row| !files.contains(&row.file)).count();
    let is_unknown = |file: &&String| !names.contains(file.as_str()) && is_whole(patient, file);
    let unknown = if missing > 0 { files.iter().filter(is_unknown).count() } else { 0 };
    if unknown > 0 {
        return Ok(Some(format!(
            "the manifest names {missing} segments that are not there, and there are {unknown} that it does not name"
        )));
    }
    let (flushed, last) = (manifest.flushed_sequence()?, rows.iter().map(|row| row.max_sequence).max());
    let Some(last) = last else { return Ok(None) };
    if flushed < last {
        return Ok(Some(format!(
            "the manifest says that write {flushed} was the last to be flushed, and a segment has {last}"
        )));
    }
    let (logged, _) = log::sequences(patient)?;
    if flushed > last && logged.iter().any(|sequence| (last + 1..=flushed).contains(sequence)) {
        return Ok(Some(format!(
            "the manifest says that writes {} to {flushed} were flushed, and they are in the log and in no segment",
            last + 1
        )));
    }
    Ok(None)
}

/// Whether it has a segment's name and can be opened.
fn is_whole(patient: &Patient, file: &str) -> bool {
    candidate(patient, file).is_ok_and(|candidate| candidate.is_some())
}

impl Plan {
    fn make(patient: &Patient) -> Result<Self, StoreError> {
        let mut plan = Self::default();
        let mut candidates = Vec::new();
        for file in segment_files(patient)? {
            match candidate(patient, &file) {
                Ok(Some(found)) => candidates.push(found),
                Ok(None) => plan.strange.push(file),
                Err(why) => plan.unreadable.push((file, why)),
            }
        }
        // Those that others were merged into come first.
        candidates.sort_by(|left, right| (right.row.level, &left.row.file).cmp(&(left.row.level, &right.row.file)));
        plan.leave_to_log(patient, &mut candidates)?;
        for table in Table::ALL {
            plan.choose(candidates.iter().filter(|candidate| candidate.row.table == table).collect());
        }
        plan.flushed_sequence = plan.rows.iter().map(|row| row.max_sequence).max().unwrap_or_default();
        Ok(plan)
    }

    /// Takes out the segments of the last flush when the manifest may not have known them, and the log has
    /// their writes.
    fn leave_to_log(&mut self, patient: &Patient, candidates: &mut Vec<Candidate>) -> Result<(), StoreError> {
        let range = |candidate: &Candidate| (candidate.row.min_sequence, candidate.row.max_sequence);
        let flushed = |candidate: &&Candidate| candidate.row.level == 0;
        let Some((first, last)) = candidates.iter().filter(flushed).map(range).max_by_key(|(_, last)| *last) else {
            return Ok(());
        };
        // What was merged had been made to count.
        if candidates.iter().any(|candidate| candidate.row.level > 0 && candidate.row.max_sequence >= first) {
            return Ok(());
        }
        let (logged, is_whole) = log::sequences(patient)?;
        if is_whole && logged.contains(&first) && logged.contains(&last) {
            let before = candidates.len();
            candidates.retain(|candidate| range(candidate) != (first, last));
            self.superseded += before - candidates.len();
        }
        Ok(())
    }

    /// Chooses the segments of one table that count, from those that others were merged into on.
    fn choose(&mut self, candidates: Vec<&Candidate>) {
        let mut held = Writes::default();
        for candidate in &candidates {
            let row = &candidate.row;
            let others = candidates.iter().filter(|other| other.row.file != row.file);
            let overlaps = |other: &&&Candidate| {
                other.row.min_sequence <= row.max_sequence && row.min_sequence <= other.row.max_sequence
            };
            let writes = match &candidate.writes {
                Some(writes) => writes.clone(),
                // With no other near, it does not matter which of them it holds.
                None if others.filter(overlaps).count() == 0 => Writes::of_flush(row.min_sequence, row.max_sequence),
                None => {
                    self.unclear.push(row.file.clone());
                    continue;
                }
            };
            if writes.is_apart_from(&held) {
                held = Writes::union([held, writes]);
                self.rows.push(row.clone());
            } else if writes.is_within(&held) {
                self.superseded += 1;
            } else {
                self.unclear.push(row.file.clone());
            }
        }
    }

    /// Puts the new manifest in place of what is left of the old one, which goes to `damaged/` like what cannot
    /// be read. Only then are files that do not count superfluous.
    fn carry_out(&self, patient: &Patient, what: &str) -> Result<Manifest, StoreError> {
        let context = || "making the manifest anew".to_owned();
        fs::create_dir_all(&patient.temporary_dir).map_err(io_error(context))?;
        let made = patient.temporary_dir.join(MANIFEST);
        let with_log = |path: PathBuf| {
            let beside = ["-wal", "-shm"].map(|end| {
                let mut name = path.as_os_str().to_owned();
                name.push(end);
                PathBuf::from(name)
            });
            [path].into_iter().chain(beside)
        };
        // Of a repair that was cut short.
        with_log(made.clone()).for_each(|path| drop(fs::remove_file(path)));
        Manifest::open(&made)?.add_segments(&self.rows, self.flushed_sequence)?;
        let old: Vec<PathBuf> = with_log(patient.dir.join(MANIFEST)).filter(|path| path.exists()).collect();
        if !old.is_empty() {
            patient.set_aside(&old, what)?;
        }
        for (file, why) in &self.unreadable {
            let path = patient.segments_dir.join(file);
            let files: Vec<PathBuf> = [path.clone()].into_iter().chain(beside(&path)).collect();
            patient.set_aside(&files, &format!("{what}\nthe segment cannot be read ({why})"))?;
        }
        for file in &self.strange {
            patient.set_aside(&[patient.segments_dir.join(file)], what)?;
        }
        fs::rename(&made, patient.dir.join(MANIFEST))
            .and_then(|()| sync_dir(&patient.dir))
            .map_err(io_error(context))?;
        Manifest::open(&patient.dir.join(MANIFEST))
    }
}

/// What a file says of itself; `None` when it has no segment's name, and why it cannot be read.
fn candidate(patient: &Patient, file: &str) -> Result<Option<Candidate>, String> {
    let Some((table, min_sequence, max_sequence, level)) = parts_of_name(file) else { return Ok(None) };
    let Some(table) = Table::parse(table) else { return Ok(None) };
    let path = patient.segments_dir.join(file);
    let facts = segments::read(&path, table, patient.deep).map_err(|trouble| trouble.to_string())?;
    let (min_start_ns, max_start_ns) = facts.starts_ns.unwrap_or_default();
    let note = segments::note(&path)?;
    let row = SegmentRow {
        table,
        file: file.to_owned(),
        rows: facts.rows,
        bytes: facts.bytes,
        index_bytes: bytes_beside(&path),
        min_start_ns,
        max_start_ns,
        min_sequence,
        max_sequence,
        level,
        bucket_ns: note.as_ref().map_or(0, |note| note.bucket_ns),
        services: facts.services.into_iter().flatten().collect(),
        written_ns: note.as_ref().map_or(i64::MAX, |note| note.written_ns),
        thinned: note.as_ref().is_some_and(|note| note.thinned),
    };
    let writes = match note {
        Some(note) => note.writes,
        None => (level == 0).then(|| Writes::of_flush(min_sequence, max_sequence)),
    };
    Ok(Some(Candidate { row, writes }))
}

/// The names of the Parquet files among the segments, sorted.
fn segment_files(patient: &Patient) -> Result<Vec<String>, StoreError> {
    if !patient.segments_dir.exists() {
        return Ok(Vec::new());
    }
    let list = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&patient.segments_dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            names.extend(name.ends_with(".parquet").then_some(name));
        }
        names.sort();
        Ok(names)
    };
    list().map_err(io_error(|| format!("listing {}", patient.segments_dir.display())))
}

fn named(files: &[String]) -> String {
    let more = if files.len() > MAX_NAMED { ", …" } else { "" };
    format!("{}{more}", files[..files.len().min(MAX_NAMED)].join(", "))
}
