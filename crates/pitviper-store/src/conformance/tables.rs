//! Log records, metrics, exceptions and libraries: a fixture in three writes on two days,
//! and the questions about it.

use pitviper_model::{
    Attributes, ExceptionEvent, Fingerprint, HistogramPoint, Library, LogRecord, Metric, MetricKind, MetricPoint,
    Number, PointValue, Resource, Scope, SpanId, Temporality, TraceId, Value,
};

use super::fixture::{SECOND, T0, span, trace};
use super::profiles;
use crate::questions::{
    ExceptionGroupsQuery, ExceptionsQuery, LibrariesQuery, LogsQuery, MetricPointsQuery, MetricSeriesQuery, StepValue,
};
use crate::schema::{ExceptionsBuilder, LibrariesBuilder, LogsBuilder, MetricPointsBuilder, WriteBatch};
use crate::store::{Store, StoreError, TimeRange};

/// The day the last write is on begins this much after the fixture does.
const NEXT_DAY: i64 = 86_400 * SECOND;
/// The writes, in the order in which they come.
pub(super) const WRITES: [u8; 3] = [2, 1, 3];

/// Writes parts of the fixture, each followed by a flush where the layout says so.
pub(super) async fn fill(store: &dyn Store, writes: &[u8], flush_each: bool) -> Result<(), StoreError> {
    for number in writes {
        store.append(write(*number)).await?;
        if flush_each {
            store.flush().await?;
        }
    }
    Ok(())
}

pub(super) fn service(name: &str) -> Resource {
    let attributes = [("service.name", name), ("deployment.environment.name", "prod"), ("zone", "z1")];
    Resource { attributes: attributes.into_iter().collect(), ..Resource::default() }
}

fn write(number: u8) -> WriteBatch {
    let mut logs = LogsBuilder::default();
    // The last write repeats a record of the first.
    let of_write: &[u8] = match number {
        1 => &[1, 2],
        2 => &[3],
        _ => &[4, 5, 1],
    };
    of_write.iter().for_each(|log| logs.append(&log_service(*log), &Scope::default(), &log_record(*log)));
    let mut exceptions = ExceptionsBuilder::default();
    of_write.iter().for_each(|one| exceptions.append(&log_service(*one), &exception(*one)));
    let mut libraries = LibrariesBuilder::default();
    libraries.append(&library("flask", number));
    if number == 2 {
        libraries.append(&library("django", number));
    }
    WriteBatch::default()
        .with_logs(logs)
        .with_exceptions(exceptions)
        .with_libraries(libraries)
        .with_profiles(profiles::rows(number))
        .with_metric_points(points(number))
}

/// When a write's things happened, in nanoseconds since the epoch.
pub(super) fn at(number: u8) -> i64 {
    match number {
        3 => T0 + NEXT_DAY,
        number => T0 + i64::from(number) * 10 * SECOND,
    }
}

fn log_service(number: u8) -> Resource {
    service(if number == 3 { "pay" } else { "shop" })
}

/// A log record, 1 to 5.
fn log_record(number: u8) -> LogRecord {
    let seconds = [0, 1, 2, 3, 90_000, 90_000][usize::from(number)];
    let mut attributes: Attributes = [("user.id", format!("u{}", number % 2))].into_iter().collect();
    let body: Value = match number {
        1 => "cart is empty".into(),
        2 => "card \"declined\"".into(),
        3 => "card charged".into(),
        4 => {
            attributes.set("zone", "z2");
            Value::Array(vec!["card".into(), 7.into()])
        }
        _ => "bye".into(),
    };
    let time = (T0 + seconds * SECOND).cast_unsigned();
    LogRecord {
        time_unix_nano: if number == 2 { 0 } else { time },
        observed_time_unix_nano: time,
        severity_number: [0, 9, 17, 9, 13, 5][usize::from(number)],
        severity_text: "WORD".to_owned(),
        body: Some(body),
        event_name: String::new(),
        attributes,
        dropped_attributes_count: 1,
        trace_id: if number == 3 { TraceId::INVALID } else { trace(number) },
        span_id: span(number),
        flags: 1,
    }
}

