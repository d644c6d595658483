//! Queries with related conditions and functions over a real store: worked out by hand, against a
//! plain evaluation of random traces, and at their bounds.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use pitviper_model::{Resource, Scope, Span, SpanId, SpanKind, TraceId};
use pitviper_query::time::TimeText;
use pitviper_query::views::Meta;
use pitviper_query::views::search::{Mode, Request, RowOrder, SearchRow, search};
use pitviper_store::Store;
use pitviper_store::embedded::{EmbeddedConfig, EmbeddedStore};
use pitviper_store::schema::{SpanMetricsBuilder, SpansBuilder, WriteBatch};
use proptest::prelude::*;

const START_NS: u64 = 1_795_224_000_000_000_000;
const MS: u64 = 1_000_000;

/// A span by its trace, its number in it, its parent's number (0 for none), name, start after the
/// beginning and duration in milliseconds, and the attribute `n`.
#[derive(Debug, Clone)]
struct Brief(u8, u8, u8, &'static str, u64, u64, Option<i64>);

fn trace_id(number: u32) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

impl Brief {
    fn span(&self) -> Span {
        let Self(trace, number, parent, name, start_ms, duration_ms, n) = self;
        let start = START_NS + start_ms * MS;
        let mut span = Span {
            trace_id: trace_id(u32::from(*trace)),
            span_id: SpanId([*number; 8]),
            parent_span_id: SpanId([*parent; 8]),
            name: (*name).to_owned(),
            kind: if *name == "db" { SpanKind::Client } else { SpanKind::Server },
            start_time_unix_nano: start,
            end_time_unix_nano: start + duration_ms * MS,
            ..Span::default()
        };
        if let Some(n) = n {
            span.attributes.set("n", *n);
        }
        span
    }
}

async fn filled(dir: &tempfile::TempDir, spans: &[Span], flush_after: usize) -> Arc<EmbeddedStore> {
    let store = EmbeddedStore::open(EmbeddedConfig::new(dir.path())).await.unwrap();
    let (early, late) = spans.split_at(flush_after.min(spans.len()));
    for part in [early, late] {
        let mut rows = SpansBuilder::with_capacity(part.len());
        part.iter().for_each(|span| rows.append(&Resource::default(), &Scope::default(), span));
        if !part.is_empty() {
            store.append(WriteBatch::new(rows, SpanMetricsBuilder::new())).await.unwrap();
        }
        if part.len() == early.len() && !early.is_empty() {
            store.flush().await.unwrap();
        }
    }
    store
}

fn request(query: &str, mode: Mode, order: RowOrder, limit: u32, cursor: Option<String>) -> Request {
    let at = |after_ms: u64| Some(TimeText::Micros(((START_NS + after_ms * MS) / 1_000).cast_signed()));
    Request { query: query.to_owned(), from: at(0), to: at(1_000_000), mode, order, limit: Some(limit), cursor }
}

const NOW_US: i64 = (START_NS / 1_000).cast_signed() + 1_000_000_000;

/// All rows, a page at a time, and what was said of the last page.
async fn rows(store: &dyn Store, query: &str, mode: Mode, order: RowOrder, limit: u32) -> (Vec<SearchRow>, Meta) {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let answer = search(store, &request(query, mode, order, limit, cursor), NOW_US).await;
        let answer = answer.unwrap_or_else(|error| panic!("{query}: {error}"));
        assert!(answer.data.len() <= limit as usize);
        rows.extend(answer.data);
        cursor = answer.meta.next.clone().flatten();
        if cursor.is_none() {
            return (rows, answer.meta);
        }
    }
}

/// Trace and span of each row, as numbers.
async fn spans(store: &dyn Store, query: &str, order: RowOrder, limit: u32) -> Vec<(u8, u8)> {
    let (rows, _) = rows(store, query, Mode::Spans, order, limit).await;
    let last_byte = |hex: &str| u8::from_str_radix(&hex[hex.len() - 2..], 16).unwrap();
    rows.iter()
        .map(|row| match row {
            SearchRow::Span(row) => (last_byte(&row.trace_id), last_byte(&row.span_id)),
            SearchRow::Trace(_) => panic!("a trace among spans"),
        })
        .collect()
}

/// Each trace and how many of its spans match.
async fn traces(store: &dyn Store, query: &str, order: RowOrder, limit: u32) -> Vec<(u8, u64)> {
    let (rows, meta) = rows(store, query, Mode::Traces, order, limit).await;
    assert_eq!((meta.complete, meta.exact), (Some(true), true));
    rows.iter()
        .map(|row| match row {
            SearchRow::Trace(row) => (u8::from_str_radix(&row.trace_id[30..], 16).unwrap(), row.matched_count),
            SearchRow::Span(_) => panic!("a span among traces"),
        })
        .collect()
}

