//! Random spans, metrics and questions. Few distinct values, so that questions meet them, and among
//! them those that are easily got wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pitviper_model::{
    Attributes, Event, ExpHistogram, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value,
};
use pitviper_store::conformance::Question;
use pitviper_store::filter::{Bound, Filter, KnownSpans, NumberField, NumberRange, Pattern, TextField, TextMatch};
use pitviper_store::questions::keys::Keys;
use pitviper_store::schema::{MAX_START_TIME_UNIX_NANO, METRIC_BUCKET_NS, SpanMetricKey};
use pitviper_store::{Cursor, Dimension, MetricsQuery, Order, Red, Search, SpanScope, StoredSpan, TimeRange};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn trace_id(number: u8) -> TraceId {
    TraceId([number; 16])
}

pub(crate) fn span_id(number: u8) -> SpanId {
    SpanId([number; 8])
}

fn text() -> impl Strategy<Value = String> {
    let known = [
        "", "a", "A", "aa", "b", "ab", "GET /x", "GET /y", "50%", "a_b", "\\", "a\\b", "a\nb", "*", "ü", "Ü", "über",
        "200", "12.5", "true", "00ab", "\"q\"", "[1]", "ſ", "K",
    ];
    prop_oneof![
        12 => select(known.to_vec()).prop_map(str::to_owned),
        1 => Just("long text ".repeat(3_000)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::String),
        1 => any::<bool>().prop_map(Value::Bool),
        3 => select(vec![0, 1, -1, 200, i64::MAX, i64::MIN, 9_007_199_254_740_993]).prop_map(Value::Int),
        3 => select(vec![0.0, -0.0, 1.0, 12.5, 200.0, 1e300, f64::INFINITY, f64::NAN, 5e-324]).prop_map(Value::Double),
        1 => vec(select(vec![0u8, 0xab, 0xff]), 0..3).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            vec((key(), inner), 0..3).prop_map(|pairs| Value::Map(Attributes(pairs))),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["k", "n", "team", "größe", "", "$map", "http.response.status_code", "db.system.name", "service.name"])
        .prop_map(str::to_owned)
}

/// As they come from a wire: a key may stand there twice.
fn attributes() -> impl Strategy<Value = Attributes> {
    vec((key(), value()), 0..4).prop_map(Attributes)
}

fn resource() -> impl Strategy<Value = Arc<Resource>> {
    let key = select(vec![
        "service.name",
        "service.version",
        "deployment.environment",
        "deployment.environment.name",
        "host.name",
        "team",
        "k",
    ]);
    let pair = (key, prop_oneof![4 => text().prop_map(Value::String), 1 => value()]);
    (vec(pair, 0..4), 0..2u32).prop_map(|(pairs, dropped_attributes_count)| {
        let attributes = Attributes(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        Arc::new(Resource { attributes, dropped_attributes_count, ..Resource::default() })
    })
}

fn scope() -> impl Strategy<Value = Arc<Scope>> {
    (select(vec!["", "flask", "sqlite3"]), select(vec!["", "1"]), attributes()).prop_map(
        |(name, version, attributes)| {
            Arc::new(Scope { name: name.to_owned(), version: version.to_owned(), attributes, ..Scope::default() })
        },
    )
}

/// Starts with many equals, and at both ends of time.
fn start() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0..6u64).prop_map(|step| T0 + step * 4 * SECOND),
        2 => (0..3u64).prop_map(|step| T0 + step),
        1 => select(vec![0, 1, T0 - 86_400 * SECOND, T0 + 400 * 86_400 * SECOND, MAX_START_TIME_UNIX_NANO]),
    ]
}

/// Ends by the start: durations with many equals, none, backwards, and as long as can be.
fn end(start: u64) -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => select(vec![0, 1, 10 * SECOND / 1_000, 20 * SECOND / 1_000, SECOND]).prop_map(move |duration| start.saturating_add(duration)),
        1 => select(vec![0, 1 << 60, u64::MAX, 1 << 62]),
        1 => select(vec![1 << 60, (1 << 60) + 1]).prop_map(move |duration| start.saturating_add(duration)),
    ]
}

