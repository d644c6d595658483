//! Judges traces: which of their spans a query with related conditions or functions means.
//!
//! Where conditions hold is known, or asked for many traces in one search; where spans are related,
//! the store says how they hang together; the rest happens here. A span matches a condition when it
//! started in the time range; how spans are related does not depend on the range.

use std::time::Duration;

use pitviper_model::{SpanId, TraceId, Value};
use pitviper_store::filter::{Filter, NumberField, NumberRange};
use pitviper_store::questions::keys::{Keys, SpanKey};
use pitviper_store::questions::kin::{Families, Family, Kin};
use pitviper_store::{Order, Search, Store, TimeRange, Trace};
use rustc_hash::FxHashMap;

use super::holding::{Condition, Holding, Learnt, has, has_condition, of_traces, with_roots};
use super::related::{Kinship, Of, holds};
use super::{SearchRow, summarise};
use crate::QueryError;
use crate::search::{Expr, Measured, Query, SpanSet, condition_filter};

/// Most spans for which a condition holds in traces that are judged together.
const KEYS_TOGETHER: usize = 200_000;

/// Most spans whose numbers are read together.
const NUMBERS_TOGETHER: usize = 10_000;

/// Most spans of all traces whose kinship is read together.
const KIN_TOGETHER: usize = 1_000_000;

/// Most spans of all traces that are summarised together.
const SPANS_TOGETHER: usize = 200_000;

/// Most spans of one trace that are judged; of a larger trace, those around its root.
const SPANS_OF_TRACE: usize = 50_000;

/// Traces with spans that the query means, those in the order of the rows.
pub(super) type Judged = FxHashMap<TraceId, Vec<SpanId>>;

/// Judges traces by a query.
pub(super) struct Judge<'a> {
    store: &'a dyn Store,
    query: &'a Query,
    range: TimeRange,
    order: Order,
    learnt: &'a Learnt<'a>,
    is_related: bool,
    /// Whether something was too large to be looked at as a whole.
    pub(super) cut: bool,
}

/// Where a condition holds in the traces that are judged.
enum Where<'a> {
    Everywhere,
    Known(&'a Holding),
    Asked(Holding),
}

impl Where<'_> {
    /// `None` for all that start in the range.
    fn of_trace(&self, trace_id: TraceId) -> Option<&[SpanKey]> {
        match self {
            Self::Everywhere => None,
            Self::Known(holding) => Some(holding.of_trace(trace_id)),
            Self::Asked(holding) => Some(holding.of_trace(trace_id)),
        }
    }
}

/// For each pipe that measures an attribute, the numbers of each trace's spans.
type Numbers = Vec<FxHashMap<TraceId, FxHashMap<SpanId, f64>>>;

impl<'a> Judge<'a> {
    pub(super) fn new(
        store: &'a dyn Store,
        query: &'a Query,
        range: TimeRange,
        order: Order,
        learnt: &'a Learnt<'a>,
    ) -> Self {
        Self { store, query, range, order, learnt, is_related: has_relations(&query.spans), cut: false }
    }

    /// Whether the store is asked about the traces that are judged.
    pub(super) fn reads(&self) -> bool {
        let is_measured = self.query.pipes.iter().any(|pipe| pipe.measured != Measured::Duration);
        self.is_related || is_measured || !self.learnt.is_whole()
    }

