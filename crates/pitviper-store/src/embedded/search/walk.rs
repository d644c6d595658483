//! Searches for spans and traces, which tell rows as soon as these are certain.
//!
//! A search for spans first finds keys (sort value, trace, span), reading the columns of the filter
//! alone, and then fetches the whole rows of the few that are shown. A search for traces finds keys of
//! spans, and then all matching spans of their traces.

use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::Teller;
use crate::embedded::hot::Snapshot;
use crate::embedded::scan::{Interrupt, Key, Pace, Scan};
use crate::filter::Filter;
use crate::questions::walk::{Came, Told, Walk};
use crate::store::{Cursor, Search, StoreError, StoredSpan, TraceHit};

/// Keys fetched for a page of traces, as a multiple of its rows: many matching spans share a trace.
const KEYS_PER_TRACE: usize = 4;
const KEYS_AT_LEAST: usize = 256;

/// Nobody may listen any more; then the scan is interrupted soon.
fn tell<T>(teller: &Teller<T>, told: Told<T>) {
    drop(teller.send(told));
}

fn place(key: Key) -> Cursor {
    Cursor { value: key.value, trace_id: key.trace_id, span_id: key.span_id }
}

/// Whole spans.
pub(super) fn spans(
    snapshot: &Snapshot,
    (walk, pace): (&Walk, Pace),
    interrupt: &Interrupt,
    teller: &Teller<StoredSpan>,
) -> Result<(), StoreError> {
    let search = &walk.search;
    let after =
        search.after.map(|cursor| Key { value: cursor.value, trace_id: cursor.trace_id, span_id: cursor.span_id });
    let scan = Scan::new(snapshot, search.range, &search.filter, interrupt)?;
    let stopped = scan.walk(search.order, after, search.limit, pace, |found, came| {
        if !found.is_empty() {
            let places: Vec<_> = found.iter().map(|(_, place)| *place).collect();
            tell(teller, Told::Rows(scan.fetch(&places)?));
        }
        tell(teller, Told::Came(came));
        Ok(())
    })?;
    if let Some(key) = stopped {
        tell(teller, Told::Stopped(place(key)));
    }
    Ok(())
}

/// Traces with their matching spans.
pub(super) fn traces(
    snapshot: &Snapshot,
    (walk, pace): (&Walk, Pace),
    interrupt: &Interrupt,
    teller: &Teller<TraceHit>,
) -> Result<(), StoreError> {
    let search = &walk.search;
    let start = search.after.map(|cursor| Key {
        value: cursor.value,
        trace_id: cursor.trace_id,
        // Behind every span of the page's last trace that has the same value.
        span_id: SpanId([u8::MAX; 8]),
    });
    let scan = Scan::new(snapshot, search.range, &search.filter, interrupt)?;
    let mut hits = Hits { snapshot, search, interrupt, start, count: 0, judged: FxHashSet::default() };
    let (mut after, mut rows) = (start, 0);
    while hits.count < search.limit {
        let fetch = (search.limit - hits.count).saturating_mul(KEYS_PER_TRACE).max(KEYS_AT_LEAST);
        let mut found_keys = 0;
        let stopped = scan.walk(search.order, after, fetch, pace, |found, came| {
            found_keys += found.len();
            after = found.last().map(|(key, _)| *key).or(after);
            let more = hits.of(found.iter().map(|(key, _)| key.trace_id))?;
            if !more.is_empty() {
                tell(teller, Told::Rows(more));
            }
            // Later rounds pass quickly over what earlier ones have read.
            rows = came.rows.max(rows);
            tell(teller, Told::Came(Came { rows, ..came }));
            Ok(())
        })?;
        if let Some(key) = stopped {
            if hits.count < search.limit {
                tell(teller, Told::Stopped(place(key)));
            }
            break;
        }
        if found_keys < fetch {
            break;
        }
    }
    Ok(())
}

/// Makes hits of traces.
struct Hits<'a> {
    snapshot: &'a Snapshot,
    search: &'a Search,
    interrupt: &'a Interrupt,
    /// What the page begins behind.
    start: Option<Key>,
    count: usize,
    judged: FxHashSet<TraceId>,
}

impl Hits<'_> {
    /// Those of these traces that were not judged before and belong to the page.
    fn of(&mut self, traces: impl Iterator<Item = TraceId>) -> Result<Vec<TraceHit>, StoreError> {
        let candidates: Vec<TraceId> = traces.filter(|trace_id| self.judged.insert(*trace_id)).collect();
        let mut matches = matches(self.snapshot, self.search, &candidates, self.interrupt)?;
        let mut hits = Vec::new();
        for trace_id in candidates {
            let Some(spans) = matches.remove(&trace_id) else { continue };
            // A trace whose best span lies before the cursor stood on an earlier page.
            let is_new = self.start.is_none_or(|start| spans[0].cmp_in(self.search.order, &start).is_gt());
            if is_new && self.count < self.search.limit {
                self.count += 1;
                hits.push(hit(trace_id, &spans));
            }
        }
        Ok(hits)
    }
}

/// All matching spans of these traces, each trace's in order, once each.
fn matches(
    snapshot: &Snapshot,
    search: &Search,
    traces: &[TraceId],
    interrupt: &Interrupt,
) -> Result<FxHashMap<TraceId, Vec<Key>>, StoreError> {
    let mut found: FxHashMap<TraceId, Vec<Key>> = FxHashMap::default();
    if traces.is_empty() {
        return Ok(found);
    }
    let filter = Filter::And(vec![Filter::Traces(traces.to_vec()), search.filter.clone()]);
    Scan::new(snapshot, search.range, &filter, interrupt)?.keys(search.order, |key| {
        found.entry(key.trace_id).or_default().push(key);
    })?;
    for keys in found.values_mut() {
        keys.sort_unstable_by(|left, right| left.cmp_in(search.order, right));
        keys.dedup();
    }
    Ok(found)
}

fn hit(trace_id: TraceId, spans: &[Key]) -> TraceHit {
    TraceHit {
        trace_id,
        matched: spans.iter().take(TraceHit::MAX_MATCHED).map(|key| key.span_id).collect(),
        matched_count: spans.len() as u64,
        cursor: Cursor { value: spans[0].value, trace_id, span_id: SpanId::INVALID },
    }
}
