//! The guide to SQL: its examples are answered, its tables are those of the code, its limits the real ones.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::fmt::Write as _;
use std::sync::Arc;

use pitviper_model::{ExpHistogram, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId};
use pitviper_query::QueryError;
use pitviper_query::time::TimeText;
use pitviper_query::views::sql::{Request, SqlData, csv, sql, views};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::questions::sql::{
    MAX_ANSWER_BYTES, MAX_MEMORY_BYTES, MAX_NESTING, MAX_RELATIONS, MAX_STATEMENT_BYTES, MAX_TEXT_BYTES, MAX_TIME,
};
use pitviper_store::schema::{SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Red, Store};
use serde_json::json;

const GUIDE: &str = include_str!("../../../docs/guides/sql.md");
const START_US: i64 = 1_795_224_000_000_000;

/// Two requests of one service to another, the second failing, with sixty calls to a database.
async fn store(dir: &tempfile::TempDir) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let mut rows = SpansBuilder::default();
    let mut metrics = SpanMetricsBuilder::new();
    let mut add = |service: &str, number: u8, parent: u8, name: &str, kind: SpanKind, fails: bool| {
        let attributes = [("service.name", service.to_owned())].into_iter().collect();
        let resource = Resource { attributes, ..Resource::default() };
        let start = START_US.cast_unsigned() * 1_000 + u64::from(number) * 1_000_000_000;
        let mut span = Span {
            trace_id: TraceId([7; 16]),
            span_id: SpanId([number; 8]),
            parent_span_id: SpanId([parent; 8]),
            name: name.to_owned(),
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: start + u64::from(number) * 1_000_000,
            ..Span::default()
        };
        if kind == SpanKind::Client {
            span.attributes.set("db.system.name", "sqlite");
        } else {
            span.attributes.set("user.id", "u1");
        }
        if fails {
            span.status = Status { code: StatusCode::Error, message: String::new() };
        }
        rows.append(&resource, &Scope::default(), &span);
        let mut durations = ExpHistogram::default();
        let duration = span.duration_nano();
        durations.record(duration);
        let red = Red {
            hits: 1,
            errors: u64::from(fails),
            duration_sum_ns: duration,
            duration_min_ns: duration,
            duration_max_ns: duration,
            durations,
        };
        let key = SpanMetricKey {
            bucket_start_ns: START_US * 1_000,
            service: service.to_owned(),
            environment: String::new(),
            version: String::new(),
            name: name.to_owned(),
            kind,
            is_root: parent == 0,
            peer: String::new(),
        };
        metrics.append(&key, &red);
    };
    add("flaskr", 1, 0, "GET /", SpanKind::Server, false);
    add("stock", 2, 1, "GET /stock", SpanKind::Server, true);
    for number in 3..63 {
        add("stock", number, 2, "SELECT", SpanKind::Client, false);
    }
    store.append(WriteBatch::new(rows, metrics)).await.unwrap();
    store
}

fn request(query: &str) -> Request {
    Request {
        query: query.to_owned(),
        from: Some(TimeText::Micros(START_US)),
        to: Some(TimeText::Micros(START_US + 3_600_000_000)),
        limit: None,
    }
}

async fn ask(store: &dyn Store, query: &str) -> SqlData {
    let answer = sql(store, &request(query), START_US).await.unwrap_or_else(|error| panic!("{query}\n{error}"));
    assert!(answer.meta.exact && answer.meta.memory_bytes.is_some(), "{query}");
    answer.data
}

/// The statements of the guide.
fn examples() -> Vec<&'static str> {
    GUIDE.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn every_example_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let examples = examples();
    assert!(examples.len() >= 10, "{}", examples.len());
    let mut first_lines = Vec::new();
    for example in examples {
        let data = ask(store.as_ref(), example).await;
        assert!(!data.rows.is_empty() && data.truncated.is_none(), "{example}");
        first_lines.push(serde_json::to_value(&data.rows[0]).unwrap());
    }
    let minute = "2026-11-21T01:20:00Z";
    let expect = [
        json!(["GET /", 1, 1.0]),
        json!([minute, 2, 1]),
        json!([minute, 2, 1]),
        json!(["flaskr", 1, 1]),
        json!(["u1", 1, "2026-11-21T01:20:02Z"]),
        json!(["07070707070707070707070707070707", 60, 1_950.0]),
        json!(["flaskr", "stock", 1]),
        json!(["GET /", "07070707070707070707070707070707", 1_000_000]),
        json!(["db.system.name", 60]),
    ];
    // Services come in no order.
    first_lines[3] = json!(["flaskr", 1, 1]);
    assert_eq!(first_lines[..expect.len()], expect);
}

