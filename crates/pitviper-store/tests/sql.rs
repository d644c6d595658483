//! What statements are told when they are wrong, too large or not wanted any more.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::sync::Arc;
use std::time::Duration;

use pitviper_store::embedded::EmbeddedStore;
use pitviper_store::questions::sql::{
    AT_A_TIME, MAX_ANSWER_BYTES, MAX_ROWS, MAX_STATEMENT_BYTES, MAX_TOKENS, SqlAnswer, SqlError, SqlProblem,
    SqlQuestion, SqlValue, Truncated,
};
use pitviper_store::{Store, TimeRange};

use self::support::{SPANS_A_WRITE, open, write};

const WRITES: u64 = 60;

async fn filled(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = open(dir.path()).await;
    for number in 0..WRITES {
        store.append(write(number)).await.unwrap();
        if number == WRITES / 2 {
            store.flush().await.unwrap();
        }
    }
    store
}

async fn ask(store: &dyn Store, statement: &str) -> Result<SqlAnswer, SqlError> {
    let question = SqlQuestion { statement: statement.to_owned(), range: TimeRange::ALL, max_rows: MAX_ROWS };
    store.sql(&question).await
}

async fn problem(store: &dyn Store, statement: &str) -> SqlProblem {
    match ask(store, statement).await {
        Err(SqlError::Statement(problem)) => problem,
        other => panic!("{statement}: {other:?}"),
    }
}

async fn one(store: &dyn Store, statement: &str) -> SqlValue {
    let answer = ask(store, statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
    answer.rows[0][0].clone()
}

#[tokio::test]
async fn a_wrong_statement_is_told_where_and_what_was_meant() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    for (statement, at, meant) in [
        ("SELECT servic FROM spans", "servic", Some("service")),
        ("SELECT 1 FROM spans AS s\nWHERE 'é' = s.nam", "s.nam", Some("name")),
        ("SELECT x.nam FROM spans AS x", "x.nam", Some("name")),
        ("SELECT 'é', name FROM span", "span", Some("spans")),
        ("SELECT * FROM public.spans", "public.spans", Some("spans")),
        ("SELECT * FROM Spans JOIN users ON true", "users", None),
        ("SELECT coutn(*) FROM spans", "coutn", Some("count")),
        ("SELECT attrr(attributes, 'a') FROM spans", "attrr", Some("attr")),
        ("SELECT name FROM spans WHERE (duration_ns > 1", "", None),
        ("SELECT 'open", "", None),
    ] {
        let problem = problem(store.as_ref(), statement).await;
        let place = &statement[problem.range.clone()];
        if !at.is_empty() {
            assert_eq!(place, at, "{statement}: {problem:?}");
        }
        assert_eq!(problem.suggestion.as_deref(), meant, "{statement}: {problem:?}");
        assert!(!problem.message.is_empty() && problem.message.len() <= 1_000);
    }
    let unknown = problem(store.as_ref(), "SELECT servic FROM spans").await;
    assert_eq!(unknown.message, "there is no column `servic`; did you mean `service`?");
    let unknown = problem(store.as_ref(), "SELECT * FROM users").await;
    assert_eq!(
        unknown.message,
        "there is no view `users`; the views are spans, span_metrics, logs, exceptions, metrics, metric_series, profiles, libraries"
    );
}