/// A request that runs three statements through a service, one that runs one itself, and a stray.
fn sample() -> Vec<Span> {
    [
        Brief(1, 1, 0, "web", 0, 100, None),
        Brief(1, 2, 1, "call", 10, 80, None),
        Brief(1, 3, 2, "db", 20, 5, Some(1)),
        Brief(1, 4, 2, "db", 30, 15, Some(2)),
        Brief(1, 5, 2, "db", 50, 10, Some(2)),
        Brief(2, 1, 0, "web", 200, 50, None),
        Brief(2, 2, 1, "db", 210, 40, Some(7)),
        // Its parent never came.
        Brief(3, 1, 9, "db", 300, 1, None),
        Brief(3, 2, 9, "call", 310, 2, None),
    ]
    .iter()
    .map(Brief::span)
    .collect()
}

#[tokio::test]
async fn related_spans_are_those_that_stand_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), 5).await;
    let check = async |query: &str, expect: &[(u8, u8)]| {
        for limit in [1, 100] {
            assert_eq!(spans(&*store, query, RowOrder::OldestFirst, limit).await, expect, "{query} by {limit}");
        }
    };
    check("{name:web} >> {name:db}", &[(1, 3), (1, 4), (1, 5), (2, 2)]).await;
    check("{name:web} > {name:db}", &[(2, 2)]).await;
    check("{name:db} << {name:web}", &[(1, 1), (2, 1)]).await;
    check("{name:db n:2} < {}", &[(1, 2)]).await;
    check("{n:1} ~ {name:db}", &[(1, 4), (1, 5)]).await;
    check("{name:db} ~ {name:db}", &[(1, 3), (1, 4), (1, 5)]).await;
    check("{name:db} ~ {name:call}", &[(3, 2)]).await;
    check("{name:web} > {name:call} > {n:>1}", &[(1, 4), (1, 5)]).await;
    check("{name:web} && {name:call}", &[(1, 1), (1, 2)]).await;
    check("{n:7} || {name:call}", &[(1, 2), (2, 2), (3, 2)]).await;
    check("{name:web} > {name:db} || {n:1} && {n:2}", &[(1, 3), (1, 4), (1, 5), (2, 2)]).await;
    check("{} >> {is:root}", &[]).await;
    check("{name:nothing} >> {}", &[]).await;
    check("name:web >> n:7", &[(2, 2)]).await;
}

#[tokio::test]
async fn functions_judge_a_traces_spans_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), 4).await;
    let check = async |query: &str, expect: &[(u8, u64)]| {
        for limit in [1, 100] {
            assert_eq!(traces(&*store, query, RowOrder::OldestFirst, limit).await, expect, "{query} by {limit}");
        }
    };
    check("name:db | count() > 2", &[(1, 3)]).await;
    check("name:db | count() >= 1 | count() < 3", &[(2, 1), (3, 1)]).await;
    check("| count(name:db) > 2", &[(1, 5)]).await;
    check("| count(name:web) < 1", &[(3, 2)]).await;
    check("name:db | sum(duration) >= 30ms", &[(1, 3), (2, 1)]).await;
    check("name:db | sum(duration, n:2) >= 25ms", &[(1, 3)]).await;
    check("name:db | avg(duration) <= 10ms", &[(1, 3), (3, 1)]).await;
    check("name:db | max(duration) > 15ms", &[(2, 1)]).await;
    check("name:db | min(duration) > 4ms", &[(1, 3), (2, 1)]).await;
    // Of no spans there is a count and a sum, but no average.
    check("name:db | sum(duration, n:9) < 1ms", &[(1, 3), (2, 1), (3, 1)]).await;
    check("name:db | avg(duration, n:9) < 1h", &[]).await;
    check("{name:web} >> {name:db} | count() > 1", &[(1, 3)]).await;
}

#[tokio::test]
async fn rows_come_in_the_order_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(&dir, &sample(), 9).await;
    let query = "{name:web} >> {name:db}";
    let slowest = [(2, 2), (1, 4), (1, 5), (1, 3)];
    assert_eq!(spans(&*store, query, RowOrder::SlowestFirst, 3).await, slowest);
    assert_eq!(traces(&*store, query, RowOrder::NewestFirst, 1).await, [(2, 1), (1, 3)]);
    let (rows, _) = rows(&*store, query, Mode::Traces, RowOrder::SlowestFirst, 10).await;
    let SearchRow::Trace(row) = &rows[1] else { panic!("not a trace") };
    assert_eq!(row.matched, [4, 5, 3].map(|number| SpanId([number; 8]).to_string()));
    assert_eq!((row.spans, row.dur_ns), (5, 100 * MS));
}

