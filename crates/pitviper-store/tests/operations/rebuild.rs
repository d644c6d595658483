//! The manifest, damaged at every place, and made anew from the segments: every span is there once.

use std::fs;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Examination, Severity, examine};
use pitviper_store::{Store, StoreError};

use crate::support::{assert_holds, copy_dir, open, write};

const LOOK: Examination = Examination { deep: false, repair: false };
const REPAIR: Examination = Examination { deep: false, repair: true };

/// Every so many bytes one is flipped; a prime, so that all kinds of places are met.
const FLIP_EVERY: usize = 257;

/// Writes of the directory that is damaged.
const WRITES: u64 = 9;

fn manifest(dir: &Path) -> PathBuf {
    dir.join("manifest.sqlite")
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(dir, copy.path());
    copy
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Merged segments with those they were merged from, as a crash leaves them; segments of two flushes; and
/// writes that are only in the log.
async fn filled(dir: &Path) {
    let store = open(dir).await;
    for number in 0..4 {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
    }
    let inputs = copy_of(dir);
    store.compact().await.unwrap();
    for number in 4..6 {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
    }
    for number in 6..WRITES {
        store.append(write(number)).await.unwrap();
    }
    drop(store);
    for input in segments(inputs.path()) {
        fs::copy(&input, dir.join("segments").join(input.file_name().unwrap())).unwrap();
    }
}

/// Repairs, and asks: every span is there once.
async fn mends(dir: &Path, what: &str) {
    let mended = examine(dir, REPAIR).unwrap();
    assert_eq!((mended.worst(), &mended.lost[..]), (None, &[][..]), "{what}: {mended:#?}");
    assert_eq!(examine(dir, LOOK).unwrap().worst(), None, "{what}");
    assert_holds(open(dir).await.as_ref(), 0..WRITES).await;
}

#[tokio::test]
async fn a_manifest_that_is_gone_or_cut_short_is_made_anew() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let whole = fs::read(manifest(scratch.path())).unwrap();
    for keep in [None, Some(0), Some(1), Some(100), Some(4_096), Some(whole.len() / 2), Some(whole.len() - 4_096)] {
        let copy = copy_of(scratch.path());
        match keep {
            None => fs::remove_file(manifest(copy.path())).unwrap(),
            Some(keep) => fs::write(manifest(copy.path()), &whole[..keep]).unwrap(),
        }
        let before = segments(copy.path());
        let found = examine(copy.path(), LOOK).unwrap();
        assert_eq!(found.worst(), Some(Severity::Damage), "{keep:?}: {found:#?}");
        assert!(found.findings.iter().any(|finding| finding.advice.contains("--repair")), "{keep:?}: {found:#?}");
        assert_eq!(segments(copy.path()), before, "looking changes nothing");
        mends(copy.path(), &format!("cut to {keep:?}")).await;
        assert_eq!(copy.path().join("damaged/manifest.sqlite").exists(), keep.is_some(), "what was there is kept");
    }
}

#[tokio::test]
async fn a_flipped_byte_of_the_manifest_changes_no_answer() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let whole = fs::read(manifest(scratch.path())).unwrap();
    let mut made_anew = 0;
    for (number, at) in (0..whole.len()).step_by(FLIP_EVERY).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (number % 8);
        let copy = copy_of(scratch.path());
        fs::write(manifest(copy.path()), damaged).unwrap();
        let found = examine(copy.path(), LOOK).unwrap();
        if found.findings.iter().any(|finding| finding.advice.contains("move it elsewhere")) {
            // Its version cannot be told from that of a newer program.
            fs::remove_file(manifest(copy.path())).unwrap();
        }
        made_anew += u32::from(found.findings.iter().any(|finding| finding.what.contains("say what stood in it")));
        mends(copy.path(), &format!("byte {at} flipped")).await;
    }
    assert!(made_anew > 0, "no flip was grave");
}

