//! Where the conditions of a query hold, learnt for the whole range before any trace is judged.
//!
//! A condition that few spans meet is known after one scan of its own columns. Those that every trace
//! of the answer has to meet leave only the traces they have in common. What too many spans meet, or
//! takes too long to learn, is looked at trace by trace instead.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pitviper_model::{SpanId, TraceId};
use pitviper_store::filter::Filter;
use pitviper_store::questions::keys::{Keys, Matched, SpanKey};
use pitviper_store::{Store, TimeRange};

use super::out::{LookedAt, Out};
use super::pages::Task;
use crate::QueryError;
use crate::search::{Aggregate, Expr, Measured, Pipe, Query, SpanSet, condition_filter, condition_filter_of_roots};

/// Most spans for which one condition is known to hold.
const KEYS_OF_CONDITION: usize = 500_000;

/// Most spans for which all conditions of a query together are known to hold: 40 MB.
pub(super) const KEYS_OF_QUERY: usize = 1_000_000;

/// Most traces whose roots are known to be as a condition asks: each segment looks all of them up.
const ROOT_TRACES: usize = 16_384;

/// This share of a query's time is for learning where conditions hold.
const TIME_AS_SHARE: u32 = 4;

/// A search is narrowed to at most so many traces.
pub(super) const NARROW_TRACES: usize = 4_096;

/// The spans for which a condition holds, by trace and id.
#[derive(Debug, Default)]
pub(super) struct Holding(Vec<SpanKey>);

impl Holding {
    pub(super) fn new(keys: Vec<SpanKey>) -> Self {
        debug_assert!(keys.is_sorted_by_key(|key| (key.trace_id, key.span_id)), "the store sorts keys");
        Self(keys)
    }

    pub(super) fn keys(&self) -> &[SpanKey] {
        &self.0
    }

    /// Those of a trace.
    pub(super) fn of_trace(&self, trace_id: TraceId) -> &[SpanKey] {
        let from = self.0.partition_point(|key| key.trace_id < trace_id);
        let count = self.0[from..].iter().take_while(|key| key.trace_id == trace_id).count();
        &self.0[from..from + count]
    }

    fn traces(&self) -> Vec<TraceId> {
        let mut traces: Vec<TraceId> = self.0.iter().map(|key| key.trace_id).collect();
        traces.dedup();
        traces
    }
}

/// The condition of being a span of one of these traces. The keys are in order.
pub(super) fn of_traces(keys: Vec<SpanKey>) -> Filter {
    let mut traces: Vec<TraceId> = keys.into_iter().map(|key| key.trace_id).collect();
    traces.dedup();
    if traces.is_empty() { Filter::Or(Vec::new()) } else { Filter::Traces(traces) }
}

/// The store's form of a condition, with these in place of its terms on a root, from left to right.
pub(super) fn with_roots(condition: &Expr, answers: Vec<Filter>) -> Filter {
    // The filter is made from left to right too.
    let answers = RefCell::new(answers.into_iter());
    condition_filter_of_roots(condition, &|_| answers.borrow_mut().next().unwrap_or_else(|| Filter::Or(Vec::new())))
}

/// Whether the span is among those of its trace.
pub(super) fn has(of_trace: &[SpanKey], span_id: SpanId) -> bool {
    of_trace.binary_search_by_key(&span_id, |key| key.span_id).is_ok()
}

/// A condition of the query.
#[derive(Debug)]
pub(super) struct Condition<'a> {
    /// As it was written; `None` for every span.
    pub(super) expr: Option<&'a Expr>,
    /// The store's form of it. What it asks of roots is left open.
    pub(super) filter: Filter,
    /// Whether every trace of the answer has spans for which it holds.
    pub(super) is_required: bool,
    /// Where it holds, among the traces that can be meant; `None` when that is not known.
    pub(super) holding: Option<Arc<Holding>>,
}

/// What is known of a query.
#[derive(Debug)]
pub(super) struct Learnt<'a> {
    /// Those of the set, from left to right; then those of pipes that measure durations and have one.
    pub(super) conditions: Vec<Condition<'a>>,
    /// The traces that can be meant, in order; `None` when any can.
    pub(super) traces: Option<Vec<TraceId>>,
}

