//! Read-only SQL over views of what is stored: the statement, its limits, and the typed answer.
//!
//! The views are part of the contract: every store has those of [`VIEWS`], with these columns.

use std::ops::Range;
use std::time::Duration;

use crate::store::{StoreError, TimeRange};

/// Longest statement, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 16 * 1024;
/// Most words, numbers and signs of a statement.
pub const MAX_TOKENS: usize = 2_000;
/// Deepest nesting of parentheses and subqueries.
pub const MAX_NESTING: usize = 50;
/// Most places in which a statement names a view or a query of its `WITH`.
pub const MAX_RELATIONS: usize = 16;
/// How often a column may stand in a result, counted through the queries it is made from: one that is
/// used twice in each of ten queries stands in the last a thousand times.
pub const MAX_EXPANSION: u64 = 1_000;
/// Columns that `CUBE` may combine.
pub const MAX_CUBE: usize = 8;
/// Most bytes of text that one function may make of one batch of rows.
pub const MAX_TEXT_BYTES: usize = 32 * 1024 * 1024;
/// Rows of an answer, when the question does not say.
pub const DEFAULT_ROWS: usize = 1_000;
/// Most rows of an answer; the rest is left out, and the answer says so.
pub const MAX_ROWS: usize = 10_000;
/// Most bytes of the values of an answer; the rest is left out, and the answer says so.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// Most memory for what a statement sorts, groups and joins, in bytes.
pub const MAX_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// How long a statement may take, waiting for its turn included.
pub const MAX_TIME: Duration = Duration::from_secs(30);
/// Statements at a time; others wait.
pub const AT_A_TIME: usize = 2;
/// Most spans of one view of which it is remembered that they were seen, so that one sent twice
/// counts once.
pub const MAX_REMEMBERED_SPANS: usize = 4_000_000;

/// A statement to be answered.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlQuestion {
    /// One `SELECT`, `WITH`, `VALUES`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`.
    pub statement: String,
    /// What the views show: rows that begin in this range.
    pub range: TimeRange,
    /// How many rows at most; never more than [`MAX_ROWS`].
    pub max_rows: usize,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlType {
    /// True or false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Float,
    /// Text. Also what has no type of its own here, such as intervals, in its printed form.
    Text,
    /// Nanoseconds since the Unix epoch.
    Timestamp,
    /// Lists of values.
    List,
    /// Values by key.
    Map,
}

impl SqlType {
    /// The type's name, as answers and documents give it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Float => "float",
            Self::Text => "text",
            Self::Timestamp => "timestamp",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// Not known.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i128),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Nanoseconds since the Unix epoch.
    Timestamp(i64),
    /// A list.
    List(Vec<SqlValue>),
    /// Values by key, in the order in which they are stored.
    Map(Vec<(String, SqlValue)>),
}

impl SqlValue {
    /// What it counts for against [`MAX_ANSWER_BYTES`].
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let inner = match self {
            Self::Text(text) => text.len(),
            Self::List(values) => values.iter().map(Self::size_bytes).sum(),
            Self::Map(entries) => entries.iter().map(|(key, value)| key.len() + value.size_bytes()).sum(),
            Self::Null | Self::Boolean(_) | Self::Integer(_) | Self::Float(_) | Self::Timestamp(_) => 0,
        };
        inner + size_of::<Self>()
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlColumn {
    /// Its name, as the statement gives it.
    pub name: String,
    /// What its values are.
    pub kind: SqlType,
}

/// Why an answer is not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncated {
    /// There are more rows than were asked for.
    Rows,
    /// The values take more than [`MAX_ANSWER_BYTES`].
    Bytes,
}

/// The answer to a statement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SqlAnswer {
    /// The columns.
    pub columns: Vec<SqlColumn>,
    /// The rows, each with one value a column.
    pub rows: Vec<Vec<SqlValue>>,
    /// Why rows were left out, if some were.
    pub truncated: Option<Truncated>,
    /// How many stored rows were looked at, at least; those that an index or a bound ruled out are not
    /// counted.
    pub rows_scanned: u64,
    /// The most memory that was held for sorting, grouping and joining at once, in bytes.
    pub memory_bytes: u64,
    /// Whether every span that was sent twice counts once. False when there were more spans than
    /// [`MAX_REMEMBERED_SPANS`], or than there was memory to remember.
    pub exact: bool,
}

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlProblem {
    /// Where, in bytes of the statement; all of it where that is not known.
    pub range: Range<usize>,
    /// What is wrong, and what to do.
    pub message: String,
    /// What may have been meant in place of the range.
    pub suggestion: Option<String>,
}

