//! Asks a store and a [`Naive`] one the same question. Pages are walked to their end.

use pitviper_model::{SpanId, TraceId};

use super::naive::{Naive, duration_ns, place, start_ns};
use super::told::in_two_parts;
use crate::questions::keys::{Keys, SpanKey};
use crate::questions::kin::{Families, Family, Kin};
use crate::schema::METRIC_BUCKET_NS;
use crate::store::{MetricsQuery, Order, Search, Store, StoreError, StoredSpan, TimeRange, Trace, TraceSpan};

/// Anything one can ask of what is stored.
#[derive(Debug, Clone)]
pub enum Question {
    /// [`Store::search_spans`], to the last page.
    Spans(Search),
    /// [`Store::search_traces`], to the last page.
    Traces(Search),
    /// [`Store::keys`].
    Keys(Keys),
    /// [`Store::trace`], [`Store::traces`] and [`Store::families`], with this limit.
    Waterfalls(Vec<TraceId>, usize),
    /// [`Store::trace_details`], in pages of this size.
    Details(TraceId, Vec<SpanId>, usize),
    /// [`Store::metrics`].
    Metrics(MetricsQuery),
    /// [`Store::resources`].
    Resources(TimeRange),
}

/// Asks both, and compares.
///
/// # Errors
/// What the store says.
///
/// # Panics
/// When the answers differ.
pub async fn compare(store: &dyn Store, naive: &Naive, question: &Question) -> Result<(), StoreError> {
    match question {
        Question::Spans(search) => spans(store, naive, search).await,
        Question::Traces(search) => traces(store, naive, search).await,
        Question::Keys(question) => keys(store, naive, question).await,
        Question::Waterfalls(trace_ids, limit) => waterfalls(store, naive, trace_ids, *limit).await,
        Question::Details(trace_id, span_ids, page) => details(store, naive, *trace_id, span_ids, *page).await,
        Question::Metrics(query) => metrics(store, naive, query).await,
        Question::Resources(range) => resources(store, naive, *range).await,
    }
}

/// By their text: a number that is none equals nothing, and minus zero is not zero.
#[track_caller]
fn assert_same<T: std::fmt::Debug>(found: &[T], expected: &[T], question: &dyn std::fmt::Debug) {
    let lines = |rows: &[T]| rows.iter().map(|row| format!("{row:?}")).collect::<Vec<_>>();
    let (found, expected) = (lines(found), lines(expected));
    if found != expected {
        let (found, expected) = (found.join("\n"), expected.join("\n"));
        panic!("{question:?}\nfound:\n{found}\nexpected:\n{expected}");
    }
}

async fn spans(store: &dyn Store, naive: &Naive, search: &Search) -> Result<(), StoreError> {
    let expected: Vec<StoredSpan> = naive.search_spans(search).into_iter().cloned().collect();
    let mut page = search.clone();
    let mut found: Vec<StoredSpan> = Vec::new();
    // One page more than there can be ends a walk in circles.
    for _ in 0..=expected.len() {
        let rows = store.search_spans(&page).await?;
        assert_same(&in_two_parts(&page, |walk| store.walk_spans(walk)).await?, &rows, &page);
        assert!(rows.len() <= page.limit, "{page:?} has {} rows", rows.len());
        let is_full = rows.len() == page.limit;
        if let Some(last) = rows.last() {
            page.after = Some(place(page.order, last));
        }
        found.extend(rows);
        if !is_full || page.limit == 0 {
            break;
        }
    }
    let expected = if search.limit == 0 { Vec::new() } else { expected };
    assert_same(&found, &expected, search);
    Ok(())
}

