//! Statements over the views.

use super::fixture::{SECOND, T0};
use crate::questions::sql::{SqlError, SqlQuestion, SqlValue, Truncated, VIEWS};
use crate::store::{Store, StoreError, TimeRange};

/// Statements, and their rows: values with bars between them, times in milliseconds after the start.
const CASES: [(&str, &[&str]); 33] = [
    ("SELECT count(*) FROM spans", &["8"]),
    (
        "SELECT service, count(*) AS n, sum(CASE WHEN is_error THEN 1 ELSE 0 END) FROM spans GROUP BY service ORDER BY n DESC",
        &["shop|5|1", "pay|3|1"],
    ),
    (
        "SELECT time, name, kind, status, parent_id IS NULL, http_status, environment, version, host FROM spans ORDER BY time LIMIT 3",
        &[
            "1000 ms|GET /cart|server|unset|true|200|prod|1.0|alpha",
            "1010 ms|SELECT cart|client|unset|false|-|prod|1.0|alpha",
            "1050 ms|POST /pay|server|error|false|402|staging|-|-",
        ],
    ),
    ("SELECT span_id FROM spans ORDER BY time DESC LIMIT 2", &["0808080808080808", "0707070707070707"]),
    (
        "SELECT span_id, parent_id FROM spans WHERE trace_id = '02020202020202020202020202020202' ORDER BY time",
        &["0404040404040404|-", "0505050505050505|0404040404040404"],
    ),
    ("SELECT trace_id FROM spans WHERE span_id = '0606060606060606'", &["03030303030303030303030303030303"]),
    ("SELECT name FROM spans WHERE span_id = upper('0a')", &[]),
    ("SELECT name FROM spans WHERE duration_ns >= 100000000 ORDER BY time", &["GET /cart", "job", "send", "GET /cart"]),
    (
        "SELECT name FROM spans WHERE duration_ns BETWEEN 3000001 AND 20000000 ORDER BY name",
        &["GET /home", "SELECT cart"],
    ),
    (
        "SELECT name, duration_ns FROM spans WHERE time >= '2023-11-14T22:13:22Z' AND time < '2023-11-14T22:13:33.1Z' ORDER BY time",
        &["GET /home|5000000", "render|3000000", "job|1000000000"],
    ),
    ("SELECT count(*) FROM spans WHERE name LIKE 'GET %' OR kind IN ('client', 'producer')", &["5"]),
    (
        "SELECT name FROM spans WHERE NOT is_root AND NOT is_entry AND service <> 'pay' ORDER BY time",
        &["SELECT cart", "render"],
    ),
    ("SELECT count(*) FROM spans WHERE is_root OR is_error", &["5"]),
    ("SELECT name FROM spans WHERE status_message = 'card declined'", &["POST /pay"]),
    ("SELECT count(status_message), count(version), count(*) FROM spans WHERE service = 'pay'", &["1|0|3"]),
    (
        "SELECT attr(attributes, 'user.id') AS who, count(*) FROM spans WHERE attr(attributes, 'user.id') IS NOT NULL GROUP BY who ORDER BY who",
        &["u1|2", "u2|1"],
    ),
    ("SELECT span_id FROM spans WHERE attr(attributes, 'user.id') = 'u2'", &["0404040404040404"]),
    ("SELECT span_id FROM spans WHERE attributes['user.id'] = 'u2'", &["0404040404040404"]),
    ("SELECT round(sum(try_cast(attr(attributes, 'amount') AS DOUBLE)), 1) FROM spans", &["24.5"]),
    // The span's own, and not the process's.
    ("SELECT name FROM spans WHERE attr(attributes, 'team') IS NOT NULL", &["render"]),
    (
        "SELECT attr(resource_attributes, 'team') AS team, count(*) FROM spans GROUP BY team ORDER BY team NULLS LAST",
        &["blue|5", "-|3"],
    ),
    (
        "SELECT attributes FROM spans WHERE span_id = '0101010101010101'",
        &["{http.response.status_code: 200, user.id: u1, url.full: http://shop/cart?page=1}"],
    ),
    ("SELECT sum(event_count), count(DISTINCT scope), min(scope) FROM spans", &["1|1|flask"]),
    ("SELECT db_system, detail FROM spans WHERE db_system IS NOT NULL", &["sqlite|SELECT * FROM cart WHERE id = ?"]),
    (
        "SELECT min(duration_ns), max(duration_ns), avg(duration_ns), median(duration_ns) FROM spans",
        &["3000000|1000000000|171000000.0|70000000.0"],
    ),
    (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ns) FROM spans WHERE service = 'pay'",
        &["100000000.0"],
    ),
    (
        "SELECT date_bin(INTERVAL '10 seconds', time) AS step, count(*) FROM spans GROUP BY step ORDER BY step",
        &["0 ms|5", "10000 ms|3"],
    ),
    (
        "SELECT child.name, parent.name FROM spans AS child JOIN spans AS parent ON child.trace_id = parent.trace_id AND child.parent_id = parent.span_id ORDER BY child.time",
        &["SELECT cart|GET /cart", "POST /pay|GET /cart", "render|GET /home", "send|job"],
    ),
    (
        "WITH slow AS (SELECT service, duration_ns FROM spans WHERE duration_ns > 50000000) SELECT service, count(*) FROM slow GROUP BY service UNION ALL SELECT 'all', count(*) FROM slow ORDER BY 1",
        &["all|4", "pay|2", "shop|2"],
    ),
    (
        "SELECT name FROM (SELECT name, service, row_number() OVER (PARTITION BY service ORDER BY duration_ns DESC, time) AS place FROM spans) WHERE place = 1 ORDER BY service",
        &["job", "GET /cart"],
    ),
    (
        "SELECT service, sum(hits), sum(errors), sum(duration_sum_ns), min(duration_min_ns), max(duration_max_ns) FROM span_metrics GROUP BY service ORDER BY service",
        &["pay|3|1|1140000000|40000000|1000000000", "shop|5|1|228000000|3000000|100000000"],
    ),
    (
        "SELECT kind, is_root, sum(hits), count(peer), min(environment), count(version) FROM span_metrics WHERE service = 'pay' GROUP BY kind, is_root ORDER BY kind",
        &["consumer|true|1|0|staging|0", "producer|false|1|0|staging|0", "server|false|1|0|staging|0"],
    ),
    ("SELECT 1 + 1 AS two, NULL, 'it''s' || ' text', true", &["2|-|it's text|true"]),
];

