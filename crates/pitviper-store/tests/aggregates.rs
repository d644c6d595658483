//! Aggregates of many spans equal a plain loop over them, whatever is measured, split and filtered,
//! and however the rows are spread over tiers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use pitviper_model::{
    Attributes, Frame, ProfileSample, Resource, Scope, Span, SpanId, SpanKind, Stack, Status, StatusCode, TraceId,
};
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::{Bound, Filter, NumberField, NumberRange, TextField, TextMatch};
use pitviper_store::questions::aggregate::{Aggregate, Exemplars, GroupField, Keep, Measure};
use pitviper_store::schema::{ProfilesBuilder, SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{ProfileQuery, Store, TimeRange};

const SPANS: u64 = 3_000;
const START: i64 = 1_700_000_000_000_000_000;
const STEP: i64 = 1_000;

fn scatter(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn service(number: u64) -> String {
    format!("service {}", scatter(number + 11) % 5)
}

fn span(number: u64) -> Span {
    let start = START.cast_unsigned() + scatter(number) % 20_000;
    let mut span = Span {
        trace_id: TraceId(u128::from(scatter(number + 5_000) % 400 + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        name: format!("name {}", number % 7),
        kind: SpanKind::ALL[(scatter(number + 77) % 5) as usize],
        start_time_unix_nano: start,
        end_time_unix_nano: start + scatter(number + 3_000) % 1_000_000,
        status: Status {
            code: if scatter(number + 9).is_multiple_of(4) { StatusCode::Error } else { StatusCode::Ok },
            message: String::new(),
        },
        ..Span::default()
    };
    if !number.is_multiple_of(3) {
        span.attributes.set("size", (scatter(number + 40) % 2_000) as f64 / 8.0 - 100.0);
    }
    if !number.is_multiple_of(5) {
        span.attributes.set("role", format!("role {}", scatter(number + 60) % 6));
    }
    span
}

async fn filled(dir: &std::path::Path) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir)).await.unwrap();
    for write in 0..SPANS / 100 {
        let mut spans = SpansBuilder::with_capacity(100);
        for number in write * 100..(write + 1) * 100 {
            let attributes = [("service.name", service(number))].into_iter().collect();
            let resource = Resource { attributes, ..Resource::default() };
            spans.append(&resource, &Scope::default(), &span(number));
        }
        store.append(WriteBatch::new(spans, SpanMetricsBuilder::new())).await.unwrap();
        if write % 7 == 6 {
            store.flush().await.unwrap();
        }
    }
    let stats = store.stats();
    assert!(stats.segments > 2 && stats.hot_spans > 0);
    store
}

/// The numbers of each group and step, and how many failed.
type Plain = BTreeMap<(Vec<Option<String>>, usize), (Vec<f64>, u64)>;

fn labels(fields: &[GroupField], number: u64, span: &Span) -> Vec<Option<String>> {
    let label = |field: &GroupField| match field {
        GroupField::Service => Some(service(number)),
        GroupField::Name => Some(span.name.clone()),
        GroupField::Kind => Some(span.kind.as_str().to_owned()),
        GroupField::Status => Some(span.status.code.as_str().to_owned()),
        GroupField::Attribute(key) => span.attributes.get(key).map(pitviper_model::Value::to_text),
        GroupField::Environment | GroupField::Version | GroupField::Host => None,
    };
    fields.iter().map(label).collect()
}

/// How many spans of a trace there are, whether one failed, and the earliest start.
type Counted = (f64, bool, i64);

/// Which spans a filter should pass, by number.
type Passes = fn(u64, &Span) -> bool;

fn plain(question: &Aggregate, keep: impl Fn(u64, &Span) -> bool) -> Plain {
    let step = |start: i64| question.step_ns.map_or(0, |step| ((start - question.range.start_ns) / step) as usize);
    let mut found = Plain::new();
    let mut traces: BTreeMap<(Vec<Option<String>>, TraceId), Counted> = BTreeMap::new();
    for number in 0..SPANS {
        let span = span(number);
        let start = span.start_time_unix_nano.cast_signed();
        if !(question.range.start_ns..question.range.end_ns).contains(&start) || !keep(number, &span) {
            continue;
        }
        let labels = labels(&question.group_by, number, &span);
        let failed = span.status.code == StatusCode::Error;
        let value = match &question.measure {
            Measure::Duration => Some(span.duration_nano() as f64),
            Measure::Attribute(key) => span.attributes.get(key).and_then(pitviper_model::Value::as_f64),
            Measure::SpansPerTrace => {
                let of_trace = traces.entry((labels, span.trace_id)).or_insert((0.0, false, i64::MAX));
                *of_trace = (of_trace.0 + 1.0, of_trace.1 | failed, of_trace.2.min(start));
                continue;
            }
        };
        if let Some(value) = value {
            let cell = found.entry((labels, step(start))).or_default();
            cell.0.push(value);
            cell.1 += u64::from(failed);
        }
    }
    for ((labels, _), (count, failed, first)) in traces {
        let cell = found.entry((labels, step(first))).or_default();
        cell.0.push(count);
        cell.1 += u64::from(failed);
    }
    found
}

async fn check(store: &dyn Store, question: &Aggregate, keep: impl Fn(u64, &Span) -> bool) {
    let expect = plain(question, keep);
    let answer = store.aggregate(question).await.unwrap();
    assert!(answer.complete && answer.rest.is_empty());
    let mut found = 0;
    for group in &answer.groups {
        for (step, tally) in &group.steps {
            found += 1;
            let (values, errors) = &expect[&(group.labels.clone(), *step)];
            let mut values = values.clone();
            values.sort_by(f64::total_cmp);
            let context = format!("{question:?} {:?} {step}", group.labels);
            assert_eq!((tally.count, tally.errors), (values.len() as u64, *errors), "{context}");
            assert_eq!((tally.min, tally.max), (values[0], values[values.len() - 1]), "{context}");
            // Eighths and whole numbers of this size add up without rounding, in any order.
            assert_eq!(tally.sum, values.iter().sum::<f64>(), "{context}");
            assert_eq!(tally.exemplar.unwrap().value, tally.max, "{context}");
            for q in [0.0, 0.5, 0.9, 0.999] {
                let rank = ((q * values.len() as f64).ceil() as usize).max(1);
                let near = tally.distribution.quantile(q).unwrap();
                let exact = values[rank - 1];
                match question.keep {
                    Keep::Values => assert_eq!(near, exact, "{context} {q}"),
                    _ => assert!((near - exact).abs() <= exact.abs() * 0.011, "{context} {q}: {near} {exact}"),
                }
            }
            if question.keep == Keep::Values {
                let tenth = values.len().div_ceil(10);
                let mean = values.iter().rev().take(tenth).sum::<f64>() / tenth as f64;
                let found = tally.distribution.mean_of_largest(0.1).unwrap();
                assert!((found - mean).abs() <= mean.abs() * 1e-12, "{context}: {found} {mean}");
            }
        }
    }
    assert_eq!(found, expect.len(), "{question:?}");
}

#[tokio::test]
async fn aggregates_equal_a_plain_loop() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path()).await;
    let all = TimeRange { start_ns: START, end_ns: START + 20_000 };
    let part = TimeRange { start_ns: START + 3_210, end_ns: START + 15_432 };
    let role = || GroupField::Attribute("role".to_owned());
    let splits =
        [vec![], vec![GroupField::Service], vec![GroupField::Kind, role()], vec![GroupField::Name, GroupField::Status]];
    let slow = NumberRange { low: Some(Bound { value: 500_000.0, inclusive: false }), high: None };
    let filters: [(Filter, Passes); 4] = [
        (Filter::All, |_, _| true),
        (Filter::Text(TextField::Service, TextMatch::Equals("service 3".into())), |number, _| {
            service(number) == "service 3"
        }),
        (Filter::Not(Box::new(Filter::Number(NumberField::DurationNs, slow))), |_, span| {
            span.duration_nano() <= 500_000
        }),
        (Filter::Text(TextField::Attribute("role".into()), TextMatch::Equals("role 2".into())), |_, span| {
            span.attributes.get_str("role") == Some("role 2")
        }),
    ];
    for measure in [Measure::Duration, Measure::Attribute("size".to_owned()), Measure::SpansPerTrace] {
        for (number, group_by) in splits.iter().enumerate() {
            for (filter, keep) in &filters {
                let question = Aggregate {
                    range: if number % 2 == 0 { all } else { part },
                    step_ns: (number < 3).then_some(STEP),
                    filter: filter.clone(),
                    measure: measure.clone(),
                    keep: if number == 1 { Keep::Buckets } else { Keep::Values },
                    group_by: group_by.clone(),
                    max_groups: 1_000,
                    exemplars: Exemplars::Greatest,
                };
                check(store.as_ref(), &question, keep).await;
            }
        }
    }
}