async fn traces(store: &dyn Store, naive: &Naive, search: &Search) -> Result<(), StoreError> {
    let expected = naive.search_traces(search);
    let mut page = search.clone();
    let mut found = Vec::new();
    for _ in 0..=expected.len() {
        let hits = store.search_traces(&page).await?;
        assert_same(&in_two_parts(&page, |walk| store.walk_traces(walk)).await?, &hits, &page);
        assert!(hits.len() <= page.limit, "{page:?} has {} hits", hits.len());
        let is_full = hits.len() == page.limit;
        page.after = hits.last().map(|hit| hit.cursor).or(page.after);
        found.extend(hits);
        if !is_full || page.limit == 0 {
            break;
        }
    }
    let expected = if search.limit == 0 { Vec::new() } else { expected };
    assert_same(&found, &expected, search);
    Ok(())
}

async fn keys(store: &dyn Store, naive: &Naive, question: &Keys) -> Result<(), StoreError> {
    let (range, filter) = (question.range, question.filter.clone());
    let all = Search { range, filter, order: Order::OldestFirst, limit: 0, after: None };
    let key = |stored: &&StoredSpan| SpanKey {
        trace_id: stored.span.trace_id,
        span_id: stored.span.span_id,
        start_ns: start_ns(stored),
        duration_ns: duration_ns(stored).cast_unsigned(),
    };
    let mut expected: Vec<SpanKey> = naive.search_spans(&all).iter().map(key).collect();
    expected.sort_by_key(|key| (key.trace_id, key.span_id));
    let found = store.keys(question).await?;
    assert!(found.rows >= expected.len() as u64, "{question:?} may have {} rows, not {}", found.rows, expected.len());
    if question.limit == 0 {
        assert!(found.keys.is_empty() && (!found.complete || expected.is_empty()), "{question:?}: {found:?}");
        return Ok(());
    }
    assert_eq!(found.complete, expected.len() <= question.limit, "{question:?}");
    if !found.complete {
        assert_eq!(found.keys.len(), question.limit, "{question:?}");
        expected.retain(|key| found.keys.contains(key));
    }
    assert_same(&found.keys, &expected, question);
    Ok(())
}

/// A family has the spans of the waterfall.
async fn families(
    store: &dyn Store,
    trace_ids: &[TraceId],
    limit: usize,
    waterfalls: &[(TraceId, Trace)],
) -> Result<(), StoreError> {
    let question = Families { trace_ids: trace_ids.to_vec(), limit_per_trace: limit, limit: usize::MAX };
    let found = store.families(&question).await?.expect("there is no limit");
    let kin = |span: &TraceSpan| Kin {
        span_id: span.span_id,
        parent_span_id: span.parent_span_id,
        start_ns: span.start_ns,
        duration_ns: span.duration_ns,
    };
    let family = |(trace_id, trace): &(TraceId, Trace)| {
        (*trace_id, Family { spans: trace.spans.iter().map(kin).collect(), total: trace.total })
    };
    let expected: Vec<(TraceId, Family)> = waterfalls.iter().map(family).collect();
    assert_same(&found, &expected, &question);
    Ok(())
}

async fn waterfalls(store: &dyn Store, naive: &Naive, trace_ids: &[TraceId], limit: usize) -> Result<(), StoreError> {
    let several = store.traces(trace_ids, limit).await?;
    families(store, trace_ids, limit, &several).await?;
    let mut expected: Vec<TraceId> = Vec::new();
    for &trace_id in trace_ids {
        let whole = naive.trace(trace_id);
        let alone = store.trace(trace_id, limit).await?;
        check_trace(&alone, &whole, limit);
        if !whole.is_empty() && !expected.contains(&trace_id) {
            expected.push(trace_id);
        }
        if let Some((_, among)) = several.iter().find(|(of, _)| *of == trace_id) {
            assert_eq!(*among, alone, "{trace_id} is another alone than among {trace_ids:?}");
        }
    }
    assert_eq!(several.iter().map(|(trace_id, _)| *trace_id).collect::<Vec<_>>(), expected);
    Ok(())
}