#[tokio::test]
async fn only_reading_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    for statement in [
        "TRUNCATE TABLE spans",
        "ALTER TABLE spans ADD COLUMN x INT",
        "CREATE VIEW v AS SELECT 1",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "MERGE INTO spans USING spans AS s ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (DELETE FROM spans RETURNING *) SELECT * FROM gone",
        "EXPLAIN DROP TABLE spans",
        "EXPLAIN ANALYZE COPY spans TO 'x.csv'",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "SHOW ALL",
        "SHOW COLUMNS FROM spans",
        "RESET datafusion.execution.batch_size",
        "USE other",
        "CALL f()",
        "GRANT ALL ON spans TO you",
        "ATTACH DATABASE 'x' AS y",
        "LOAD 'x'",
    ] {
        problem(store.as_ref(), statement).await;
    }
    // Nothing to read but the views, and nothing that makes much of little.
    for statement in [
        "SELECT * FROM generate_series(1, 10)",
        "SELECT * FROM range(1, 10)",
        "SELECT * FROM read_parquet('/etc/passwd')",
        "SELECT * FROM parquet_metadata('x')",
        "SELECT * FROM \"/etc/passwd\"",
        "SELECT * FROM spans, LATERAL generate_series(1, 10)",
        "SELECT unnest(range(1, 1000000000000))",
        "SELECT repeat('a', 1000000000000)",
        "SELECT lpad('a', 2000000000)",
        "SELECT array_repeat(1, 1000000000000)",
        "SELECT array_resize([1], 1000000000000)",
        "SELECT * FROM information_schema.df_settings",
        "SELECT @@version",
        "SELECT unnest(map_keys(attributes)), unnest(map_keys(resource_attributes)) FROM spans",
        "SELECT count(*) FROM spans GROUP BY CUBE(time, name, kind, status, host, version, service, scope, detail)",
        "SELECT count(*) FROM spans GROUP BY GROUPING SETS (name, kind), GROUPING SETS (host, status)",
        "SELECT version()",
        "SELECT input_file_name() FROM spans",
        "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n) SELECT * FROM n",
    ] {
        problem(store.as_ref(), statement).await;
    }
    assert_eq!(store.stats().spans, WRITES * SPANS_A_WRITE);
}

#[tokio::test]
async fn statements_are_bounded_before_they_are_planned() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let of = |count: usize, part: &str, between: &str| vec![part; count].join(between);
    let half = MAX_TOKENS / 2 - 10;
    // As deep as can be; each is answered or refused, and none ends the process.
    for (statement, expect) in [
        (format!("SELECT {}", of(half, "1", " + ")), Some(SqlValue::Integer(half as i128))),
        (format!("SELECT {}", of(half, "duration_ns", " + ") + " FROM spans LIMIT 1"), None),
        (format!("SELECT count(*) FROM spans WHERE {}", of(half / 2, "is_root", " AND ")), None),
        (format!("SELECT count(*) FROM spans WHERE {}", of(half / 4, "name LIKE 'x%'", " OR ")), None),
        (format!("SELECT {} 1", of(half, "-", " ")), None),
        (format!("SELECT {} true", of(half, "NOT", " ")), None),
        (format!("SELECT 1{}", of(half, "::int", "")), None),
        (format!("SELECT 1 {}", of(half / 2, "IS NULL", " ")), None),
        (format!("SELECT {}1{}", of(half, "(", ""), of(half, ")", "")), None),
        (of(half / 3, "SELECT 1", " UNION ALL "), None),
        (of(half / 3, "SELECT 1", " UNION "), None),
        (format!("SELECT name IN ({}) FROM spans", of(half, "'x'", ", ")), None),
        (format!("SELECT {} 1 {}", of(half / 5, "CASE WHEN true THEN", " "), of(half / 5, "END", " ")), None),
        (format!("SELECT concat({}) FROM spans", of(half, "name", ", ")), None),
    ] {
        let result = ask(store.as_ref(), &statement).await;
        let shown = &statement[..60.min(statement.len())];
        match (result, expect) {
            (Ok(answer), Some(expect)) => assert_eq!(answer.rows[0][0], expect, "{shown}"),
            (Ok(_) | Err(SqlError::Statement(_)), None) => {}
            (other, _) => panic!("{shown}: {:?}", other.map(|answer| answer.rows.len())),
        }
    }
    let long = format!("SELECT '{}'", "a".repeat(MAX_STATEMENT_BYTES));
    assert!(problem(store.as_ref(), &long).await.message.contains("longer than"));
    let wordy = format!("SELECT {}", of(MAX_TOKENS, "1", ","));
    assert!(problem(store.as_ref(), &wordy).await.message.contains("words"));
    let nested = format!("SELECT {}1{}", "(".repeat(200), ")".repeat(200));
    assert!(problem(store.as_ref(), &nested).await.message.contains("deeper than"));
    // Each is made of the one before twice.
    let mut doubling = "WITH q0 AS (SELECT duration_ns AS x FROM spans)".to_owned();
    for step in 1..12 {
        doubling += &format!(", q{step} AS (SELECT x + x AS x FROM q{})", step - 1);
    }
    doubling += " SELECT * FROM q11 WHERE x > 1";
    assert!(problem(store.as_ref(), &doubling).await.message.contains("too often"));
    let crowd = format!("SELECT 1 FROM {}", vec!["spans"; 17].join(", "));
    assert!(problem(store.as_ref(), &crowd).await.message.contains("places"));
}