    /// Those of the traces that have spans which the query means.
    pub(super) async fn judge(&mut self, trace_ids: &[TraceId]) -> Result<Judged, QueryError> {
        let learnt = self.learnt;
        let mut traces: Vec<TraceId> = trace_ids.to_vec();
        let mut conditions: Vec<Where<'_>> = Vec::new();
        for condition in &learnt.conditions {
            let found = match &condition.holding {
                Some(holding) => Where::Known(holding),
                None if condition.expr.is_none() => Where::Everywhere,
                None => Where::Asked(self.holding(condition, &traces).await?),
            };
            if condition.is_required {
                traces.retain(|trace_id| found.of_trace(*trace_id).is_none_or(|keys| !keys.is_empty()));
            }
            conditions.push(found);
        }
        let mut numbers = Numbers::new();
        for pipe in &self.query.pipes {
            if let Measured::Attribute(key) = &pipe.measured {
                let condition = match &pipe.of {
                    Some(of) => Some(self.exact(of, &traces).await?),
                    None => None,
                };
                numbers.push(self.numbers(key, condition, &traces).await?);
            }
        }
        let mut judged = Judged::default();
        let of_set = self.query.spans.conditions().len();
        if !self.is_related && conditions[..of_set].iter().all(|found| !matches!(found, Where::Everywhere)) {
            for trace_id in traces {
                let spans = members_alone(trace_id, &conditions[..of_set]);
                let kinship = Kinship::unrelated(&spans);
                judged.extend(self.judge_one(trace_id, &kinship, &conditions, &numbers).map(|spans| (trace_id, spans)));
            }
            return Ok(judged);
        }
        let mut waiting = if traces.is_empty() { Vec::new() } else { vec![traces.as_slice()] };
        while let Some(traces) = waiting.pop() {
            let question =
                Families { trace_ids: traces.to_vec(), limit_per_trace: SPANS_OF_TRACE, limit: KIN_TOGETHER };
            let Some(families) = self.store.families(&question).await? else {
                let (left, right) = traces.split_at(traces.len() / 2);
                waiting.extend([left, right]);
                continue;
            };
            for (trace_id, Family { spans, total }) in families {
                self.cut |= spans.len() < total;
                let kinship = Kinship::new(&spans);
                judged.extend(self.judge_one(trace_id, &kinship, &conditions, &numbers).map(|spans| (trace_id, spans)));
            }
        }
        Ok(judged)
    }

    fn judge_one(
        &self,
        trace_id: TraceId,
        kinship: &Kinship<'_>,
        conditions: &[Where<'_>],
        numbers: &Numbers,
    ) -> Option<Vec<SpanId>> {
        let spans = kinship.spans;
        let (of_set, of_pipes) = conditions.split_at(self.query.spans.conditions().len());
        let mut holding = of_set.iter().map(|found| -> Vec<bool> {
            let of_trace = found.of_trace(trace_id);
            let holds = |span: &Kin| match of_trace {
                Some(keys) => has(keys, span.span_id),
                None => (self.range.start_ns..self.range.end_ns).contains(&span.start_ns),
            };
            spans.iter().map(holds).collect()
        });
        let members = kinship.members(&self.query.spans, &mut holding);
        let mut matching: Vec<&Kin> =
            spans.iter().zip(members).filter(|(_, is_member)| *is_member).map(|(span, _)| span).collect();
        let (mut of_pipes, mut numbers) = (of_pipes.iter(), numbers.iter());
        let nothing = FxHashMap::default();
        let passes = self.query.pipes.iter().all(|pipe| {
            let of = match &pipe.measured {
                Measured::Attribute(_) => {
                    let of_trace = numbers.next().and_then(|numbers| numbers.get(&trace_id));
                    Some(Of::Numbers(of_trace.unwrap_or(&nothing)))
                }
                Measured::Duration if has_condition(pipe) => {
                    of_pipes.next().and_then(|of| of.of_trace(trace_id)).map(Of::Durations)
                }
                Measured::Duration => None,
            };
            holds(pipe, &matching, of.as_ref())
        });
        if matching.is_empty() || !passes {
            return None;
        }
        matching.sort_unstable_by_key(|span| (self.place(span), span.span_id));
        Some(matching.iter().map(|span| span.span_id).collect())
    }

    /// Where the span stands in the order of the rows; the first is least.
    fn place(&self, span: &Kin) -> i128 {
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
            // A root may have started before the range.
            let of_root = Filter::And(vec![Filter::IsRoot, condition_filter(Some(term))]);
            answers.push(of_traces(self.keys(&of_root, TimeRange::ALL, traces).await?));
        }
        Ok(with_roots(condition, answers))
    }

    /// The spans of these traces for which the condition holds.
    async fn holding(&mut self, condition: &Condition<'_>, traces: &[TraceId]) -> Result<Holding, QueryError> {
        let filter = match condition.expr {
            Some(expr) if !expr.root_terms().is_empty() => self.exact(expr, traces).await?,
            _ => condition.filter.clone(),
        };
        Ok(Holding::new(self.keys(&filter, self.range, traces).await?))
    }

