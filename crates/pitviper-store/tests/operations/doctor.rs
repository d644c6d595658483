//! A real directory, damaged in each way the doctor knows.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::UInt32Array;
use arrow::compute::{concat_batches, take_record_batch};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pitviper_store::embedded::{Diagnosis, EmbeddedConfig, EmbeddedStore, Examination, Finding, Severity, examine};
use pitviper_store::{Store, StoreError};
use rusqlite::Connection;

use crate::support::{SPANS_A_WRITE, assert_holds, copy_dir, open, write};

const LOOK: Examination = Examination { deep: false, repair: false };
const DEEP: Examination = Examination { deep: true, repair: false };
const REPAIR: Examination = Examination { deep: true, repair: true };

/// Writes 0 to 3 in segments, 4 and 5 in the log.
async fn filled(dir: &Path) {
    filled_from(dir, 0).await;
}

async fn filled_from(dir: &Path, first: u64) {
    let store = open(dir).await;
    for number in first..first + 4 {
        store.append(write(number)).await.unwrap();
    }
    store.flush().await.unwrap();
    for number in first + 4..first + 6 {
        store.append(write(number)).await.unwrap();
    }
}

fn files(dir: &Path, part: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join(part))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

fn spans_segment(dir: &Path) -> PathBuf {
    let is_spans = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("spans-");
    files(dir, "segments", "parquet").into_iter().find(is_spans).unwrap()
}

/// The one finding that is more than a note.
#[track_caller]
fn only(diagnosis: &Diagnosis) -> &Finding {
    let findings: Vec<&Finding> =
        diagnosis.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings[0]
}

/// Looks, which changes nothing; repairs; and looks again, when all is well.
#[track_caller]
fn finds_and_mends(dir: &Path, severity: Severity, what: &str) -> Diagnosis {
    let before = listing(dir);
    let found = examine(dir, DEEP).unwrap();
    let finding = only(&found);
    assert!(finding.what.contains(what), "{finding:#?}");
    assert_eq!((finding.severity, finding.is_repaired, found.worst()), (severity, false, Some(severity)));
    assert_eq!(listing(dir), before, "looking changes nothing");
    let mended = examine(dir, REPAIR).unwrap();
    assert!(only(&mended).is_repaired, "{mended:#?}");
    assert_eq!(mended.worst(), None);
    let after = examine(dir, DEEP).unwrap();
    assert_eq!(after.worst(), None, "{after:#?}");
    mended
}

/// Each file with its size, the manifest's own aside.
fn listing(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for part in ["segments", "tmp", "wal"] {
        for entry in fs::read_dir(dir.join(part)).unwrap() {
            let entry = entry.unwrap();
            found.push((entry.path(), entry.metadata().unwrap().len()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_healthy_directory_has_no_findings() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let before = listing(scratch.path());
    for examination in [LOOK, DEEP, REPAIR] {
        let diagnosis = examine(scratch.path(), examination).unwrap();
        assert_eq!(diagnosis.findings, [], "{examination:?}");
        // Spans, metrics and resources, and of the log what is not flushed yet.
        assert_eq!((diagnosis.segments, diagnosis.log_writes_unflushed, diagnosis.is_in_use), (3, 2, false));
        assert!(diagnosis.rows >= 4 * SPANS_A_WRITE && diagnosis.free_bytes.is_some());
    }
    assert_eq!(listing(scratch.path()), before);
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn a_directory_in_use_is_looked_at_and_left_alone() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let store = open(scratch.path()).await;
    fs::remove_file(&files(scratch.path(), "segments", "traces")[0]).unwrap();
    let looked = examine(scratch.path(), LOOK).unwrap();
    assert!(looked.is_in_use && looked.worst() == Some(Severity::Warning), "{looked:#?}");
    let refused = examine(scratch.path(), REPAIR).unwrap();
    assert!(refused.findings.iter().all(|finding| !finding.is_repaired), "{refused:#?}");
    assert!(refused.findings.iter().any(|finding| finding.advice.contains("stop the server")), "{refused:#?}");
    assert_eq!(files(scratch.path(), "segments", "traces"), Vec::<PathBuf>::new());
    assert_holds(store.as_ref(), 0..6).await;
}

#[tokio::test]
async fn indexes_are_made_anew_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    for kind in ["traces", "attributes"] {
        let path = files(scratch.path(), "segments", kind).remove(0);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        finds_and_mends(scratch.path(), Severity::Warning, "the index is missing");
        assert_eq!(fs::read(&path).unwrap(), whole);
        for at in [0, 20, whole.len() / 2, whole.len() - 1] {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, damaged).unwrap();
            let mended = finds_and_mends(scratch.path(), Severity::Warning, "damaged");
            assert_eq!(mended.lost, [], "an index holds no rows");
            assert_eq!(fs::read(&path).unwrap(), whole, "{kind}, byte {at}");
        }
    }
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn facets_are_made_anew_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let path = files(scratch.path(), "segments", "facets").remove(0);
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "the facets are missing");
    assert_eq!(fs::read(&path).unwrap(), whole);
    fs::write(&path, &whole[1..]).unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "the facets cannot be used");
    assert_eq!(fs::read(&path).unwrap(), whole);
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn sums_are_made_anew_as_they_were() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..4 {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
    }
    store.compact().await.unwrap();
    store.close().await.unwrap();
    let path = files(scratch.path(), "segments", "sums").remove(0);
    let whole = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "the sums are missing");
    assert_eq!(fs::read(&path).unwrap(), whole);
    for at in [0, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        finds_and_mends(scratch.path(), Severity::Warning, "the sums cannot be used");
        assert_eq!(fs::read(&path).unwrap(), whole, "byte {at}");
    }
    assert_holds(open(scratch.path()).await.as_ref(), 0..4).await;
}