/// The same of the tables beside spans.
const TABLE_CASES: [(&str, &[&str]); 14] = [
    (
        "SELECT time, severity, body, trace_id IS NULL FROM logs ORDER BY time, span_id",
        &[
            "1000 ms|9|cart is empty|false",
            "2000 ms|17|card \"declined\"|false",
            "3000 ms|9|card charged|true",
            "90000000 ms|13|[\"card\",7]|false",
            "90000000 ms|5|bye|false",
        ],
    ),
    ("SELECT body FROM logs WHERE service = 'pay'", &["card charged"]),
    ("SELECT severity FROM logs WHERE attr(attributes, 'user.id') = 'u0' ORDER BY time", &["17", "13"]),
    ("SELECT severity FROM logs WHERE trace_id = '02020202020202020202020202020202'", &["17"]),
    ("SELECT attr(resource_attributes, 'zone'), count(*) FROM logs GROUP BY 1", &["z1|5"]),
    (
        "SELECT fingerprint, count(*), max(time), bool_or(handled) FROM exceptions GROUP BY fingerprint ORDER BY fingerprint",
        &[
            "00000000000000000000000000000000|2|90000000 ms|true",
            "01010101010101010101010101010101|3|90000000 ms|false",
        ],
    ),
    (
        "SELECT exception_type, message, stacktrace FROM exceptions WHERE service = 'pay'",
        &["ValueError|message 3|Traceback"],
    ),
    (
        "SELECT time, value FROM metrics WHERE name = 'temperature' ORDER BY time",
        &["10000 ms|21.0", "20000 ms|22.0", "86400000 ms|23.0"],
    ),
    ("SELECT sum(value), count(*) FROM metrics WHERE name = 'requests'", &["60.0|3"]),
    ("SELECT sum(count), sum(sum), max(max), count(value) FROM metrics WHERE name = 'sizes'", &["9|15.0|3.0|0"]),
    (
        "SELECT DISTINCT s.name, s.unit, s.description, attr(s.attributes, 'cpu') FROM metric_series AS s JOIN metrics AS m ON s.series = m.series ORDER BY 1",
        &["requests|1|what requests is|0", "sizes|1|what sizes is|0", "temperature|1|what temperature is|0"],
    ),
    (
        "SELECT sample_type, sum(value), count(*), count(DISTINCT stack), count(span_id) FROM profiles GROUP BY sample_type",
        &["cpu|36|6|4|3"],
    ),
    (
        "SELECT thread, endpoint, sum(value) FROM profiles GROUP BY thread, endpoint ORDER BY thread",
        &["thread 0|GET /b|12", "thread 1|GET /a|24"],
    ),
    (
        "SELECT package, version, min(first_seen), max(last_seen) FROM libraries GROUP BY package, version ORDER BY package",
        &["django|3.1|20000 ms|20000 ms", "flask|3.1|10000 ms|86400000 ms"],
    ),
];

