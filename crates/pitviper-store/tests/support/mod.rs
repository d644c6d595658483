//! What the store's tests share.

use std::path::Path;
use std::sync::Arc;

use pitviper_model::{Attributes, ExpHistogram, Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::Filter;
use pitviper_store::schema::{METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{MetricsQuery, Order, Red, Search, SpanScope, Store, TimeRange};

/// Spans of each numbered write.
pub(crate) const SPANS_A_WRITE: u64 = 7;

/// Opens the store with its defaults.
pub(crate) async fn open(dir: &Path) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(EmbeddedConfig::new(dir)).await.unwrap()
}

/// A write whose spans are known by its number, with metrics that count them.
pub(crate) fn write(number: u64) -> WriteBatch {
    padded_write(number, 0)
}

/// The same, each span with so many bytes that do not compress.
pub(crate) fn padded_write(number: u64, padding: usize) -> WriteBatch {
    let attributes = [("service.name", "load")].into_iter().collect();
    let resource = Resource { attributes, ..Resource::default() };
    let mut spans = SpansBuilder::with_capacity(SPANS_A_WRITE as usize);
    let start = 1_700_000_000_000_000_000 + number * 1_000_000;
    for part in 0..SPANS_A_WRITE {
        let mut attributes: Attributes = [("write", number.to_string())].into_iter().collect();
        attributes.set("padding", noise(number * SPANS_A_WRITE + part, padding));
        let span = Span {
            trace_id: TraceId((u128::from(number) + 1).to_be_bytes()),
            span_id: SpanId((number * SPANS_A_WRITE + part + 1).to_be_bytes()),
            name: format!("part {part}"),
            start_time_unix_nano: start + part,
            end_time_unix_nano: start + part + 1_000,
            attributes,
            ..Span::default()
        };
        spans.append(&resource, &Scope::default(), &span);
    }
    let mut metrics = SpanMetricsBuilder::new();
    let key = SpanMetricKey {
        bucket_start_ns: (start as i64).div_euclid(METRIC_BUCKET_NS) * METRIC_BUCKET_NS,
        service: "load".to_owned(),
        environment: String::new(),
        version: String::new(),
        name: "part".to_owned(),
        kind: SpanKind::Internal,
        is_root: true,
        peer: String::new(),
    };
    let mut durations = ExpHistogram::default();
    durations.record_many(1_000, SPANS_A_WRITE);
    let red = Red {
        hits: SPANS_A_WRITE,
        errors: 0,
        duration_sum_ns: 1_000 * SPANS_A_WRITE,
        duration_min_ns: 1_000,
        duration_max_ns: 1_000,
        durations,
    };
    metrics.append(&key, &red);
    WriteBatch::new(spans, metrics)
}

/// Hex digits that look random, from a small generator with the seed.
fn noise(seed: u64, length: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = String::with_capacity(length + 16);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.push_str(&format!("{state:016x}"));
    }
    out.truncate(length);
    out
}

/// How many spans the metrics say there are. A row that is visible twice counts twice.
pub(crate) async fn counted(store: &dyn Store) -> u64 {
    let query = MetricsQuery {
        range: TimeRange::ALL,
        step_ns: None,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: Vec::new(),
    };
    store.metrics(&query).await.unwrap().iter().map(|row| row.red.hits).sum()
}

/// Asserts that exactly these writes are there, each span once, however it is asked for.
pub(crate) async fn assert_holds(store: &dyn Store, numbers: impl IntoIterator<Item = u64>) {
    let numbers: Vec<u64> = numbers.into_iter().collect();
    let expect = numbers.len() as u64 * SPANS_A_WRITE;
    assert_eq!(store.stats().spans, expect, "rows in all tiers");
    assert_eq!(counted(store).await, expect, "spans counted by metrics");
    let search = Search {
        range: TimeRange::ALL,
        filter: Filter::All,
        order: Order::OldestFirst,
        limit: usize::try_from(expect).unwrap() + 10,
        after: None,
    };
    let found = store.search_spans(&search).await.unwrap();
    let found: Vec<u64> = found.iter().map(|stored| u64::from_be_bytes(stored.span.span_id.0) - 1).collect();
    let expect: Vec<u64> =
        numbers.iter().flat_map(|number| number * SPANS_A_WRITE..(number + 1) * SPANS_A_WRITE).collect();
    assert_eq!(found, expect, "spans found by search");
}

/// Copies a directory with all in it, as a crash at this moment would leave it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