/// The server looks before it lets go of files that the manifest does not name.
#[tokio::test]
async fn a_server_over_a_damaged_manifest_lets_go_of_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..WRITES {
        store.append(write(number)).await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    let whole = fs::read(manifest(scratch.path())).unwrap();
    let with = |from: &[u8], to: &[u8]| {
        let mut damaged = whole.clone();
        for at in 0..damaged.len() - from.len() {
            if damaged[at..].starts_with(from) {
                damaged[at..at + to.len()].copy_from_slice(to);
            }
        }
        damaged
    };
    for damaged in [Vec::new(), with(b"spans-0000", b"spanz-0000"), with(b".parquetspans", b".parquetspanz")] {
        assert_ne!(damaged, whole);
        let copy = copy_of(scratch.path());
        fs::write(manifest(copy.path()), damaged).unwrap();
        let before = segments(copy.path());
        let refused = EmbeddedStore::open(EmbeddedConfig::new(copy.path())).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Damaged { .. }), "{refused}");
        assert_eq!(segments(copy.path()), before);
        mends(copy.path(), "what a server refused").await;
    }
}

/// Bytes that hold what decides which rows count.
#[tokio::test]
async fn a_flipped_byte_where_segments_stand_changes_no_answer() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let whole = fs::read(manifest(scratch.path())).unwrap();
    let needle = b"spans-0000";
    let rows: Vec<usize> = (0..whole.len() - needle.len()).filter(|at| whole[*at..].starts_with(needle)).collect();
    assert!(!rows.is_empty());
    let last = *rows.last().unwrap();
    for at in (last.saturating_sub(24)..last + 130).step_by(5) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 7);
        let copy = copy_of(scratch.path());
        fs::write(manifest(copy.path()), damaged).unwrap();
        mends(copy.path(), &format!("byte {at} flipped, {} behind the name", at as i64 - last as i64)).await;
    }
}

#[tokio::test]
async fn what_is_in_no_log_any_more_counts_and_what_still_is_comes_from_there() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..WRITES {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
    }
    // Files as they are between the end of a flush and the manifest's knowing of it.
    let between = copy_of(scratch.path());
    let of_flush: Vec<PathBuf> = segments(between.path())
        .into_iter()
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("span_metrics-00000000000000000009"))
        .collect();
    assert_eq!(of_flush.len(), 1);
    of_flush.iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::remove_file(manifest(between.path())).unwrap();
    mends(between.path(), "half of a flush").await;
    // Closed, the log is empty.
    store.close().await.unwrap();
    drop(store);
    fs::remove_file(manifest(scratch.path())).unwrap();
    mends(scratch.path(), "no log").await;
}

/// The file as a version wrote it that did not say which writes it holds.
fn forget_note(path: &Path) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), schema, None).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

#[tokio::test]
async fn what_cannot_be_told_is_left_as_it_is() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path()).await;
    let is_merged = |path: &PathBuf| path.to_str().unwrap().ends_with("-1.parquet");
    let merged: Vec<PathBuf> = segments(scratch.path()).into_iter().filter(is_merged).collect();
    assert!(merged.len() >= 2);
    merged.iter().for_each(|path| forget_note(path));
    fs::remove_file(manifest(scratch.path())).unwrap();
    let before = segments(scratch.path());
    let refused = examine(scratch.path(), REPAIR).unwrap();
    assert_eq!(refused.worst(), Some(Severity::Damage), "{refused:#?}");
    assert!(refused.findings.iter().any(|finding| finding.what.contains("nobody can tell")), "{refused:#?}");
    assert_eq!(segments(scratch.path()), before);
}

#[tokio::test]
async fn a_segment_that_is_lost_with_the_manifest_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..2 {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    drop(store);
    for path in segments(scratch.path()) {
        if path.to_str().unwrap().contains("00000000000000000001-0.") {
            fs::write(path, b"PAR1").unwrap();
        }
    }
    fs::remove_file(manifest(scratch.path())).unwrap();
    // As long as the log has its writes nothing is lost.
    let with_log = copy_of(scratch.path());
    let mended = examine(with_log.path(), REPAIR).unwrap();
    assert_eq!((mended.worst(), &mended.lost[..]), (None, &[][..]), "{mended:#?}");
    assert_holds(open(with_log.path()).await.as_ref(), 0..2).await;
    for file in fs::read_dir(scratch.path().join("wal")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let mended = examine(scratch.path(), REPAIR).unwrap();
    assert_eq!(mended.worst(), None, "{mended:#?}");
    assert!(mended.lost.iter().any(|lost| lost.table == "spans" && lost.rows.is_none()), "{mended:#?}");
    assert_holds(open(scratch.path()).await.as_ref(), 1..2).await;
}
