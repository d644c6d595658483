//! Whatever is asked of metrics, and however they lie, the answer is the plain sum of their rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the rest is for tests of spans")]
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pitviper_model::SpanKind;
use pitviper_store::conformance::{is_in_scope, labels};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore, RollUp};
use pitviper_store::schema::{METRIC_BUCKET_NS, SpanMetricKey, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, Store, TimeRange};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use support::{copy_dir, open};

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3_600 * SECOND_NS;
/// In the middle of an hour, so that the day of the rows begins and ends within hours.
const T0: i64 = 1_700_001_730 * SECOND_NS;
const LENGTH_NS: i64 = 30 * HOUR_NS;

type Row = (SpanMetricKey, Red);

fn one(duration: u64, is_error: bool) -> Red {
    let mut red = Red {
        hits: 1,
        errors: u64::from(is_error),
        duration_sum_ns: duration,
        duration_min_ns: duration,
        duration_max_ns: duration,
        ..Red::default()
    };
    red.durations.record(duration);
    red
}

fn row() -> impl Strategy<Value = Row> {
    let durations = prop::collection::vec((prop_oneof![Just(0), 1u64..5_000_000_000], any::<bool>()), 1..7);
    let key = (0u8..3, 0u8..3, 0u8..2, 0u8..2, any::<bool>(), 0u8..3);
    (0..LENGTH_NS / METRIC_BUCKET_NS, key, durations).prop_map(
        |(bucket, (service, name, environment, version, is_root, peer), durations)| {
            let key = SpanMetricKey {
                bucket_start_ns: T0 + bucket * METRIC_BUCKET_NS,
                service: format!("service {service}"),
                environment: ["", "prod"][usize::from(environment)].to_owned(),
                version: format!("{version}"),
                name: format!("name {name}"),
                kind: if is_root { SpanKind::Server } else { SpanKind::Client },
                is_root: is_root && name > 0,
                peer: ["", "db", "cache"][usize::from(peer)].to_owned(),
            };
            let mut red = Red::default();
            durations.into_iter().for_each(|(duration, is_error)| red.merge(&one(duration, is_error)));
            (key, red)
        },
    )
}

fn query() -> impl Strategy<Value = MetricsQuery> {
    let odd = -2 * HOUR_NS / SECOND_NS..(LENGTH_NS + 2 * HOUR_NS) / SECOND_NS;
    let time = prop_oneof![
        odd.prop_map(|second| T0 + second * SECOND_NS),
        (0i64..32).prop_map(|hour| T0.div_euclid(HOUR_NS) * HOUR_NS + hour * HOUR_NS),
    ];
    let range = prop_oneof![
        1 => Just(TimeRange::ALL),
        6 => (time.clone(), time).prop_map(|(one, other)| TimeRange { start_ns: one.min(other), end_ns: one.max(other) }),
    ];
    let step = prop_oneof![
        Just(None),
        (1i64..1_000).prop_map(|buckets| Some(buckets * METRIC_BUCKET_NS)),
        prop_oneof![Just(1), Just(10), Just(30), Just(60), Just(180)]
            .prop_map(|minutes| Some(minutes * 60 * SECOND_NS)),
    ];
    let dimensions = vec![
        Dimension::Service,
        Dimension::Environment,
        Dimension::Version,
        Dimension::Name,
        Dimension::Kind,
        Dimension::Scope,
    ];
    let filters = (
        prop::option::of((0u8..4).prop_map(|service| format!("service {service}"))),
        prop::option::weighted(0.2, Just("prod".to_owned())),
        prop::option::weighted(0.3, (0u8..3).prop_map(|name| format!("name {name}"))),
        prop::option::weighted(0.2, Just(SpanKind::Server)),
        prop_oneof![Just(SpanScope::All), Just(SpanScope::Entry), Just(SpanScope::Root)],
    );
    (range, step, filters, prop::sample::subsequence(dimensions, 0..=3)).prop_map(
        |(range, step_ns, (service, environment, name, kind, scope), group_by)| {
            // All of time has no steps that anybody could count.
            let step_ns = step_ns.filter(|_| range != TimeRange::ALL);
            MetricsQuery { range, step_ns, service, environment, name, kind, scope, group_by }
        },
    )
}

/// What the rows say, one after the other; each bucket as wide as it is kept by now.
fn plain_sum(rows: &[Row], query: &MetricsQuery, width_ns: i64) -> Vec<MetricRow> {
    let floor = |time: i64, width: i64| time.div_euclid(width).saturating_mul(width);
    let (start, end) = (floor(query.range.start_ns, METRIC_BUCKET_NS), floor(query.range.end_ns, METRIC_BUCKET_NS));
    let mut sums: BTreeMap<(Vec<String>, i64), Red> = BTreeMap::new();
    for (key, red) in rows {
        let bucket = floor(key.bucket_start_ns, width_ns);
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let counts = (start..end).contains(&bucket)
            && is(&query.service, &key.service)
            && is(&query.environment, &key.environment)
            && is(&query.name, &key.name)
            && query.kind.is_none_or(|kind| kind == key.kind)
            && is_in_scope(key, query.scope);
        if !counts {
            continue;
        }
        let step = query.step_ns.map_or(start, |step| start + (bucket - start) / step * step);
        sums.entry((labels(key, &query.group_by), step)).or_default().merge(red);
    }
    sums.into_iter().map(|((labels, step_start_ns), red)| MetricRow { labels, step_start_ns, red }).collect()
}

