//! Clocks that are wrong: those of senders, years ahead or back, and the machine's own, which leaps.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pitviper_model::{ExpHistogram, Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_store::embedded::{Clock, EmbeddedConfig, EmbeddedStore, Retention, RollUp};
use pitviper_store::schema::{METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{MetricsQuery, Red, SpanScope, Store, TimeRange};

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
/// A day of this store's life; a multiple of an hour.
const TODAY: i64 = 490_000 * HOUR;
const KEPT_DAYS: i64 = 30;

/// A clock that is set by hand. The time that really goes by is another thing than what it says.
#[derive(Debug, Default)]
struct HandSet {
    wall_ns: AtomicI64,
    steady_ns: AtomicI64,
}

impl HandSet {
    fn at(wall_ns: i64) -> Arc<Self> {
        Arc::new(Self { wall_ns: wall_ns.into(), ..Self::default() })
    }

    /// Time goes by.
    fn wait(&self, ns: i64) {
        self.wall_ns.fetch_add(ns, Ordering::Relaxed);
        self.steady_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// Somebody sets the clock.
    fn leap(&self, ns: i64) {
        self.wall_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

impl Clock for HandSet {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Ordering::Relaxed)
    }

    fn steady(&self) -> Duration {
        Duration::from_nanos(self.steady_ns.load(Ordering::Relaxed).cast_unsigned())
    }
}

async fn open(dir: &Path, clock: &Arc<HandSet>) -> Arc<EmbeddedStore> {
    let month = Duration::from_secs(KEPT_DAYS as u64 * 86_400);
    let config = EmbeddedConfig {
        retention: Retention { spans: month, span_metrics: month, ..Retention::default() },
        clock: Arc::<HandSet>::clone(clock),
        ..EmbeddedConfig::new(dir)
    };
    EmbeddedStore::open(config).await.unwrap()
}

/// Writes and flushes a span for each start, with metrics that count it; upkeep then does all it can.
async fn write(store: &EmbeddedStore, starts: &[i64]) {
    let mut spans = SpansBuilder::with_capacity(starts.len());
    let mut metrics = SpanMetricsBuilder::new();
    for (number, &start) in (1u64..).zip(starts) {
        let span = Span {
            trace_id: TraceId([7; 16]),
            span_id: SpanId((start.cast_unsigned() ^ number << 60).to_be_bytes()),
            start_time_unix_nano: start.cast_unsigned(),
            end_time_unix_nano: start.cast_unsigned() + 5,
            ..Span::default()
        };
        spans.append(&Resource::default(), &Scope::default(), &span);
        let key = SpanMetricKey {
            bucket_start_ns: start.div_euclid(METRIC_BUCKET_NS) * METRIC_BUCKET_NS,
            service: "s".to_owned(),
            environment: String::new(),
            version: String::new(),
            name: String::new(),
            kind: SpanKind::Internal,
            is_root: true,
            peer: String::new(),
        };
        let mut durations = ExpHistogram::default();
        durations.record(5);
        let red = Red { hits: 1, errors: 0, duration_sum_ns: 5, duration_min_ns: 5, duration_max_ns: 5, durations };
        metrics.append(&key, &red);
    }
    store.append(WriteBatch::new(spans, metrics)).await.unwrap();
    store.flush().await.unwrap();
    store.compact().await.unwrap();
}

async fn hits(store: &EmbeddedStore, range: TimeRange, step_ns: Option<i64>) -> Vec<(i64, u64)> {
    let query = MetricsQuery {
        range,
        step_ns,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: Vec::new(),
    };
    store.metrics(&query).await.unwrap().iter().map(|row| (row.step_start_ns, row.red.hits)).collect()
}

#[tokio::test]
async fn a_sender_years_ahead_keeps_nothing_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandSet::at(TODAY);
    let store = open(dir.path(), &clock).await;
    write(&store, &[TODAY - 5, TODAY + 20 * YEAR, TODAY - 20 * YEAR]).await;
    clock.wait((KEPT_DAYS - 1) * DAY);
    store.compact().await.unwrap();
    assert_eq!(store.trace(TraceId([7; 16]), 10).await.unwrap().total, 3, "none of it is a month old");
    drop(store);
    // Also when the store was opened anew meanwhile.
    let store = open(dir.path(), &clock).await;
    clock.wait(2 * DAY);
    store.compact().await.unwrap();
    let stats = store.stats();
    assert_eq!((stats.spans, stats.spans_expired_by_age, stats.segments), (0, 3, 0));
}

#[tokio::test]
async fn a_clock_that_leaps_ahead_deletes_nothing_of_the_present() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandSet::at(TODAY);
    let store = open(dir.path(), &clock).await;
    write(&store, &[TODAY - 5]).await;
    clock.leap(10 * YEAR);
    store.compact().await.unwrap();
    write(&store, &[TODAY + 1]).await;
    clock.wait(HOUR / 2);
    store.compact().await.unwrap();
    assert_eq!(store.stats().spans, 2, "the clock is not believed yet");
    clock.leap(-10 * YEAR);
    clock.wait(2 * HOUR);
    store.compact().await.unwrap();
    assert_eq!(store.stats().spans, 2, "and was right not to be");
    clock.leap(10 * YEAR);
    store.compact().await.unwrap();
    clock.wait(2 * HOUR);
    store.compact().await.unwrap();
    assert_eq!(store.stats().spans, 0, "now it has run evenly for long");
}