/// Samples that differ in one thing each, all of one moment.
fn samples() -> ProfilesBuilder {
    let frame = |function: &str| Frame { function: function.to_owned(), ..Frame::default() };
    let stack = |function: &str| Arc::new(Stack::new([frame(function), frame("main")]));
    let base = ProfileSample {
        time_unix_nano: START.cast_unsigned(),
        sample_type: "cpu".to_owned(),
        unit: "nanoseconds".to_owned(),
        value: 10,
        stack: stack("a"),
        trace_id: TraceId::INVALID,
        span_id: SpanId::INVALID,
        thread: "main".to_owned(),
        labels: [("endpoint", "GET /"), ("gc", "true")].into_iter().collect(),
    };
    let labels = |labels: [(&str, &str); 2]| labels.into_iter().collect();
    let service =
        |name: &str| Resource { attributes: [("service.name", name)].into_iter().collect(), ..Resource::default() };
    let mut builder = ProfilesBuilder::default();
    builder.append(&service("other"), &base);
    for sample in [
        base.clone(),
        ProfileSample { time_unix_nano: base.time_unix_nano + 1, ..base.clone() },
        ProfileSample { sample_type: "wall".to_owned(), ..base.clone() },
        ProfileSample { value: 11, ..base.clone() },
        ProfileSample { stack: stack("b"), ..base.clone() },
        ProfileSample { trace_id: TraceId([1; 16]), ..base.clone() },
        ProfileSample { span_id: SpanId([1; 8]), ..base.clone() },
        ProfileSample { thread: "worker".to_owned(), ..base.clone() },
        ProfileSample { labels: labels([("endpoint", "GET /"), ("gc", "false")]), ..base.clone() },
        ProfileSample { labels: labels([("endpoint", "GET /a"), ("gc", "true")]), ..base },
    ] {
        builder.append(&service("shop"), &sample);
    }
    builder
}

