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
use crate::schema::{SPAN_COLUMNS, WATERFALL_COLUMNS, read_spans, read_waterfall};
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
    for batch in rows(snapshot, &wanted, TimeRange::ALL, &Filter::All, Some(&SPAN_COLUMNS))? {
        found.extend(read_spans(&batch)?.into_iter().filter(|stored| {
            (span_ids.is_empty() || span_ids.contains(&stored.span.span_id)) && seen.insert(stored.span.span_id)
        }));
    }
    found.sort_by_key(|stored| (stored.span.start_time_unix_nano, stored.span.span_id));
    Ok(found.into_iter().skip(offset).take(limit).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use pitviper_model::{Resource, Scope, Span};

    use super::*;
    use crate::embedded::{Durability, EmbeddedConfig, EmbeddedStore};
    use crate::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
    use crate::store::Store as _;

    const SEGMENTS: u64 = 3;
    const TRACES_A_SEGMENT: u64 = 2_500;
    const SPANS_A_TRACE: u64 = 12;
    /// Of the waterfall's columns those that are text.
    const DICTIONARIES: u64 = 4;

    async fn add_segment(store: &EmbeddedStore, segment: u64) {
        for trace in segment * TRACES_A_SEGMENT..(segment + 1) * TRACES_A_SEGMENT {
            let mut spans = SpansBuilder::default();
            for number in 0..SPANS_A_TRACE {
                let start = 1_000_000 + trace * 1_000 + number;
                let span = Span {
                    trace_id: TraceId(u128::from(trace + 1).to_be_bytes()),
                    span_id: SpanId((trace * SPANS_A_TRACE + number + 1).to_be_bytes()),
                    // Each of a trace's spans lies far from the others.
                    name: format!("operation {number:02}"),
                    start_time_unix_nano: start,
                    end_time_unix_nano: start + 7,
                    ..Span::default()
                };
                spans.append(&Resource::default(), &Scope::default(), &span);
            }
            store.append(WriteBatch::new(spans, SpanMetricsBuilder::new())).await.unwrap();
        }
        store.flush().await.unwrap();
    }

    /// What a look-up costs, counted: it grows with the trace's pages, not with what is stored.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_trace_is_read_from_its_own_pages_alone() {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { durability: Durability::Buffered, ..EmbeddedConfig::new(dir.path()) };
        let store = EmbeddedStore::open(config).await.unwrap();
        for segment in 0..SEGMENTS {
            add_segment(&store, segment).await;
        }
        let spans = store.stats().tables.into_iter().find(|table| table.name == "spans").unwrap();
        assert_eq!((spans.segments, spans.hot_rows), (SEGMENTS, 0));
        let counts = &store.flush.segment_cache.counts;
        let read = async |trace: u64, expected: u64| {
            let before = [&counts.files, &counts.row_groups, &counts.pages].map(|count| count.load(Relaxed));
            let found = store.trace(TraceId(u128::from(trace + 1).to_be_bytes()), 100).await.unwrap();
            assert_eq!(found.total as u64, expected);
            let after = [&counts.files, &counts.row_groups, &counts.pages].map(|count| count.load(Relaxed));
            std::array::from_fn::<u64, 3, _>(|at| after[at] - before[at])
        };
        let [files, ..] = read(1, SPANS_A_TRACE).await;
        assert!(files <= SEGMENTS, "{files} files opened");
        let [files, row_groups, pages] = read(TRACES_A_SEGMENT + 7, SPANS_A_TRACE).await;
        assert_eq!((files, row_groups), (0, 1), "open segments, and the one that has the trace");
        // A span in a page of its own, and the trace ids read twice: to choose rows, and as a column.
        let most = SPANS_A_TRACE * (WATERFALL_COLUMNS.len() as u64 + 1) + DICTIONARIES;
        assert!((1..=most).contains(&pages), "{pages} pages read");
        assert_eq!(read(SEGMENTS * TRACES_A_SEGMENT + 9, 0).await, [0, 0, 0], "an unknown trace");
    }
}
