//! Search: spans, or the traces that contain them, a page at a time.

mod candidates;
mod cursor;
mod holding;
mod judge;
mod meant;
mod out;
mod pages;
mod related;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use pitviper_model::{SpanId, StatusCode, TraceId};
use pitviper_store::{Cursor, Order, Store, StoredSpan, TimeRange, Trace, TraceHit};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(super) use self::meant::{Meant, meant};
use self::out::Out;
pub use self::out::{LookedAt, News, Progress};
use super::spans::micros;
use super::trace::{Forest, Strings, legend};
use super::{Answer, JsonAttributes, Meta, Text, Window, facts};
use crate::QueryError;
use crate::search::Query;
use crate::time::TimeText;

/// Rows of a page when the caller does not say.
const DEFAULT_LIMIT: u32 = 50;

/// Most rows of a page.
pub const MAX_LIMIT: u32 = 1_000;

/// Spans that are read to summarise one page of traces.
const SUMMARY_SPANS: usize = 200_000;

/// Most spans that are read to summarise one trace. Of a larger one the count is exact, and errors
/// and shares are those of the part that was read.
const SUMMARY_SPANS_PER_TRACE: usize = 5_000;

/// What to look for.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SearchRequest)]
pub struct Request {
    /// The search, such as `service:flaskr duration:>100ms status:error` or
    /// `{service:flaskr} >> {db.system.name:*} | count() > 50`; everything when empty.
    #[serde(default)]
    pub query: String,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Whether rows are traces or spans.
    #[serde(default)]
    pub mode: Mode,
    /// In which order rows come.
    #[serde(default)]
    pub order: RowOrder,
    /// Most rows of the page, at most 1000; 50 by default.
    pub limit: Option<u32>,
    /// The cursor of the page before, from `meta.next`.
    pub cursor: Option<String>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A trace with at least one matching span.
    #[default]
    Traces,
    /// A matching span.
    Spans,
}

/// In which order rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
pub enum RowOrder {
    /// Latest start first.
    #[default]
    #[serde(rename = "-start")]
    NewestFirst,
    /// Earliest start first.
    #[serde(rename = "start")]
    OldestFirst,
    /// Longest duration first.
    #[serde(rename = "-duration")]
    SlowestFirst,
}

impl From<RowOrder> for Order {
    fn from(order: RowOrder) -> Self {
        match order {
            RowOrder::NewestFirst => Self::NewestFirst,
            RowOrder::OldestFirst => Self::OldestFirst,
            RowOrder::SlowestFirst => Self::SlowestFirst,
        }
    }
}

/// What a search may not go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = SearchBound)]
pub enum Bound {
    /// How long it may take.
    Time,
    /// How many traces are judged for one page.
    Traces,
    /// How many spans are judged for one page.
    Spans,
    /// How much of a trace, or of a condition's matches, is held in memory: something was looked at in
    /// part. The page itself has its end.
    Memory,
}

/// A row: a trace or a span, by the mode of the request.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum SearchRow {
    /// A trace.
    Trace(TraceRow),
    /// A span.
    Span(SpanRow),
}

/// A trace with matching spans.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TraceRow {
    /// The trace.
    pub trace_id: String,
    /// Start of its earliest span, in microseconds since the epoch.
    pub t0_us: i64,
    /// From the earliest start to the latest end, in nanoseconds.
    pub dur_ns: u64,
    /// Its root; null when that is not known yet.
    #[schema(required)]
    pub root: Option<RootSpan>,
    /// How many spans it has.
    pub spans: usize,
    /// How many of them failed.
    pub errors: usize,
    /// Its services, each with its share of the self time, 0 to 1, the largest first.
    #[schema(value_type = Vec<(String, f64)>)]
    pub services: Vec<(Text, f64)>,
    /// Some of the matching spans, at most three.
    pub matched: Vec<String>,
    /// How many spans match.
    pub matched_count: u64,
}