/// A span of a trace; which one is said later, so that ids do not repeat.
fn span() -> impl Strategy<Value = Span> {
    let times = start().prop_flat_map(|start| (Just(start), end(start)));
    let status = (select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]), text());
    let event = (any::<u64>(), text(), attributes());
    (1..5u8, 0..30u8, text(), select(SpanKind::ALL.to_vec()), times, attributes(), status, vec(event, 0..2)).prop_map(
        |(trace, parent, name, kind, (start, end), attributes, (code, message), events)| Span {
            trace_id: trace_id(trace),
            parent_span_id: if parent > 20 { SpanId::INVALID } else { span_id(parent) },
            name,
            kind,
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            attributes,
            status: Status { code, message },
            events: events
                .into_iter()
                .map(|(time_unix_nano, name, attributes)| Event {
                    time_unix_nano,
                    name,
                    attributes,
                    ..Event::default()
                })
                .collect(),
            ..Span::default()
        },
    )
}

/// Who sent a span, and through which library.
type Sender = (Arc<Resource>, Arc<Scope>);

/// Spans with ids of their own; spans of different traces may have the same.
fn spans() -> impl Strategy<Value = Vec<StoredSpan>> {
    let senders = vec((resource(), scope()), 1..4);
    senders.prop_flat_map(|senders| vec((span(), select(senders)), 0..28)).prop_map(|spans| {
        let number = |(at, (mut span, (resource, scope))): (usize, (Span, Sender))| {
            span.span_id = span_id(1 + at as u8 / 2 * 2);
            if at % 2 == 1 {
                // The same id as the one before, in another trace.
                span.trace_id = trace_id(span.trace_id.0[0] + 10);
            }
            StoredSpan { span, resource, scope }
        };
        spans.into_iter().enumerate().map(number).collect()
    })
}

fn metric() -> impl Strategy<Value = (SpanMetricKey, Red)> {
    let name = || select(vec!["", "a", "b", "ü"]).prop_map(str::to_owned);
    let bucket = prop_oneof![
        6 => (-2..5i64).prop_map(|bucket| T0 as i64 + bucket * METRIC_BUCKET_NS),
        1 => select(vec![0, -METRIC_BUCKET_NS, i64::MAX / METRIC_BUCKET_NS * METRIC_BUCKET_NS]),
    ];
    let durations = vec((select(vec![0, 1, 1_000, SECOND, u64::MAX / 4]), any::<bool>()), 0..3);
    let key = (bucket, [name(), name(), name(), name()], select(SpanKind::ALL.to_vec()), any::<bool>(), name());
    (key, durations).prop_map(
        |((bucket_start_ns, [service, environment, version, name], kind, is_root, peer), durations)| {
            let key = SpanMetricKey { bucket_start_ns, service, environment, version, name, kind, is_root, peer };
            let mut red = Red::default();
            for (duration, is_error) in durations {
                let mut histogram = ExpHistogram::default();
                histogram.record(duration);
                red.merge(&Red {
                    hits: 1,
                    errors: u64::from(is_error),
                    duration_sum_ns: duration,
                    duration_min_ns: duration,
                    duration_max_ns: duration,
                    durations: histogram,
                });
            }
            (key, red)
        },
    )
}

/// What is done to a store before it is asked.
#[derive(Clone)]
pub(crate) enum Step {
    /// Writes some of the spans, perhaps again.
    Write(Vec<StoredSpan>, Vec<(SpanMetricKey, Red)>),
    Flush,
    Compact,
    /// Ends without closing, as a crash would, and opens again.
    Reopen,
}

/// On one line, because a failure prints all of them.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(spans, metrics) => write!(f, "Write({spans:?}, {metrics:?})"),
            Self::Flush => f.write_str("Flush"),
            Self::Compact => f.write_str("Compact"),
            Self::Reopen => f.write_str("Reopen"),
        }
    }
}