#[tokio::test]
async fn a_page_that_ends_at_a_bound_says_so_and_goes_on() {
    const TRACES: u32 = 5_100;
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for number in 1..=TRACES {
        let start = START_NS + u64::from(number) * MS;
        // All have both spans; only in the oldest trace is one below the other.
        for (span, name) in [(1u8, "a"), (2, "b")] {
            all.push(Span {
                trace_id: trace_id(number),
                span_id: SpanId([span; 8]),
                parent_span_id: if number == 1 && span == 2 { SpanId([1; 8]) } else { SpanId::INVALID },
                name: name.to_owned(),
                start_time_unix_nano: start,
                end_time_unix_nano: start + 1,
                ..Span::default()
            });
        }
    }
    let store = filled(&dir, &all, all.len()).await;
    let query = "{name:a} >> {name:b}";
    let first = request(query, Mode::Traces, RowOrder::NewestFirst, 10, None);
    let answer = search(&*store, &first, NOW_US).await.unwrap();
    assert_eq!((answer.data.len(), answer.meta.complete, answer.meta.exact), (0, Some(false), false));
    // The bound on traces, unless the machine is so slow that the one on time came first.
    let scanned_until = answer.meta.scanned_until_us.unwrap();
    assert!(scanned_until <= NOW_US && answer.meta.next.clone().flatten().is_some());
    for mode in [Mode::Traces, Mode::Spans] {
        let (found, meta) = rows(&*store, query, mode, RowOrder::NewestFirst, 10).await;
        assert_eq!((found.len(), meta.complete, meta.exact), (1, Some(true), true));
    }
    // A condition that few traces meet leads straight to them.
    let narrow = format!("{{trace:{} name:a}} >> {{name:b}}", trace_id(1));
    let first = request(&narrow, Mode::Traces, RowOrder::NewestFirst, 10, None);
    let answer = search(&*store, &first, NOW_US).await.unwrap();
    assert_eq!((answer.data.len(), answer.meta.complete), (1, Some(true)));
}

