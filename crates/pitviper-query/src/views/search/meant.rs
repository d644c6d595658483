//! All spans that a query with related conditions or functions means, for what counts them.

use std::time::{Duration, Instant};

use pitviper_model::{SpanId, TraceId};
use pitviper_store::filter::{Filter, KnownSpans};
use pitviper_store::{Order, Store, TimeRange};

use super::candidates::Candidates;
use super::holding::{KEYS_OF_QUERY, NARROW_TRACES, condition_of_members, learn};
use super::judge::Judge;
use super::out::Out;
use super::pages::Task;
use super::{Bound, Mode, RowOrder};
use crate::QueryError;
use crate::search::Query;

/// How long it is learnt which spans are meant; what is under way then is finished.
const MEANT_TIME: Duration = Duration::from_secs(8);

/// Most spans that are known to be meant: 24 MB.
const MEANT_SPANS: usize = 1_000_000;

/// Candidate traces that are judged together.
const TRACES_TOGETHER: usize = 1_024;

/// What is known of the spans that a query means.
#[derive(Debug)]
pub(in crate::views) struct Meant {
    /// The condition that the spans are among those that are known.
    pub(in crate::views) filter: Filter,
    /// The bound because of which some are not known.
    pub(in crate::views) bound: Option<Bound>,
    /// When traces were left out: their spans that can be meant began no later than this, in nanoseconds
    /// since the epoch.
    pub(in crate::views) until_ns: Option<i64>,
}

/// Learns which spans of the range the query means, those of the newest traces first.
pub(in crate::views) async fn meant(store: &dyn Store, query: &Query, range: TimeRange) -> Result<Meant, QueryError> {
    let bounds = Bounds { time: MEANT_TIME, spans: MEANT_SPANS, keys: KEYS_OF_QUERY, together: TRACES_TOGETHER };
    within(store, query, range, bounds).await
}

/// What is not gone beyond.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) time: Duration,
    pub(super) spans: usize,
    pub(super) keys: usize,
    /// Candidate traces that are judged together.
    pub(super) together: usize,
}

pub(super) async fn within(
    store: &dyn Store,
    query: &Query,
    range: TimeRange,
    bounds: Bounds,
) -> Result<Meant, QueryError> {
    let started = Instant::now();
    let (mode, order, limit) = (Mode::Traces, RowOrder::NewestFirst, usize::MAX);
    let task = Task { query, range, mode, order, limit, after: None, time: bounds.time, keys: bounds.keys };
    let (mut spans, mut bound, mut until_ns) = (Vec::new(), None, None);
    if let Some(learnt) = learn(store, &task, &mut Out::list((mode, order), None)).await? {
        let mut candidates = Candidates::new(store, &task, &learnt);
        let mut judge = Judge::new(store, query, range, Order::from(order), &learnt);
        loop {
            let (traces, is_last) = candidates.next(bounds.together).await?;
            let trace_ids: Vec<TraceId> = traces.iter().map(|candidate| candidate.place.trace_id).collect();
            for (trace_id, meant) in judge.judge(&trace_ids).await? {
                spans.extend(meant.into_iter().map(|span_id: SpanId| (trace_id, span_id)));
            }
            if is_last {
                break;
            }
            if spans.len() >= bounds.spans {
                bound = Some(Bound::Memory);
            } else if started.elapsed() >= bounds.time {
                bound = Some(Bound::Time);
            } else {
                continue;
            }
            until_ns = traces.last().map(|candidate| candidate.place.value);
            break;
        }
        bound = bound.or(judge.cut.then_some(Bound::Memory));
    }
    let known = KnownSpans::new(spans);
    let mut conditions = vec![condition_of_members(&query.spans)];
    let traces = known.traces();
    if traces.len() <= NARROW_TRACES {
        conditions.push(Filter::Traces(traces));
    }
    conditions.push(Filter::Known(known));
    Ok(Meant { filter: Filter::And(conditions), bound, until_ns })
}
