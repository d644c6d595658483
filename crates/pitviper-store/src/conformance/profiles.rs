//! Samples of profiles: what each write of the fixture has of them, and the questions about it.

use std::sync::Arc;
use std::time::Duration;

use pitviper_model::{Frame, ProfileSample, SpanId, Stack};

use super::fixture::{SECOND, T0, span, trace};
use super::tables::{at, seconds, service};
use crate::filter::{Pattern, TextMatch};
use crate::questions::{FunctionNames, ProfileDimension, ProfileQuery, Sampled, SampledSpans};
use crate::schema::{ProfilesBuilder, SAMPLES_LABEL};
use crate::store::{Store, StoreError, TimeRange};

fn frame(function: &str) -> Frame {
    let (function, file, library) = (function.to_owned(), "app.py".to_owned(), String::new());
    Frame { function, file, line: 7, in_app: true, library }
}

fn stack(functions: &[&str]) -> Stack {
    Stack::new(functions.iter().map(|function| frame(function)))
}

/// Two stacks each write: the first of all writes alike, the second with a function of its own.
pub(super) fn rows(number: u8) -> ProfilesBuilder {
    let mut builder = ProfilesBuilder::default();
    let own = format!("own{number}");
    for (functions, value) in [(vec!["leaf", "main"], 10), (vec![own.as_str(), "main"], i64::from(number))] {
        let mut sample = ProfileSample {
            time_unix_nano: at(number).cast_unsigned(),
            sample_type: "cpu".to_owned(),
            unit: "nanoseconds".to_owned(),
            value,
            stack: Arc::new(stack(&functions)),
            trace_id: trace(number),
            span_id: if value == 10 { SpanId::INVALID } else { span(number) },
            thread: format!("thread {}", number % 2),
            labels: [
                ("endpoint", if number == 2 { "GET /b" } else { "GET /a" }),
                ("state", if value == 10 { "cpu" } else { "sleep" }),
            ]
            .into_iter()
            .collect(),
        };
        if value == 10 {
            // Two samples in one row.
            sample.labels.set(SAMPLES_LABEL, 2_i64);
        }
        let mut resource = service("shop");
        resource.attributes.set("service.version", format!("{}.0", number % 2));
        resource.attributes.set("host.name", format!("host{}", number % 2));
        resource.attributes.set("service.instance.id", format!("process {number}"));
        builder.append(&resource, &sample);
    }
    builder
}

/// Asks the questions.
pub(super) async fn verify(store: &dyn Store) -> Result<(), StoreError> {
    profile(store).await?;
    profile_splits(store).await?;
    stacks(store).await?;
    sampled(store).await
}

fn all_samples() -> ProfileQuery {
    ProfileQuery { limit: 10, ..ProfileQuery::all(TimeRange::ALL) }
}

