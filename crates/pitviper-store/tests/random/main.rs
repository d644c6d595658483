//! The embedded store answers random questions about random data as a plain list of spans does,
//! whatever became of them: in memory, flushed, merged, opened anew, and in all of these at once.
//!
//! `PROPTEST_CASES=2000` looks longer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate;
mod statements;

use std::path::Path;
use std::sync::Arc;

use pitviper_store::conformance::{Naive, Question, compare};
use pitviper_store::embedded::{Durability, EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::questions::sql::{SqlQuestion, SqlValue};
use pitviper_store::{Order, Search, Store, TimeRange};
use proptest::collection::vec;
use proptest::prelude::*;

use self::generate::{Step, life, question, range};
use self::statements::{Condition, condition};

async fn open(dir: &Path) -> Arc<EmbeddedStore> {
    let config = EmbeddedConfig { durability: Durability::Buffered, ..EmbeddedConfig::new(dir) };
    EmbeddedStore::open(config).await.unwrap()
}

/// Leads a store through its life.
async fn live(dir: &Path, life: &[Step]) -> (Arc<EmbeddedStore>, Naive) {
    let mut store = open(dir).await;
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
                store = open(dir).await;
            }
        }
    }
    (store, naive)
}

/// Leads a store through its life, and asks it all questions.
async fn check(life: &[Step], questions: &[Question]) {
    let dir = tempfile::tempdir().unwrap();
    let (store, naive) = live(dir.path(), life).await;
    for question in questions {
        compare(store.as_ref(), &naive, question).await.unwrap();
    }
}

/// Leads a store through its life, and asks it for the spans of each condition.
async fn check_statements(life: &[Step], conditions: &[(Condition, TimeRange)]) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = live(dir.path(), life).await;
    for (condition, range) in conditions {
        let all = Search { range: *range, filter: Filter::All, order: Order::OldestFirst, limit: 1_000, after: None };
        let all = store.search_spans(&all).await.unwrap();
        let mut expected: Vec<String> = all
            .iter()
            .filter(|stored| condition.judge(stored) == Some(true))
            .map(|stored| format!("{} {}", stored.span.trace_id, stored.span.span_id))
            .collect();
        expected.sort_unstable();
        let statement = format!("SELECT trace_id || ' ' || span_id FROM spans WHERE {} ORDER BY 1", condition.sql());
        let question = SqlQuestion { statement: statement.clone(), range: *range, max_rows: 1_000 };
        let answer = store.sql(&question).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let found: Vec<String> = answer
            .rows
            .into_iter()
            .map(|row| match row.into_iter().next() {
                Some(SqlValue::Text(text)) => text,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, expected, "{statement}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_store_answers_as_a_list_does(life in life(), questions in vec(question(), 1..24)) {
        tokio::runtime::Runtime::new().unwrap().block_on(check(&life, &questions));
    }

    #[test]
    fn a_statement_finds_what_a_search_finds(life in life(), conditions in vec((condition(), range()), 1..12)) {
        tokio::runtime::Runtime::new().unwrap().block_on(check_statements(&life, &conditions));
    }
}