/// The root of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RootSpan {
    /// The service that made it.
    #[schema(value_type = String)]
    pub service: Text,
    /// Its name.
    #[schema(value_type = String)]
    pub name: Text,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `unset`, `ok` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
}

/// A matching span.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SpanRow {
    /// The trace it belongs to.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// The service that made it.
    pub service: String,
    /// What was done.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `unset`, `ok` or `error`.
    #[schema(value_type = String)]
    pub status: &'static str,
    /// Start, in microseconds since the epoch.
    pub start_us: i64,
    /// Duration in nanoseconds.
    pub dur_ns: u64,
    /// Details.
    pub attributes: JsonAttributes,
}

/// One page of what matches.
///
/// A query that relates conditions or has functions is answered by looking at candidates one by one.
/// A trace then stands where its best span stands that can be meant, and a page may end early: see
/// [`Meta::complete`].
///
/// # Errors
/// [`QueryError::Syntax`] when the query is not in the language; also when a parameter is not usable
/// or the store fails.
pub async fn search(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<Vec<SearchRow>>, QueryError> {
    let asked = Asked::new(request)?;
    let mut out = Out::list((request.mode, request.order), asked.after);
    let meta = asked.answer(store, now_us, &mut out).await?;
    Ok(Answer { data: out.into_rows(), meta })
}

/// As [`search`], with rows and how far it came told as soon as they are known.
///
/// # Errors
/// As [`search`]. What was told by then is right.
pub async fn search_telling(
    store: &dyn Store,
    request: &Request,
    now_us: i64,
    to: mpsc::Sender<News>,
) -> Result<Meta, QueryError> {
    let asked = Asked::new(request)?;
    let mut out = Out::listener(to, (request.mode, request.order), asked.after);
    asked.answer(store, now_us, &mut out).await
}

/// A request that was understood.
struct Asked<'a> {
    request: &'a Request,
    query: Query,
    limit: usize,
    after: Option<Cursor>,
}

impl<'a> Asked<'a> {
    fn new(request: &'a Request) -> Result<Self, QueryError> {
        let limit = request.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            let message = format!("has to be between 1 and {MAX_LIMIT}");
            return Err(QueryError::Parameter { parameter: "limit", message });
        }
        let query = Query::parse(&request.query)?;
        let cursor = request.cursor.as_deref();
        let after = cursor.map(|text| cursor::parse(text, request.mode, request.order)).transpose()?;
        Ok(Self { request, query, limit: limit as usize, after })
    }

    async fn answer(mut self, store: &dyn Store, now_us: i64, out: &mut Out) -> Result<Meta, QueryError> {
        let Request { mode, order, .. } = *self.request;
        let window = Window::new(self.request.from.as_ref(), self.request.to.as_ref(), now_us)?;
        facts::resolve(store, &mut self.query, window.range).await?;
        let (range, limit, after) = (window.range, self.limit, self.after);
        let (next, bound, exact, looked_at) = match self.query.filter() {
            Some(filter) => {
                let task = walk::Task { range, filter, mode, order, limit, after, time: walk::WALK_TIME };
                let end = walk::page(store, task, out).await?;
                (end.next, end.bound, end.bound.is_none() && !self.query.is_cut(), Some(end.looked_at))
            }
            None => {
                let (time, keys) = (pages::CANDIDATE_TIME, holding::KEYS_OF_QUERY);
                let task = pages::Task { query: &self.query, range, mode, order, limit, after, time, keys };
                let page = pages::page(store, &task, out).await?;
                (page.next, page.bound, page.exact && !self.query.is_cut(), None)
            }
        };
        let is_complete = bound.is_none_or(|bound| bound == Bound::Memory);
        let stopped = next.filter(|_| !is_complete && order != RowOrder::SlowestFirst);
        Ok(Meta {
            next: Some(next.map(|next| cursor::print(next, mode, order))),
            warnings: self.query.warnings(),
            exact,
            complete: Some(is_complete),
            bound,
            scanned: looked_at,
            // Where it stopped may lie behind the end of the range: pages hold more than the range.
            scanned_until_us: stopped
                .map(|stopped| stopped.value.clamp(range.start_ns, range.end_ns).div_euclid(1_000)),
            ..Meta::over(&window)
        })
    }
}

