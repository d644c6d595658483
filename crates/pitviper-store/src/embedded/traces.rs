//! Reading traces: the trace index says which pages to read, and no time window is needed.

use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::hot::Snapshot;
use super::manifest::Table;
use super::prune::Lookup;
use super::segment::trace_mask;
use crate::filter::Filter;
use crate::schema::{WATERFALL_COLUMNS, read_spans, read_waterfall};
use crate::store::{StoreError, StoredSpan, TimeRange, Trace, TraceSpan};

/// The rows of these traces that may start in the range, with these columns or all. Rows that cannot
/// pass the filter may be missing.
pub(super) fn rows(
    snapshot: &Snapshot,
    wanted: &Arc<FxHashSet<TraceId>>,
    range: TimeRange,
    filter: &Filter,
    columns: Option<&[&str]>,
) -> Result<Vec<RecordBatch>, StoreError> {
    let mut found = Vec::new();
    for batch in snapshot.hot_rows(Table::Spans, range) {
        let ids = batch.column_by_name("trace_id").expect("the schema has the column");
        let mask = trace_mask(ids.as_ref(), wanted);
        if mask.true_count() > 0 {
            found.push(filter_record_batch(batch, &mask).map_err(|error| StoreError::Engine(error.to_string()))?);
        }
    }
    let of_traces = Lookup::of_traces(wanted.iter());
    let lookup = Lookup::All(std::iter::once(of_traces).chain(Lookup::of(filter)).collect());
    for segment in snapshot.segments_in(Table::Spans, range) {
        found.extend(segment.read_traces(wanted, &lookup, columns)?);
    }
    Ok(found)
}

/// What waterfalls need of these traces; unknown traces are missing.
pub(super) fn waterfalls(
    snapshot: &Snapshot,
    trace_ids: &[TraceId],
    limit_per_trace: usize,
) -> Result<Vec<(TraceId, Trace)>, StoreError> {
    let wanted: Arc<FxHashSet<TraceId>> = Arc::new(trace_ids.iter().copied().collect());
    let mut spans: FxHashMap<TraceId, Vec<TraceSpan>> = FxHashMap::default();
    for batch in rows(snapshot, &wanted, TimeRange::ALL, &Filter::All, Some(&WATERFALL_COLUMNS))? {
        for (trace_id, span) in read_waterfall(&batch)? {
            spans.entry(trace_id).or_default().push(span);
        }
    }
    let mut seen = FxHashSet::default();
    Ok(trace_ids
        .iter()
        .filter(|trace_id| seen.insert(**trace_id))
        .filter_map(|trace_id| Some((*trace_id, assemble(spans.remove(trace_id)?, limit_per_trace))))
        .collect())
}

/// Puts the spans in order, drops what a client sent twice, and cuts to the limit around the root.
fn assemble(mut spans: Vec<TraceSpan>, limit: usize) -> Trace {
    let mut seen = FxHashSet::default();
    spans.retain(|span| seen.insert(span.span_id));
    spans.sort_unstable_by_key(|span| (span.start_ns, span.span_id));
    let total = spans.len();
    if total > limit {
        let root_start =
            spans.iter().find(|span| !span.parent_span_id.is_valid()).map_or(spans[0].start_ns, |root| root.start_ns);
        // The root itself is at distance zero, so it is never cut off.
        spans.sort_by_key(|span| (span.start_ns.abs_diff(root_start), span.parent_span_id.is_valid()));
        spans.truncate(limit);
        spans.sort_unstable_by_key(|span| (span.start_ns, span.span_id));
    }
    Trace { spans, total }
}

/// Whole spans of one trace by start time, once each; all when `span_ids` is empty.
pub(super) fn details(
    snapshot: &Snapshot,
    trace_id: TraceId,
    span_ids: &[SpanId],
    offset: usize,
    limit: usize,
) -> Result<Vec<StoredSpan>, StoreError> {
    let wanted = Arc::new(FxHashSet::from_iter([trace_id]));
    let span_ids: FxHashSet<SpanId> = span_ids.iter().copied().collect();
    let mut found = Vec::new();
    let mut seen = FxHashSet::default();
    for batch in rows(snapshot, &wanted, TimeRange::ALL, &Filter::All, None)? {
        found.extend(read_spans(&batch)?.into_iter().filter(|stored| {
            (span_ids.is_empty() || span_ids.contains(&stored.span.span_id)) && seen.insert(stored.span.span_id)
        }));
    }
    found.sort_by_key(|stored| (stored.span.start_time_unix_nano, stored.span.span_id));
    Ok(found.into_iter().skip(offset).take(limit).collect())
}
