//! A disk that fills up: writes stop before the last byte, reading and flushing go on, and it recovers.

use std::fs;
use std::path::Path;

use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Examination, examine};
use pitviper_store::{Store, StoreError};

use crate::support::{assert_holds, write};

/// Room the test takes away and gives back: enough that nothing else on the disk matters.
const BALLAST_BYTES: u64 = 96 << 20;

/// A disk in memory where the system has one, so that filling it costs nothing.
fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_keeps_its_reserve_and_recovers() {
    let scratch = scratch();
    let dir = scratch.path().join("data");
    // The reserve is what is free now but for half the ballast, so the ballast uses it up.
    drop(EmbeddedStore::open(EmbeddedConfig::new(&dir)).await.unwrap());
    let free = examine(&dir, Examination::default()).unwrap().free_bytes.unwrap();
    let config = EmbeddedConfig { disk_reserve_bytes: free - BALLAST_BYTES / 2, ..EmbeddedConfig::new(&dir) };
    let store = EmbeddedStore::open(config).await.unwrap();
    for number in 0..3 {
        store.append(write(number)).await.unwrap();
    }
    let ballast = scratch.path().join("ballast");
    fs::write(&ballast, vec![1; BALLAST_BYTES as usize]).unwrap();
    let mut number = 3;
    let refusal = loop {
        match store.append(write(number)).await {
            // The room is measured now and then.
            Ok(_) => number += 1,
            Err(error) => break error,
        }
        assert!(number < 100_000, "the disk is full and nobody noticed");
    };
    assert!(matches!(refusal, StoreError::Busy { budget: "disk", retry_after_ms: 1.. }), "{refusal}");
    assert_eq!(store.stats().busy_rejections, 1);
    assert_holds(store.as_ref(), 0..number).await;
    // The reserve is there for this.
    store.flush().await.unwrap();
    store.compact().await.unwrap();
    assert_holds(store.as_ref(), 0..number).await;
    assert!(store.append(write(number)).await.is_err());
    fs::remove_file(&ballast).unwrap();
    let recovered = tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while store.append(write(number)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    recovered.await.unwrap();
    assert_holds(store.as_ref(), 0..=number).await;
}