async fn profile(store: &dyn Store) -> Result<(), StoreError> {
    let text = |text: &str| Some(text.to_owned());
    let found = store.profile(&all_samples()).await?;
    let rows: Vec<_> = found.rows.iter().map(|row| (row.stack, row.value, row.samples)).collect();
    let own = |number: u8| (stack(&[&format!("own{number}"), "main"]).id(), i64::from(number), 1);
    assert_eq!(rows, [(stack(&["leaf", "main"]).id(), 30, 6), own(3), own(2), own(1)]);
    assert_eq!((found.value, found.samples, found.left_out, found.may_repeat), (36, 9, 0, false));
    assert_eq!(found.rows.iter().map(|row| row.largest).collect::<Vec<_>>(), [5, 3, 2, 1]);
    let cases = [
        (ProfileQuery { trace_id: Some(trace(2)), ..all_samples() }, (12, 3)),
        (ProfileQuery { span_ids: vec![span(3)], ..all_samples() }, (3, 1)),
        (ProfileQuery { span_ids: vec![span(1), span(99), span(3)], ..all_samples() }, (4, 2)),
        (ProfileQuery { stacks: vec![stack(&["own2", "main"]).id(), stack(&[]).id()], ..all_samples() }, (2, 1)),
        (ProfileQuery { environment: text("prod"), version: text("0.0"), ..all_samples() }, (12, 3)),
        (ProfileQuery { environment: text("test"), ..all_samples() }, (0, 0)),
        (ProfileQuery { host: text("host1"), ..all_samples() }, (24, 6)),
        (ProfileQuery { instance: text("process 1"), ..all_samples() }, (11, 3)),
        (ProfileQuery { labels: labels(&[("state", "cpu")]), ..all_samples() }, (30, 6)),
        (ProfileQuery { without_labels: labels(&[("state", "cpu")]), ..all_samples() }, (6, 3)),
        (ProfileQuery { without_labels: labels(&[("state", "cpu"), ("state", "sleep")]), ..all_samples() }, (0, 0)),
        // The process of the next day is the only one that is there at the end.
        (ProfileQuery { snapshots: true, ..all_samples() }, (13, 3)),
        (ProfileQuery { snapshots: true, range: seconds(0, 60), ..all_samples() }, (23, 6)),
        (ProfileQuery { snapshots: true, endpoint: text("GET /b"), ..all_samples() }, (0, 0)),
        (ProfileQuery { labels: labels(&[("state", "cpu"), ("endpoint", "GET /b")]), ..all_samples() }, (10, 2)),
        (ProfileQuery { labels: labels(&[("colour", "cpu")]), ..all_samples() }, (0, 0)),
        (ProfileQuery { endpoint: text("GET /a"), ..all_samples() }, (24, 6)),
        (ProfileQuery { thread: text("thread 0"), ..all_samples() }, (12, 3)),
        (ProfileQuery { range: seconds(0, 60), ..all_samples() }, (23, 6)),
        (ProfileQuery { service: text("shop"), sample_type: text("cpu"), ..all_samples() }, (36, 9)),
        (ProfileQuery { sample_type: text("wall"), ..all_samples() }, (0, 0)),
    ];
    for (query, expect) in cases {
        let found = store.profile(&query).await?;
        assert_eq!((found.value, found.samples), expect, "{query:?}");
    }
    let group_by = vec![ProfileDimension::Endpoint, ProfileDimension::Service];
    let found = store.profile(&ProfileQuery { group_by, limit: 2, ..all_samples() }).await?;
    let rows: Vec<_> = found.rows.iter().map(|row| (row.labels.join(" "), row.value)).collect();
    assert_eq!(rows, [("GET /a shop".to_owned(), 20), ("GET /b shop".to_owned(), 10)]);
    assert_eq!((found.value, found.left_out), (36, 3));
    Ok(())
}

