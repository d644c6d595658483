//! Searches over segments of many pages answer as a plain evaluation of every span does, whatever the
//! filter, the order, the range and the page: nothing that matches is left out unread.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use pitviper_model::{Attributes, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value};
use pitviper_store::conformance::holds;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::filter::{Bound, Filter, NumberField, NumberRange, Pattern, TextField, TextMatch};
use pitviper_store::questions::keys::Keys;
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use pitviper_store::{Cursor, Order, Search, Store, StoredSpan, TimeRange};
use proptest::prelude::*;
use tokio::runtime::Runtime;

const SPANS: u64 = 40_000;
/// The first are in one segment, the next in another, the last in memory.
const FLUSH_AFTER: [u64; 2] = [25_000, 37_000];
const SERVICES: [&str; 4] = ["billing", "cart", "catalog", "search"];
const START_NS: i64 = 1_700_000_000_000_000_000;
const LENGTH_NS: i64 = 10_000;
const LIMIT: usize = 60;

fn scatter(seed: u64) -> u64 {
    let mixed = (seed ^ (seed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

/// A span of the test, and its service.
#[derive(Debug, Clone)]
struct Case {
    service: &'static str,
    span: Span,
}

fn case(number: u64) -> Case {
    let dice = |salt: u64| scatter(number * 31 + salt);
    // Later spans start later, as they do, by and large.
    let start = START_NS as u64 + number / 5 + dice(1) % (LENGTH_NS as u64 / 5);
    let mut attributes = vec![
        ("user.id".to_owned(), Value::String(format!("user-{}", dice(2) % 500))),
        ("bytes".to_owned(), Value::Int((dice(3) % 1_000) as i64)),
    ];
    if number.is_multiple_of(9_000) {
        attributes.push(("note".to_owned(), Value::String("found a DeadLock here".to_owned())));
    }
    if dice(7) % 7 == 3 {
        attributes.push(("order".to_owned(), Value::String(format!("cart-{}", dice(13) % 100))));
    }
    let is_error = dice(4).is_multiple_of(50);
    let span = Span {
        trace_id: TraceId(u128::from(dice(5) % 4_000 + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        parent_span_id: if dice(6).is_multiple_of(8) { SpanId::INVALID } else { SpanId([1; 8]) },
        name: format!("operation {}", dice(7) % 7),
        kind: SpanKind::ALL[(dice(8) % 5) as usize],
        start_time_unix_nano: start,
        end_time_unix_nano: start + dice(9) % 100 * (dice(10) % 1_000),
        attributes: Attributes(attributes),
        status: Status {
            code: if is_error { StatusCode::Error } else { StatusCode::Unset },
            message: if is_error { format!("timeout {}", dice(11) % 3) } else { String::new() },
        },
        ..Span::default()
    };
    Case { service: SERVICES[(dice(12) % 4) as usize], span }
}

fn resource(service: &str) -> Resource {
    let attribute = |key: &str, value: &str| (key.to_owned(), Value::String(value.to_owned()));
    let attributes = vec![attribute("service.name", service), attribute("region", &service[..1])];
    Resource { attributes: Attributes(attributes), ..Resource::default() }
}

/// The store, everything in it, and what keeps both.
struct Filled {
    runtime: Runtime,
    store: Arc<EmbeddedStore>,
    cases: Vec<Case>,
    _dir: tempfile::TempDir,
}

static FILLED: LazyLock<Filled> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cases: Vec<Case> = (0..SPANS).map(case).collect();
    let store = runtime.block_on(async {
        let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
        for (write, cases) in cases.chunks(500).enumerate() {
            append(&store, cases.iter().map(|case| (case.service, &case.span))).await;
            if FLUSH_AFTER.contains(&((write as u64 + 1) * 500)) {
                store.flush().await.unwrap();
            }
        }
        store
    });
    assert!(store.stats().hot_spans > 0);
    Filled { runtime, store, cases, _dir: dir }
});

async fn append(store: &EmbeddedStore, cases: impl Iterator<Item = (&str, &Span)>) {
    let mut spans = SpansBuilder::default();
    for (service, span) in cases {
        spans.append(&resource(service), &Scope::default(), span);
    }
    store.append(WriteBatch::new(spans, SpanMetricsBuilder::new())).await.unwrap();
}

/// Whether a span passes, worked out in the plainest way.
fn passes(filter: &Filter, case: &Case) -> bool {
    let resource = Arc::new(resource(case.service));
    holds(filter, &StoredSpan { span: case.span.clone(), resource, scope: Arc::default() })
}

/// What places a span in an order, less coming first.
fn key(order: Order, span: &Span) -> (i64, TraceId, SpanId) {
    let start = span.start_time_unix_nano.cast_signed();
    let value = match order {
        Order::NewestFirst => -start,
        Order::OldestFirst => start,
        Order::SlowestFirst => -span.duration_nano().cast_signed(),
    };
    (value, span.trace_id, span.span_id)
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    let texts = ["billing", "cart", "operation 3", "operation", "user-17", "timeout 1", "c", ""];
    let patterns = ["c*", "*a*", "operation*", "user-4*", "*", "z*", "timeout*", "operation 3*"];
    let regexes = ["^c", "[34]$", "user-1.", "zzz"];
    prop_oneof![
        3 => prop::sample::select(texts.to_vec()).prop_map(|text| TextMatch::Equals(text.to_owned())),
        2 => prop::sample::select(patterns.to_vec()).prop_map(|text| TextMatch::Wildcard(text.to_owned())),
        1 => prop::sample::select(regexes.to_vec()).prop_map(|text| TextMatch::Regex(Pattern::new(text).unwrap())),
    ]
}

fn field() -> impl Strategy<Value = TextField> {
    let attribute = |key: &str| TextField::Attribute(key.to_owned());
    prop::sample::select(vec![
        TextField::Service,
        TextField::Service,
        TextField::Name,
        TextField::Name,
        TextField::Environment,
        TextField::StatusMessage,
        attribute("user.id"),
        attribute("region"),
        attribute("note"),
        attribute("bytes"),
        attribute("order"),
    ])
}

fn number_range(most: f64) -> impl Strategy<Value = NumberRange> {
    let bound = move || {
        prop::option::of((0.0..most, any::<bool>()).prop_map(|(v, inclusive)| Bound { value: v.floor(), inclusive }))
    };
    (bound(), bound()).prop_map(|(low, high)| NumberRange { low, high })
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = prop_oneof![
        1 => Just(Filter::All),
        6 => (field(), text_match()).prop_map(|(field, wanted)| Filter::Text(field, wanted)),
        1 => field().prop_map(Filter::Exists),
        2 => number_range(90_000.0).prop_map(|range| Filter::Number(NumberField::DurationNs, range)),
        1 => number_range(1_000.0).prop_map(|range| Filter::Number(NumberField::Attribute("bytes".to_owned()), range)),
        1 => prop::sample::select(SpanKind::ALL.to_vec()).prop_map(Filter::Kind),
        1 => Just(Filter::Status(StatusCode::Error)),
        1 => (0..4_200u64).prop_map(|trace| Filter::Trace(TraceId(u128::from(trace).to_be_bytes()))),
        1 => (0..SPANS + 9).prop_map(|span| Filter::Span(SpanId(span.to_be_bytes()))),
        1 => Just(Filter::IsRoot),
        1 => Just(Filter::IsEntry),
        2 => prop::sample::select(vec!["deadlock", "TIMEOUT", "ser-49", "art", "nowhere", ""])
            .prop_map(|text| Filter::FullText(text.to_owned())),
    ];
    leaf.prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            2 => prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            1 => inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn range() -> impl Strategy<Value = TimeRange> {
    let part = (-200..LENGTH_NS + 200, 0..LENGTH_NS)
        .prop_map(|(from, length)| TimeRange { start_ns: START_NS + from, end_ns: START_NS + from + length });
    prop_oneof![Just(TimeRange::ALL), part]
}

fn order() -> impl Strategy<Value = Order> {
    prop::sample::select(vec![Order::NewestFirst, Order::OldestFirst, Order::SlowestFirst])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_a_plain_evaluation_finds(
        filter in filter(), range in range(), order in order(), after in prop::option::of(0..SPANS), limit in 0..LIMIT,
    ) {
        let Filled { runtime, store, cases, .. } = &*FILLED;
        let after = after.map(|number| &cases[number as usize].span);
        let cursor = after.map(|span| {
            let value = key(order, span).0;
            let value = if order == Order::OldestFirst { value } else { -value };
            Cursor { value, trace_id: span.trace_id, span_id: span.span_id }
        });
        let mut expected: Vec<_> = cases
            .iter()
            .filter(|case| (range.start_ns..range.end_ns).contains(&case.span.start_time_unix_nano.cast_signed()))
            .filter(|case| passes(&filter, case))
            .map(|case| key(order, &case.span))
            .filter(|found| after.is_none_or(|after| *found > key(order, after)))
            .collect();
        expected.sort_unstable();
        expected.truncate(limit);
        let search = Search { range, filter, order, limit, after: cursor };
        let found = runtime.block_on(store.search_spans(&search)).unwrap();
        for stored in &found {
            let number = u64::from_be_bytes(stored.span.span_id.0) - 1;
            prop_assert_eq!(&stored.span, &cases[number as usize].span);
            prop_assert_eq!(stored.resource.service(), cases[number as usize].service);
        }
        let found: Vec<_> = found.iter().map(|stored| key(order, &stored.span)).collect();
        prop_assert_eq!(found, expected);
    }
}

/// One segment of two row groups, its rows in the order of their starts.
#[tokio::test(flavor = "multi_thread")]
async fn rows_on_both_sides_of_a_row_group_are_found() {
    const ROWS: u64 = 270_000;
    const GROUP_ROWS: u64 = 262_144;
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { flush_rows: ROWS as usize * 2, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    let span = |number: u64| Span {
        trace_id: TraceId(u128::from(number / 3 + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        name: "one".to_owned(),
        start_time_unix_nano: START_NS as u64 + number,
        end_time_unix_nano: START_NS as u64 + number + scatter(number) % 1_000 + 1_000_000 * u64::from(number == 7),
        ..Span::default()
    };
    for first in (0..ROWS).step_by(30_000) {
        let spans: Vec<Span> = (first..first + 30_000).map(span).collect();
        append(&store, spans.iter().map(|span| ("one", span))).await;
    }
    store.flush().await.unwrap();
    assert_eq!((store.stats().hot_spans, store.stats().spans), (0, ROWS));
    let ask = async |order, from: u64, to: u64, limit| {
        let range = TimeRange { start_ns: START_NS + from as i64, end_ns: START_NS + to as i64 };
        let search = Search { range, filter: Filter::All, order, limit, after: None };
        let found = store.search_spans(&search).await.unwrap();
        found.iter().map(|stored| u64::from_be_bytes(stored.span.span_id.0) - 1).collect::<Vec<_>>()
    };
    let around: Vec<u64> = (GROUP_ROWS - 5..GROUP_ROWS + 5).collect();
    assert_eq!(ask(Order::OldestFirst, GROUP_ROWS - 5, GROUP_ROWS + 5, 100).await, around);
    let newest: Vec<u64> = (GROUP_ROWS - 2..GROUP_ROWS + 2).rev().collect();
    assert_eq!(ask(Order::NewestFirst, 0, GROUP_ROWS + 2, 4).await, newest);
    assert_eq!(ask(Order::SlowestFirst, 0, ROWS, 1).await, [7]);
    let trace = store.trace(TraceId(u128::from(GROUP_ROWS / 3 + 1).to_be_bytes()), 10).await.unwrap();
    assert_eq!(
        trace.spans.iter().map(|span| span.start_ns - START_NS).collect::<Vec<_>>(),
        [262_143, 262_144, 262_145]
    );
}

/// Pages that have no attribute of a name are left out, whatever is asked of its values.
#[tokio::test(flavor = "multi_thread")]
async fn only_pages_with_the_attribute_are_looked_at() {
    const SPANS: u64 = 60_000;
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { flush_rows: SPANS as usize * 2, ..EmbeddedConfig::new(dir.path()) };
    let store = EmbeddedStore::open(config).await.unwrap();
    // One operation of twelve has it; spans lie by operation.
    let has_order = |number: u64| number % 12 == 5;
    let span = |number: u64| Span {
        trace_id: TraceId(u128::from(number + 1).to_be_bytes()),
        span_id: SpanId((number + 1).to_be_bytes()),
        name: format!("operation {}", number % 12),
        start_time_unix_nano: START_NS as u64 + number,
        end_time_unix_nano: START_NS as u64 + number + 1,
        attributes: Attributes(if has_order(number) {
            vec![("order".to_owned(), Value::Int(number as i64)), ("user".to_owned(), Value::String("u".to_owned()))]
        } else {
            vec![("user".to_owned(), Value::String(format!("u{number}")))]
        }),
        ..Span::default()
    };
    let spans: Vec<Span> = (0..SPANS).map(span).collect();
    append(&store, spans.iter().map(|span| ("one", span))).await;
    store.flush().await.unwrap();
    let order = || TextField::Attribute("order".to_owned());
    let low = Bound { value: 59_000.0, inclusive: true };
    let asked = [
        Filter::Exists(order()),
        Filter::Text(order(), TextMatch::Wildcard("1*".to_owned())),
        Filter::Text(order(), TextMatch::Regex(Pattern::new("^59..9$").unwrap())),
        Filter::Number(NumberField::Attribute("order".to_owned()), NumberRange { low: Some(low), high: None }),
    ];
    let stored =
        |span: &Span| StoredSpan { span: span.clone(), resource: Arc::new(resource("one")), scope: Arc::default() };
    for filter in asked {
        let expected = spans.iter().filter(|span| holds(&filter, &stored(span))).count();
        assert!(expected > 0, "{filter:?}");
        let all = Keys { range: TimeRange::ALL, filter: filter.clone(), limit: usize::MAX, time: Duration::MAX };
        let found = store.keys(&all).await.unwrap();
        assert_eq!((found.keys.len(), found.complete), (expected, true), "{filter:?}");
        let looked_at = store.keys(&Keys { limit: 0, ..all }).await.unwrap().rows;
        assert!(looked_at < SPANS / 3, "{filter:?}: {looked_at} rows of {SPANS} are looked at");
    }
}