#[tokio::test]
async fn answers_end_at_their_limits_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let pairs = "SELECT a.name, b.name FROM spans AS a, spans AS b";
    let answer = ask(store.as_ref(), pairs).await.unwrap();
    assert_eq!((answer.rows.len(), answer.truncated), (MAX_ROWS, Some(Truncated::Rows)));
    let question = SqlQuestion { statement: pairs.to_owned(), range: TimeRange::ALL, max_rows: usize::MAX };
    assert_eq!(store.sql(&question).await.unwrap().rows.len(), MAX_ROWS);

    let wide = format!("SELECT a.name || '{}' FROM spans AS a, spans AS b", "x".repeat(3_000));
    let answer = ask(store.as_ref(), &wide).await.unwrap();
    assert_eq!(answer.truncated, Some(Truncated::Bytes));
    assert!((1..=MAX_ANSWER_BYTES / 3_000).contains(&answer.rows.len()), "{}", answer.rows.len());

    let grown = format!("SELECT replace(replace('a', 'a', '{0}'), 'a', '{0}') FROM spans", "a".repeat(6_000));
    assert!(problem(store.as_ref(), &grown).await.message.contains("grow beyond"));

    let distinct = "SELECT count(*) FROM (SELECT DISTINCT a.span_id || b.span_id || c.span_id FROM spans AS a, spans AS b, spans AS c)";
    let result = ask(store.as_ref(), distinct).await;
    assert!(matches!(result, Err(SqlError::Memory)), "{result:?}");
    let answer = ask(store.as_ref(), "SELECT name, count(*) FROM spans GROUP BY name").await.unwrap();
    assert!(answer.memory_bytes > 0 && answer.rows_scanned == WRITES * SPANS_A_WRITE, "{answer:?}");
}

/// Looks at some seventy million texts.
const ENDLESS: &str = "SELECT count(*) FROM spans AS a, spans AS b, spans AS c \
    WHERE regexp_like(a.span_id || b.span_id || c.span_id, '(0|1)+(2|3)*z$')";

#[tokio::test]
async fn a_statement_that_nobody_waits_for_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    let endless: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { ask(store.as_ref(), ENDLESS).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let short = one(store.as_ref(), "SELECT 1");
    tokio::pin!(short);
    // Both turns are taken.
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut short).await.is_err());
    assert!(endless.iter().all(|endless| !endless.is_finished()));
    endless.iter().for_each(tokio::task::JoinHandle::abort);
    // Sooner than those would have been stopped for their time.
    let answer = tokio::time::timeout(Duration::from_secs(20), short).await;
    assert_eq!(answer.unwrap(), SqlValue::Integer(1));
}

#[tokio::test]
async fn what_is_known_of_pages_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir).await;
    store.flush().await.unwrap();
    let scanned = async |condition: &str| {
        let statement = format!("SELECT name FROM spans WHERE {condition}");
        let answer = ask(store.as_ref(), &statement).await.unwrap();
        (answer.rows.len() as u64, answer.rows_scanned)
    };
    let all = WRITES * SPANS_A_WRITE;
    assert_eq!(scanned("true").await, (all, all));
    assert_eq!(scanned("service = 'nobody'").await, (0, 0));
    assert_eq!(scanned("trace_id = '000000000000000000000000000fffff'").await, (0, 0));
    assert_eq!(scanned("attr(attributes, 'write') = 'none'").await, (0, 0));
    assert_eq!(scanned("time < '2020-01-01T00:00:00Z'").await, (0, 0));
    assert_eq!(scanned("duration_ns > 1000000").await, (0, 0));
    // The index names the page, which is all of the segment here.
    let (found, _) = scanned("attr(attributes, 'write') = '7'").await;
    assert_eq!(found, SPANS_A_WRITE);
}