impl Learnt<'_> {
    /// Whether it is known where all conditions hold.
    pub(super) fn is_whole(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holding.is_some())
    }
}

/// Learns what can be learnt. `None` when no trace can be meant.
pub(super) async fn learn<'a>(
    store: &dyn Store,
    task: &Task<'a>,
    out: &mut Out,
) -> Result<Option<Learnt<'a>>, QueryError> {
    let mut learning = Learning {
        store,
        range: task.range,
        began: Instant::now(),
        time: task.time / TIME_AS_SHARE,
        keys_left: task.keys,
        learnt: Learnt { conditions: conditions(task.query), traces: None },
    };
    let order = learning.order().await?;
    for (known, &number) in (0..).zip(&order) {
        out.progress(LookedAt::Conditions, (known, Some(order.len() as u64)), 0, task.after).await;
        if !learning.learn(number).await? {
            return Ok(None);
        }
    }
    // What was too much by itself may fit in the traces that the others left.
    for number in order {
        let is_known = learning.learnt.conditions[number].holding.is_some();
        if !is_known && learning.narrowed().is_some() && !learning.learn(number).await? {
            return Ok(None);
        }
    }
    Ok(Some(learning.learnt))
}

fn conditions(query: &Query) -> Vec<Condition<'_>> {
    let of_set = query.spans.conditions().into_iter().zip(required(&query.spans));
    let mut conditions: Vec<Condition<'_>> = of_set
        .map(|(expr, is_required)| Condition { expr, filter: condition_filter(expr), is_required, holding: None })
        .collect();
    // A function counts only members of the set.
    let members = condition_of_members(&query.spans);
    for pipe in query.pipes.iter().filter(|pipe| has_condition(pipe)) {
        let filter = Filter::And(vec![members.clone(), condition_filter(pipe.of.as_ref())]);
        let is_required = needs_some(pipe);
        conditions.push(Condition { expr: pipe.of.as_ref(), filter, is_required, holding: None });
    }
    conditions
}

/// Whether the pipe has a condition among [`Learnt::conditions`].
pub(super) fn has_condition(pipe: &Pipe) -> bool {
    pipe.of.is_some() && pipe.measured == Measured::Duration
}

/// Whether the comparison fails when there are no spans to work it out of.
fn needs_some(pipe: &Pipe) -> bool {
    match pipe.aggregate {
        Aggregate::Count | Aggregate::Sum => !pipe.comparison.holds(0.0, pipe.value.0),
        Aggregate::Average | Aggregate::Longest | Aggregate::Shortest => true,
    }
}

struct Learning<'a, 'q> {
    store: &'a dyn Store,
    range: TimeRange,
    began: Instant,
    time: Duration,
    keys_left: usize,
    learnt: Learnt<'q>,
}

impl Learning<'_, '_> {
    /// The order in which conditions are learnt: first those that leave few traces, as far as that shows
    /// before anything is read.
    async fn order(&self) -> Result<Vec<usize>, QueryError> {
        let conditions = &self.learnt.conditions;
        let mut order: Vec<(bool, u64, usize)> = Vec::new();
        for (number, condition) in conditions.iter().enumerate() {
            let rows = if conditions.len() > 1 { self.keys(condition.filter.clone(), 0).await?.rows } else { 0 };
            order.push((!condition.is_required, rows, number));
        }
        order.sort_unstable();
        Ok(order.into_iter().map(|(.., number)| number).collect())
    }

    async fn keys(&self, filter: Filter, limit: usize) -> Result<Matched, QueryError> {
        self.keys_in(self.range, filter, limit).await
    }

    async fn keys_in(&self, range: TimeRange, filter: Filter, limit: usize) -> Result<Matched, QueryError> {
        let time = self.time.saturating_sub(self.began.elapsed());
        Ok(self.store.keys(&Keys { range, filter, limit, time }).await?)
    }