/// A store's life: every layout comes about, and some spans are sent twice.
pub(crate) fn life() -> impl Strategy<Value = Vec<Step>> {
    let between = select(vec![None, None, Some(Step::Flush), Some(Step::Compact), Some(Step::Reopen)]);
    (spans(), vec((1..8usize, vec(metric(), 0..3), between, any::<bool>()), 1..8)).prop_map(|(spans, writes)| {
        let mut steps = Vec::new();
        let mut rest = spans.as_slice();
        let mut last: &[StoredSpan] = &[];
        for (count, metrics, then, again) in writes {
            let (now, later) = rest.split_at(count.min(rest.len()));
            rest = later;
            // A client that heard no answer sends the same again, with what is new.
            let sent = if again { [last, now].concat() } else { now.to_vec() };
            last = now;
            steps.push(Step::Write(sent, metrics));
            if matches!(then, Some(Step::Compact)) {
                steps.push(Step::Flush);
            }
            steps.extend(then);
        }
        steps
    })
}

fn text_field() -> impl Strategy<Value = TextField> {
    use TextField::{Environment, Host, Name, Service, StatusMessage, Version};
    prop_oneof![
        select(vec![Service, Name, Environment, Version, Host, StatusMessage]),
        key().prop_map(TextField::Attribute),
    ]
}

fn pattern() -> impl Strategy<Value = Pattern> {
    select(vec!["", "^$", "a", "^a$", "(?i)a", "^.$", "(?s)^.*b$", "[0-9]", "ü", "^(a|b)", "\\\\", "k{2}", "\\bx"])
        .prop_map(|pattern| Pattern::new(pattern).unwrap())
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    let wildcard = vec(prop_oneof![Just("*".to_owned()), text()], 0..4).prop_map(|parts| parts.concat());
    prop_oneof![
        3 => text().prop_map(TextMatch::Equals),
        2 => value().prop_map(|value| TextMatch::Equals(value.to_text())),
        3 => wildcard.prop_map(TextMatch::Wildcard),
        2 => pattern().prop_map(TextMatch::Regex),
    ]
}

fn number_range() -> impl Strategy<Value = NumberRange> {
    let value = select(vec![
        0.0,
        -0.0,
        1.0,
        0.5,
        12.5,
        200.0,
        1e7,
        2e7,
        1e9,
        -1.0,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        (1u64 << 60) as f64,
        (1u64 << 62) as f64,
        i64::MAX as f64,
        9_007_199_254_740_992.0,
    ]);
    let bound = (value, any::<bool>()).prop_map(|(value, inclusive)| Bound { value, inclusive });
    let end = proptest::option::weighted(0.7, bound);
    (end.clone(), end).prop_map(|(low, high)| NumberRange { low, high })
}

fn leaf() -> impl Strategy<Value = Filter> {
    let trace = || (1..17u8).prop_map(trace_id);
    prop_oneof![
        1 => Just(Filter::All),
        6 => (text_field(), text_match()).prop_map(|(field, wanted)| Filter::Text(field, wanted)),
        2 => text_field().prop_map(Filter::Exists),
        2 => number_range().prop_map(|range| Filter::Number(NumberField::DurationNs, range)),
        2 => (key(), number_range()).prop_map(|(key, range)| Filter::Number(NumberField::Attribute(key), range)),
        1 => select(SpanKind::ALL.to_vec()).prop_map(Filter::Kind),
        1 => select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]).prop_map(Filter::Status),
        1 => trace().prop_map(Filter::Trace),
        2 => vec(trace(), 0..6).prop_map(Filter::Traces),
        1 => (1..30u8).prop_map(|number| Filter::Span(span_id(number))),
        1 => vec((1..30u8).prop_map(span_id), 0..6).prop_map(Filter::Spans),
        1 => vec((trace(), (1..30u8).prop_map(span_id)), 0..20).prop_map(|spans| Filter::Known(KnownSpans::new(spans))),
        1 => Just(Filter::IsRoot),
        1 => Just(Filter::IsEntry),
        2 => text().prop_map(Filter::FullText),
    ]
}

