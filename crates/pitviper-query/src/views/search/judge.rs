//! Judges traces: which of their spans a query with related conditions or functions means.
//!
//! The store says where each condition holds, for many traces in one search, and how the spans of the
//! traces hang together; the rest happens here. A span matches a condition when it started in the
//! time range; how spans are related does not depend on the range.

use std::cell::RefCell;

use pitviper_model::{SpanId, TraceId, Value};
use pitviper_store::filter::{Filter, NumberField, NumberRange};
use pitviper_store::{Order, Search, Store, StoredSpan, TimeRange, Trace, TraceSpan};
use rustc_hash::{FxHashMap, FxHashSet};

use super::related::{Kinship, Of, holds};
use super::{TraceRow, summarise};
use crate::QueryError;
use crate::search::{Expr, Measured, Query, SpanSet, condition_filter, condition_filter_of_roots};
use crate::views::trace::Forest;

/// Most spans that are read at a time to learn where a condition holds.
const SPANS_OF_CONDITION: usize = 10_000;

/// Most spans of all traces that are judged together.
const SPANS_TOGETHER: usize = 200_000;

/// Most spans of one trace that are judged; of a larger trace, those around its root.
const SPANS_OF_TRACE: usize = 50_000;

/// Where a condition holds; `None` when it holds everywhere.
type Holding = Option<FxHashMap<TraceId, FxHashSet<SpanId>>>;

/// What a function is of in each trace; `None` when that is every matching span's duration.
type OfPipe = Option<FxHashMap<TraceId, Of>>;

/// A trace with spans that the query means.
pub(super) struct Judged {
    /// Those spans, in the order of the rows.
    pub(super) matched: Vec<SpanId>,
    /// The trace.
    pub(super) row: TraceRow,
}

/// Judges traces by a query.
pub(super) struct Judge<'a> {
    store: &'a dyn Store,
    query: &'a Query,
    range: TimeRange,
    order: Order,
    /// Whether something was too large to be looked at as a whole.
    pub(super) cut: bool,
}

impl<'a> Judge<'a> {
    pub(super) fn new(store: &'a dyn Store, query: &'a Query, range: TimeRange, order: Order) -> Self {
        Self { store, query, range, order, cut: false }
    }

    /// Those of the traces that have spans which the query means.
    pub(super) async fn judge(&mut self, trace_ids: &[TraceId]) -> Result<FxHashMap<TraceId, Judged>, QueryError> {
        let mut traces: Vec<TraceId> = trace_ids.to_vec();
        let mut conditions: Vec<Holding> = Vec::new();
        let required = required(&self.query.spans);
        for (condition, required) in self.query.spans.conditions().into_iter().zip(required) {
            let holding = match condition {
                Some(condition) => {
                    let condition = self.exact(condition, &traces).await?;
                    Some(self.holding(&condition, &traces).await?)
                }
                None => None,
            };
            if let Some(holding) = holding.as_ref().filter(|_| required) {
                traces.retain(|trace_id| holding.contains_key(trace_id));
            }
            conditions.push(holding);
        }
        let mut of_pipes: Vec<OfPipe> = Vec::new();
        for pipe in &self.query.pipes {
            let condition = match &pipe.of {
                Some(condition) => Some(self.exact(condition, &traces).await?),
                None => None,
            };
            of_pipes.push(match (&pipe.measured, condition) {
                (Measured::Attribute(key), condition) => Some(self.numbers(key, condition, &traces).await?),
                (Measured::Duration, Some(condition)) => {
                    let holding = self.holding(&condition, &traces).await?;
                    Some(holding.into_iter().map(|(trace_id, spans)| (trace_id, Of::Durations(spans))).collect())
                }
                (Measured::Duration, None) => None,
            });
        }
        let mut judged = FxHashMap::default();
        if traces.is_empty() {
            return Ok(judged);
        }
        let limit = (SPANS_TOGETHER / traces.len()).min(SPANS_OF_TRACE);
        for (trace_id, mut trace) in self.store.traces(&traces, limit).await? {
            if trace.spans.len() < trace.total && limit < SPANS_OF_TRACE {
                trace = self.store.trace(trace_id, SPANS_OF_TRACE).await?;
            }
            self.cut |= trace.spans.len() < trace.total;
            if let Some(found) = self.judge_one(trace_id, &trace, &conditions, &of_pipes) {
                judged.insert(trace_id, found);
            }
        }
        Ok(judged)
    }