async fn write_in_parts(store: &EmbeddedStore, rows: &[Row], flushed_parts: usize) {
    for (number, part) in rows.chunks(rows.len().div_ceil(6).max(1)).enumerate() {
        let mut builder = SpanMetricsBuilder::new();
        part.iter().for_each(|(key, red)| builder.append(key, red));
        store.append(WriteBatch::new(SpansBuilder::with_capacity(0), builder)).await.unwrap();
        if number < flushed_parts {
            store.flush().await.unwrap();
        }
    }
}

/// The rows in every layout, each with the width of its buckets.
async fn layouts(dir: &Path, rows: &[Row]) -> Vec<(&'static str, Arc<EmbeddedStore>, i64)> {
    let mut stores = Vec::new();
    for (name, flushed_parts) in [("hot", 0), ("mixed", 3), ("flushed", 6)] {
        let store = open(&dir.join(name)).await;
        write_in_parts(&store, rows, flushed_parts).await;
        stores.push((name, store, METRIC_BUCKET_NS));
    }
    let store = open(&dir.join("merged in part")).await;
    write_in_parts(&store, &rows[..rows.len() / 2], 6).await;
    store.compact().await.unwrap();
    write_in_parts(&store, &rows[rows.len() / 2..], 2).await;
    stores.push(("merged in part", store, METRIC_BUCKET_NS));
    for (name, width_ns) in [("merged", METRIC_BUCKET_NS), ("minutes", 60 * SECOND_NS), ("hours", HOUR_NS)] {
        let after = |width: i64| if width_ns >= width { Duration::ZERO } else { Duration::MAX };
        let roll_up = RollUp { minutes_after: after(60 * SECOND_NS), hours_after: after(HOUR_NS) };
        let config = EmbeddedConfig { roll_up, ..EmbeddedConfig::new(dir.join(name)) };
        let store = EmbeddedStore::open(config).await.unwrap();
        write_in_parts(&store, rows, 6).await;
        store.compact().await.unwrap();
        assert_eq!(store.metric_bucket_ns(TimeRange::ALL), width_ns);
        stores.push((name, store, width_ns));
    }
    stores
}

#[test]
fn every_layout_answers_the_plain_sum() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let rows = prop::collection::vec(row(), 1..250);
    let questions = prop::collection::vec(query(), 60);
    TestRunner::new(config)
        .run(&(rows, questions), |(rows, questions)| {
            let scratch = tempfile::tempdir().unwrap();
            runtime.block_on(async {
                for (layout, store, width_ns) in layouts(scratch.path(), &rows).await {
                    for query in &questions {
                        let found = store.metrics(query).await.unwrap();
                        prop_assert_eq!(found, plain_sum(&rows, query, width_ns), "{}: {:?}", layout, query);
                    }
                }
                Ok(())
            })
        })
        .unwrap();
}

fn sums_in(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.join("segments")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "sums")).collect()
}

#[tokio::test]
async fn missing_and_damaged_sums_change_no_answer() {
    let scratch = tempfile::tempdir().unwrap();
    let live = scratch.path().join("live");
    let rows: Vec<Row> = (0..2_000)
        .map(|number| {
            let key = SpanMetricKey {
                // Each write is of the whole time, so that they are merged.
                bucket_start_ns: T0 + number * 1_009 % 2_000 * 4 * METRIC_BUCKET_NS,
                service: format!("service {}", number % 3),
                environment: String::new(),
                version: String::new(),
                name: format!("name {}", number % 7),
                kind: SpanKind::Server,
                is_root: true,
                peer: String::new(),
            };
            (key, one(number.cast_unsigned() * 1_000, number % 11 == 0))
        })
        .collect();
    let store = open(&live).await;
    write_in_parts(&store, &rows, 6).await;
    store.compact().await.unwrap();
    store.close().await.unwrap();
    assert!(!sums_in(&live).is_empty());
    let query = MetricsQuery {
        range: TimeRange { start_ns: T0 + HOUR_NS / 7, end_ns: T0 + 20 * HOUR_NS + 50 * SECOND_NS },
        step_ns: Some(HOUR_NS),
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: vec![Dimension::Service],
    };
    let expected = plain_sum(&rows, &query, METRIC_BUCKET_NS);
    for (name, damage) in [
        ("missing", (|path| std::fs::remove_file(path).unwrap()) as fn(&Path)),
        ("empty", |path| std::fs::write(path, b"").unwrap()),
        ("a chunk", |path| flip(path, 10)),
        ("the directory", |path| flip(path, std::fs::metadata(path).unwrap().len() as usize - 30)),
        ("the end", |path| flip(path, std::fs::metadata(path).unwrap().len() as usize - 1)),
    ] {
        let dir = scratch.path().join(name);
        copy_dir(&live, &dir);
        sums_in(&dir).iter().for_each(|path| damage(path));
        let store = open(&dir).await;
        assert_eq!(store.metrics(&query).await.unwrap(), expected, "{name}");
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x55;
    std::fs::write(path, bytes).unwrap();
}
