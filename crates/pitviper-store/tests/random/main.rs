//! The embedded store answers random questions about random data as a plain list of spans does,
//! whatever became of them: in memory, flushed, merged, opened anew, and in all of these at once.
//!
//! `PROPTEST_CASES=2000` looks longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate;

use std::path::Path;
use std::sync::Arc;

use pitviper_store::Store;
use pitviper_store::conformance::{Naive, Question, compare};
use pitviper_store::embedded::{Durability, EmbeddedConfig, EmbeddedStore};
use proptest::collection::vec;
use proptest::prelude::*;

use self::generate::{Step, life, question};

async fn open(dir: &Path) -> Arc<EmbeddedStore> {
    let config = EmbeddedConfig { durability: Durability::Buffered, ..EmbeddedConfig::new(dir) };
    EmbeddedStore::open(config).await.unwrap()
}

/// Leads a store through its life, and asks it all questions.
async fn check(life: &[Step], questions: &[Question]) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).await;
    let mut naive = Naive::default();
    for step in life {
        match step {
            Step::Write(spans, metrics) => {
                store.append(naive.write(spans, metrics)).await.unwrap();
            }
            Step::Flush => store.flush().await.unwrap(),
            Step::Compact => store.compact().await.unwrap(),
            Step::Reopen => {
                drop(store);
                store = open(dir.path()).await;
            }
        }
    }
    for question in questions {
        compare(store.as_ref(), &naive, question).await.unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_as_a_list_does(life in life(), questions in vec(question(), 1..24)) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(&life, &questions));
    }
}