/// By what samples can be split besides their stacks.
async fn profile_splits(store: &dyn Store) -> Result<(), StoreError> {
    use ProfileDimension::{Environment, Host, Instance, SampleType, Span, State, Thread, Trace, Unit, Version};
    let whole = ProfileQuery { by_stack: false, ..all_samples() };
    let found = store.profile(&whole).await?;
    assert_eq!(found.rows.len(), 1);
    assert_eq!((found.rows[0].value, found.rows[0].samples, found.rows[0].stack.0), (36, 9, [0; 16]));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (first_trace, third_span) = (hex(&trace(1).0), hex(&span(3).0));
    let no_span = hex(&SpanId::INVALID.0);
    type Case<'a> = (Vec<ProfileDimension>, &'a [(&'a str, i64)]);
    let cases: [Case<'_>; 6] = [
        (vec![SampleType, Unit], &[("cpu nanoseconds", 36)]),
        (vec![State], &[("cpu", 30), ("sleep", 6)]),
        (vec![Version, Host, Environment], &[("1.0 host1 prod", 24), ("0.0 host0 prod", 12)]),
        (vec![Thread, Instance], &[("thread 1 process 3", 13), ("thread 0 process 2", 12), ("thread 1 process 1", 11)]),
        (vec![Trace], &[(&hex(&trace(3).0), 13), (&hex(&trace(2).0), 12), (&first_trace, 11)]),
        (vec![Span], &[(&no_span, 30), (&third_span, 3), (&hex(&span(2).0), 2), (&hex(&span(1).0), 1)]),
    ];
    for (group_by, expect) in cases {
        let found = store.profile(&ProfileQuery { group_by: group_by.clone(), ..whole.clone() }).await?;
        let rows: Vec<_> = found.rows.iter().map(|row| (row.labels.join(" "), row.value)).collect();
        let expect: Vec<_> = expect.iter().map(|(labels, value)| ((*labels).to_owned(), *value)).collect();
        assert_eq!(rows, expect, "{group_by:?}");
    }
    // The first two writes are ten seconds apart, the third is on the next day.
    let steps = ProfileQuery { range: seconds(5, 60), step_ns: Some(10 * SECOND), ..whole };
    let mut rows: Vec<_> =
        store.profile(&steps).await?.rows.iter().map(|row| (row.step_start_ns - T0, row.value)).collect();
    rows.sort_unstable();
    assert_eq!(rows, [(5 * SECOND, 11), (15 * SECOND, 12)]);
    Ok(())
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn stacks(store: &dyn Store) -> Result<(), StoreError> {
    let (leaf, own) = (stack(&["leaf", "main"]), stack(&["own3", "main"]));
    let ids = |stack: &Stack| stack.frames().iter().map(|(id, _)| *id).collect::<Vec<_>>();
    let unknown = stack(&["nobody"]).id();
    let asked = [own.id(), unknown, leaf.id()];
    let expected = vec![(own.id(), ids(&own)), (leaf.id(), ids(&leaf))];
    assert_eq!(store.stacks(TimeRange::ALL, &asked).await?, expected);
    // Each day has the stacks of its samples.
    let found = store.stacks(seconds(86_400, 86_401), &asked).await?;
    assert_eq!(found, expected);
    assert_eq!(store.stacks(seconds(0, 1), &[leaf.id()]).await?, expected[1..]);
    let frames = [frame("leaf"), frame("main")];
    let found = store.frames(TimeRange::ALL, &[frames[1].id(), frame("nobody").id(), frames[0].id()]).await?;
    assert_eq!(found, [(frames[1].id(), frames[1].clone()), (frames[0].id(), frames[0].clone())]);
    Ok(())
}

/// Which spans ran a function: each write has a sample of its own stack in a span, and two of a shared one.
async fn sampled(store: &dyn Store) -> Result<(), StoreError> {
    let all = SampledSpans {
        range: TimeRange::ALL,
        function: None,
        span_ids: Vec::new(),
        limit: 10,
        time: Duration::from_secs(60),
    };
    let own = |number: u8| (trace(number), span(number));
    let of = |found: Sampled| (found.spans, found.complete);
    assert_eq!(of(store.sampled_spans(&all).await?), (vec![own(1), own(2), own(3)], true));
    let named = |text: &str| Some(TextMatch::Equals(text.to_owned()));
    let pattern = |text: &str| Some(TextMatch::Regex(Pattern::new(text).expect("a pattern")));
    let cases = [
        (SampledSpans { function: named("own2"), ..all.clone() }, vec![own(2)]),
        (SampledSpans { function: named("main"), ..all.clone() }, vec![own(1), own(2), own(3)]),
        // Only outside of any span.
        (SampledSpans { function: named("leaf"), ..all.clone() }, vec![]),
        (SampledSpans { function: named("nobody"), ..all.clone() }, vec![]),
        (SampledSpans { function: named("ain"), ..all.clone() }, vec![]),
        (
            SampledSpans { function: Some(TextMatch::Wildcard("own*".to_owned())), ..all.clone() },
            vec![own(1), own(2), own(3)],
        ),
        (SampledSpans { function: pattern("^own[13]$"), ..all.clone() }, vec![own(1), own(3)]),
        (SampledSpans { span_ids: vec![span(3), span(99)], ..all.clone() }, vec![own(3)]),
        (SampledSpans { function: named("own1"), span_ids: vec![span(3)], ..all.clone() }, vec![]),
        (SampledSpans { range: seconds(0, 60), ..all.clone() }, vec![own(1), own(2)]),
    ];
    for (question, expected) in cases {
        assert_eq!(of(store.sampled_spans(&question).await?), (expected, true), "{question:?}");
    }
    let found = store.sampled_spans(&SampledSpans { limit: 2, ..all.clone() }).await?;
    assert_eq!((found.spans.len(), found.complete), (2, false));
    let found = store.sampled_spans(&SampledSpans { time: Duration::ZERO, ..all }).await?;
    assert!(!found.complete);
    let names =
        FunctionNames { range: TimeRange::ALL, contains: "OWN".to_owned(), limit: 10, time: Duration::from_secs(60) };
    let found = store.function_names(&names).await?;
    assert_eq!(found.iter().map(|found| found.name.as_str()).collect::<Vec<_>>(), ["own1", "own2", "own3"]);
    let found = store.function_names(&FunctionNames { limit: 2, contains: String::new(), ..names }).await?;
    assert_eq!(found.len(), 2);
    Ok(())
}