/// A waterfall shows the spans nearest to the root's start, by start time.
fn check_trace(found: &Trace, whole: &[&StoredSpan], limit: usize) {
    assert_eq!(found.total, whole.len());
    assert_eq!(found.spans.len(), whole.len().min(limit));
    assert!(found.spans.is_sorted_by_key(|span| span.start_ns), "{found:?}");
    let mut shown: Vec<SpanId> = found.spans.iter().map(|span| span.span_id).collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), found.spans.len(), "a span twice: {found:?}");
    for span in &found.spans {
        let stored = whole.iter().find(|stored| stored.span.span_id == span.span_id);
        let stored = stored.unwrap_or_else(|| panic!("{span:?} is none of the trace's"));
        let expected = TraceSpan { db_system: span.db_system.clone(), detail: span.detail.clone(), ..brief(stored) };
        assert_eq!(*span, expected);
    }
    let root = whole.iter().find(|stored| !stored.span.parent_span_id.is_valid()).or(whole.first());
    if let Some(root) = root {
        let distance = |start: i64| start.abs_diff(start_ns(root));
        let mut nearest: Vec<u64> = whole.iter().map(|stored| distance(start_ns(stored))).collect();
        nearest.sort_unstable();
        nearest.truncate(limit);
        let mut kept: Vec<u64> = found.spans.iter().map(|span| distance(span.start_ns)).collect();
        kept.sort_unstable();
        assert_eq!(kept, nearest, "not the nearest to the root: {found:?}");
    }
}

fn brief(stored: &StoredSpan) -> TraceSpan {
    TraceSpan {
        span_id: stored.span.span_id,
        parent_span_id: stored.span.parent_span_id,
        service: stored.resource.service().into(),
        name: stored.span.name.as_str().into(),
        kind: stored.span.kind,
        status: stored.span.status.code,
        start_ns: start_ns(stored),
        duration_ns: duration_ns(stored).cast_unsigned(),
        db_system: None,
        detail: None,
    }
}

async fn details(
    store: &dyn Store,
    naive: &Naive,
    trace_id: TraceId,
    span_ids: &[SpanId],
    page: usize,
) -> Result<(), StoreError> {
    let whole = naive.trace(trace_id);
    let is_wanted = |stored: &&&StoredSpan| span_ids.is_empty() || span_ids.contains(&stored.span.span_id);
    let expected: Vec<StoredSpan> = whole.iter().filter(is_wanted).map(|stored| (*stored).clone()).collect();
    let mut found = Vec::new();
    for _ in 0..=expected.len() {
        let rows = store.trace_details(trace_id, span_ids, found.len(), page).await?;
        assert!(rows.len() <= page);
        let is_full = rows.len() == page;
        found.extend(rows);
        if !is_full {
            break;
        }
    }
    let expected = if page == 0 { Vec::new() } else { expected };
    assert_same(&found, &expected, &(trace_id, span_ids, page));
    Ok(())
}

async fn metrics(store: &dyn Store, naive: &Naive, query: &MetricsQuery) -> Result<(), StoreError> {
    let bucket_ns = store.metric_bucket_ns(query.range);
    assert!(bucket_ns >= METRIC_BUCKET_NS && bucket_ns % METRIC_BUCKET_NS == 0, "{bucket_ns}");
    assert_same(&store.metrics(query).await?, &naive.metrics(query), query);
    Ok(())
}

async fn resources(store: &dyn Store, naive: &Naive, range: TimeRange) -> Result<(), StoreError> {
    let mut found = store.resources(range).await?;
    assert!(found.is_sorted_by(|left, right| left.last_seen_ns >= right.last_seen_ns), "latest first: {found:?}");
    let mut expected = naive.resources(range);
    for seen in found.iter_mut().chain(&mut expected) {
        seen.scopes.sort_by_key(|scope| format!("{scope:?}"));
    }
    found.sort_by_key(|seen| format!("{:?}", seen.resource));
    expected.sort_by_key(|seen| format!("{:?}", seen.resource));
    assert_same(&found, &expected, &range);
    Ok(())
}
