//! Merging and retention change what lies on disk, and no answer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pitviper_model::TraceId;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Retention, RollUp};
use pitviper_store::schema::METRIC_BUCKET_NS;
use pitviper_store::{Store, TimeRange};

use support::{SPANS_A_WRITE, assert_holds, copy_dir, counted, open, write};

fn trace_id(number: u64) -> TraceId {
    TraceId((u128::from(number) + 1).to_be_bytes())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

async fn filled(dir: &Path, writes: u64) -> Arc<EmbeddedStore> {
    let store = open(dir).await;
    for number in 0..writes {
        store.append(write(number)).await.unwrap();
        if number % 3 == 2 {
            store.flush().await.unwrap();
        }
    }
    store.flush().await.unwrap();
    store
}

#[tokio::test]
async fn merged_segments_hold_what_their_inputs_held() {
    let scratch = tempfile::tempdir().unwrap();
    let store = filled(scratch.path(), 20).await;
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.segments, stats.upkeep_failures), (3, 0));
    assert!(stats.merged_rows >= 20 * SPANS_A_WRITE);
    assert_holds(store.as_ref(), 0..20).await;
    for number in 0..20 {
        assert_eq!(store.trace(trace_id(number), 100).await.unwrap().total as u64, SPANS_A_WRITE);
    }
    assert_eq!(
        files(scratch.path()).len(),
        8,
        "segments of spans, metrics and resources, two indexes, trace ids, facets, sums of metrics"
    );
    store.close().await.unwrap();
    assert_holds(open(scratch.path()).await.as_ref(), 0..20).await;
}

#[tokio::test]
async fn eight_flushes_are_merged_without_being_asked() {
    let scratch = tempfile::tempdir().unwrap();
    let store = filled(scratch.path(), 24).await;
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while store.stats().segments > 3 {
        assert!(std::time::Instant::now() < deadline, "{:?}", store.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_holds(store.as_ref(), 0..24).await;
}

#[tokio::test]
async fn a_crash_on_either_side_of_the_swap_loses_and_doubles_nothing() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, before, after) =
        (scratch.path().join("live"), scratch.path().join("before"), scratch.path().join("after"));
    let store = filled(&live, 9).await;
    copy_dir(&live, &before);
    store.compact().await.unwrap();
    copy_dir(&live, &after);
    // Before the manifest: the merged files lie beside their inputs, one half written.
    for file in files(&after) {
        let target = before.join("segments").join(file.file_name().unwrap());
        fs::copy(file, target).unwrap();
    }
    fs::write(before.join("tmp/half.parquet"), b"PAR1").unwrap();
    assert_holds(open(&before).await.as_ref(), 0..9).await;
    assert_eq!(fs::read_dir(before.join("tmp")).unwrap().count(), 0);
    // After the manifest: the inputs are still there.
    let inputs = tempfile::tempdir().unwrap();
    let again = filled(inputs.path(), 9).await;
    for file in files(inputs.path()) {
        fs::copy(&file, after.join("segments").join(file.file_name().unwrap())).unwrap();
    }
    drop(again);
    let merged = open(&after).await;
    assert_holds(merged.as_ref(), 0..9).await;
    assert_eq!(files(&after).len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_beside_merges_see_everything_once() {
    const WRITES: u64 = 120;
    let scratch = tempfile::tempdir().unwrap();
    let store = open(scratch.path()).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut looks = 0;
            while !done.load(Ordering::Acquire) {
                let least = store.stats().durable_sequence * SPANS_A_WRITE;
                let seen = counted(store.as_ref()).await;
                let most = store.stats().durable_sequence * SPANS_A_WRITE + SPANS_A_WRITE;
                assert!((least..=most).contains(&seen), "{least} written, {seen} seen, {most} begun");
                if least > 0 {
                    assert_eq!(store.trace(trace_id(0), 100).await.unwrap().total as u64, SPANS_A_WRITE);
                }
                looks += 1;
            }
            looks
        }
    });
    for number in 0..WRITES {
        store.append(write(number)).await.unwrap();
        store.flush().await.unwrap();
        if number % 10 == 9 {
            store.compact().await.unwrap();
        }
    }
    done.store(true, Ordering::Release);
    assert!(reader.await.unwrap() > 10);
    assert!(store.stats().merges > 10);
    assert_holds(store.as_ref(), 0..WRITES).await;
}

