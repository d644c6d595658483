//! SQL: a statement over the views of the store, its rows with their types, and what the views are.

mod cell;

use pitviper_store::Store;
use pitviper_store::questions::sql::{
    AT_A_TIME, DEFAULT_ROWS, MAX_ANSWER_BYTES, MAX_MEMORY_BYTES, MAX_REMEMBERED_SPANS, MAX_ROWS, MAX_STATEMENT_BYTES,
    MAX_TIME, SqlError, SqlQuestion, SqlType, Truncated, VIEWS,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::cell::Cell;
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::search::{Fix, SyntaxError, SyntaxErrors};
use crate::time::TimeText;

/// A statement.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SqlRequest)]
pub struct Request {
    /// One `SELECT`, `WITH`, `VALUES`, `EXPLAIN`, `SHOW TABLES` or `DESCRIBE`, such as
    /// `SELECT service, count(*) FROM spans GROUP BY service`.
    pub query: String,
    /// Start of what the views show: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Most rows of the answer, at most 10000; 1000 by default.
    pub limit: Option<u32>,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// Whole numbers.
    Integer,
    /// Numbers; those that are none are the texts `NaN`, `inf` and `-inf`.
    Float,
    /// Text.
    Text,
    /// Times as ISO 8601 in UTC, to the nanosecond.
    Timestamp,
    /// Lists.
    List,
    /// Objects.
    Map,
}

impl From<SqlType> for ColumnType {
    fn from(kind: SqlType) -> Self {
        match kind {
            SqlType::Boolean => Self::Boolean,
            SqlType::Integer => Self::Integer,
            SqlType::Float => Self::Float,
            SqlType::Text => Self::Text,
            SqlType::Timestamp => Self::Timestamp,
            SqlType::List => Self::List,
            SqlType::Map => Self::Map,
        }
    }
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SqlColumn)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
}

/// Why an answer is not all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// There are more rows than `limit`.
    Rows,
    /// The values take more than an answer may.
    Bytes,
}

impl Cut {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
        }
    }
}

/// The rows that a statement asks for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SqlData {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows, each with one value a column.
    pub rows: Vec<Vec<Cell>>,
    /// Why rows were left out; null when none were.
    pub truncated: Option<Cut>,
}

/// Answers a statement.
///
/// # Errors
/// When a parameter is not usable, the statement is not valid or not allowed, needs too much, or the
/// store fails.
pub async fn sql(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<SqlData>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let max_rows = match request.limit {
        None => DEFAULT_ROWS,
        Some(rows) if (1..=MAX_ROWS).contains(&(rows as usize)) => rows as usize,
        Some(_) => {
            let message = format!("has to be between 1 and {MAX_ROWS}");
            return Err(QueryError::Parameter { parameter: "limit", message });
        }
    };
    let question = SqlQuestion { statement: request.query.clone(), range: window.range, max_rows };
    let answer = store.sql(&question).await.map_err(|error| query_error(&request.query, error))?;
    let truncated = answer.truncated.map(|truncated| match truncated {
        Truncated::Rows => Cut::Rows,
        Truncated::Bytes => Cut::Bytes,
    });
    let mut warnings = Vec::new();
    match truncated {
        Some(Cut::Rows) => warnings.push(format!("there are more than {max_rows} rows; the rest was left out")),
        Some(Cut::Bytes) => {
            warnings.push(format!("the rows take more than {} MiB; the rest was left out", MAX_ANSWER_BYTES >> 20))
        }
        None => {}
    }
    if !answer.exact {
        warnings.push(format!(
            "of more than {MAX_REMEMBERED_SPANS} spans, or of fewer when memory is short, one that was sent twice may count twice"
        ));
    }
    let columns = answer.columns.into_iter().map(|column| Column { name: column.name, kind: column.kind.into() });
    let data = SqlData {
        columns: columns.collect(),
        rows: answer.rows.into_iter().map(|row| row.into_iter().map(Cell).collect()).collect(),
        truncated,
    };
    let meta = Meta {
        exact: truncated.is_none() && answer.exact,
        scanned: Some(answer.rows_scanned),
        memory_bytes: Some(answer.memory_bytes),
        warnings,
        ..Meta::over(&window)
    };
    Ok(Answer { data, meta })
}

fn query_error(statement: &str, error: SqlError) -> QueryError {
    match error {
        SqlError::Statement(problem) => {
            let units = |bytes: usize| statement[..bytes].encode_utf16().count();
            QueryError::Statement(SyntaxErrors(vec![SyntaxError {
                from: units(problem.range.start),
                to: units(problem.range.end),
                message: problem.message,
                fix: problem.suggestion.map(|replace| Fix { replace }),
            }]))
        }
        SqlError::Memory => QueryError::TooLarge { message: error.to_string() },
        SqlError::Time => QueryError::TooSlow { message: error.to_string() },
        SqlError::Store(error) => error.into(),
    }
}

/// The rows as CSV, with a line of names first. NULL is an empty field; lists and maps are JSON.
#[must_use]
pub fn csv(data: &SqlData) -> Vec<u8> {
    let mut out = String::new();
    let names: Vec<String> = data.columns.iter().map(|column| column.name.clone()).collect();
    cell::csv_line(&mut out, names.iter().map(|name| name.as_str().into()));
    for row in &data.rows {
        cell::csv_line(&mut out, row.iter().map(Cell::as_csv));
    }
    out.into_bytes()
}

/// A view that statements can name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SqlView)]
pub struct View {
    /// Its name.
    pub name: &'static str,
    /// What a row of it is.
    pub about: &'static str,
    /// Its columns.
    pub columns: Vec<ViewColumn>,
}

/// A column of a view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SqlViewColumn)]
pub struct ViewColumn {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Whether it may be NULL.
    pub optional: bool,
    /// What it says.
    pub about: &'static str,
}

/// What a statement may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SqlLimits)]
pub struct Limits {
    /// Longest statement, in bytes.
    pub statement_bytes: usize,
    /// Rows of an answer when the request does not say.
    pub default_rows: usize,
    /// Most rows of an answer.
    pub rows: usize,
    /// Most bytes of an answer's values.
    pub answer_bytes: usize,
    /// Most memory to sort, group and join, in bytes.
    pub memory_bytes: usize,
    /// How long a statement may take, in milliseconds.
    pub time_ms: u64,
    /// Statements at a time; others wait.
    pub at_a_time: usize,
}

/// The views, and what a statement may take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SqlViews {
    /// The views.
    pub views: Vec<View>,
    /// The limits.
    pub limits: Limits,
}

/// What statements can ask.
#[must_use]
pub fn views() -> Answer<SqlViews> {
    let view = |view: &&pitviper_store::questions::sql::SqlView| View {
        name: view.name,
        about: view.about,
        columns: view
            .columns
            .iter()
            .map(|column| ViewColumn {
                name: column.name,
                kind: column.kind.into(),
                optional: column.optional,
                about: column.about,
            })
            .collect(),
    };
    let limits = Limits {
        statement_bytes: MAX_STATEMENT_BYTES,
        default_rows: DEFAULT_ROWS,
        rows: MAX_ROWS,
        answer_bytes: MAX_ANSWER_BYTES,
        memory_bytes: MAX_MEMORY_BYTES,
        time_ms: MAX_TIME.as_millis() as u64,
        at_a_time: AT_A_TIME,
    };
    Answer { data: SqlViews { views: VIEWS.iter().map(view).collect(), limits }, meta: Meta::exact() }
}