fn exception(number: u8) -> ExceptionEvent {
    ExceptionEvent {
        time_unix_nano: log_record(number).observed_time_unix_nano,
        exception_type: "ValueError".to_owned(),
        message: format!("message {number}"),
        stacktrace: "Traceback".to_owned(),
        fingerprint: Fingerprint([number % 2; 16]),
        trace_id: trace(number),
        span_id: span(number),
        handled: Some(number == 2),
        attributes: Attributes::default(),
    }
}

fn library(package: &str, number: u8) -> Library {
    let time = at(number).cast_unsigned();
    Library {
        service: "shop".to_owned(),
        environment: "prod".to_owned(),
        runtime: "cpython 3.12".to_owned(),
        package: package.to_owned(),
        version: "3.1".to_owned(),
        host: "alpha".to_owned(),
        first_seen_unix_nano: time,
        last_seen_unix_nano: time,
    }
}

fn metric(name: &str, kind: MetricKind, temporality: Temporality) -> Metric {
    Metric {
        name: name.to_owned(),
        unit: "1".to_owned(),
        description: format!("what {name} is"),
        kind,
        temporality,
        is_monotonic: kind == MetricKind::Sum,
    }
}

/// A gauge, a total that grows by ten a write, a distribution.
fn points(number: u8) -> MetricPointsBuilder {
    let mut builder = MetricPointsBuilder::default();
    let host: Attributes = [("cpu", "0")].into_iter().collect();
    let values = [
        (metric("temperature", MetricKind::Gauge, Temporality::Unspecified), {
            PointValue::Number(Number::Double(20.0 + f64::from(number)))
        }),
        (metric("requests", MetricKind::Sum, Temporality::Cumulative), {
            PointValue::Number(Number::Int(i64::from(number) * 10))
        }),
        (metric("sizes", MetricKind::Histogram, Temporality::Delta), {
            PointValue::Histogram(HistogramPoint {
                count: 3,
                sum: Some(5.0),
                min: Some(0.5),
                max: Some(f64::from(number)),
                bounds: vec![1.0],
                counts: vec![1, 2],
            })
        }),
    ];
    for (metric, value) in values {
        let point = MetricPoint {
            start_time_unix_nano: (T0 - NEXT_DAY).cast_unsigned(),
            time_unix_nano: at(number).cast_unsigned(),
            value,
            ..MetricPoint::default()
        };
        builder.append(&service("shop"), &Scope::default(), &metric, &host, &point);
    }
    builder
}

/// Asks the questions.
pub(super) async fn verify(store: &dyn Store) -> Result<(), StoreError> {
    logs(store).await?;
    exceptions(store).await?;
    libraries(store).await?;
    profiles::verify(store).await?;
    series(store).await?;
    steps(store).await
}

pub(super) fn seconds(start: i64, end: i64) -> TimeRange {
    TimeRange { start_ns: T0 + start * SECOND, end_ns: T0 + end * SECOND }
}

fn all_logs() -> LogsQuery {
    LogsQuery {
        range: TimeRange::ALL,
        service: None,
        min_severity: None,
        trace_id: None,
        body_contains: None,
        attributes: Vec::new(),
        limit: 100,
        after: None,
    }
}

fn number_of(trace_or_span: SpanId) -> u8 {
    trace_or_span.0[0]
}