#[tokio::test]
async fn an_index_of_other_rows_is_damage() {
    let (scratch, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(scratch.path()).await;
    filled_from(other.path(), 100).await;
    let path = files(scratch.path(), "segments", "traces").remove(0);
    // Whole, and of as many rows: only looking values up tells.
    fs::copy(files(other.path(), "segments", "traces").remove(0), &path).unwrap();
    finds_and_mends(scratch.path(), Severity::Damage, "look-ups miss rows");
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn a_missing_segment_is_named_and_given_up_only_when_asked() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    for path in files(scratch.path(), "segments", "parquet") {
        fs::remove_file(path).unwrap();
    }
    let refused = EmbeddedStore::open(EmbeddedConfig::new(scratch.path())).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Damaged { .. }), "{refused}");
    assert!(refused.to_string().contains("pitviper-server doctor --data-dir"), "{refused}");
    let mended = examine(scratch.path(), REPAIR).unwrap();
    assert_eq!(mended.worst(), None, "{mended:#?}");
    let start = 1_700_000_000_000_000_000;
    let spans = mended.lost.iter().find(|lost| lost.table == "spans").unwrap();
    assert_eq!((spans.rows, spans.starts_ns), (Some(28), Some((start, start + 3_000_006))));
    assert_eq!(files(scratch.path(), "damaged", "txt").len(), 3);
    assert_holds(open(scratch.path()).await.as_ref(), 4..6).await;
}

#[tokio::test]
async fn an_unreadable_segment_is_moved_aside() {
    for keep in [0, 100, 2_000] {
        let scratch = tempfile::tempdir().unwrap();
        filled(scratch.path()).await;
        let segment = spans_segment(scratch.path());
        fs::OpenOptions::new().write(true).open(&segment).unwrap().set_len(keep).unwrap();
        let mended = finds_and_mends(scratch.path(), Severity::Damage, "the segment cannot be read");
        assert_eq!(mended.lost[0].rows, Some(4 * SPANS_A_WRITE));
        let aside = scratch.path().join("damaged").join(segment.file_name().unwrap());
        assert_eq!((segment.exists(), fs::metadata(aside).unwrap().len()), (false, keep));
        let note = fs::read_to_string(&files(scratch.path(), "damaged", "txt")[0]).unwrap();
        assert!(note.contains("28 rows"), "{note}");
        assert_eq!(open(scratch.path()).await.stats().spans, 2 * SPANS_A_WRITE);
    }
}

#[tokio::test]
async fn a_manifest_that_says_something_else_is_told_from_the_file() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    for change in ["row_count = 27", "byte_count = byte_count + 1", "max_start_ns = min_start_ns", "min_start_ns = 1"] {
        let manifest = Connection::open(scratch.path().join("manifest.sqlite")).unwrap();
        manifest.execute(&format!("UPDATE segments SET {change} WHERE table_name = 'spans'"), []).unwrap();
        drop(manifest);
        finds_and_mends(scratch.path(), Severity::Damage, "the manifest says");
    }
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn rows_out_of_order_are_seen() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let segment = spans_segment(scratch.path());
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&segment).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let rows = concat_batches(&schema, &batches).unwrap();
    let backwards = UInt32Array::from_iter_values((0..rows.num_rows() as u32).rev());
    let mut writer = ArrowWriter::try_new(fs::File::create(&segment).unwrap(), schema, None).unwrap();
    writer.write(&take_record_batch(&rows, &backwards).unwrap()).unwrap();
    writer.close().unwrap();
    let found = examine(scratch.path(), LOOK).unwrap();
    let disorder = found.findings.iter().find(|finding| finding.what.contains("row 1 stands out of order"));
    assert_eq!(disorder.map(|finding| finding.severity), Some(Severity::Damage), "{found:#?}");
}

#[tokio::test]
async fn a_torn_log_is_cut_as_the_server_would() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let log = files(scratch.path(), "wal", "wal").pop().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "not a whole write");
    let store = open(scratch.path()).await;
    assert_eq!(store.stats().wal_frames_truncated, 0, "there is nothing left to cut");
    assert_holds(store.as_ref(), 0..5).await;
}

