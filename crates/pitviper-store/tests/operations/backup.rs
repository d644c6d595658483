//! Backups are taken while the store is written to, merged and flushed, and open with all of it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Examination, backup, examine};

use crate::support::{SPANS_A_WRITE, assert_holds, open, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_under_load_holds_every_acknowledged_write_once() {
    const BACKUPS: usize = 12;
    let scratch = tempfile::tempdir().unwrap();
    let live = scratch.path().join("live");
    let config = EmbeddedConfig { flush_rows: 300, ..EmbeddedConfig::new(&live) };
    let store = EmbeddedStore::open(config).await.unwrap();
    let (acknowledged, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writer = tokio::spawn({
        let (store, acknowledged, done) = (store.clone(), acknowledged.clone(), done.clone());
        async move {
            for number in 0.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                store.append(write(number)).await.unwrap();
                acknowledged.store(number + 1, Ordering::Release);
            }
        }
    });
    let merger = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            while !done.load(Ordering::Acquire) {
                store.compact().await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    });
    let mut taken = Vec::new();
    for number in 0..BACKUPS {
        tokio::time::sleep(std::time::Duration::from_millis(40)).await;
        let dest = scratch.path().join(format!("backup-{number}"));
        let before = acknowledged.load(Ordering::Acquire);
        let (from, to) = (live.clone(), dest.clone());
        let report = tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap().unwrap();
        taken.push((dest, before, report));
    }
    done.store(true, Ordering::Release);
    writer.await.unwrap();
    merger.await.unwrap();
    let stats = store.stats();
    assert!(stats.flushes > 3 && stats.merges > 0, "the test is about flushes and merges: {stats:?}");
    // What the live store does afterwards does not concern a backup.
    store.compact().await.unwrap();
    store.close().await.unwrap();
    for (dest, before, report) in taken {
        let looked = examine(&dest, Examination { deep: true, repair: false }).unwrap();
        assert_eq!(looked.worst(), None, "{looked:#?}");
        let store = open(&dest).await;
        let there = store.stats().spans / SPANS_A_WRITE;
        assert!(there >= before, "{before} acknowledged, {there} in the backup: {report:?}");
        assert_holds(store.as_ref(), 0..there).await;
        store.append(write(there)).await.unwrap();
        drop(store);
        assert_holds(open(&dest).await.as_ref(), 0..=there).await;
    }
}

#[tokio::test]
async fn segments_are_linked_and_outlive_the_original() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, dest) = (scratch.path().join("live"), scratch.path().join("dest"));
    let store = open(&live).await;
    for number in 0..3 {
        store.append(write(number)).await.unwrap();
    }
    store.flush().await.unwrap();
    store.append(write(3)).await.unwrap();
    fs::write(live.join("client-settings.json"), "{}").unwrap();
    let report = backup(&live, &dest).unwrap();
    // A segment of spans with its two indexes, its trace ids and its facets, one of metrics, and one of resources.
    assert_eq!((report.segments, report.linked_files, report.copied_files, report.attempts), (3, 7, 0, 1));
    assert!(report.log_bytes > 0 && report.segment_bytes > 0);
    let segment = fs::read_dir(dest.join("segments")).unwrap().next().unwrap().unwrap();
    assert_eq!(segment.metadata().unwrap().nlink(), 2);
    assert_eq!(fs::read(dest.join("client-settings.json")).unwrap(), b"{}");
    drop(store);
    fs::remove_dir_all(&live).unwrap();
    assert_holds(open(&dest).await.as_ref(), 0..4).await;
}

#[tokio::test]
async fn a_backup_never_overwrites() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, dest) = (scratch.path().join("live"), scratch.path().join("dest"));
    let store = open(&live).await;
    store.append(write(0)).await.unwrap();
    fs::create_dir(&dest).unwrap();
    let refused = backup(&live, &dest).unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");
    fs::remove_dir(&dest).unwrap();
    backup(&live, &dest).unwrap();
    store.append(write(1)).await.unwrap();
    let refused = backup(&live, &dest).unwrap_err();
    assert!(refused.to_string().contains("is there already"), "{refused}");
    assert_holds(open(&dest).await.as_ref(), 0..1).await;
}

#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let live = scratch.path().join("live");
    backup(&live, &scratch.path().join("dest")).unwrap_err();
    let store = open(&live).await;
    store.append(write(0)).await.unwrap();
    store.flush().await.unwrap();
    drop(store);
    // A segment is missing for good: the manifest names it every time it is taken.
    for entry in fs::read_dir(live.join("segments")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let failed = backup(&live, &scratch.path().join("dest")).unwrap_err();
    assert!(failed.to_string().contains("backup of"), "{failed}");
    let left: Vec<_> = fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["live"]);
}

#[tokio::test]
async fn an_index_that_is_lost_does_not_stop_a_backup() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, dest) = (scratch.path().join("live"), scratch.path().join("dest"));
    let store = open(&live).await;
    store.append(write(0)).await.unwrap();
    store.flush().await.unwrap();
    for entry in fs::read_dir(live.join("segments")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().unwrap() == "traces" {
            fs::remove_file(path).unwrap();
        }
    }
    // It may just have been going, so the manifest was taken again.
    assert_eq!(backup(&live, &dest).unwrap().attempts, 2);
    assert_holds(open(&dest).await.as_ref(), 0..1).await;
}
