//! Log records: search, and those of a trace.

use pitviper_model::{TraceId, Value};
use pitviper_store::{LogsQuery, RowCursor, Store, StoredLog, TimeRange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

use super::json::JsonValue;
use super::spans::{SpanScope, micros};
use super::{Answer, JsonAttributes, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Most records of one page.
pub const MAX_LIMIT: u32 = 1_000;

/// Records of a page when the caller does not say.
const DEFAULT_LIMIT: u32 = 100;

/// Longest text to look for, in bytes.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Most attributes to look for.
const MAX_ATTRIBUTES: usize = 16;

/// The severities by name, each with the least number it has.
const SEVERITIES: [(&str, u8); 6] =
    [("trace", 1), ("debug", 5), ("info", 9), ("warn", 13), ("error", 17), ("fatal", 21)];

/// Which log records.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LogsRequest)]
pub struct Request {
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of at least this severity: `trace`, `debug`, `info`, `warn`, `error`, `fatal`, or a number
    /// from 1 to 24.
    pub severity: Option<String>,
    /// Only of this trace.
    pub trace_id: Option<String>,
    /// Only those whose body has this text in it, letter by letter.
    pub text: Option<String>,
    /// Only those with all of these attributes, as text, at most 16. A key that the record does not have
    /// is looked for in its resource.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Most records, at most 1000; 100 by default.
    pub limit: Option<u32>,
    /// The cursor of the page before, from `meta.next`.
    pub cursor: Option<String>,
}

/// Which log records of a trace.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Most records, at most 1000; 100 by default.
    pub limit: Option<u32>,
    /// The cursor of the page before, from `meta.next`.
    pub cursor: Option<String>,
}

/// A log record.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LogRow {
    /// When it happened or, where that was not said, was seen, in microseconds since the epoch.
    pub time_us: i64,
    /// When a collector saw it, in microseconds since the epoch; null when not said.
    #[schema(required)]
    pub observed_us: Option<i64>,
    /// How severe it is, from 1 (trace) over 9 (info) and 17 (error) to 24; zero when not said.
    pub severity: u8,
    /// `trace`, `debug`, `info`, `warn`, `error` or `fatal`, by the number; empty when not said.
    #[schema(value_type = String)]
    pub level: &'static str,
    /// The severity in the words of its source, such as `WARNING`; empty when not said.
    pub severity_text: String,
    /// What it says: text, a number, a list or an object; null when there is nothing.
    #[schema(value_type = Option<serde_json::Value>, required)]
    pub body: Option<JsonValue>,
    /// The name of the kind of event it is; empty for most.
    pub event_name: String,
    /// The service that wrote it.
    pub service: String,
    /// The trace it was written in; null for none.
    #[schema(required)]
    pub trace_id: Option<String>,
    /// The span it was written in; null for none.
    #[schema(required)]
    pub span_id: Option<String>,
    /// Details.
    pub attributes: JsonAttributes,
    /// How many details the sender left out.
    pub dropped_attributes: u32,
    /// The process that sent it.
    pub resource: JsonAttributes,
    /// The library that wrote it.
    pub scope: SpanScope,
}

/// Log records that match, the newest first.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn search(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<Vec<LogRow>>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    if request.text.as_ref().is_some_and(|text| text.len() > MAX_TEXT_BYTES) {
        return Err(wrong("text", format!("is longer than {MAX_TEXT_BYTES} bytes")));
    }
    if request.attributes.len() > MAX_ATTRIBUTES {
        return Err(wrong("attributes", format!("has more than {MAX_ATTRIBUTES} keys")));
    }
    let trace_id = request
        .trace_id
        .as_deref()
        .map(|id| id.parse().map_err(|_| wrong("trace_id", "has to be 32 hex digits".to_owned())));
    let question = LogsQuery {
        range: window.range,
        service: request.service.clone(),
        min_severity: request.severity.as_deref().map(least_severity).transpose()?,
        trace_id: trace_id.transpose()?,
        body_contains: request.text.clone().filter(|text| !text.is_empty()),
        attributes: request.attributes.clone().into_iter().collect(),
        ..page(request.limit, request.cursor.as_deref())?
    };
    let meta = Meta { step_ms: None, ..Meta::over(&window) };
    answer(store, question, meta).await
}

/// Log records of a trace, the newest first.
///
/// # Errors
/// When a parameter is not usable or the store fails. A trace without records is no error.
pub async fn of_trace(
    store: &dyn Store,
    trace_id: TraceId,
    request: &TraceRequest,
) -> Result<Answer<Vec<LogRow>>, QueryError> {
    let question = LogsQuery { trace_id: Some(trace_id), ..page(request.limit, request.cursor.as_deref())? };
    answer(store, question, Meta::exact()).await
}