    fn judge_one(
        &self,
        trace_id: TraceId,
        trace: &Trace,
        conditions: &[Holding],
        of_pipes: &[OfPipe],
    ) -> Option<Judged> {
        let forest = Forest::grow(&trace.spans);
        let nothing = FxHashSet::default();
        let of_nothing = Of::Durations(FxHashSet::default());
        let mut holding = conditions.iter().map(|condition| -> Vec<bool> {
            let of_trace = condition.as_ref().map(|holding| holding.get(&trace_id).unwrap_or(&nothing));
            let holds = |span: &TraceSpan| match of_trace {
                Some(spans) => spans.contains(&span.span_id),
                None => (self.range.start_ns..self.range.end_ns).contains(&span.start_ns),
            };
            trace.spans.iter().map(holds).collect()
        });
        let members = Kinship::new(&trace.spans, &forest).members(&self.query.spans, &mut holding);
        let mut matching: Vec<&TraceSpan> =
            trace.spans.iter().zip(members).filter(|(_, is_member)| *is_member).map(|(span, _)| span).collect();
        let passes = self.query.pipes.iter().zip(of_pipes).all(|(pipe, of)| {
            let of = of.as_ref().map(|of| of.get(&trace_id).unwrap_or(&of_nothing));
            holds(pipe, &matching, of)
        });
        if matching.is_empty() || !passes {
            return None;
        }
        matching.sort_unstable_by_key(|span| (self.place(span), span.span_id));
        let matched: Vec<SpanId> = matching.iter().map(|span| span.span_id).collect();
        Some(Judged { row: summarise(trace_id, &matched, matched.len() as u64, trace), matched })
    }

    /// Where the span stands in the order of the rows; the first is least.
    fn place(&self, span: &TraceSpan) -> i128 {
        match self.order {
            Order::OldestFirst => i128::from(span.start_ns),
            Order::NewestFirst => -i128::from(span.start_ns),
            Order::SlowestFirst => -i128::from(span.duration_ns),
        }
    }

    /// The store's form of a condition, with what it asks of roots answered for these traces.
    async fn exact(&mut self, condition: &Expr, traces: &[TraceId]) -> Result<Filter, QueryError> {
        let mut answers: Vec<Filter> = Vec::new();
        for term in condition.root_terms() {
            let mut roots: Vec<TraceId> = Vec::new();
            // A root may have started before the range.
            let of_root = Filter::And(vec![Filter::IsRoot, condition_filter(Some(term))]);
            self.visit(&of_root, TimeRange::ALL, traces, |stored| roots.push(stored.span.trace_id)).await?;
            roots.sort_unstable();
            roots.dedup();
            answers.push(if roots.is_empty() { Filter::Or(Vec::new()) } else { Filter::Traces(roots) });
        }
        // The filter is made from left to right too.
        let answers = RefCell::new(answers.into_iter());
        Ok(condition_filter_of_roots(condition, &|_| {
            answers.borrow_mut().next().unwrap_or_else(|| Filter::Or(Vec::new()))
        }))
    }

    /// The numbers that spans of these traces have under the key, where the condition holds.
    async fn numbers(
        &mut self,
        key: &str,
        condition: Option<Filter>,
        traces: &[TraceId],
    ) -> Result<FxHashMap<TraceId, Of>, QueryError> {
        let any = NumberRange { low: None, high: None };
        let has_number = Filter::Number(NumberField::Attribute(key.to_owned()), any);
        let filter = Filter::And(std::iter::once(has_number).chain(condition).collect());
        let mut found: FxHashMap<TraceId, FxHashMap<SpanId, f64>> = FxHashMap::default();
        self.visit(&filter, self.range, traces, |stored| {
            if let Some(number) = stored.span.attributes.get(key).and_then(Value::as_f64) {
                found.entry(stored.span.trace_id).or_default().insert(stored.span.span_id, number);
            }
        })
        .await?;
        Ok(found.into_iter().map(|(trace_id, numbers)| (trace_id, Of::Numbers(numbers))).collect())
    }

    /// The spans of these traces for which the condition holds.
    async fn holding(
        &mut self,
        condition: &Filter,
        traces: &[TraceId],
    ) -> Result<FxHashMap<TraceId, FxHashSet<SpanId>>, QueryError> {
        let mut holding: FxHashMap<TraceId, FxHashSet<SpanId>> = FxHashMap::default();
        self.visit(condition, self.range, traces, |stored| {
            holding.entry(stored.span.trace_id).or_default().insert(stored.span.span_id);
        })
        .await?;
        Ok(holding)
    }

    /// Visits the spans of these traces for which the condition holds.
    async fn visit(
        &mut self,
        condition: &Filter,
        range: TimeRange,
        traces: &[TraceId],
        mut visit: impl FnMut(StoredSpan) + Send,
    ) -> Result<(), QueryError> {
        let mut waiting = if traces.is_empty() { Vec::new() } else { vec![traces] };
        while let Some(traces) = waiting.pop() {
            let filter = Filter::And(vec![Filter::Traces(traces.to_vec()), condition.clone()]);
            let limit = SPANS_OF_CONDITION + 1;
            let search = Search { range, filter, order: Order::OldestFirst, limit, after: None };
            let found = self.store.search_spans(&search).await?;
            if found.len() == limit && traces.len() > 1 {
                let (left, right) = traces.split_at(traces.len() / 2);
                waiting.extend([left, right]);
                continue;
            }
            self.cut |= found.len() == limit;
            found.into_iter().for_each(&mut visit);
        }
        Ok(())
    }
}

/// For each condition of the set, whether every trace that has spans of the set has spans for which
/// the condition holds.
pub(super) fn required(set: &SpanSet) -> Vec<bool> {
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