#[tokio::test]
async fn what_is_too_old_goes_and_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path(), 6).await.close().await.unwrap();
    let day = Duration::from_secs(86_400);
    let retention = Retention { spans: 30 * day, ..Retention::default() };
    let config = EmbeddedConfig { retention, ..EmbeddedConfig::new(scratch.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.spans, stats.spans_expired_by_age, stats.spans_expired_by_size), (0, 6 * SPANS_A_WRITE, 0));
    assert_eq!(counted(store.as_ref()).await, 6 * SPANS_A_WRITE, "metrics stay");
    assert_eq!(files(scratch.path()).len(), 2, "the metrics and their sums");
}

#[tokio::test]
async fn what_is_too_much_goes_from_the_oldest_on() {
    let scratch = tempfile::tempdir().unwrap();
    let store = filled(scratch.path(), 6).await;
    let bytes = store.stats().segment_bytes;
    store.close().await.unwrap();
    let retention = Retention { max_bytes: Some(bytes - 1), ..Retention::default() };
    let config = EmbeddedConfig { retention, ..EmbeddedConfig::new(scratch.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.spans, stats.spans_expired_by_size), (3 * SPANS_A_WRITE, 3 * SPANS_A_WRITE));
    assert_eq!(store.trace(trace_id(0), 10).await.unwrap().total, 0);
    assert_eq!(store.trace(trace_id(5), 10).await.unwrap().total as u64, SPANS_A_WRITE);
}

#[tokio::test]
async fn what_was_let_go_is_counted_across_restarts() {
    let scratch = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(86_400);
    let retention = Retention { spans: 30 * day, ..Retention::default() };
    let config = EmbeddedConfig { retention, ..EmbeddedConfig::new(scratch.path()) };
    for round in 0..3 {
        let store = EmbeddedStore::open(config.clone()).await.unwrap();
        assert_eq!(store.stats().spans_expired_by_age, round * SPANS_A_WRITE, "from the rounds before");
        store.append(write(round)).await.unwrap();
        store.flush().await.unwrap();
        store.compact().await.unwrap();
        assert_eq!(store.stats().spans_expired_by_age, (round + 1) * SPANS_A_WRITE);
        // Without closing, as a crash would end it.
    }
}

#[tokio::test]
async fn a_segment_without_its_index_is_read_whole() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path(), 6).await.close().await.unwrap();
    let indexes: Vec<PathBuf> =
        files(scratch.path()).into_iter().filter(|file| file.extension().is_some_and(|end| end == "traces")).collect();
    assert_eq!(indexes.len(), 2);
    fs::remove_file(&indexes[0]).unwrap();
    let mut damaged = fs::read(&indexes[1]).unwrap();
    damaged[30] ^= 1;
    fs::write(&indexes[1], damaged).unwrap();
    let store = open(scratch.path()).await;
    for number in 0..6 {
        assert_eq!(store.trace(trace_id(number), 100).await.unwrap().total as u64, SPANS_A_WRITE);
    }
    store.compact().await.unwrap();
    assert_eq!(files(scratch.path()).len(), 8, "merging makes the indexes anew");
    assert_holds(store.as_ref(), 0..6).await;
}

#[tokio::test]
async fn old_metrics_are_kept_by_the_minute_and_count_as_before() {
    let scratch = tempfile::tempdir().unwrap();
    filled(scratch.path(), 6).await.close().await.unwrap();
    let roll_up = RollUp { minutes_after: Duration::from_secs(3_600), hours_after: Duration::MAX };
    let config = EmbeddedConfig { roll_up, ..EmbeddedConfig::new(scratch.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    assert_eq!(store.metric_bucket_ns(TimeRange::ALL), METRIC_BUCKET_NS);
    store.compact().await.unwrap();
    assert_eq!(store.metric_bucket_ns(TimeRange::ALL), 6 * METRIC_BUCKET_NS);
    assert_holds(store.as_ref(), 0..6).await;
    let merges = store.stats().merges;
    store.compact().await.unwrap();
    assert_eq!(store.stats().merges, merges, "there is nothing left to do");
}
