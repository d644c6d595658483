//! Thinning keeps what is worth keeping, whole, and lets go of the rest; metrics stay.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the rest is for other tests")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId};
use pitviper_store::conformance::metric_of;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, Thinning};
use pitviper_store::filter::Filter;
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Order, Search, Store, TimeRange};

use support::{copy_dir, counted, open};

const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// A midnight long ago.
const DAY: i64 = 19_000 * DAY_NS;
const TRACES: u64 = 1_000;
const SPANS_A_TRACE: usize = 3;
/// Traces of which something is worth keeping, each for a reason of its own.
const FAILED: u64 = 10;
const SLOW: u64 = 20;
const RARE: u64 = 30;
const BY_RULE: u64 = 40;
const BY_DATADOG: u64 = 41;
const PASSED_ON: u64 = 42;
const CROSSING: u64 = 50;
const KEPT: [u64; 7] = [FAILED, SLOW, RARE, BY_RULE, BY_DATADOG, PASSED_ON, CROSSING];

fn trace_id(number: u64) -> TraceId {
    TraceId((u128::from(number) + 1).to_be_bytes())
}

/// The part of a trace: its root, or a call in it.
fn span(number: u64, part: u64) -> Span {
    let start = if number == CROSSING && part == 1 {
        DAY + DAY_NS + SECOND_NS
    } else {
        DAY + DAY_NS / 2 + (number * 10 + part).cast_signed() * 1_000_000
    };
    let duration = if number == SLOW && part == 2 { 60 * SECOND_NS } else { 1_000_000 + part.cast_signed() };
    let mut span = Span {
        trace_id: trace_id(number),
        span_id: SpanId((number * 10 + part + 1).to_be_bytes()),
        parent_span_id: if part == 0 { SpanId::INVALID } else { SpanId((number * 10 + 1).to_be_bytes()) },
        name: if part == 0 { "GET /" } else { "work" }.to_owned(),
        kind: if part == 0 { SpanKind::Server } else { SpanKind::Internal },
        start_time_unix_nano: start.cast_unsigned(),
        end_time_unix_nano: (start + duration).cast_unsigned(),
        ..Span::default()
    };
    match (number, part) {
        (FAILED, 2) => span.status = Status { code: StatusCode::Error, message: "no".to_owned() },
        (RARE, 1) => span.name = "seldom".to_owned(),
        (BY_RULE, 2) => span.attributes.set("sampling.keep", true),
        (BY_DATADOG, 0) => span.attributes.set("sampling.priority", 2),
        (PASSED_ON, 0) => span.attributes.set("_sampling_priority_v1", 2),
        (60, 0) => span.attributes.set("sampling.priority", 1),
        (61, 0) => span.attributes.set("_sampling_priority_v1", 1),
        _ => {}
    }
    span
}

/// Spans with the metrics that count them.
fn write(spans: &[Span]) -> WriteBatch {
    let attributes = [("service.name", "shop")].into_iter().collect();
    let resource = Resource { attributes, ..Resource::default() };
    let (mut rows, mut metrics) = (SpansBuilder::with_capacity(spans.len()), SpanMetricsBuilder::new());
    for span in spans {
        rows.append(&resource, &Scope::default(), span);
        let (key, red) = metric_of(span, &resource);
        metrics.append(&key, &red);
    }
    WriteBatch::new(rows, metrics)
}

/// A store of several segments, over which each trace is spread.
async fn fill(dir: &Path) {
    let store = open(dir).await;
    let crosses = |span: &Span| span.start_time_unix_nano >= (DAY + DAY_NS).cast_unsigned();
    let parts = (0..SPANS_A_TRACE as u64).map(|part| (0..TRACES).map(|number| span(number, part)).collect::<Vec<_>>());
    let (after, parts): (Vec<Span>, Vec<Span>) = parts.flatten().partition(crosses);
    for spans in parts.chunks(TRACES as usize).chain([after.as_slice()]) {
        store.append(write(spans)).await.unwrap();
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
}

async fn open_thinning(dir: &Path, thinning: Thinning) -> Arc<EmbeddedStore> {
    EmbeddedStore::open(EmbeddedConfig { thinning, ..EmbeddedConfig::new(dir) }).await.unwrap()
}

fn a_day_later() -> Thinning {
    Thinning { after: Duration::from_secs(86_400), ..Thinning::default() }
}

/// How many spans of each trace a search finds.
async fn found(store: &dyn Store) -> BTreeMap<u64, usize> {
    let search =
        Search { range: TimeRange::ALL, filter: Filter::All, order: Order::OldestFirst, limit: 100_000, after: None };
    let mut traces = BTreeMap::new();
    for stored in store.search_spans(&search).await.unwrap() {
        *traces.entry(u128::from_be_bytes(stored.span.trace_id.0) as u64 - 1).or_default() += 1;
    }
    traces
}

async fn assert_whole(store: &dyn Store) -> BTreeSet<u64> {
    let traces = found(store).await;
    for (number, spans) in &traces {
        assert_eq!(*spans, SPANS_A_TRACE, "trace {number}");
        assert_eq!(store.trace(trace_id(*number), 10).await.unwrap().total, SPANS_A_TRACE);
    }
    traces.into_keys().collect()
}

#[tokio::test]
async fn what_is_worth_it_stays_whole_and_is_counted() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    let store = open_thinning(scratch.path(), a_day_later()).await;
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!(stats.upkeep_failures, 0);
    let kept = assert_whole(store.as_ref()).await;
    assert!(KEPT.iter().all(|number| kept.contains(number)), "{kept:?}");
    // A tenth of the rest, give or take.
    assert!((70..140).contains(&kept.len()), "{} traces are left", kept.len());
    assert_eq!(counted(store.as_ref()).await, TRACES * SPANS_A_TRACE as u64, "metrics stay");
    let gone = (TRACES as usize - kept.len()) * SPANS_A_TRACE;
    assert_eq!((stats.spans as usize, stats.thinning.spans_thinned as usize), (kept.len() * SPANS_A_TRACE, gone));
    let traces: Vec<(&str, u64)> = stats.thinning.kept.iter().map(|kept| (kept.reason, kept.traces)).collect();
    assert_eq!(traces[..3], [("error", 1), ("rule", 3), ("slow", 1)]);
    // Both days are thinned, and the trace that is of both counts in each.
    assert_eq!(traces.iter().map(|kept| kept.1).sum::<u64>(), kept.len() as u64 + 1, "{traces:?}");
    assert!(stats.thinning.sampled_through_ns.unwrap() > DAY);
    // Nothing more happens, and nothing is forgotten.
    store.compact().await.unwrap();
    assert_eq!(store.stats().thinning.spans_thinned, stats.thinning.spans_thinned);
    store.close().await.unwrap();
    let store = open_thinning(scratch.path(), a_day_later()).await;
    assert_eq!(assert_whole(store.as_ref()).await, kept);
    assert!(store.stats().thinning.sampled_through_ns.is_some());
}