/// Why a statement was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The statement is not valid, or not allowed.
    #[error("{}", .0.message)]
    Statement(SqlProblem),
    /// It needs more memory than [`MAX_MEMORY_BYTES`].
    #[error("the statement needs more than {} MiB of memory; narrow its time range, or group and sort fewer rows", MAX_MEMORY_BYTES >> 20)]
    Memory,
    /// It takes longer than [`MAX_TIME`].
    #[error("the statement took longer than {} s; narrow its time range", MAX_TIME.as_secs())]
    Time,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A view that statements can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlView {
    /// Its name.
    pub name: &'static str,
    /// What a row of it is.
    pub about: &'static str,
    /// Its columns, in order.
    pub columns: &'static [SqlViewColumn],
}

/// A column of a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqlViewColumn {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub kind: SqlType,
    /// Whether it may be NULL.
    pub optional: bool,
    /// What it says, with its unit.
    pub about: &'static str,
}

const fn required(name: &'static str, kind: SqlType, about: &'static str) -> SqlViewColumn {
    SqlViewColumn { name, kind, optional: false, about }
}

const fn optional(name: &'static str, kind: SqlType, about: &'static str) -> SqlViewColumn {
    SqlViewColumn { name, kind, optional: true, about }
}

use SqlType::{Boolean, Float, Integer, Map, Text, Timestamp};

static SPANS: SqlView = SqlView {
    name: "spans",
    about: "A span.",
    columns: &[
        required("time", Timestamp, "Start."),
        required("duration_ns", Integer, "Duration in nanoseconds."),
        required("trace_id", Text, "The trace, 32 lower-case hex digits."),
        required("span_id", Text, "The span, 16 lower-case hex digits."),
        optional("parent_id", Text, "The parent span; NULL of a root."),
        required("service", Text, "The service's name."),
        required("name", Text, "The span's name."),
        required("kind", Text, "`internal`, `server`, `client`, `producer` or `consumer`."),
        required("status", Text, "`unset`, `ok` or `error`."),
        optional("status_message", Text, "Why it failed."),
        optional("environment", Text, "The deployment environment."),
        optional("version", Text, "The service's version."),
        optional("host", Text, "The host's name."),
        optional("http_status", Integer, "The status code of a request."),
        optional("db_system", Text, "The database of a call."),
        optional("detail", Text, "One line of what it did: the statement, the URL, the exception."),
        required("is_root", Boolean, "Whether it has no parent."),
        required("is_entry", Boolean, "Whether work enters the service here: server and consumer spans."),
        required("is_error", Boolean, "Whether its status is `error`."),
        required("event_count", Integer, "How many events are kept of it."),
        optional("scope", Text, "The library that made it."),
        required("attributes", Map, "Its attributes as text."),
        required("resource_attributes", Map, "Those of the process that sent it, as text."),
    ],
};