pub(crate) fn filter() -> impl Strategy<Value = Filter> {
    leaf().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::And),
            vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

pub(crate) fn time() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => (0..26i64).prop_map(|second| T0 as i64 + second * SECOND as i64),
        2 => (0..3i64).prop_map(|nano| T0 as i64 + nano),
        1 => select(vec![0, 1, -5, i64::MIN, i64::MAX, i64::MAX - 1]),
    ]
}

pub(crate) fn range() -> impl Strategy<Value = TimeRange> {
    prop_oneof![
        2 => Just(TimeRange::ALL),
        3 => (time(), time()).prop_map(|(start_ns, end_ns)| TimeRange { start_ns, end_ns }),
    ]
}

fn search() -> impl Strategy<Value = Search> {
    let order = select(vec![Order::NewestFirst, Order::OldestFirst, Order::SlowestFirst]);
    let value = prop_oneof![time(), select(vec![0, 1, 10_000_000, 20_000_000, 1_000_000_000])];
    let cursor = (value, 0..17u8, 0..30u8).prop_map(|(value, trace, span)| Cursor {
        value,
        trace_id: trace_id(trace),
        span_id: span_id(span),
    });
    let limit = prop_oneof![1 => Just(0), 5 => 1..6usize, 3 => Just(100)];
    (range(), filter(), order, limit, proptest::option::weighted(0.2, cursor))
        .prop_map(|(range, filter, order, limit, after)| Search { range, filter, order, limit, after })
}

fn keys() -> impl Strategy<Value = Keys> {
    let limit = prop_oneof![1 => Just(0), 3 => 1..12usize, 6 => Just(1_000)];
    let time = Duration::from_secs(3_600);
    (range(), filter(), limit).prop_map(move |(range, filter, limit)| Keys { range, filter, limit, time })
}

fn metrics() -> impl Strategy<Value = MetricsQuery> {
    use Dimension::{Environment, Kind, Name, Service, Version};
    let wanted = || proptest::option::weighted(0.2, select(vec!["", "a", "b", "ü", "nobody"]).prop_map(str::to_owned));
    let scope = select(vec![SpanScope::All, SpanScope::Entry, SpanScope::Root]);
    let step = proptest::option::of((1..5i64).prop_map(|buckets| buckets * METRIC_BUCKET_NS));
    let group_by = vec(select(vec![Service, Environment, Version, Name, Kind, Dimension::Scope]), 0..4);
    let kind = proptest::option::weighted(0.2, select(SpanKind::ALL.to_vec()));
    (range(), step, wanted(), wanted(), wanted(), kind, scope, group_by).prop_map(
        |(range, step_ns, service, environment, name, kind, scope, group_by)| MetricsQuery {
            range,
            step_ns,
            service,
            environment,
            name,
            kind,
            scope,
            group_by,
        },
    )
}

pub(crate) fn question() -> impl Strategy<Value = Question> {
    let trace = || (0..17u8).prop_map(trace_id);
    let span_ids = prop_oneof![Just(Vec::new()), vec((1..30u8).prop_map(span_id), 1..5)];
    prop_oneof![
        6 => search().prop_map(Question::Spans),
        6 => search().prop_map(Question::Traces),
        3 => keys().prop_map(Question::Keys),
        1 => (vec(trace(), 0..6), prop_oneof![0..5usize, Just(100)]).prop_map(|(ids, limit)| Question::Waterfalls(ids, limit)),
        1 => (trace(), span_ids, prop_oneof![0..4usize, Just(100)]).prop_map(|(id, ids, page)| Question::Details(id, ids, page)),
        3 => metrics().prop_map(Question::Metrics),
        1 => range().prop_map(Question::Resources),
    ]
}
