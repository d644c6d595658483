//! The embedded store passes the suite in every layout, and again after it was opened anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;

use pitviper_store::conformance::{Layout, fill, verify};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::{Order, Search, Store, StoreError, TimeRange};

async fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(EmbeddedConfig::new(dir)).await.unwrap()
}

#[tokio::test]
async fn every_layout_answers_alike() {
    for layout in Layout::ALL {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        fill(store.as_ref(), layout).await.unwrap();
        verify(store.as_ref()).await.unwrap();
        let stats = store.stats();
        let expect_hot = match layout {
            Layout::Hot => 10,
            Layout::Half => 6,
            Layout::Flushed | Layout::FlushedApart | Layout::Compacted => 0,
        };
        assert_eq!((stats.spans, stats.hot_spans, stats.durable_sequence), (10, expect_hot, 12), "{layout:?}");
        if layout == Layout::Compacted {
            assert_eq!((stats.segments, stats.merged_rows > 10), (19, true), "one of each table and day");
        }
    }
}

#[tokio::test]
async fn a_store_opened_anew_answers_alike() {
    for layout in Layout::ALL {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await;
        fill(store.as_ref(), layout).await.unwrap();
        // Without closing: what is not flushed comes back from the log.
        drop(store);
        let store = open(dir.path()).await;
        verify(store.as_ref()).await.unwrap();
        store.close().await.unwrap();
        assert!(matches!(store.flush().await, Err(StoreError::Closed)));
        drop(store);
        let store = open(dir.path()).await;
        verify(store.as_ref()).await.unwrap();
        assert_eq!(store.stats().hot_spans, 0);
        assert_eq!(store.stats().wal_bytes, 0);
    }
}

#[tokio::test]
async fn an_empty_store_has_no_answers() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let range = TimeRange::ALL;
    assert_eq!(store.resources(range).await.unwrap(), vec![]);
    let search = Search { range, filter: Filter::All, order: Order::NewestFirst, limit: 10, after: None };
    assert_eq!(store.search_spans(&search).await.unwrap(), vec![]);
    assert_eq!(store.search_traces(&search).await.unwrap(), vec![]);
}