    /// The keys of the spans of these traces that pass the filter, by trace and id.
    async fn keys(
        &mut self,
        filter: &Filter,
        range: TimeRange,
        traces: &[TraceId],
    ) -> Result<Vec<SpanKey>, QueryError> {
        let mut keys = Vec::new();
        let mut waiting = if traces.is_empty() { Vec::new() } else { vec![traces] };
        while let Some(traces) = waiting.pop() {
            let filter = Filter::And(vec![Filter::Traces(traces.to_vec()), filter.clone()]);
            let question = Keys { range, filter, limit: KEYS_TOGETHER, time: Duration::MAX };
            let found = self.store.keys(&question).await?;
            if !found.complete && traces.len() > 1 {
                let (left, right) = traces.split_at(traces.len() / 2);
                waiting.extend([left, right]);
                continue;
            }
            self.cut |= !found.complete;
            keys.extend(found.keys);
        }
        keys.sort_unstable_by_key(|key| (key.trace_id, key.span_id));
        Ok(keys)
    }

    /// The numbers that spans of these traces have under the key, where the condition holds.
    async fn numbers(
        &mut self,
        key: &str,
        condition: Option<Filter>,
        traces: &[TraceId],
    ) -> Result<FxHashMap<TraceId, FxHashMap<SpanId, f64>>, QueryError> {
        let any = NumberRange { low: None, high: None };
        let has_number = Filter::Number(NumberField::Attribute(key.to_owned()), any);
        let filter = Filter::And(std::iter::once(has_number).chain(condition).collect());
        let mut numbers: FxHashMap<TraceId, FxHashMap<SpanId, f64>> = FxHashMap::default();
        let mut waiting = if traces.is_empty() { Vec::new() } else { vec![traces] };
        while let Some(traces) = waiting.pop() {
            let filter = Filter::And(vec![Filter::Traces(traces.to_vec()), filter.clone()]);
            let limit = NUMBERS_TOGETHER + 1;
            let search = Search { range: self.range, filter, order: Order::OldestFirst, limit, after: None };
            let found = self.store.search_spans(&search).await?;
            if found.len() == limit && traces.len() > 1 {
                let (left, right) = traces.split_at(traces.len() / 2);
                waiting.extend([left, right]);
                continue;
            }
            self.cut |= found.len() == limit;
            for stored in found {
                if let Some(number) = stored.span.attributes.get(key).and_then(Value::as_f64) {
                    numbers.entry(stored.span.trace_id).or_default().insert(stored.span.span_id, number);
                }
            }
        }
        Ok(numbers)
    }

    /// The rows of judged traces, in this order.
    pub(super) async fn rows(&self, judged: Vec<(TraceId, Vec<SpanId>)>) -> Result<Vec<SearchRow>, QueryError> {
        if judged.is_empty() {
            return Ok(Vec::new());
        }
        let limit = (SPANS_TOGETHER / judged.len()).min(SPANS_OF_TRACE);
        let trace_ids: Vec<TraceId> = judged.iter().map(|(trace_id, _)| *trace_id).collect();
        let mut traces: FxHashMap<TraceId, Trace> = self.store.traces(&trace_ids, limit).await?.into_iter().collect();
        let mut rows = Vec::with_capacity(judged.len());
        for (trace_id, matched) in judged {
            // One that went meanwhile is no row.
            let Some(mut trace) = traces.remove(&trace_id) else { continue };
            if trace.spans.len() < trace.total && limit < SPANS_OF_TRACE {
                trace = self.store.trace(trace_id, SPANS_OF_TRACE).await?;
            }
            rows.push(SearchRow::Trace(summarise(trace_id, &matched, matched.len() as u64, &trace)));
        }
        Ok(rows)
    }
}

fn has_relations(set: &SpanSet) -> bool {
    match set {
        SpanSet::Matching(_) => false,
        SpanSet::Related(..) => true,
        SpanSet::All(parts) | SpanSet::Any(parts) => parts.iter().any(has_relations),
    }
}

/// The spans of a trace for which any of the conditions holds, with no word of their parents.
fn members_alone(trace_id: TraceId, conditions: &[Where<'_>]) -> Vec<Kin> {
    let keys = conditions.iter().filter_map(|found| found.of_trace(trace_id)).flatten();
    let kin = |key: &SpanKey| Kin {
        span_id: key.span_id,
        parent_span_id: SpanId::INVALID,
        start_ns: key.start_ns,
        duration_ns: key.duration_ns,
    };
    let mut spans: Vec<Kin> = keys.map(kin).collect();
    spans.sort_unstable_by_key(|span| span.span_id);
    spans.dedup_by_key(|span| span.span_id);
    spans
}