/// What no store answers.
const REFUSED: [&str; 19] = [
    "",
    "SELECT",
    "SELECT 1; SELECT 2",
    "INSERT INTO spans VALUES (1)",
    "DELETE FROM spans",
    "UPDATE spans SET name = ''",
    "DROP TABLE spans",
    "CREATE TABLE copy AS SELECT * FROM spans",
    "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
    "COPY spans TO '/tmp/spans.csv'",
    "SET datafusion.execution.batch_size = 1",
    "SELECT * INTO copy FROM spans",
    "EXPLAIN INSERT INTO spans VALUES (1)",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM nobody",
    "SELECT nobody FROM spans",
    "SELECT nobody(1)",
    "SELECT CAST('x' AS INT)",
];

fn show(value: &SqlValue) -> String {
    match value {
        SqlValue::Null => "-".to_owned(),
        SqlValue::Boolean(flag) => flag.to_string(),
        SqlValue::Integer(number) => number.to_string(),
        SqlValue::Float(number) => format!("{number:?}"),
        SqlValue::Text(text) => text.clone(),
        SqlValue::Timestamp(time) => format!("{} ms", (time - T0) / 1_000_000),
        SqlValue::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
        SqlValue::Map(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {}", show(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

async fn ask(store: &dyn Store, statement: &str, range: TimeRange) -> Result<Vec<String>, SqlError> {
    let question = SqlQuestion { statement: statement.to_owned(), range, max_rows: 100 };
    let answer = store.sql(&question).await?;
    assert_eq!((answer.truncated, answer.exact), (None, true), "{statement}");
    assert!(answer.rows.iter().all(|row| row.len() == answer.columns.len()), "{statement}");
    Ok(answer.rows.iter().map(|row| row.iter().map(show).collect::<Vec<_>>().join("|")).collect())
}

/// The store's own failures; a case's statement is not at fault.
fn valid<T>(statement: &str, result: Result<T, SqlError>) -> Result<T, StoreError> {
    result.map_err(|error| match error {
        SqlError::Store(error) => error,
        other => StoreError::Engine(format!("{statement}: {other}")),
    })
}

pub(super) async fn sql(store: &dyn Store) -> Result<(), StoreError> {
    for (statement, expect) in CASES {
        let found = valid(statement, ask(store, statement, TimeRange::ALL).await)?;
        assert_eq!(found, expect, "{statement}");
    }
    for statement in REFUSED {
        let result = ask(store, statement, TimeRange::ALL).await;
        assert!(matches!(result, Err(SqlError::Statement(_))), "{statement}: {result:?}");
    }
    ranges(store).await?;
    limits(store).await?;
    descriptions(store).await
}

/// Statements over the tables beside spans.
pub(super) async fn tables(store: &dyn Store) -> Result<(), StoreError> {
    for (statement, expect) in TABLE_CASES {
        let found = valid(statement, ask(store, statement, TimeRange::ALL).await)?;
        assert_eq!(found, expect, "{statement}");
    }
    let minute = TimeRange { start_ns: T0, end_ns: T0 + 60 * SECOND };
    for (statement, expect) in [
        ("SELECT count(*) FROM logs", "3"),
        ("SELECT count(*) FROM exceptions", "3"),
        ("SELECT count(*) FROM metrics", "6"),
        ("SELECT count(*) FROM profiles", "4"),
        // By the day.
        ("SELECT max(last_seen) FROM libraries WHERE package = 'flask'", "20000 ms"),
        ("SELECT count(DISTINCT name) FROM metric_series", "3"),
    ] {
        assert_eq!(valid(statement, ask(store, statement, minute).await)?, [expect], "{statement}");
    }
    Ok(())
}

/// The views are cut to the range, whatever the statement says.
async fn ranges(store: &dyn Store) -> Result<(), StoreError> {
    let range = TimeRange { start_ns: T0 + 1_010_000_000, end_ns: T0 + 2_001_000_000 };
    for (statement, expect) in [
        ("SELECT name FROM spans ORDER BY time", &["SELECT cart", "POST /pay", "GET /home"][..]),
        ("SELECT count(*) FROM spans WHERE time > '2000-01-01T00:00:00Z'", &["3"]),
        ("SELECT count(*) FROM spans WHERE trace_id = '03030303030303030303030303030303'", &["0"]),
    ] {
        assert_eq!(valid(statement, ask(store, statement, range).await)?, expect, "{statement}");
    }
    // Old metrics may have been added up by the hour, so the ranges are whole days.
    let day = 86_400 * SECOND;
    let from = T0.div_euclid(day) * day;
    for (range, expect) in [
        (TimeRange { start_ns: from, end_ns: from + day }, "8"),
        (TimeRange { start_ns: from - day, end_ns: from }, "-"),
        (TimeRange { start_ns: from + day, end_ns: from + 2 * day }, "-"),
    ] {
        let statement = "SELECT sum(hits) FROM span_metrics";
        assert_eq!(valid(statement, ask(store, statement, range).await)?, [expect], "{range:?}");
    }
    Ok(())
}

async fn limits(store: &dyn Store) -> Result<(), StoreError> {
    let statement = "SELECT span_id FROM spans ORDER BY time";
    for (max_rows, truncated) in [(0, Some(Truncated::Rows)), (3, Some(Truncated::Rows)), (8, None), (9, None)] {
        let question = SqlQuestion { statement: statement.to_owned(), range: TimeRange::ALL, max_rows };
        let answer = valid(statement, store.sql(&question).await)?;
        assert_eq!((answer.rows.len(), answer.truncated), (max_rows.min(8), truncated));
        assert!(answer.rows_scanned >= 8, "{}", answer.rows_scanned);
    }
    Ok(())
}

/// Every view answers with the columns that it is said to have.
async fn descriptions(store: &dyn Store) -> Result<(), StoreError> {
    let names: Vec<String> = VIEWS.iter().map(|view| format!("{}|{}", view.name, view.about)).collect();
    assert_eq!(valid("SHOW TABLES", ask(store, "SHOW TABLES", TimeRange::ALL).await)?, names);
    for view in VIEWS {
        let columns: Vec<String> = view
            .columns
            .iter()
            .map(|column| format!("{}|{}|{}", column.name, column.kind.as_str(), column.about))
            .collect();
        let statement = format!("DESCRIBE {}", view.name);
        assert_eq!(valid(&statement, ask(store, &statement, TimeRange::ALL).await)?, columns);
        let statement = format!("SELECT * FROM {}", view.name);
        let question = SqlQuestion { statement: statement.clone(), range: TimeRange::ALL, max_rows: 100 };
        let answer = valid(&statement, store.sql(&question).await)?;
        let found: Vec<_> = answer.columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
        let expect: Vec<_> = view.columns.iter().map(|column| (column.name, column.kind)).collect();
        assert_eq!(found, expect);
        for (at, column) in view.columns.iter().enumerate() {
            let is_null = |row: &Vec<SqlValue>| row[at] == SqlValue::Null;
            assert!(column.optional || !answer.rows.iter().any(is_null), "{} of {}", column.name, view.name);
        }
    }
    Ok(())
}