#[tokio::test]
async fn a_sample_that_is_sent_again_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let query = ProfileQuery { limit: 100, ..ProfileQuery::all(TimeRange::ALL) };
    // In memory, in a segment and in memory, in two segments, and in one.
    for step in 0..5 {
        match step {
            0 | 2 => drop(store.append(WriteBatch::default().with_profiles(samples())).await.unwrap()),
            1 | 3 => store.flush().await.unwrap(),
            _ => store.compact().await.unwrap(),
        }
        let found = store.profile(&query).await.unwrap();
        assert_eq!((found.samples, found.value, found.may_repeat), (11, 111, false), "step {step}");
    }
}

const MINUTE: i64 = 60_000_000_000;

/// What a process tells of its memory at a minute: the values of two stacks, each by a thread of its own.
fn live(process: &str, minute: i64, values: [i64; 2]) -> ProfilesBuilder {
    let mut builder = ProfilesBuilder::default();
    let attributes = [("service.name", "shop"), ("service.instance.id", process)].into_iter().collect();
    let resource = Resource { attributes, ..Resource::default() };
    for (name, value) in ["f", "g"].into_iter().zip(values).filter(|(_, value)| *value > 0) {
        let sample = ProfileSample {
            time_unix_nano: (minute * MINUTE).cast_unsigned(),
            sample_type: "inuse_space".to_owned(),
            unit: "bytes".to_owned(),
            value,
            stack: Arc::new(Stack::new([Frame { function: name.to_owned(), ..Frame::default() }])),
            trace_id: TraceId::INVALID,
            span_id: SpanId::INVALID,
            thread: format!("thread of {name}"),
            labels: Attributes::default(),
        };
        builder.append(&resource, &sample);
    }
    builder
}

#[tokio::test]
async fn of_what_was_there_at_a_moment_the_last_word_of_each_process_counts() {
    let dir = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let told =
        [("a", 11, [10, 1]), ("a", 12, [20, 0]), ("gone", 11, [5_000, 0]), ("b", 12, [300, 7]), ("b", 13, [100, 0])];
    for (number, (process, minute, values)) in told.into_iter().enumerate() {
        store.append(WriteBatch::default().with_profiles(live(process, minute, values))).await.unwrap();
        if number == 2 {
            store.flush().await.unwrap();
        }
    }
    let at = |from: i64, to: i64| {
        let range = TimeRange { start_ns: from * MINUTE, end_ns: to * MINUTE };
        ProfileQuery { snapshots: true, limit: 100, ..ProfileQuery::all(range) }
    };
    let value = async |query: ProfileQuery| store.profile(&query).await.unwrap().value;
    assert_eq!(value(at(10, 20)).await, 20 + 100 + 5_000);
    assert_eq!(value(at(12, 20)).await, 20 + 100);
    assert_eq!(value(at(12, 13)).await, 20 + 307);
    // The last snapshots have nothing of the other stack, nor of its thread.
    assert_eq!(value(ProfileQuery { thread: Some("thread of g".to_owned()), ..at(12, 20) }).await, 0);
    let steps = ProfileQuery { by_stack: false, step_ns: Some(MINUTE), ..at(11, 14) };
    let rows = store.profile(&steps).await.unwrap().rows;
    let mut steps: Vec<(i64, i64)> = rows.iter().map(|row| (row.step_start_ns / MINUTE, row.value)).collect();
    steps.sort_unstable();
    assert_eq!(steps, [(11, 11 + 5_000), (12, 20 + 307), (13, 100)]);
    // Who says nothing for more than five minutes is gone.
    store.append(WriteBatch::default().with_profiles(live("late", 17, [1, 0]))).await.unwrap();
    assert_eq!(value(at(10, 20)).await, 20 + 100 + 1);
}