#[tokio::test]
async fn a_clock_that_was_years_behind_deletes_nothing_when_it_is_set() {
    let dir = tempfile::tempdir().unwrap();
    // As a machine without a battery begins; spans come from others, which know the time.
    let clock = HandSet::at(1_000 * SECOND);
    let store = open(dir.path(), &clock).await;
    write(&store, &[TODAY - 5, TODAY - 4]).await;
    clock.wait(3 * HOUR);
    clock.leap(TODAY);
    for _ in 0..3 {
        store.compact().await.unwrap();
        clock.wait(2 * HOUR);
    }
    assert_eq!(store.stats().spans, 2);
    clock.wait(KEPT_DAYS * DAY);
    store.compact().await.unwrap();
    assert_eq!(store.stats().spans, 0);
}

#[tokio::test]
async fn spans_of_any_time_are_merged_as_those_of_today() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandSet::at(TODAY);
    let store = open(dir.path(), &clock).await;
    for number in 0..24 {
        // Each file has another year as its latest.
        write(&store, &[TODAY + number, TODAY + number * YEAR, TODAY - number * YEAR]).await;
        clock.wait(SECOND);
    }
    let stats = store.stats();
    assert_eq!(stats.spans, 72);
    assert!(stats.segments <= 4, "{} segments", stats.segments);
    assert_eq!(store.trace(TraceId([7; 16]), 100).await.unwrap().total, 72);
}

#[tokio::test]
async fn buckets_of_late_spans_are_as_wide_as_the_store_says() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HandSet::at(TODAY);
    let roll_up = RollUp { minutes_after: Duration::from_secs(6 * 3_600), hours_after: Duration::from_secs(86_400) };
    let own = Arc::<HandSet>::clone(&clock);
    let config = EmbeddedConfig { roll_up, clock: own, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    // Of now, days late, and from a sender that is a year ahead, side by side in one file.
    let days = [TODAY, TODAY - 2 * DAY, TODAY + YEAR];
    let seconds = [0, 10, 20, 70, 3_599];
    for second in seconds {
        write(&store, &days.map(|day| day + second * SECOND)).await;
    }
    let mut widths = Vec::new();
    for age in [0, 7 * HOUR, 2 * DAY] {
        clock.wait(age);
        store.compact().await.unwrap();
        for day in days {
            let range = TimeRange { start_ns: day, end_ns: day + HOUR };
            let width = store.metric_bucket_ns(range);
            let mut expected: Vec<(i64, u64)> = Vec::new();
            for second in seconds {
                let step = day + (second * SECOND).div_euclid(width) * width;
                match expected.last_mut().filter(|(last, _)| *last == step) {
                    Some((_, hits)) => *hits += 1,
                    None => expected.push((step, 1)),
                }
            }
            assert_eq!(hits(&store, range, Some(width)).await, expected, "buckets of {width} ns");
            widths.push(width / SECOND);
        }
    }
    assert_eq!(widths, [10, 10, 10, 60, 60, 60, 3_600, 3_600, 3_600]);
    assert_eq!(hits(&store, TimeRange::ALL, None).await[0].1, 15);
}