#[tokio::test]
async fn answers_have_types_and_meta() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let query = "SELECT time, name, duration_ns, is_error, duration_ns / 2.0 AS half, map_keys(attributes) AS keys FROM spans ORDER BY time";
    let answer = sql(store.as_ref(), &Request { limit: Some(1), ..request(query) }, START_US).await.unwrap();
    let found = serde_json::to_value(&answer).unwrap();
    let column = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    assert_eq!(
        found["data"],
        json!({
            "columns": [
                column("time", "timestamp"), column("name", "text"), column("duration_ns", "integer"),
                column("is_error", "boolean"), column("half", "float"), column("keys", "list"),
            ],
            "rows": [["2026-11-21T01:20:01Z", "GET /", 1_000_000, false, 500_000.0, ["user.id"]]],
            "truncated": "rows",
        })
    );
    assert_eq!(found["meta"]["exact"], false);
    assert_eq!(found["meta"]["scanned"], 62);
    assert_eq!(found["meta"]["warnings"], json!(["there are more than 1 rows; the rest was left out"]));
    assert_eq!(
        String::from_utf8(csv(&answer.data)).unwrap(),
        "time,name,duration_ns,is_error,half,keys\r\n2026-11-21T01:20:01Z,GET /,1000000,false,500000.0,\"[\"\"user.id\"\"]\"\r\n"
    );
    // The window's end is not part of it.
    let first = Request { to: Some(TimeText::Micros(START_US + 1_000_000)), ..request("SELECT count(*) FROM spans") };
    let none = sql(store.as_ref(), &first, START_US).await.unwrap();
    assert_eq!(serde_json::to_value(&none.data.rows).unwrap(), json!([[0]]));
}

#[tokio::test]
async fn mistakes_have_a_place_in_utf_16() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let error = sql(store.as_ref(), &request("SELECT '😀', nme FROM spans"), START_US).await.unwrap_err();
    let QueryError::Statement(errors) = error else { panic!("{error}") };
    let error = &errors.0[0];
    assert_eq!((error.from, error.to), (13, 16), "{error:?}");
    assert_eq!(error.fix.as_ref().unwrap().replace, "name");
    for limit in [0, 10_001] {
        let error = sql(store.as_ref(), &Request { limit: Some(limit), ..request("SELECT 1") }, START_US).await;
        assert!(matches!(error, Err(QueryError::Parameter { parameter: "limit", .. })));
    }
}

#[test]
fn the_tables_are_those_of_the_code() {
    let mut expect = String::new();
    for view in views().data.views {
        let _ = write!(expect, "### {}\n\n{}\n\n| Column | Type | Meaning |\n|---|---|---|\n", view.name, view.about);
        for column in view.columns {
            let kind = serde_json::to_value(column.kind).unwrap();
            let _ = writeln!(expect, "| `{}` | {} | {} |", column.name, kind.as_str().unwrap(), column.about);
        }
        expect.push('\n');
    }
    let tables = &GUIDE[GUIDE.find("### spans").unwrap()..GUIDE.find("<!-- end of views -->").unwrap()];
    assert_eq!(tables, expect);
}

#[test]
fn the_limits_are_the_real_ones() {
    let limits = views().data.limits;
    assert_eq!((limits.statement_bytes, limits.rows, limits.default_rows), (16 << 10, 10_000, 1_000));
    for line in [
        format!("| a statement | {} KiB, 2,000 words, numbers and signs | 400 |", MAX_STATEMENT_BYTES >> 10),
        format!("| nesting of parentheses and queries | {MAX_NESTING} | 400 |"),
        format!("| mentions of views and of queries in `WITH` | {MAX_RELATIONS} | 400 |"),
        "| rows | 1,000, with `limit` at most 10,000 |".to_owned(),
        format!("| values of the answer | {} MiB |", MAX_ANSWER_BYTES >> 20),
        format!("nothing goes to disk | {} MiB | 400 |", MAX_MEMORY_BYTES >> 20),
        format!("makes of a batch of rows | {} MiB | 400 |", MAX_TEXT_BYTES >> 20),
        format!("| time, waiting included | {} s | 504 |", MAX_TIME.as_secs()),
    ] {
        assert!(GUIDE.contains(&line), "{line}");
    }
    assert_eq!(limits.at_a_time, 2);
    assert!(GUIDE.contains("Two statements are answered at a time"));
}