async fn logs(store: &dyn Store) -> Result<(), StoreError> {
    let text = |text: &str| Some(text.to_owned());
    let has = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let cases = [
        (LogsQuery { service: text("pay"), ..all_logs() }, vec![3]),
        (LogsQuery { service: text("nobody"), ..all_logs() }, vec![]),
        (LogsQuery { min_severity: Some(13), service: text("shop"), range: seconds(0, 60), ..all_logs() }, vec![2]),
        (LogsQuery { trace_id: Some(trace(2)), ..all_logs() }, vec![2]),
        (LogsQuery { trace_id: Some(trace(99)), ..all_logs() }, vec![]),
        (LogsQuery { body_contains: text("\"declined\""), ..all_logs() }, vec![2]),
        (LogsQuery { body_contains: text("card"), range: seconds(0, 60), ..all_logs() }, vec![3, 2]),
        (LogsQuery { attributes: has("user.id", "u0"), range: seconds(0, 60), ..all_logs() }, vec![2]),
        // The resource's attribute, and a record's own in its place.
        (LogsQuery { attributes: has("zone", "z1"), range: seconds(0, 60), ..all_logs() }, vec![3, 2, 1]),
        (LogsQuery { attributes: has("zone", "z2"), ..all_logs() }, vec![4]),
        (LogsQuery { range: seconds(2, 3), ..all_logs() }, vec![2]),
        (LogsQuery { limit: 0, ..all_logs() }, vec![]),
    ];
    for (query, expect) in cases {
        let found = store.logs(&query).await?;
        let numbers: Vec<u8> = found.rows.iter().map(|log| number_of(log.record.span_id)).collect();
        assert_eq!((numbers, found.next), (expect, None), "{query:?}");
    }
    let whole = store.logs(&all_logs()).await?;
    let mut numbers: Vec<u8> = whole.rows.iter().map(|log| number_of(log.record.span_id)).collect();
    assert_eq!(numbers[2..], [3, 2, 1], "what was sent twice is there once");
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    for log in &whole.rows {
        let number = number_of(log.record.span_id);
        assert_eq!((&log.record, &*log.resource), (&log_record(number), &log_service(number)));
    }
    for limit in 1..=5 {
        let mut paged = Vec::new();
        let mut page = LogsQuery { limit, ..all_logs() };
        loop {
            let found = store.logs(&page).await?;
            assert!(found.rows.len() <= limit);
            paged.extend(found.rows);
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
        assert_eq!(paged, whole.rows, "in pages of {limit}");
    }
    Ok(())
}

async fn exceptions(store: &dyn Store) -> Result<(), StoreError> {
    let all = ExceptionsQuery {
        range: TimeRange::ALL,
        service: None,
        fingerprint: None,
        trace_id: None,
        limit: 100,
        after: None,
    };
    let numbers = |query: ExceptionsQuery| async move {
        let found = store.exceptions(&query).await?;
        for row in &found.rows {
            assert_eq!(row.event, exception(number_of(row.event.span_id)));
        }
        Ok::<_, StoreError>(found.rows.iter().map(|row| number_of(row.event.span_id)).collect::<Vec<u8>>())
    };
    let even = ExceptionsQuery { fingerprint: Some(Fingerprint([0; 16])), ..all.clone() };
    assert_eq!(numbers(even).await?, [4, 2]);
    assert_eq!(numbers(ExceptionsQuery { trace_id: Some(trace(3)), ..all.clone() }).await?, [3]);
    let early = ExceptionsQuery { service: Some("shop".to_owned()), range: seconds(0, 60), ..all };
    assert_eq!(numbers(early).await?, [2, 1]);
    let query = ExceptionGroupsQuery { range: TimeRange::ALL, service: None, limit: 10 };
    let found = store.exception_groups(&query).await?;
    assert_eq!((found.left_out, found.is_approximate), (0, false));
    let groups: Vec<_> = found
        .groups
        .iter()
        .map(|group| {
            let seconds = |time: i64| (time - T0) / SECOND;
            let sample = number_of(group.sample.event.span_id);
            (group.fingerprint.0[0], group.count, seconds(group.first_ns), seconds(group.last_ns), sample)
        })
        .collect();
    assert_eq!(groups, [(0, 2, 2, 90_000, 4), (1, 3, 1, 90_000, 5)]);
    let found = store.exception_groups(&ExceptionGroupsQuery { limit: 1, ..query.clone() }).await?;
    assert_eq!((found.groups.len(), found.left_out), (1, 1));
    let pay = ExceptionGroupsQuery { service: Some("pay".to_owned()), ..query };
    assert_eq!(store.exception_groups(&pay).await?.groups[0].count, 1);
    Ok(())
}

async fn libraries(store: &dyn Store) -> Result<(), StoreError> {
    let all = LibrariesQuery { range: TimeRange::ALL, service: None, package: None, limit: 10 };
    let seen = |name: &str, first: u8, last: u8| {
        let last_seen_unix_nano = at(last).cast_unsigned();
        Library { last_seen_unix_nano, ..library(name, first) }
    };
    let found = store.libraries(&all).await?;
    assert_eq!(found.libraries, [seen("django", 2, 2), seen("flask", 1, 3)]);
    // A day counts whole, also where the range has a moment of it only.
    let first_day = LibrariesQuery { range: seconds(0, 1), ..all.clone() };
    assert_eq!(store.libraries(&first_day).await?.libraries, [seen("django", 2, 2), seen("flask", 1, 2)]);
    let flask = LibrariesQuery { package: Some("flask".to_owned()), ..first_day };
    assert_eq!(store.libraries(&flask).await?.libraries, [seen("flask", 1, 2)]);
    let found = store.libraries(&LibrariesQuery { limit: 1, ..all.clone() }).await?;
    assert_eq!((found.libraries.len(), found.left_out), (1, 1));
    let nobody = LibrariesQuery { service: Some("nobody".to_owned()), ..all };
    assert_eq!(store.libraries(&nobody).await?.libraries, []);
    Ok(())
}

async fn series(store: &dyn Store) -> Result<(), StoreError> {
    let all = MetricSeriesQuery { range: TimeRange::ALL, service: None, name: None, limit: 10 };
    let found = store.metric_series(&all).await?;
    let names: Vec<&str> = found.series.iter().map(|series| series.metric.name.as_str()).collect();
    assert_eq!((names, found.left_out), (vec!["requests", "sizes", "temperature"], 0));
    let requests = &found.series[0];
    assert_eq!(requests.metric, metric("requests", MetricKind::Sum, Temporality::Cumulative));
    assert_eq!((&*requests.resource, requests.attributes.get_str("cpu")), (&service("shop"), Some("0")));
    assert_eq!((requests.first_seen_ns, requests.last_seen_ns), (at(1), at(3)));
    let first_day = MetricSeriesQuery { range: seconds(0, 1), name: Some("sizes".to_owned()), ..all.clone() };
    let found = store.metric_series(&first_day).await?;
    assert_eq!((found.series.len(), found.series[0].last_seen_ns), (1, at(2)));
    let found = store.metric_series(&MetricSeriesQuery { limit: 1, ..all.clone() }).await?;
    assert_eq!((found.series.len(), found.left_out), (1, 2));
    let nobody = MetricSeriesQuery { service: Some("nobody".to_owned()), ..all };
    assert_eq!(store.metric_series(&nobody).await?.series, []);
    Ok(())
}

async fn steps(store: &dyn Store) -> Result<(), StoreError> {
    let all = MetricSeriesQuery { range: TimeRange::ALL, service: None, name: None, limit: 10 };
    let series: Vec<_> = store.metric_series(&all).await?.series.into_iter().map(|series| series.id).collect();
    let query = MetricPointsQuery { range: seconds(0, 60), series: series.clone(), step_ns: Some(20 * SECOND) };
    let found = store.metric_points(&query).await?;
    assert_eq!((found.series_left_out, found.is_cut), (0, false));
    let gauge = |value: f64| StepValue::Gauge { last: value, sum: value, min: value, max: value, count: 1 };
    let sizes = |max: f64| {
        StepValue::Histogram(HistogramPoint {
            count: 3,
            sum: Some(5.0),
            min: Some(0.5),
            max: Some(max),
            bounds: vec![1.0],
            counts: vec![1, 2],
        })
    };
    let expected = [
        // What the first point adds is not known: it began long before.
        (0, 20, StepValue::Increase(10.0)),
        (1, 0, sizes(1.0)),
        (1, 20, sizes(2.0)),
        (2, 0, gauge(21.0)),
        (2, 20, gauge(22.0)),
    ];
    let found: Vec<_> =
        found.steps.into_iter().map(|step| (step.series, (step.step_start_ns - T0) / SECOND, step.value)).collect();
    assert_eq!(found, expected.map(|(place, start, value)| (series[place], start, value)));
    let whole = MetricPointsQuery { range: seconds(15, 60), step_ns: None, ..query };
    let found = store.metric_points(&whole).await?;
    let values: Vec<_> = found.steps.into_iter().map(|step| step.value).collect();
    assert_eq!(values, [StepValue::Increase(10.0), sizes(2.0), gauge(22.0)], "the point before is gone on from");
    let unknown = MetricPointsQuery { series: vec![pitviper_model::SeriesId([9; 16])], ..whole };
    let found = store.metric_points(&unknown).await?;
    assert_eq!((found.steps.len(), found.series_left_out), (0, 1));
    Ok(())
}
