//! Traces and spans that a query with related conditions or functions may mean, in the order of the
//! rows: what holds of every span that can be meant.
//!
//! Where that is known already they are put in order here; else the store is asked for them a page at
//! a time.

use pitviper_model::{SpanId, TraceId};
use pitviper_store::questions::keys::SpanKey;
use pitviper_store::{Cursor, Order, Search, Store, StoredSpan};
use rustc_hash::FxHashMap;

use super::holding::{Learnt, NARROW_TRACES, condition_of_members, conditions_of_members};
use super::pages::Task;
use super::{Mode, cursor};
use crate::QueryError;
use pitviper_store::filter::Filter;

/// What may be meant.
pub(super) enum Candidates<'a> {
    /// All of them, by their places; the trace or span itself is named there.
    Known { places: Vec<Cursor>, next: usize },
    /// Where to go on asking.
    Asked { store: &'a dyn Store, task: &'a Task<'a>, search: Search },
}

/// A candidate.
pub(super) struct Candidate {
    /// Its place. Names the trace; the span is all zero for a trace.
    pub(super) place: Cursor,
    /// The span, where it has been read.
    pub(super) span: Option<StoredSpan>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(store: &'a dyn Store, task: &'a Task<'a>, learnt: &Learnt<'_>) -> Self {
        let order = Order::from(task.order);
        if let Some(places) = known(task, learnt, order) {
            return Self::Known { places, next: 0 };
        }
        let members = condition_of_members(&task.query.spans);
        let filter = match &learnt.traces {
            Some(traces) if traces.len() <= NARROW_TRACES => Filter::And(vec![Filter::Traces(traces.clone()), members]),
            _ => members,
        };
        Self::Asked { store, task, search: Search { range: task.range, filter, order, limit: 0, after: task.after } }
    }

    /// How many there are, where that is known.
    pub(super) fn count(&self) -> Option<u64> {
        match self {
            Self::Known { places, .. } => Some(places.len() as u64),
            Self::Asked { .. } => None,
        }
    }

    /// The next ones, at most so many, and whether there are no more.
    pub(super) async fn next(&mut self, count: usize) -> Result<(Vec<Candidate>, bool), QueryError> {
        match self {
            Self::Known { places, next } => {
                let end = next.saturating_add(count).min(places.len());
                let found = places[*next..end].iter().map(|place| Candidate { place: *place, span: None }).collect();
                *next = end;
                Ok((found, end == places.len()))
            }
            Self::Asked { store, task, search } => {
                search.limit = count;
                let found: Vec<Candidate> = match task.mode {
                    Mode::Traces => {
                        let hits = store.search_traces(search).await?;
                        hits.into_iter().map(|hit| Candidate { place: hit.cursor, span: None }).collect()
                    }
                    Mode::Spans => {
                        let spans = store.search_spans(search).await?;
                        let candidate = |span: StoredSpan| Candidate {
                            place: cursor::of_span(&span, task.order),
                            span: Some(span),
                        };
                        spans.into_iter().map(candidate).collect()
                    }
                };
                let is_last = found.len() < count;
                search.after = found.last().map(|last| last.place).or(search.after);
                Ok((found, is_last))
            }
        }
    }
}

/// All candidates behind the cursor, in order; `None` when not all are known.
fn known(task: &Task<'_>, learnt: &Learnt<'_>, order: Order) -> Option<Vec<Cursor>> {
    let holding = |number: usize| {
        let condition = &learnt.conditions[number];
        // A trace's place leaves roots open, so that pages follow each other whether those are known or not.
        let is_open = task.mode == Mode::Traces && condition.expr.is_some_and(|expr| !expr.root_terms().is_empty());
        condition.holding.as_deref().filter(|_| !is_open)
    };
    let holdings = conditions_of_members(&task.query.spans).into_iter().map(holding).collect::<Option<Vec<_>>>()?;
    let keys = holdings.into_iter().flat_map(|holding| holding.keys());
    let can_be_meant =
        |key: &&SpanKey| learnt.traces.as_ref().is_none_or(|traces| traces.binary_search(&key.trace_id).is_ok());
    let keys = keys.filter(can_be_meant);
    let value = |key: &SpanKey| match order {
        Order::NewestFirst | Order::OldestFirst => key.start_ns,
        Order::SlowestFirst => key.duration_ns.cast_signed(),
    };
    let mut places: Vec<Cursor> = match task.mode {
        Mode::Spans => {
            keys.map(|key| Cursor { value: value(key), trace_id: key.trace_id, span_id: key.span_id }).collect()
        }
        Mode::Traces => {
            let mut best: FxHashMap<TraceId, i64> = FxHashMap::default();
            for key in keys {
                let value = value(key);
                let known = best.entry(key.trace_id).or_insert(value);
                if rank(order, value) < rank(order, *known) {
                    *known = value;
                }
            }
            best.into_iter().map(|(trace_id, value)| Cursor { value, trace_id, span_id: SpanId::INVALID }).collect()
        }
    };
    let place = |cursor: &Cursor| (rank(order, cursor.value), cursor.trace_id, cursor.span_id);
    if let Some(after) = task.after {
        let after = match task.mode {
            Mode::Spans => after,
            Mode::Traces => Cursor { span_id: SpanId::INVALID, ..after },
        };
        places.retain(|cursor| place(cursor) > place(&after));
    }
    places.sort_unstable_by_key(place);
    // A span for which several conditions hold.
    places.dedup();
    Some(places)
}

/// A value so that what the order puts first is less.
pub(super) fn rank(order: Order, value: i64) -> i64 {
    match order {
        Order::OldestFirst => value,
        Order::NewestFirst | Order::SlowestFirst => !value,
    }
}
