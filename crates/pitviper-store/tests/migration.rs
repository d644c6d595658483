//! Data directories of earlier versions open, and answer as they did.

use std::fs;
use std::path::Path;

use pitviper_store::Store;
use pitviper_store::conformance::verify_spans;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};

/// Written by the server of schema version 2: half of the spans in a segment, half in the log.
#[tokio::test]
async fn a_directory_of_version_2_answers_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/version-2");
    for part in ["segments", "wal"] {
        fs::create_dir(dir.path().join(part)).unwrap();
        for entry in fs::read_dir(written.join(part)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), dir.path().join(part).join(entry.file_name())).unwrap();
        }
    }
    fs::copy(written.join("manifest.sqlite"), dir.path().join("manifest.sqlite")).unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    assert_eq!((store.stats().spans, store.stats().hot_spans), (10, 6));
    verify_spans(store.as_ref()).await.unwrap();
    store.flush().await.unwrap();
    verify_spans(store.as_ref()).await.unwrap();
    store.compact().await.unwrap();
    verify_spans(store.as_ref()).await.unwrap();
}
