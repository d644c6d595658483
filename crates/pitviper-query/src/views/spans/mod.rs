//! Spans of a trace with all of their details.

use pitviper_model::{SpanId, TraceId};
use pitviper_store::{Store, StoredSpan};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Answer, JsonAttributes, Meta};
use crate::QueryError;

/// Most spans in one answer, and most ids in one request.
pub const MAX_SPANS: usize = 1_000;

/// Which spans of the trace.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Span ids with commas between them; all spans of the trace when missing.
    pub ids: Option<String>,
    /// The cursor of the page before, from `meta.next`.
    pub cursor: Option<String>,
}

/// A span with all of its details.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanDetails {
    /// The trace it belongs to.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// Its parent; null for a root.
    #[schema(required)]
    pub parent_span_id: Option<String>,
    /// The W3C trace state.
    pub trace_state: String,
    /// What was done.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// The service that made it.
    pub service: String,
    /// Start, in microseconds since the epoch.
    pub start_us: i64,
    /// Duration in nanoseconds.
    pub dur_ns: u64,
    /// `unset`, `ok` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Why it failed.
    pub status_message: String,
    /// Details.
    pub attributes: JsonAttributes,
    /// What happened during it.
    pub events: Vec<SpanEvent>,
    /// Spans that caused it.
    pub links: Vec<SpanLink>,
    /// The process that sent it.
    pub resource: JsonAttributes,
    /// The library that made it.
    pub scope: SpanScope,
    /// What the sender left out.
    pub dropped: Dropped,
}

/// Something that happened at one moment of a span.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanEvent {
    /// When, in microseconds since the epoch.
    pub time_us: i64,
    /// Nanoseconds after the span's start; negative before it.
    pub offset_ns: i64,
    /// What.
    pub name: String,
    /// Details.
    pub attributes: JsonAttributes,
}

/// A reference to another span.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanLink {
    /// The other span's trace.
    pub trace_id: String,
    /// The other span.
    pub span_id: String,
    /// Details.
    pub attributes: JsonAttributes,
}

/// The library that made a span.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanScope {
    /// Its name.
    pub name: String,
    /// Its version; empty when not said.
    pub version: String,
}

/// How many details the sender left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dropped {
    /// Attributes.
    pub attributes: u32,
    /// Events.
    pub events: u32,
    /// Links.
    pub links: u32,
}

/// Spans of a trace, by start time.
///
/// # Errors
/// [`QueryError::NotFound`] when the trace is not known; also when a parameter is not usable or the
/// store fails.
pub async fn spans(
    store: &dyn Store,
    trace_id: TraceId,
    request: &Request,
) -> Result<Answer<Vec<SpanDetails>>, QueryError> {
    let ids = parse_ids(request.ids.as_deref().unwrap_or_default())?;
    let offset = match &request.cursor {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| QueryError::Parameter {
            parameter: "cursor",
            message: "is not a cursor of this list; take it from `meta.next`".to_owned(),
        })?,
    };
    let mut found = store.trace_details(trace_id, &ids, offset, MAX_SPANS + 1).await?;
    if found.is_empty() && ids.is_empty() && offset == 0 {
        return Err(QueryError::NotFound { what: format!("trace {trace_id}") });
    }
    let more = found.len() > MAX_SPANS;
    found.truncate(MAX_SPANS);
    let next = more.then(|| (offset + MAX_SPANS).to_string());
    let data = found.into_iter().map(SpanDetails::from).collect();
    Ok(Answer { data, meta: Meta { next: Some(next), ..Meta::exact() } })
}

fn parse_ids(text: &str) -> Result<Vec<SpanId>, QueryError> {
    let wrong = |message: String| QueryError::Parameter { parameter: "ids", message };
    let ids: Vec<&str> = text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
    if ids.len() > MAX_SPANS {
        return Err(wrong(format!("holds more than {MAX_SPANS} span ids")));
    }
    ids.into_iter()
        .map(|id| id.parse().map_err(|_| wrong("holds something that is not a span id of 16 hex digits".to_owned())))
        .collect()
}

impl From<StoredSpan> for SpanDetails {
    fn from(stored: StoredSpan) -> Self {
        let StoredSpan { span, resource, scope } = stored;
        let start_ns = span.start_time_unix_nano;
        let events = span.events.into_iter().map(|event| SpanEvent {
            time_us: micros(event.time_unix_nano),
            offset_ns: (i128::from(event.time_unix_nano) - i128::from(start_ns)) as i64,
            name: event.name,
            attributes: JsonAttributes(event.attributes),
        });
        let links = span.links.into_iter().map(|link| SpanLink {
            trace_id: link.trace_id.to_string(),
            span_id: link.span_id.to_string(),
            attributes: JsonAttributes(link.attributes),
        });
        Self {
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            parent_span_id: span.parent_span_id.is_valid().then(|| span.parent_span_id.to_string()),
            trace_state: span.trace_state,
            name: span.name,
            kind: span.kind.as_str(),
            service: resource.service().to_owned(),
            start_us: micros(start_ns),
            dur_ns: span.end_time_unix_nano.saturating_sub(start_ns),
            status: span.status.code.as_str(),
            status_message: span.status.message,
            attributes: JsonAttributes(span.attributes),
            events: events.collect(),
            links: links.collect(),
            resource: JsonAttributes(resource.attributes.clone()),
            scope: SpanScope { name: scope.name.clone(), version: scope.version.clone() },
            dropped: Dropped {
                attributes: span.dropped_attributes_count,
                events: span.dropped_events_count,
                links: span.dropped_links_count,
            },
        }
    }
}

/// Whole microseconds. Any 64-bit number of nanoseconds fits once it is divided.
pub(super) fn micros(nanos: u64) -> i64 {
    (nanos / 1_000) as i64
}