#[tokio::test]
async fn writes_behind_a_damaged_one_are_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    let log = || files(scratch.path(), "wal", "wal").pop().unwrap();
    let mut ends = Vec::new();
    for number in 0..4 {
        store.append(write(number)).await.unwrap();
        ends.push(fs::metadata(log()).unwrap().len() as usize);
    }
    drop(store);
    let mut bytes = fs::read(log()).unwrap();
    bytes[ends[0] + 40] ^= 1;
    fs::write(log(), &bytes).unwrap();
    let mended = finds_and_mends(scratch.path(), Severity::Damage, "2 whole writes behind it");
    assert_eq!(mended.lost.len(), 1);
    assert_eq!(fs::read(&files(scratch.path(), "damaged", "wal")[0]).unwrap(), bytes, "the file as it was");
    assert_holds(open(scratch.path()).await.as_ref(), [0, 2, 3]).await;
}

#[tokio::test]
async fn a_whole_write_that_cannot_be_read_is_taken_out() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..2 {
        store.append(write(number)).await.unwrap();
    }
    drop(store);
    let log = files(scratch.path(), "wal", "wal").pop().unwrap();
    let body = b"no table has this number";
    let sequence = 3u64.to_le_bytes();
    let checksum = crc32fast::hash(&[&sequence[..], body].concat());
    let mut bytes = fs::read(&log).unwrap();
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&sequence);
    bytes.extend_from_slice(body);
    fs::write(&log, bytes).unwrap();
    assert!(EmbeddedStore::open(EmbeddedConfig::new(scratch.path())).await.is_err());
    finds_and_mends(scratch.path(), Severity::Damage, "writes [3] are whole and not readable");
    assert_holds(open(scratch.path()).await.as_ref(), 0..2).await;
}

#[tokio::test]
async fn a_foreign_log_file_is_moved_aside() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    fs::write(scratch.path().join("wal/00000000000000000000.wal"), b"something else").unwrap();
    assert!(EmbeddedStore::open(EmbeddedConfig::new(scratch.path())).await.is_err());
    finds_and_mends(scratch.path(), Severity::Damage, "the server refuses to start with this file");
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn leftovers_are_removed_and_foreign_files_are_not() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    fs::write(scratch.path().join("tmp/half.parquet"), b"PAR1").unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "never finished");
    fs::write(scratch.path().join("segments/spans-unknown.parquet"), b"PAR1").unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "the manifest does not know it");
    fs::create_dir_all(scratch.path().join(".export-1/segments")).unwrap();
    finds_and_mends(scratch.path(), Severity::Warning, "an export that was cut short");
    let foreign = scratch.path().join("notes.txt");
    fs::write(&foreign, b"mine").unwrap();
    let repaired = examine(scratch.path(), REPAIR).unwrap();
    assert_eq!((repaired.worst(), repaired.findings.len()), (None, 1));
    assert!(foreign.exists());
}

#[tokio::test]
async fn without_its_manifest_nothing_is_thrown_away() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let manifest = scratch.path().join("manifest.sqlite");
    let whole = fs::read(&manifest).unwrap();
    for gone in ["manifest.sqlite", "manifest.sqlite-wal", "manifest.sqlite-shm"] {
        let _ = fs::remove_file(scratch.path().join(gone));
    }
    let before = listing(scratch.path());
    let refused = EmbeddedStore::open(EmbeddedConfig::new(scratch.path())).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Damaged { .. }), "{refused}");
    let found = examine(scratch.path(), LOOK).unwrap();
    assert_eq!(found.worst(), Some(Severity::Damage));
    assert!(only(&found).what.contains("the manifest is missing"));
    let mut damaged = whole.clone();
    damaged[100..].fill(0x5a);
    fs::write(&manifest, damaged).unwrap();
    let found = examine(scratch.path(), LOOK).unwrap();
    assert_eq!((only(&found).place.as_str(), found.worst()), ("manifest.sqlite", Some(Severity::Damage)));
    assert_eq!(listing(scratch.path()), before);
    fs::write(&manifest, whole).unwrap();
    assert_holds(open(scratch.path()).await.as_ref(), 0..6).await;
}

#[tokio::test]
async fn a_newer_directory_is_not_touched() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let manifest = Connection::open(scratch.path().join("manifest.sqlite")).unwrap();
    manifest.pragma_update(None, "user_version", 1_000).unwrap();
    drop(manifest);
    let found = examine(scratch.path(), REPAIR).unwrap();
    assert!(only(&found).what.contains("schema version 1000"), "{found:#?}");
    assert_eq!(found.worst(), Some(Severity::Damage));
}

#[tokio::test]
async fn what_is_no_data_directory_is_said_so() {
    let scratch = tempfile::tempdir().unwrap();
    let refused = examine(scratch.path(), LOOK).unwrap_err();
    assert!(refused.to_string().contains("no data directory"), "{refused}");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    // A copy is one as well.
    let copy = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    copy_dir(scratch.path(), copy.path());
    assert_eq!(examine(copy.path(), DEEP).unwrap().worst(), None);
}
