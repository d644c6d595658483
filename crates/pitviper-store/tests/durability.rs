//! An acknowledged write survives crashes at any point, and is seen exactly once.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::{Store, StoreError};

use support::{SPANS_A_WRITE, assert_holds, copy_dir, counted, open, padded_write, write};

const DIR_VARIABLE: &str = "PITVIPER_TEST_STORE_DIR";
const FIRST_VARIABLE: &str = "PITVIPER_TEST_FIRST_WRITE";

/// The directories before and after a flush of four writes, as a crash would leave them.
async fn around_a_flush(scratch: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    let (live, before, after) = (scratch.join("live"), scratch.join("before"), scratch.join("after"));
    let store = open(&live).await;
    for number in 0..4 {
        store.append(write(number)).await.unwrap();
    }
    copy_dir(&live, &before);
    store.flush().await.unwrap();
    copy_dir(&live, &after);
    (before, after)
}

#[tokio::test]
async fn a_crash_before_the_manifest_leaves_only_the_log() {
    let scratch = tempfile::tempdir().unwrap();
    let (before, after) = around_a_flush(scratch.path()).await;
    // The segments are renamed into place, one file is half written, and the manifest knows of none.
    copy_dir(&after.join("segments"), &before.join("segments"));
    fs::write(before.join("tmp/half.parquet"), b"PAR1").unwrap();
    assert_eq!(fs::read_dir(before.join("segments")).unwrap().count(), 7);
    let store = open(&before).await;
    assert_eq!(fs::read_dir(before.join("segments")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(before.join("tmp")).unwrap().count(), 0);
    assert_holds(store.as_ref(), 0..4).await;
    store.flush().await.unwrap();
    assert_holds(store.as_ref(), 0..4).await;
}

#[tokio::test]
async fn a_crash_after_the_manifest_skips_what_the_log_still_has() {
    let scratch = tempfile::tempdir().unwrap();
    let (before, after) = around_a_flush(scratch.path()).await;
    copy_dir(&before.join("wal"), &after.join("wal"));
    assert_eq!(fs::read_dir(after.join("wal")).unwrap().count(), 1);
    let store = open(&after).await;
    assert_eq!(store.stats().hot_spans, 0);
    assert_holds(store.as_ref(), 0..4).await;
    store.append(write(4)).await.unwrap();
    drop(store);
    assert_holds(open(&after).await.as_ref(), 0..5).await;
}

#[tokio::test]
async fn a_torn_log_keeps_what_is_whole_and_counts_the_rest() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    for number in 0..3 {
        store.append(write(number)).await.unwrap();
    }
    drop(store);
    let log = fs::read_dir(scratch.path().join("wal")).unwrap().next().unwrap().unwrap().path();
    let file = fs::OpenOptions::new().write(true).open(log).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let store = open(scratch.path()).await;
    assert_eq!(store.stats().wal_frames_truncated, 1);
    assert_holds(store.as_ref(), 0..2).await;
}

#[tokio::test]
async fn a_flush_that_fails_is_counted_and_tried_again() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    store.append(write(0)).await.unwrap();
    let temporary = scratch.path().join("tmp");
    fs::remove_dir(&temporary).unwrap();
    let refused = store.flush().await;
    assert!(matches!(&refused, Err(StoreError::Io { context, .. }) if context.contains("segment")), "{refused:?}");
    assert_eq!((store.stats().flushes, store.stats().flush_failures), (0, 1));
    assert_holds(store.as_ref(), 0..1).await;
    fs::create_dir(&temporary).unwrap();
    store.append(write(1)).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!((store.stats().flushes, store.stats().hot_spans), (1, 0));
    assert_holds(store.as_ref(), 0..2).await;
}

#[tokio::test]
async fn a_directory_belongs_to_one_store() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    let second = EmbeddedStore::open(EmbeddedConfig::new(scratch.path())).await;
    assert!(matches!(&second, Err(StoreError::Locked { path }) if Path::new(path) == scratch.path()));
    store.close().await.unwrap();
    drop(open(scratch.path()).await);
}

#[tokio::test]
async fn a_closed_store_refuses_writes_and_keeps_what_it_had() {
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    store.append(write(0)).await.unwrap();
    store.close().await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.append(write(1)).await, Err(StoreError::Closed)));
    assert_holds(open(scratch.path()).await.as_ref(), 0..1).await;
}

