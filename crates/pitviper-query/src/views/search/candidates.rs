//! Pages of traces and spans that a query with related conditions or functions means.
//!
//! Candidates come from the store in the order of the rows: what holds of every span that can be
//! meant. Where another condition that has to hold too is that of few traces, only those are looked
//! at. Then candidates are judged in turn, until the page is full or a bound is reached; a page that
//! ends at a bound says so, and its cursor goes on behind the last candidate.

use std::time::{Duration, Instant};

use pitviper_model::{SpanId, TraceId};
use pitviper_store::filter::Filter;
use pitviper_store::{Cursor, Order, Search, Store, StoredSpan, TimeRange};
use rustc_hash::{FxHashMap, FxHashSet};

use super::judge::{Judge, condition_of_members, required};
use super::{Mode, RowOrder, SearchRow, cursor, trace_rows};
use crate::QueryError;
use crate::search::{Aggregate, Query, SpanSet, condition_filter};

/// Most candidate traces that are looked at for one page.
const CANDIDATE_TRACES: usize = 5_000;

/// Most candidate spans that are looked at for one page of spans.
const CANDIDATE_SPANS: usize = 20_000;

/// How long candidates are looked at for one page; what is under way then is finished.
pub(super) const CANDIDATE_TIME: Duration = Duration::from_secs(8);

/// Candidate traces that are judged together.
const TRACES_TOGETHER: usize = 64;

/// Candidate traces that are fetched together when the store has counted their spans already.
const COUNTED_TOGETHER: usize = 512;

/// Candidate spans that are fetched together.
const SPANS_TOGETHER: usize = 512;

/// A condition of at most so many traces narrows the search to them.
const NARROW_TRACES: usize = 256;

/// Most span ids that are remembered of judged traces while a page of spans is made.
const REMEMBERED_SPANS: usize = 500_000;

/// What to look for, and where the page before ended.
pub(super) struct Task<'a> {
    pub(super) query: &'a Query,
    pub(super) range: TimeRange,
    pub(super) mode: Mode,
    pub(super) order: RowOrder,
    pub(super) limit: usize,
    pub(super) after: Option<Cursor>,
    /// How long candidates are looked at.
    pub(super) time: Duration,
}

/// A page, as far as it came.
#[derive(Default)]
pub(super) struct Page {
    pub(super) rows: Vec<SearchRow>,
    /// In the mode of spans, what the rows are made of, until they are.
    pub(super) spans: Vec<StoredSpan>,
    /// Where the next page goes on; `None` when there is none.
    pub(super) next: Option<Cursor>,
    /// Whether all candidates up to the page's end were looked at as a whole.
    pub(super) exact: bool,
    /// Whether the page ended because it was full, or because there is no more.
    pub(super) complete: bool,
}

/// One page of what the query means.
pub(super) async fn page(store: &dyn Store, task: &Task<'_>) -> Result<Page, QueryError> {
    let mut page = find(store, task).await?;
    page.rows.extend(std::mem::take(&mut page.spans).into_iter().map(|span| SearchRow::Span(span.into())));
    Ok(page)
}

/// One page of what the query means, with spans as they are stored.
pub(super) async fn find(store: &dyn Store, task: &Task<'_>) -> Result<Page, QueryError> {
    let Some(filter) = candidates(store, task).await? else {
        return Ok(Page { exact: true, complete: true, ..Page::default() });
    };
    let order = Order::from(task.order);
    let judge = Judge::new(store, task.query, task.range, order);
    let search = Search { range: task.range, filter, order, limit: 0, after: task.after };
    let mut work = Work { store, task, judge, search, started: Instant::now() };
    let mut page = match task.mode {
        Mode::Traces => work.traces().await?,
        Mode::Spans => work.spans().await?,
    };
    page.exact = page.complete && !work.judge.cut;
    Ok(page)
}

/// What every span that is meant has; `None` when no span is.
async fn candidates(store: &dyn Store, task: &Task<'_>) -> Result<Option<Filter>, QueryError> {
    let set = &task.query.spans;
    let filter = condition_of_members(set);
    let conditions = set.conditions();
    let mut narrowed: Option<FxHashSet<TraceId>> = None;
    if conditions.len() > 1 {
        let required = conditions.into_iter().zip(required(set)).filter_map(|(condition, is)| condition.filter(|_| is));
        for condition in required {
            let condition = condition_filter(Some(condition));
            if condition == filter {
                continue;
            }
            let limit = NARROW_TRACES + 1;
            let search = Search { range: task.range, filter: condition, order: Order::NewestFirst, limit, after: None };
            let hits = store.search_traces(&search).await?;
            if hits.len() < limit {
                let traces = hits.into_iter().map(|hit| hit.trace_id);
                narrowed = Some(match narrowed {
                    Some(known) => traces.filter(|trace_id| known.contains(trace_id)).collect(),
                    None => traces.collect(),
                });
            }
        }
    }
    Ok(match narrowed {
        None => Some(filter),
        Some(traces) if traces.is_empty() => None,
        Some(traces) => {
            let mut traces: Vec<TraceId> = traces.into_iter().collect();
            traces.sort_unstable();
            Some(Filter::And(vec![Filter::Traces(traces), filter]))
        }
    })
}