static SPAN_METRICS: SqlView = SqlView {
    name: "span_metrics",
    about: "Spans counted by ten seconds and by all columns up to `peer`; older ones by the minute or the hour. Several rows may have the same key, so add them up.",
    columns: &[
        required("time", Timestamp, "Start of the ten seconds, the minute or the hour."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        optional("version", Text, "The service's version."),
        required("name", Text, "The spans' name."),
        required("kind", Text, "The spans' kind."),
        required("is_root", Boolean, "Whether they have no parent."),
        optional("peer", Text, "What they talk to, where known."),
        required("hits", Integer, "How many."),
        required("errors", Integer, "How many of them failed."),
        required("duration_sum_ns", Integer, "Sum of their durations in nanoseconds."),
        required("duration_min_ns", Integer, "The shortest, in nanoseconds."),
        required("duration_max_ns", Integer, "The longest, in nanoseconds."),
    ],
};

static LOGS: SqlView = SqlView {
    name: "logs",
    about: "A log record.",
    columns: &[
        required("time", Timestamp, "When it happened or, where that was not said, was seen."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        optional("version", Text, "The service's version."),
        optional("host", Text, "The host's name."),
        required(
            "severity",
            Integer,
            "From 1 to 24, as OpenTelemetry has them: 9 is info, 17 is error; 0 when not said.",
        ),
        optional("severity_text", Text, "The severity as the library calls it."),
        optional("event_name", Text, "The kind of event that it is a record of."),
        optional("body", Text, "What it says; as JSON where it is not text."),
        optional("trace_id", Text, "The trace it was written in, 32 lower-case hex digits."),
        optional("span_id", Text, "The span it was written in, 16 lower-case hex digits."),
        optional("scope", Text, "The library that wrote it."),
        required("attributes", Map, "Its attributes as text."),
        required("resource_attributes", Map, "Those of the process that sent it, as text."),
    ],
};

static EXCEPTIONS: SqlView = SqlView {
    name: "exceptions",
    about: "An exception that was raised.",
    columns: &[
        required("time", Timestamp, "When."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        optional("version", Text, "The service's version."),
        optional("host", Text, "The host's name."),
        required("fingerprint", Text, "What it has in common with others of its group, 32 hex digits."),
        optional("exception_type", Text, "The exception's class."),
        optional("message", Text, "What it says."),
        optional("stacktrace", Text, "Where it was raised."),
        optional("handled", Boolean, "Whether the application caught it."),
        optional("trace_id", Text, "The trace it was raised in, 32 lower-case hex digits."),
        optional("span_id", Text, "The span it was raised in, 16 lower-case hex digits."),
        required("attributes", Map, "Its attributes as text."),
        required("resource_attributes", Map, "Those of the process it was raised in, as text."),
    ],
};

static METRICS: SqlView = SqlView {
    name: "metrics",
    about: "A point of a metric as it was sent.",
    columns: &[
        required("time", Timestamp, "When it was taken."),
        required("service", Text, "The service's name."),
        required("name", Text, "The metric's name."),
        required("series", Text, "Its series in `metric_series`, 32 lower-case hex digits."),
        optional("value", Float, "Of a gauge or a sum."),
        optional("count", Integer, "Of a histogram: how many values."),
        optional("sum", Float, "Of a histogram: their sum."),
        optional("min", Float, "Of a histogram: the least."),
        optional("max", Float, "Of a histogram: the greatest."),
    ],
};

static METRIC_SERIES: SqlView = SqlView {
    name: "metric_series",
    about: "A series of a metric on a day. Several rows may tell of the same, so take the first and the last.",
    columns: &[
        required("first_seen", Timestamp, "Its earliest point of the day."),
        required("last_seen", Timestamp, "Its latest point of the day."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        required("name", Text, "The metric's name."),
        required("series", Text, "Its id, 32 lower-case hex digits."),
        optional("unit", Text, "The unit of its values."),
        optional("description", Text, "What is measured."),
        optional("scope", Text, "The library that measures it."),
        required("attributes", Map, "What tells it from other series of the metric, as text."),
        required("resource_attributes", Map, "Those of the process that sent it, as text."),
    ],
};

static PROFILES: SqlView = SqlView {
    name: "profiles",
    about: "A sample of a profile. One that was sent twice is there twice.",
    columns: &[
        required("time", Timestamp, "When it was taken."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        optional("version", Text, "The service's version."),
        optional("host", Text, "The host's name."),
        required("sample_type", Text, "What was sampled, such as `cpu`."),
        optional("unit", Text, "The unit of the value."),
        required("value", Integer, "How much."),
        required("stack", Text, "The stack's id, 32 lower-case hex digits."),
        optional("thread", Text, "The thread's name."),
        optional("endpoint", Text, "The request that was worked on."),
        optional("trace_id", Text, "The trace it was taken in, 32 lower-case hex digits."),
        optional("span_id", Text, "The span it was taken in, 16 lower-case hex digits."),
        required("attributes", Map, "Its attributes as text."),
        required("resource_attributes", Map, "Those of the process that sent it, as text."),
    ],
};

static LIBRARIES: SqlView = SqlView {
    name: "libraries",
    about: "A package that a service ran with on a day. Several rows may tell of the same, so take the first and the last.",
    columns: &[
        required("first_seen", Timestamp, "When it was first seen on the day."),
        required("last_seen", Timestamp, "When it was last seen on the day."),
        required("service", Text, "The service's name."),
        optional("environment", Text, "The deployment environment."),
        required("package", Text, "The package's name."),
        required("version", Text, "The package's version."),
        optional("runtime", Text, "What it runs on."),
        optional("host", Text, "The host's name."),
    ],
};

/// The views, in the order in which documents list them.
pub static VIEWS: [&SqlView; 8] =
    [&SPANS, &SPAN_METRICS, &LOGS, &EXCEPTIONS, &METRICS, &METRIC_SERIES, &PROFILES, &LIBRARIES];