#[tokio::test]
async fn a_full_memory_budget_refuses_and_recovers() {
    let scratch = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { hot_bytes_limit: 200_000, ..EmbeddedConfig::new(scratch.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    // Without its directory no flush can make room.
    fs::remove_dir(scratch.path().join("tmp")).unwrap();
    let mut accepted = 0;
    let refusal = loop {
        match store.append(write(accepted)).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::Busy { budget: "memory", retry_after_ms: 1.. }), "{refusal}");
    assert!(accepted > 0);
    let stats = store.stats();
    assert_eq!(stats.busy_rejections, 1);
    assert!(stats.hot_bytes <= 200_000);
    fs::create_dir(scratch.path().join("tmp")).unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.stats().hot_bytes, 0);
    store.append(write(accepted)).await.unwrap();
    assert_holds(store.as_ref(), 0..=accepted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_missed_or_seen_twice_while_it_moves() {
    const WRITERS: u64 = 4;
    const WRITES_EACH: u64 = 150;
    let scratch = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { flush_rows: 500, ..EmbeddedConfig::new(scratch.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    let (begun, acknowledged, done) =
        (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let reader = tokio::spawn({
        let (store, begun, acknowledged, done) = (store.clone(), begun.clone(), acknowledged.clone(), done.clone());
        async move {
            let mut looks = 0;
            while !done.load(Ordering::Acquire) {
                let least = acknowledged.load(Ordering::Acquire);
                let seen = counted(store.as_ref()).await;
                let most = begun.load(Ordering::Acquire);
                assert!((least..=most).contains(&seen), "{least} acknowledged, {seen} seen, {most} begun");
                looks += 1;
            }
            looks
        }
    });
    let writers = (0..WRITERS).map(|writer| {
        let (store, begun, acknowledged) = (store.clone(), begun.clone(), acknowledged.clone());
        tokio::spawn(async move {
            for number in 0..WRITES_EACH {
                begun.fetch_add(SPANS_A_WRITE, Ordering::AcqRel);
                store.append(write(writer * WRITES_EACH + number)).await.unwrap();
                acknowledged.fetch_add(SPANS_A_WRITE, Ordering::AcqRel);
                let trace_id = pitviper_model::TraceId((u128::from(writer * WRITES_EACH + number) + 1).to_be_bytes());
                assert_eq!(store.trace(trace_id, 100).await.unwrap().total as u64, SPANS_A_WRITE);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    done.store(true, Ordering::Release);
    assert!(reader.await.unwrap() > 0);
    assert!(store.stats().flushes > 1, "the test is about flushes under load");
    store.flush().await.unwrap();
    assert_holds(store.as_ref(), 0..WRITERS * WRITES_EACH).await;
}

/// Not a test by itself: writes until it is killed, and prints the number of each acknowledged write.
#[tokio::test]
async fn child_that_writes() {
    let Ok(dir) = std::env::var(DIR_VARIABLE) else { return };
    let first: u64 = std::env::var(FIRST_VARIABLE).unwrap().parse().unwrap();
    let config = EmbeddedConfig { flush_rows: 300, ..EmbeddedConfig::new(dir) };
    let store = EmbeddedStore::open(config).await.unwrap();
    for number in first.. {
        match store.append(padded_write(number, 2_000)).await {
            Ok(_) => println!("\nacknowledged {number}"),
            Err(error) => {
                println!("\nrefused {number}: {error}");
                // What was refused is not there, and the next write goes through.
                store.append(padded_write(number, 2_000)).await.unwrap();
                println!("\nacknowledged {number}");
                return;
            }
        }
    }
}

fn child(command: &mut Command, dir: &Path, first: u64) -> std::process::Child {
    command.env(DIR_VARIABLE, dir).env(FIRST_VARIABLE, first.to_string()).stdout(Stdio::piped()).spawn().unwrap()
}

fn child_arguments() -> [&'static str; 3] {
    ["child_that_writes", "--exact", "--nocapture"]
}

#[tokio::test]
async fn a_killed_process_loses_nothing_it_acknowledged() {
    let scratch = tempfile::tempdir().unwrap();
    let mut first = 0;
    for round in 0..8u64 {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = child(command.args(child_arguments()), scratch.path(), first);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = None;
        let mut seen = 0;
        while seen < 20 + round * 13 {
            let line = lines.next().unwrap().unwrap();
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = Some(number.parse::<u64>().unwrap());
                seen += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What was acknowledged between the last line read and the kill.
        for line in lines {
            if let Some(number) = line.unwrap().strip_prefix("acknowledged ") {
                acknowledged = Some(number.parse().unwrap());
            }
        }
        let store = open(scratch.path()).await;
        // One more write may be there: acknowledged by the store and killed before it was printed.
        let there = store.stats().spans / SPANS_A_WRITE;
        let acknowledged = acknowledged.unwrap() + 1;
        assert!((acknowledged..=acknowledged + 1).contains(&there), "{acknowledged} acknowledged, {there} there");
        assert_holds(store.as_ref(), 0..there).await;
        first = there;
    }
}

#[tokio::test]
async fn a_write_the_disk_refuses_is_told_and_leaves_no_trace() {
    let scratch = tempfile::tempdir().unwrap();
    let executable = std::env::current_exe().unwrap();
    // The system refuses to let a file grow beyond 300 KiB, which looks to the store like a full disk.
    let script =
        format!("trap '' XFSZ; ulimit -f 300; exec '{}' {}", executable.display(), child_arguments().join(" "));
    let child = child(Command::new("bash").args(["-c", &script]), scratch.path(), 0);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(60), output).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let refused: Vec<&str> = text.lines().filter(|line| line.starts_with("refused")).collect();
    assert_eq!(refused.len(), 1, "{text}");
    assert!(refused[0].contains("over its disk budget"), "{}", refused[0]);
    let acknowledged = text.lines().filter(|line| line.starts_with("acknowledged")).count() as u64;
    assert_holds(open(scratch.path()).await.as_ref(), 0..acknowledged).await;
}