/// A condition as it is written, and what it means.
type Condition = (&'static str, fn(&Brief) -> bool);

const CONDITIONS: [Condition; 8] = [
    ("", |_| true),
    ("name:web", |span| span.3 == "web"),
    ("name:/^(db|call)$/", |span| span.3 != "web"),
    ("-name:call", |span| span.3 != "call"),
    ("n:>1", |span| span.6 > Some(1)),
    ("n:*", |span| span.6.is_some()),
    ("is:root OR kind:client", |span| span.2 == 0 || span.3 == "db"),
    ("duration:>=20ms", |span| span.5 >= 20),
];

/// A set of spans, in the plainest form.
#[derive(Debug, Clone)]
enum Plain {
    Matching(usize),
    Related(Box<Plain>, &'static str, usize),
    Joined(&'static str, Box<Plain>, Box<Plain>),
}

impl Plain {
    fn text(&self) -> String {
        match self {
            Self::Matching(condition) => format!("{{{}}}", CONDITIONS[*condition].0),
            Self::Related(left, relation, right) => {
                format!("{} {relation} {{{}}}", left.text(), CONDITIONS[*right].0)
            }
            Self::Joined(operator, left, right) => format!("{} {operator} {}", left.text(), right.text()),
        }
    }

    /// The numbers of the spans of this set, of one trace.
    fn members(&self, trace: &[&Brief]) -> BTreeSet<u8> {
        let holding = |condition: usize| trace.iter().filter(move |span| CONDITIONS[condition].1(span));
        match self {
            Self::Matching(condition) => holding(*condition).map(|span| span.1).collect(),
            Self::Related(left, relation, right) => {
                let left = left.members(trace);
                let is_related = |span: &&&Brief| {
                    trace.iter().any(|other| left.contains(&other.1) && related(trace, other, relation, span))
                };
                holding(*right).filter(is_related).map(|span| span.1).collect()
            }
            Self::Joined(operator, left, right) => {
                let (left, right) = (left.members(trace), right.members(trace));
                if *operator == "&&" && (left.is_empty() || right.is_empty()) {
                    return BTreeSet::new();
                }
                &left | &right
            }
        }
    }
}

fn is_above(trace: &[&Brief], upper: &Brief, lower: &Brief) -> bool {
    let mut at = lower.2;
    while let Some(span) = trace.iter().find(|span| span.1 == at) {
        if span.1 == upper.1 {
            return true;
        }
        at = span.2;
    }
    false
}

fn related(trace: &[&Brief], left: &Brief, relation: &str, right: &Brief) -> bool {
    match relation {
        ">" => right.2 == left.1,
        "<" => left.2 == right.1,
        ">>" => is_above(trace, left, right),
        "<<" => is_above(trace, right, left),
        _ => left.1 != right.1 && left.2 == right.2 && left.2 != 0,
    }
}

/// A function as it is written, and what it says of durations in milliseconds and of spans.
type Function = (&'static str, fn(&[&Brief]) -> bool);

const FUNCTIONS: [Function; 6] = [
    ("", |_| true),
    (" | count() > 1", |spans| spans.len() > 1),
    (" | count(n:*) >= 2", |spans| spans.iter().filter(|span| span.6.is_some()).count() >= 2),
    (" | sum(duration) > 60ms", |spans| spans.iter().map(|span| span.5).sum::<u64>() > 60),
    (" | avg(duration, name:db) < 25ms", |spans| {
        let of: Vec<u64> = spans.iter().filter(|span| span.3 == "db").map(|span| span.5).collect();
        !of.is_empty() && of.iter().sum::<u64>() < 25 * of.len() as u64
    }),
    (" | max(duration) <= 40ms | min(duration) > 5ms", |spans| spans.iter().all(|span| span.5 > 5 && span.5 <= 40)),
];

fn plain() -> impl Strategy<Value = Plain> {
    let condition = 0..CONDITIONS.len();
    let relation = proptest::sample::select(vec![">>", ">", "<<", "<", "~"]);
    let chain = (condition.clone(), proptest::collection::vec((relation, condition), 0..3))
        .prop_map(|(first, others)| {
            others
                .into_iter()
                .fold(Plain::Matching(first), |left, (relation, right)| Plain::Related(Box::new(left), relation, right))
        })
        .boxed();
    let operator = proptest::sample::select(vec!["&&", "||"]);
    prop_oneof![
        4 => chain.clone(),
        1 => (operator, chain.clone(), chain)
            .prop_map(|(operator, left, right)| Plain::Joined(operator, Box::new(left), Box::new(right))),
    ]
}

/// Traces of a few spans each; a parent is an earlier span, none, or one that never came.
fn random_traces() -> impl Strategy<Value = Vec<Brief>> {
    let span = (0..9u8, 0..3usize, 0..300u64, 1..60u64, proptest::option::of(1..4i64));
    let trace = proptest::collection::vec(span, 1..8);
    proptest::collection::vec(trace, 1..6).prop_map(|traces| {
        let mut spans = Vec::new();
        for (trace, of) in (1..).zip(traces) {
            for (number, (parent, name, start, duration, n)) in (1..).zip(of) {
                let parent = if parent == 8 { 99 } else { parent % number };
                spans.push(Brief(trace, number, parent, ["web", "call", "db"][name], start, duration, n));
            }
        }
        spans
    })
}

/// The matching spans by trace and number, in the order asked for.
fn expected(spans: &[Brief], set: &Plain, function: &Function, order: RowOrder) -> Vec<(u8, u8)> {
    let mut found: Vec<&Brief> = Vec::new();
    for trace in 1..10 {
        let of: Vec<&Brief> = spans.iter().filter(|span| span.0 == trace).collect();
        let members = set.members(&of);
        let members: Vec<&Brief> = of.into_iter().filter(|span| members.contains(&span.1)).collect();
        if !members.is_empty() && function.1(&members) {
            found.extend(members);
        }
    }
    found.sort_by_key(|span| {
        let value = match order {
            RowOrder::OldestFirst => span.4.cast_signed(),
            RowOrder::NewestFirst => -span.4.cast_signed(),
            RowOrder::SlowestFirst => -span.5.cast_signed(),
        };
        (value, span.0, span.1)
    });
    found.iter().map(|span| (span.0, span.1)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10))]

    #[test]
    fn random_queries_agree_with_a_plain_evaluation(
        spans in random_traces(),
        queries in proptest::collection::vec((plain(), 0..FUNCTIONS.len(), 1..5u32), 5),
        flush_after in 0..20usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let whole: Vec<Span> = spans.iter().map(Brief::span).collect();
            let store = filled(&dir, &whole, flush_after).await;
            for (set, function, limit) in &queries {
                let function = &FUNCTIONS[*function];
                let query = set.text() + function.0;
                for order in [RowOrder::NewestFirst, RowOrder::OldestFirst, RowOrder::SlowestFirst] {
                    let expect = expected(&spans, set, function, order);
                    let found = self::spans(&*store, &query, order, *limit).await;
                    prop_assert_eq!(&found, &expect, "{} in order {:?}", query, order);
                    let mut counts = traces(&*store, &query, order, *limit).await;
                    counts.sort_unstable();
                    let mut expect_counts: Vec<(u8, u64)> = Vec::new();
                    for trace in expect.iter().map(|(trace, _)| *trace).collect::<BTreeSet<_>>() {
                        let count = expect.iter().filter(|(of, _)| *of == trace).count();
                        expect_counts.push((trace, count as u64));
                    }
                    prop_assert_eq!(&counts, &expect_counts, "traces of {} in order {:?}", query, order);
                }
            }
            Ok(())
        })?;
    }
}
