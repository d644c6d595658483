//! Pages of traces and spans that a query with related conditions or functions means.
//!
//! First it is learnt where the conditions hold. Then candidates are judged in turn, until the page
//! is full or a bound is reached; a page that ends at a bound says so, and its cursor goes on behind
//! the last candidate. Whole rows are read of the page alone.

use std::time::{Duration, Instant};

use pitviper_model::{SpanId, TraceId};
use pitviper_store::filter::Filter;
use pitviper_store::{Cursor, Order, Search, Store, StoredSpan, TimeRange};
use rustc_hash::{FxHashMap, FxHashSet};

use super::candidates::Candidates;
use super::holding::{condition_of_members, learn};
use super::judge::Judge;
use super::out::{LookedAt, Out};
use super::{Bound, Mode, RowOrder, cursor, trace_rows};
use crate::QueryError;
use crate::search::{Aggregate, Query, SpanSet};

/// Most candidate traces that are looked at for one page, where looking at them takes reading.
const CANDIDATE_TRACES: (usize, Bound) = (5_000, Bound::Traces);

/// Most candidate spans that are looked at for one page of spans, where looking at them takes reading.
const CANDIDATE_SPANS: (usize, Bound) = (20_000, Bound::Spans);

/// How long candidates are looked at for one page; what is under way then is finished.
pub(super) const CANDIDATE_TIME: Duration = Duration::from_secs(8);

/// Candidate traces that are judged together at first: they often fill the page.
const TRACES_TOGETHER: usize = 64;

/// Most candidate traces that are judged together, when those before did not.
const MAX_TRACES_TOGETHER: usize = 1_024;

/// So many times more are judged together the next time.
const MORE_TOGETHER: usize = 4;

/// Candidate traces that are fetched together when the store has counted their spans already.
const COUNTED_TOGETHER: usize = 512;

/// Candidate spans that are fetched together.
const SPANS_TOGETHER: usize = 512;

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
    /// Most spans of which it is learnt beforehand that conditions hold for them.
    pub(super) keys: usize,
}

/// How a page ended.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Where the next page goes on; `None` when there is none.
    pub(super) next: Option<Cursor>,
    /// Whether all candidates up to the page's end were looked at as a whole.
    pub(super) exact: bool,
    /// The bound that ended it, unless it was full or there is no more; or the one because of which
    /// candidates were looked at in part.
    pub(super) bound: Option<Bound>,
}

/// One page of what the query means.
pub(super) async fn page(store: &dyn Store, task: &Task<'_>, out: &mut Out) -> Result<Page, QueryError> {
    let started = Instant::now();
    let Some(learnt) = learn(store, task, out).await? else {
        return Ok(Page { exact: true, ..Page::default() });
    };
    let candidates = Candidates::new(store, task, &learnt);
    let judge = Judge::new(store, task.query, task.range, Order::from(task.order), &learnt);
    let is_bounded = judge.reads() || matches!(candidates, Candidates::Asked { .. });
    let mut work = Work { store, task, out, judge, candidates, is_bounded, started };
    let mut page = match task.mode {
        Mode::Traces if is_bounded && only_counts(task.query) => work.counted_traces().await?,
        Mode::Traces => work.traces().await?,
        Mode::Spans => work.spans().await?,
    };
    page.exact = page.bound.is_none() && !work.judge.cut;
    page.bound = page.bound.or(work.judge.cut.then_some(Bound::Memory));
    Ok(page)
}

struct Work<'a> {
    store: &'a dyn Store,
    task: &'a Task<'a>,
    out: &'a mut Out,
    judge: Judge<'a>,
    candidates: Candidates<'a>,
    /// Whether looking at candidates takes reading.
    is_bounded: bool,
    started: Instant,
}