/// A question for a page of all records.
fn page(limit: Option<u32>, cursor: Option<&str>) -> Result<LogsQuery, QueryError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(wrong("limit", format!("has to be between 1 and {MAX_LIMIT}")));
    }
    Ok(LogsQuery {
        range: TimeRange::ALL,
        service: None,
        min_severity: None,
        trace_id: None,
        body_contains: None,
        attributes: Vec::new(),
        limit: limit as usize,
        after: cursor.map(parse_cursor).transpose()?,
    })
}

async fn answer(store: &dyn Store, question: LogsQuery, meta: Meta) -> Result<Answer<Vec<LogRow>>, QueryError> {
    let page = store.logs(&question).await?;
    let next = page.next.map(print_cursor);
    Ok(Answer { data: page.rows.into_iter().map(LogRow::from).collect(), meta: Meta { next: Some(next), ..meta } })
}

fn least_severity(text: &str) -> Result<u8, QueryError> {
    let lower = text.to_ascii_lowercase();
    let named = SEVERITIES.iter().find(|(name, _)| *name == lower).map(|(_, least)| *least);
    named.or_else(|| text.parse().ok().filter(|number| (1..=24).contains(number))).ok_or_else(|| {
        wrong("severity", "has to be trace, debug, info, warn, error, fatal or a number from 1 to 24".to_owned())
    })
}

fn level(severity: u8) -> &'static str {
    SEVERITIES.iter().rev().find(|(_, least)| severity >= *least).map_or("", |(name, _)| name)
}

fn print_cursor(cursor: RowCursor) -> String {
    format!("log.{}.{:x}", cursor.time_ns, cursor.id)
}

fn parse_cursor(text: &str) -> Result<RowCursor, QueryError> {
    let parts: Vec<&str> = text.splitn(3, '.').collect();
    let cursor = match parts[..] {
        ["log", time, id] => match (time.parse(), u64::from_str_radix(id, 16)) {
            (Ok(time_ns), Ok(id)) => Some(RowCursor { time_ns, id }),
            _ => None,
        },
        _ => None,
    };
    cursor.ok_or_else(|| wrong("cursor", "is not a cursor of this list; take it from `meta.next`".to_owned()))
}

fn wrong(parameter: &'static str, message: String) -> QueryError {
    QueryError::Parameter { parameter, message }
}

impl From<StoredLog> for LogRow {
    fn from(stored: StoredLog) -> Self {
        let StoredLog { record, resource, scope, cursor } = stored;
        let is_observed = record.observed_time_unix_nano > 0;
        Self {
            time_us: cursor.time_ns.div_euclid(1_000),
            observed_us: is_observed.then(|| micros(record.observed_time_unix_nano)),
            severity: record.severity_number,
            level: level(record.severity_number),
            severity_text: record.severity_text,
            body: record.body.map(|body: Value| JsonValue(body)),
            event_name: record.event_name,
            service: resource.service().to_owned(),
            trace_id: record.trace_id.is_valid().then(|| record.trace_id.to_string()),
            span_id: record.span_id.is_valid().then(|| record.span_id.to_string()),
            attributes: JsonAttributes(record.attributes),
            dropped_attributes: record.dropped_attributes_count,
            resource: JsonAttributes(resource.attributes.clone()),
            scope: SpanScope { name: scope.name.clone(), version: scope.version.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_names_and_numbers() {
        assert_eq!(["TRACE", "info", "Warn", "24"].map(|text| least_severity(text).unwrap()), [1, 9, 13, 24]);
        for wrong in ["", "0", "25", "-1", "warning!", "9.5"] {
            assert!(least_severity(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            [0, 1, 4, 5, 12, 16, 17, 24].map(level),
            ["", "trace", "trace", "debug", "info", "warn", "error", "fatal"]
        );
    }

    #[test]
    fn cursors_are_read_back() {
        for cursor in [RowCursor { time_ns: -7, id: u64::MAX }, RowCursor { time_ns: i64::MAX, id: 0 }] {
            assert_eq!(parse_cursor(&print_cursor(cursor)).unwrap(), cursor);
        }
        for wrong in ["", "log", "log.1", "log.x.1", "log.1.x", "sn.1.1", "log.1.1.1"] {
            assert!(parse_cursor(wrong).is_err(), "{wrong}");
        }
    }
}