#[tokio::test]
async fn days_that_are_not_over_for_long_stay() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    for thinning in [Thinning::default(), Thinning { after: Duration::from_secs(200 * 365 * 86_400), ..a_day_later() }]
    {
        let store = open_thinning(scratch.path(), thinning).await;
        store.compact().await.unwrap();
        assert_eq!(assert_whole(store.as_ref()).await.len() as u64, TRACES);
        let stats = store.stats().thinning;
        assert_eq!((stats.sampled_through_ns, stats.spans_thinned), (None, 0));
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn late_spans_follow_their_traces() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    let store = open_thinning(scratch.path(), a_day_later()).await;
    store.compact().await.unwrap();
    let kept = assert_whole(store.as_ref()).await;
    let late = |number: u64| Span { span_id: SpanId((number * 10 + 9).to_be_bytes()), ..span(number, 2) };
    let spans: Vec<Span> = (100..TRACES).map(late).collect();
    store.append(write(&spans)).await.unwrap();
    store.flush().await.unwrap();
    store.compact().await.unwrap();
    let after = found(store.as_ref()).await;
    let expected: BTreeMap<u64, usize> =
        kept.iter().map(|number| (*number, SPANS_A_TRACE + usize::from(*number >= 100))).collect();
    assert_eq!(after, expected);
}

#[tokio::test]
async fn a_crash_before_the_swap_leaves_the_day_to_be_thinned_alike() {
    let scratch = tempfile::tempdir().unwrap();
    let (live, before) = (scratch.path().join("live"), scratch.path().join("before"));
    fill(&live).await;
    copy_dir(&live, &before);
    let store = open_thinning(&live, a_day_later()).await;
    store.compact().await.unwrap();
    let kept = assert_whole(store.as_ref()).await;
    // The new files lie there, one half written, and the manifest knows none of them.
    for entry in std::fs::read_dir(live.join("segments")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, before.join("segments").join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(before.join("tmp/half.parquet"), b"PAR1").unwrap();
    let store = open(&before).await;
    assert_eq!(assert_whole(store.as_ref()).await.len() as u64, TRACES);
    store.close().await.unwrap();
    let store = open_thinning(&before, a_day_later()).await;
    store.compact().await.unwrap();
    assert_eq!(assert_whole(store.as_ref()).await, kept);
}

#[tokio::test]
async fn a_day_with_too_many_traces_to_decide_on_is_left_whole() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    let store = open_thinning(scratch.path(), Thinning { max_traces: 20, ..a_day_later() }).await;
    store.compact().await.unwrap();
    assert_eq!(assert_whole(store.as_ref()).await.len() as u64, TRACES);
    let stats = store.stats().thinning;
    assert!(stats.left_whole > 0);
    assert_eq!(stats.spans_thinned, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_beside_thinning_see_whole_traces() {
    let scratch = tempfile::tempdir().unwrap();
    fill(scratch.path()).await;
    let store = open_thinning(scratch.path(), a_day_later()).await;
    let (done, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let reader = tokio::spawn({
        let (store, done, looks) = (store.clone(), done.clone(), looks.clone());
        async move {
            let mut seen = BTreeSet::new();
            while !done.load(Ordering::Acquire) {
                let traces = found(store.as_ref()).await;
                assert!(traces.values().all(|spans| *spans == SPANS_A_TRACE));
                assert!(KEPT.iter().all(|number| traces.contains_key(number)));
                for number in [FAILED, 500, 501, 502, 503] {
                    let total = store.trace(trace_id(number), 10).await.unwrap().total;
                    assert!(total == SPANS_A_TRACE || total == 0 && number != FAILED, "{total} of trace {number}");
                }
                seen.insert(traces.len());
                looks.fetch_add(1, Ordering::AcqRel);
            }
            seen
        }
    });
    // Of two looks that end from now on, the second began from now on.
    let look_anew = async || {
        let before = looks.load(Ordering::Acquire);
        while looks.load(Ordering::Acquire) < before + 2 && !reader.is_finished() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    look_anew().await;
    store.compact().await.unwrap();
    look_anew().await;
    done.store(true, Ordering::Release);
    let seen = reader.await.unwrap();
    assert!(seen.iter().all(|traces| *traces <= TRACES as usize));
    assert!(seen.first().is_some_and(|least| *least < 140), "{seen:?}");
}