impl Work<'_> {
    /// How many more candidates may be looked at, or the bound that ends the page.
    fn room(&self, looked_at: usize, (most, bound): (usize, Bound)) -> Result<usize, Bound> {
        if !self.is_bounded {
            return Ok(usize::MAX);
        }
        match most.saturating_sub(looked_at) {
            0 => Err(bound),
            _ if self.started.elapsed() >= self.task.time => Err(Bound::Time),
            room => Ok(room),
        }
    }

    /// Says how far it came.
    async fn came(&mut self, looked_at: usize, found: usize, place: Option<Cursor>) {
        let of = self.candidates.count();
        self.out.progress(LookedAt::Candidates, (looked_at as u64, of), found as u64, place).await;
    }

    async fn traces(&mut self) -> Result<Page, QueryError> {
        let mut found: Vec<(TraceId, Vec<SpanId>)> = Vec::new();
        let (mut looked_at, mut together) = (0, TRACES_TOGETHER);
        let mut last = self.task.after;
        let mut room = CANDIDATE_TRACES.0;
        let page = 'page: loop {
            let (candidates, is_last) = self.candidates.next(together.min(room)).await?;
            looked_at += candidates.len();
            let trace_ids: Vec<TraceId> = candidates.iter().map(|candidate| candidate.place.trace_id).collect();
            let mut judged = self.judge.judge(&trace_ids).await?;
            for (number, candidate) in candidates.iter().enumerate() {
                let place = candidate.place;
                last = Some(place);
                found.extend(judged.remove(&place.trace_id).map(|spans| (place.trace_id, spans)));
                if self.out.count() + found.len() == self.task.limit {
                    let nothing_follows = is_last && number + 1 == candidates.len();
                    break 'page Page { next: last.filter(|_| !nothing_follows), ..Page::default() };
                }
            }
            if is_last {
                break Page::default();
            }
            match self.room(looked_at, CANDIDATE_TRACES) {
                Ok(more) => room = more,
                Err(bound) => break Page { next: last, bound: Some(bound), ..Page::default() },
            }
            together = (together * MORE_TOGETHER).min(MAX_TRACES_TOGETHER);
            if self.out.is_heard() {
                self.out.put(self.judge.rows(std::mem::take(&mut found)).await?).await;
                self.came(looked_at, self.out.count(), last).await;
            }
        };
        self.out.put(self.judge.rows(found).await?).await;
        Ok(page)
    }

    /// Traces of which nothing is asked but how many spans match: the store has counted already.
    async fn counted_traces(&mut self) -> Result<Page, QueryError> {
        let task = self.task;
        let filter = condition_of_members(&task.query.spans);
        let (order, limit) = (Order::from(task.order), COUNTED_TOGETHER);
        let mut search = Search { range: task.range, filter, order, limit, after: task.after };
        let mut looked_at = 0;
        loop {
            let mut hits = self.store.search_traces(&search).await?;
            let mut is_last = hits.len() < search.limit;
            looked_at += hits.len();
            search.after = hits.last().map(|hit| hit.cursor).or(search.after);
            hits.retain(|hit| passes_counts(task.query, hit.matched_count));
            // What does not fit the page is left to the next one: the fewer traces are summarised, the
            // more of each is read.
            let room = task.limit - self.out.count();
            if hits.len() > room {
                hits.truncate(room);
                search.after = hits.last().map(|hit| hit.cursor);
                is_last = false;
            }
            self.out.put(trace_rows(self.store, hits).await?.into_iter().map(|(_, row)| row).collect()).await;
            if is_last {
                return Ok(Page::default());
            }
            if self.out.count() >= task.limit {
                return Ok(Page { next: search.after, ..Page::default() });
            }
            if let Err(bound) = self.room(looked_at, CANDIDATE_TRACES) {
                return Ok(Page { next: search.after, bound: Some(bound), ..Page::default() });
            }
            self.came(looked_at, self.out.count(), search.after).await;
        }
    }

    async fn spans(&mut self) -> Result<Page, QueryError> {
        let mut spans: Vec<StoredSpan> = Vec::new();
        let mut places: Vec<Cursor> = Vec::new();
        let mut last = self.task.after;
        let (mut looked_at, mut judged_traces, mut together) = (0, 0, TRACES_TOGETHER);
        let mut known: FxHashMap<TraceId, FxHashSet<SpanId>> = FxHashMap::default();
        let page = 'page: loop {
            let (candidates, is_last) = self.candidates.next(SPANS_TOGETHER).await?;
            looked_at += candidates.len();
            if known.values().map(FxHashSet::len).sum::<usize>() > REMEMBERED_SPANS {
                known.clear();
            }
            let mut unknown: Vec<TraceId> = candidates.iter().map(|candidate| candidate.place.trace_id).collect();
            unknown.sort_unstable();
            unknown.dedup();
            unknown.retain(|trace_id| !known.contains_key(trace_id));
            judged_traces += unknown.len();
            for traces in unknown.chunks(together) {
                let mut judged = self.judge.judge(traces).await?;
                for trace_id in traces {
                    known.insert(*trace_id, judged.remove(trace_id).unwrap_or_default().into_iter().collect());
                }
                together = (together * MORE_TOGETHER).min(MAX_TRACES_TOGETHER);
            }
            let count = candidates.len();
            for (number, candidate) in candidates.into_iter().enumerate() {
                let place = candidate.place;
                last = Some(place);
                if known.get(&place.trace_id).is_some_and(|matched| matched.contains(&place.span_id)) {
                    places.push(place);
                    spans.extend(candidate.span);
                }
                if self.out.count() + places.len() == self.task.limit {
                    let nothing_follows = is_last && number + 1 == count;
                    break 'page Page { next: last.filter(|_| !nothing_follows), ..Page::default() };
                }
            }
            if is_last {
                break Page::default();
            }
            let traces =
                if self.is_bounded && judged_traces >= CANDIDATE_TRACES.0 { Err(Bound::Traces) } else { Ok(0) };
            if let Err(bound) = traces.and_then(|_| self.room(looked_at, CANDIDATE_SPANS)) {
                break Page { next: last, bound: Some(bound), ..Page::default() };
            }
            if self.out.is_heard() {
                self.put_spans(std::mem::take(&mut spans), std::mem::take(&mut places)).await?;
                self.came(looked_at, self.out.count(), last).await;
            }
        };
        self.put_spans(spans, places).await?;
        Ok(page)
    }

    /// The spans at these places, which are in order and may have been read already.
    async fn put_spans(&mut self, spans: Vec<StoredSpan>, places: Vec<Cursor>) -> Result<(), QueryError> {
        let spans = if spans.len() < places.len() { self.whole(&places).await? } else { spans };
        self.out.put_spans(spans).await;
        Ok(())
    }

    /// The spans at these places, which are in order.
    async fn whole(&self, places: &[Cursor]) -> Result<Vec<StoredSpan>, QueryError> {
        let mut wanted: FxHashSet<(TraceId, SpanId)> =
            places.iter().map(|place| (place.trace_id, place.span_id)).collect();
        let mut trace_ids: Vec<TraceId> = places.iter().map(|place| place.trace_id).collect();
        trace_ids.sort_unstable();
        trace_ids.dedup();
        let span_ids = places.iter().map(|place| place.span_id).collect();
        let filter = Filter::And(vec![Filter::Traces(trace_ids), Filter::Spans(span_ids)]);
        let mut range = self.task.range;
        if self.task.order != RowOrder::SlowestFirst {
            let starts = || places.iter().map(|place| place.value);
            range.start_ns = range.start_ns.max(starts().min().unwrap_or(i64::MIN));
            range.end_ns = range.end_ns.min(starts().max().unwrap_or(i64::MAX).saturating_add(1));
        }
        let (order, limit) = (Order::from(self.task.order), places.len());
        let mut search = Search { range, filter, order, limit, after: None };
        let mut found = Vec::with_capacity(places.len());
        // Spans of several traces may have the same id, so a page may hold others too.
        loop {
            let spans = self.store.search_spans(&search).await?;
            let is_last = spans.len() < search.limit;
            search.after = spans.last().map(|last| cursor::of_span(last, self.task.order)).or(search.after);
            found.extend(spans.into_iter().filter(|span| wanted.remove(&(span.span.trace_id, span.span.span_id))));
            if is_last || wanted.is_empty() {
                return Ok(found);
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