/// The newest spans that a query with related conditions or functions means, at most `limit`, and
/// whether these are all. Looks at candidates for about `time`.
pub(super) async fn newest_matching(
    store: &dyn Store,
    query: &Query,
    range: TimeRange,
    limit: usize,
    time: Duration,
) -> Result<(Vec<StoredSpan>, bool), QueryError> {
    let (mode, order) = (Mode::Spans, RowOrder::NewestFirst);
    let keys = holding::KEYS_OF_QUERY;
    let task = pages::Task { query, range, mode, order, limit, after: None, time, keys };
    let mut out = Out::spans(order);
    let page = pages::page(store, &task, &mut out).await?;
    Ok((out.into_spans(), page.exact && page.next.is_none()))
}

async fn trace_rows(store: &dyn Store, hits: Vec<TraceHit>) -> Result<Vec<(TraceId, SearchRow)>, QueryError> {
    if hits.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = hits.iter().map(|hit| hit.trace_id).collect();
    let limit = (SUMMARY_SPANS / ids.len()).min(SUMMARY_SPANS_PER_TRACE);
    let traces: FxHashMap<_, _> = store.traces(&ids, limit).await?.into_iter().collect();
    let row = |hit: TraceHit| {
        let trace = traces.get(&hit.trace_id)?;
        let row = summarise(hit.trace_id, &hit.matched, hit.matched_count, trace);
        Some((hit.trace_id, SearchRow::Trace(row)))
    };
    Ok(hits.into_iter().filter_map(row).collect())
}

fn summarise(trace_id: TraceId, matched: &[SpanId], matched_count: u64, trace: &Trace) -> TraceRow {
    let forest = Forest::grow(&trace.spans);
    let self_ns = forest.self_times();
    let mut strings = Strings::default();
    let (entries, _) = legend(&trace.spans, &forest, &self_ns, &mut strings);
    let total: u64 = entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.self_ns));
    let share = |own: u64| if total == 0 { 0.0 } else { own as f64 / total as f64 };
    let mut services: Vec<(Text, f64)> =
        entries.iter().map(|entry| (strings.text(entry.name), share(entry.self_ns))).collect();
    services.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let root = forest.main_root().map(|row| forest.rows[row as usize]).filter(|row| !row.parent_is_missing());
    TraceRow {
        trace_id: trace_id.to_string(),
        t0_us: forest.start_ns.div_euclid(1_000),
        dur_ns: forest.end_ns.saturating_sub(forest.start_ns).cast_unsigned(),
        root: root.map(|row| {
            let span = &trace.spans[row.span as usize];
            RootSpan {
                service: Text(Arc::clone(&span.service)),
                name: Text(Arc::clone(&span.name)),
                kind: span.kind.as_str(),
                status: span.status.as_str(),
            }
        }),
        spans: trace.total,
        errors: trace.spans.iter().filter(|span| span.status == StatusCode::Error).count(),
        services,
        matched: matched.iter().take(TraceHit::MAX_MATCHED).map(ToString::to_string).collect(),
        matched_count,
    }
}

impl From<StoredSpan> for SpanRow {
    fn from(stored: StoredSpan) -> Self {
        let span = stored.span;
        Self {
            trace_id: span.trace_id.to_string(),
            span_id: span.span_id.to_string(),
            service: stored.resource.service().to_owned(),
            kind: span.kind.as_str(),
            status: span.status.code.as_str(),
            start_us: micros(span.start_time_unix_nano),
            dur_ns: span.duration_nano(),
            name: span.name,
            attributes: JsonAttributes(span.attributes),
        }
    }
}

#[cfg(test)]
mod tests;
