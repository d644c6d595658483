//! Reading traces: the trace index says which pages to read, and no time window is needed.

use std::sync::Arc;

use arrow::array::{AsArray, FixedSizeBinaryArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use pitviper_model::{SpanId, TraceId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::hot::Snapshot;
use super::manifest::Table;
use super::prune::Lookup;
use super::wanted::trace_mask;
use crate::filter::Filter;
use crate::questions::kin::{Families, Family, Kin};
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
    Ok(rows_up_to(snapshot, wanted, range, filter, columns, usize::MAX)?.unwrap_or_default())
}

/// As [`rows`]; `None` when there are more than so many.
fn rows_up_to(
    snapshot: &Snapshot,
    wanted: &Arc<FxHashSet<TraceId>>,
    range: TimeRange,
    filter: &Filter,
    columns: Option<&[&str]>,
    most: usize,
) -> Result<Option<Vec<RecordBatch>>, StoreError> {
    let is_too_much = |found: &[RecordBatch]| found.iter().map(RecordBatch::num_rows).sum::<usize>() > most;
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
        if is_too_much(&found) {
            return Ok(None);
        }
        found.extend(segment.read_traces(wanted, &lookup, columns)?);
    }
    Ok((!is_too_much(&found)).then_some(found))
}

/// The columns [`read_kin`] reads.
const KIN_COLUMNS: [&str; 5] = ["trace_id", "span_id", "parent_span_id", "start_ns", "duration_ns"];

/// How the spans of traces hang together; `None` when there are too many.
pub(super) fn families(snapshot: &Snapshot, question: &Families) -> Result<Option<Vec<(TraceId, Family)>>, StoreError> {
    let wanted: Arc<FxHashSet<TraceId>> = Arc::new(question.trace_ids.iter().copied().collect());
    let most = if wanted.len() > 1 { question.limit } else { usize::MAX };
    let Some(batches) = rows_up_to(snapshot, &wanted, TimeRange::ALL, &Filter::All, Some(&KIN_COLUMNS), most)? else {
        return Ok(None);
    };
    let mut spans: FxHashMap<TraceId, Vec<Kin>> = FxHashMap::default();
    for batch in &batches {
        for (trace_id, kin) in read_kin(batch) {
            spans.entry(trace_id).or_default().push(kin);
        }
    }
    let mut seen = FxHashSet::default();
    let family = |trace_id: &TraceId| {
        let (spans, total) = assemble(spans.remove(trace_id)?, question.limit_per_trace);
        Some((*trace_id, Family { spans, total }))
    };
    Ok(Some(question.trace_ids.iter().filter(|trace_id| seen.insert(**trace_id)).filter_map(family).collect()))
}

fn read_kin(batch: &RecordBatch) -> impl Iterator<Item = (TraceId, Kin)> + '_ {
    let column = |name: &str| batch.column_by_name(name).expect("the column was read");
    let ids = |name: &str| column(name).as_fixed_size_binary();
    let number = |name: &str| column(name).as_primitive::<Int64Type>().values();
    let (traces, spans, parents) = (ids("trace_id"), ids("span_id"), ids("parent_span_id"));
    let (starts, durations) = (number("start_ns"), number("duration_ns"));
    let span_id = |ids: &FixedSizeBinaryArray, row: usize| SpanId::from_slice(ids.value(row)).unwrap_or_default();
    (0..batch.num_rows()).map(move |row| {
        let kin = Kin {
            span_id: span_id(spans, row),
            parent_span_id: span_id(parents, row),
            start_ns: starts[row],
            duration_ns: durations[row].cast_unsigned(),
        };
        (TraceId::from_slice(traces.value(row)).unwrap_or_default(), kin)
    })
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
        .filter_map(|trace_id| {
            let (spans, total) = assemble(spans.remove(trace_id)?, limit_per_trace);
            Some((*trace_id, Trace { spans, total }))
        })
        .collect())
}

/// What puts a span in its place within a trace.
trait InTrace {
    fn span_id(&self) -> SpanId;
    fn start_ns(&self) -> i64;
    fn has_parent(&self) -> bool;
}

impl InTrace for TraceSpan {
    fn span_id(&self) -> SpanId {
        self.span_id
    }
    fn start_ns(&self) -> i64 {
        self.start_ns
    }
    fn has_parent(&self) -> bool {
        self.parent_span_id.is_valid()
    }
}

impl InTrace for Kin {
    fn span_id(&self) -> SpanId {
        self.span_id
    }
    fn start_ns(&self) -> i64 {
        self.start_ns
    }
    fn has_parent(&self) -> bool {
        self.parent_span_id.is_valid()
    }
}

/// Puts the spans in order, drops what a client sent twice, and cuts to the limit around the root;
/// also, how many there were before they were cut.
fn assemble<S: InTrace>(mut spans: Vec<S>, limit: usize) -> (Vec<S>, usize) {
    let mut seen = FxHashSet::default();
    spans.retain(|span| seen.insert(span.span_id()));
    spans.sort_unstable_by_key(|span| (span.start_ns(), span.span_id()));
    let total = spans.len();
    if total > limit {
        let root_start = spans.iter().find(|span| !span.has_parent()).unwrap_or(&spans[0]).start_ns();
        // The root itself is at distance zero, so it is never cut off.
        spans.sort_by_key(|span| (span.start_ns().abs_diff(root_start), span.has_parent()));
        spans.truncate(limit);
        spans.sort_unstable_by_key(|span| (span.start_ns(), span.span_id()));
    }
    (spans, total)
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
        let config = EmbeddedConfig {
            durability: Durability::Buffered,
            // Only when it is told to, however slow the machine is.
            flush_after_ms: 3_600_000,
            ..EmbeddedConfig::new(dir.path())
        };
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