    /// The store's form of a condition, with the traces for whose roots each of its terms on a root holds;
    /// `None` when these are too many or take too long to find. A root may have started before the range.
    async fn of_roots(&self, condition: &Expr) -> Result<Option<Filter>, QueryError> {
        let mut answers = Vec::new();
        for term in condition.root_terms() {
            let mut parts = vec![Filter::IsRoot, condition_filter(Some(term))];
            parts.extend(self.narrowed().cloned().map(Filter::Traces));
            let found = self.keys_in(TimeRange::ALL, Filter::And(parts), ROOT_TRACES).await?;
            if !found.complete {
                return Ok(None);
            }
            answers.push(of_traces(found.keys));
        }
        Ok(Some(with_roots(condition, answers)))
    }

    /// The traces that can be meant, when they are few enough to search them alone.
    fn narrowed(&self) -> Option<&Vec<TraceId>> {
        self.learnt.traces.as_ref().filter(|traces| traces.len() <= NARROW_TRACES)
    }

    /// Learns where a condition holds, if it can; whether any trace can still be meant.
    async fn learn(&mut self, number: usize) -> Result<bool, QueryError> {
        let condition = &self.learnt.conditions[number];
        let is_required = condition.is_required;
        let filter = match condition.expr {
            Some(expr) if !expr.root_terms().is_empty() => match self.of_roots(expr).await? {
                Some(filter) => filter,
                // Then roots are asked for trace by trace.
                None => return Ok(true),
            },
            _ => condition.filter.clone(),
        };
        let is_same = |known: &&Condition<'_>| known.expr == condition.expr && known.filter == condition.filter;
        let same = |known: &&Condition<'_>| known.holding.is_some() && is_same(known);
        let holding = match self.learnt.conditions.iter().find(same) {
            Some(same) => same.holding.clone(),
            None => {
                let filter = match self.narrowed() {
                    Some(traces) => Filter::And(vec![Filter::Traces(traces.clone()), filter]),
                    None => filter,
                };
                let found = self.keys(filter, KEYS_OF_CONDITION.min(self.keys_left)).await?;
                let is_all = found.complete;
                if is_all {
                    self.keys_left -= found.keys.len();
                }
                is_all.then(|| Arc::new(Holding::new(found.keys)))
            }
        };
        let Some(holding) = holding else { return Ok(true) };
        if is_required {
            let mut traces = holding.traces();
            if let Some(known) = &self.learnt.traces {
                traces.retain(|trace_id| known.binary_search(trace_id).is_ok());
            }
            self.learnt.traces = Some(traces);
        }
        self.learnt.conditions[number].holding = Some(holding);
        Ok(self.learnt.traces.as_ref().is_none_or(|traces| !traces.is_empty()))
    }
}

/// For each condition of the set, whether every trace that has spans of the set has spans for which
/// the condition holds.
fn required(set: &SpanSet) -> Vec<bool> {
    match set {
        SpanSet::Matching(_) => vec![true],
        SpanSet::Related(left, ..) => {
            let mut required = self::required(left);
            required.push(true);
            required
        }
        SpanSet::All(parts) => parts.iter().flat_map(self::required).collect(),
        SpanSet::Any(_) => vec![false; set.conditions().len()],
    }
}

/// A condition that holds for every span of the set.
pub(super) fn condition_of_members(set: &SpanSet) -> Filter {
    match set {
        SpanSet::Matching(condition) | SpanSet::Related(_, _, condition) => condition_filter(condition.as_ref()),
        SpanSet::All(parts) | SpanSet::Any(parts) => Filter::Or(parts.iter().map(condition_of_members).collect()),
    }
}

/// The numbers of the conditions of which at least one holds for every span of the set.
pub(super) fn conditions_of_members(set: &SpanSet) -> Vec<usize> {
    fn collect(set: &SpanSet, first: usize, into: &mut Vec<usize>) -> usize {
        let count = set.conditions().len();
        match set {
            SpanSet::Matching(_) | SpanSet::Related(..) => into.push(first + count - 1),
            SpanSet::All(parts) | SpanSet::Any(parts) => {
                parts.iter().fold(first, |first, part| collect(part, first, into));
            }
        }
        first + count
    }
    let mut numbers = Vec::new();
    collect(set, 0, &mut numbers);
    numbers
}