struct Work<'a> {
    store: &'a dyn Store,
    task: &'a Task<'a>,
    judge: Judge<'a>,
    search: Search,
    started: Instant,
}

impl Work<'_> {
    fn is_over(&self, candidates: usize, most: usize) -> bool {
        candidates >= most || self.started.elapsed() >= self.task.time
    }

    async fn traces(&mut self) -> Result<Page, QueryError> {
        let mut page = Page::default();
        let mut candidates = 0;
        let counted = only_counts(self.task.query);
        self.search.limit = if counted { COUNTED_TOGETHER } else { TRACES_TOGETHER };
        loop {
            let mut hits = self.store.search_traces(&self.search).await?;
            let mut is_last = hits.len() < self.search.limit;
            candidates += hits.len();
            let mut rows: FxHashMap<TraceId, SearchRow> = FxHashMap::default();
            let mut order: Vec<(TraceId, Cursor)> = hits.iter().map(|hit| (hit.trace_id, hit.cursor)).collect();
            if counted {
                // The store has counted already.
                hits.retain(|hit| passes_counts(self.task.query, hit.matched_count));
                // What does not fit the page is left to the next one: the fewer traces are
                // summarised, the more of each is read.
                let room = self.task.limit - page.rows.len();
                if hits.len() > room {
                    hits.truncate(room);
                    let last = hits[room - 1].trace_id;
                    let end = order.iter().position(|(trace_id, _)| *trace_id == last);
                    order.truncate(end.map_or(order.len(), |end| end + 1));
                    is_last = false;
                }
                rows.extend(trace_rows(self.store, hits).await?);
            } else {
                let trace_ids: Vec<TraceId> = order.iter().map(|(trace_id, _)| *trace_id).collect();
                let judged = self.judge.judge(&trace_ids).await?;
                rows.extend(judged.into_iter().map(|(trace_id, judged)| (trace_id, SearchRow::Trace(judged.row))));
            }
            let count = order.len();
            for (place, (trace_id, cursor)) in order.into_iter().enumerate() {
                self.search.after = Some(cursor);
                page.rows.extend(rows.remove(&trace_id));
                if page.rows.len() == self.task.limit {
                    let nothing_follows = is_last && place + 1 == count;
                    return Ok(Page { next: Some(cursor).filter(|_| !nothing_follows), complete: true, ..page });
                }
            }
            if is_last {
                return Ok(Page { complete: true, ..page });
            }
            if self.is_over(candidates, CANDIDATE_TRACES) {
                return Ok(Page { next: self.search.after, ..page });
            }
        }
    }

    async fn spans(&mut self) -> Result<Page, QueryError> {
        let mut page = Page::default();
        let mut candidates = 0;
        let mut judged_traces = 0;
        let mut known: FxHashMap<TraceId, FxHashSet<SpanId>> = FxHashMap::default();
        loop {
            self.search.limit = SPANS_TOGETHER;
            let spans = self.store.search_spans(&self.search).await?;
            let is_last = spans.len() < SPANS_TOGETHER;
            candidates += spans.len();
            if known.values().map(FxHashSet::len).sum::<usize>() > REMEMBERED_SPANS {
                known.clear();
            }
            let mut unknown: Vec<TraceId> = spans.iter().map(|stored| stored.span.trace_id).collect();
            unknown.sort_unstable();
            unknown.dedup();
            unknown.retain(|trace_id| !known.contains_key(trace_id));
            judged_traces += unknown.len();
            for together in unknown.chunks(TRACES_TOGETHER) {
                let mut judged = self.judge.judge(together).await?;
                for trace_id in together {
                    let matched = judged.remove(trace_id).map(|judged| judged.matched.into_iter().collect());
                    known.insert(*trace_id, matched.unwrap_or_default());
                }
            }
            let count = spans.len();
            for (place, stored) in spans.into_iter().enumerate() {
                let cursor = cursor::of_span(&stored, self.task.order);
                self.search.after = Some(cursor);
                let (trace_id, span_id) = (stored.span.trace_id, stored.span.span_id);
                if known.get(&trace_id).is_some_and(|matched| matched.contains(&span_id)) {
                    page.spans.push(stored);
                }
                if page.spans.len() == self.task.limit {
                    let nothing_follows = is_last && place + 1 == count;
                    return Ok(Page { next: Some(cursor).filter(|_| !nothing_follows), complete: true, ..page });
                }
            }
            if is_last {
                return Ok(Page { complete: true, ..page });
            }
            if self.is_over(candidates, CANDIDATE_SPANS) || judged_traces >= CANDIDATE_TRACES {
                return Ok(Page { next: self.search.after, ..page });
            }
        }
    }
}

/// Whether the query asks for nothing but how many spans of a trace match one condition.
fn only_counts(query: &Query) -> bool {
    matches!(query.spans, SpanSet::Matching(_))
        && !query.asks_for_roots()
        && query.pipes.iter().all(|pipe| pipe.aggregate == Aggregate::Count && pipe.of.is_none())
}

fn passes_counts(query: &Query, count: u64) -> bool {
    query.pipes.iter().all(|pipe| pipe.comparison.holds(count as f64, pipe.value.0))
}
