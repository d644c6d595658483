//! What becomes of samples.

use pitviper_pprof::SampleType;

use super::*;

fn types(types: &[(&str, &str)]) -> Vec<SampleType> {
    types.iter().map(|(name, unit)| SampleType { name: (*name).to_owned(), unit: (*unit).to_owned() }).collect()
}

fn text(name: &str, value: &str) -> Label {
    Label { name: name.to_owned().into(), value: LabelValue::Text(value.to_owned()) }
}

fn number(name: &str, value: i64) -> Label {
    Label { name: name.to_owned().into(), value: LabelValue::Number(value) }
}

#[test]
fn names_of_others_become_ours() {
    let kept: Vec<Option<(String, String, i64)>> = measured(&types(&[
        ("cpu-time", "nanoseconds"),
        ("cpu-samples", "count"),
        ("wall-time", "milliseconds"),
        ("heap-space", "bytes"),
        ("gpu-flops", "count"),
        ("samples", "count"),
    ]))
    .into_iter()
    .map(|kept| kept.map(|kept| (kept.name, kept.unit, kept.factor)))
    .collect();
    let of = |name: &str, unit: &str, factor| Some((name.to_owned(), unit.to_owned(), factor));
    let expected = [
        of("cpu", "nanoseconds", 1),
        None,
        of("wall", "nanoseconds", 1_000_000),
        of("inuse_space", "bytes", 1),
        of("gpu_flops", "count", 1),
        None,
    ];
    assert_eq!(kept, expected);
    assert!(measured(&types(&[("samples", "count")]))[0].is_some(), "when there is nothing else");
}

#[test]
fn a_row_says_how_many_samples_it_stands_for() {
    let samples = |told: &[(&str, &str)], place: usize, values: &[i64], added_up: u64| {
        let kind = measured(&types(told))[place].clone().unwrap();
        kind.samples(values, values[place] * kind.factor, added_up)
    };
    let go = [("samples", "count"), ("cpu", "nanoseconds")];
    assert_eq!(samples(&go, 1, &[7, 70_000_000], 1), 7);
    let ddtrace = [("cpu-samples", "count"), ("cpu-time", "ns"), ("wall-samples", "count"), ("wall-time", "ns")];
    assert_eq!((samples(&ddtrace, 1, &[2, 9, 5, 9], 1), samples(&ddtrace, 3, &[2, 9, 5, 9], 1)), (2, 5));
    // Nobody says it.
    let plain = [("wall", "milliseconds"), ("alloc_space", "bytes")];
    assert_eq!((samples(&plain, 0, &[1_004, 0], 1), samples(&plain, 0, &[1, 0], 1)), (100, 1));
    assert_eq!((samples(&plain, 0, &[30, 0], 9), samples(&plain, 1, &[0, 1 << 20], 3)), (9, 3));
    let mut labels = Attributes::default();
    set_samples(&mut labels, 1);
    assert!(labels.is_empty(), "one is not said");
    labels.set(SAMPLES_LABEL, "of theirs");
    set_samples(&mut labels, 1);
    assert_eq!(labels.get(SAMPLES_LABEL).map(pitviper_model::Value::to_text), Some("1".to_owned()));
}

#[test]
fn labels_say_when_where_and_for_what() {
    let said = Said::of(&[
        number("end_timestamp_ns", 77),
        text("thread name", "MainThread"),
        number("span id", -2),
        number("local root span id", 0x1f),
        text("trace endpoint", "GET /cart"),
        number("thread id", 9),
        text("state", "sleep"),
    ]);
    assert_eq!((said.time_unix_nano, said.thread.as_str()), (Some(77), "MainThread"));
    assert_eq!((said.span_id.to_string(), said.trace_id.is_valid()), ("fffffffffffffffe".to_owned(), false));
    let labels: Vec<(String, String)> =
        said.labels.iter().map(|(name, value)| (name.to_owned(), value.to_text())).collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let expected = [
        pair("local root span id", "000000000000001f"),
        pair("endpoint", "GET /cart"),
        pair("thread id", "9"),
        pair("state", "sleep"),
    ];
    assert_eq!(labels, expected);
    let ours = Said::of(&[
        text("trace id", "000102030405060708090a0b0c0d0e0f"),
        text("span id", "00000000000000ff"),
        text("local root span id", "0000000000000000"),
        text("thread", "worker"),
        number("end_timestamp_ns", 0),
    ]);
    assert_eq!((ours.trace_id.0[15], ours.span_id.0[7], ours.thread.as_str()), (15, 255, "worker"));
    assert!(ours.labels.is_empty() && ours.time_unix_nano.is_none());
    let damaged = Said::of(&[text("trace id", "no"), text("span id", ""), number("thread", 3)]);
    assert!(!damaged.trace_id.is_valid() && !damaged.span_id.is_valid() && damaged.thread.is_empty());
}

#[test]
fn what_is_there_twice_is_added_up_and_nothing_is_no_row() {
    let sample =
        |stack, values: &[i64], labels: &[Label]| Sample { stack, values: values.to_vec(), labels: labels.to_vec() };
    let worker = [text("thread", "worker")];
    let profile = Profile {
        time_unix_nano: 1_000,
        duration_ns: 500,
        types: types(&[("cpu", "nanoseconds"), ("wall", "nanoseconds")]),
        frames: vec![Frame { function: "main".to_owned(), ..Frame::default() }],
        stacks: vec![vec![0], vec![]],
        samples: vec![
            sample(0, &[1, 5], &worker),
            sample(1, &[0, 7], &worker),
            sample(0, &[2, 5], &worker),
            sample(0, &[0, 0], &[]),
            sample(0, &[i64::MAX, 0], &worker),
            sample(0, &[4, 0], &[number("end_timestamp_ns", i64::MAX)]),
        ],
    };
    let resource = Resource::default();
    let made = rows(&resource, &profile, 9);
    // Of the first stack cpu and wall, of the second wall; what lies behind the end of time is refused.
    assert_eq!((made.rows.len(), made.rejected), (3, vec![RejectReason::InvalidTime]));
    let first: Vec<&Sample> = profile.samples.iter().filter(|sample| sample.stack == 0).collect();
    let sums = added_up(&first);
    assert_eq!(sums.len(), 3);
    assert_eq!(sums[0], AddedUp { labels: &worker, values: vec![i64::MAX, 10], samples: 3 });
    assert!(cost_bytes(&profile) > 6 * ROW_BYTES);
}
