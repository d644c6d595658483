//! Random trees of spans, and random queries about what they have.

use std::sync::Arc;

use pitviper_model::{Attributes, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value};
use pitviper_query::search::{
    Aggregate, Comparison, Expr, Field, Matcher, Measured, Number, Pipe, Query, Relation, SpanSet, Text,
};
use pitviper_query::views::search::RowOrder;
use pitviper_store::StoredSpan;
use pitviper_store::filter::Pattern;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::Asked;

pub(crate) const START_NS: u64 = 1_795_224_000_000_000_000;
const MS: u64 = 1_000_000;

fn text() -> impl Strategy<Value = String> {
    select(vec!["web", "call", "db", "Web", "GET /x", "größe", "/a/", "a\nb", "x{y}", "404", "500"])
        .prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(Value::String),
        select(vec![0, 1, 2, 404, 500]).prop_map(Value::Int),
        select(vec![0.5, 1.0, -2.5]).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
    ]
}

fn key() -> impl Strategy<Value = String> {
    select(vec!["n", "k", "http.response.status_code", "service", "odd key", "größe"]).prop_map(str::to_owned)
}

fn attributes() -> impl Strategy<Value = Attributes> {
    vec((key(), value()), 0..4).prop_map(Attributes)
}

fn resource() -> impl Strategy<Value = Arc<Resource>> {
    let key = select(vec!["service.name", "service.version", "deployment.environment.name", "host.name", "k"]);
    vec((key, text()), 0..4)
        .prop_map(|pairs| Arc::new(Resource { attributes: pairs.into_iter().collect(), ..Resource::default() }))
}

fn status() -> impl Strategy<Value = Status> {
    (select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]), prop_oneof![Just(String::new()), text()])
        .prop_map(|(code, message)| Status { code, message })
}

fn trace_id(number: u8) -> TraceId {
    TraceId([number; 16])
}

/// Traces of a few spans each. A parent is any span of the trace, so some run in circles; or none; or
/// one that never came.
pub(crate) fn spans() -> impl Strategy<Value = Vec<StoredSpan>> {
    let times = (0..40u64, select(vec![0, 1, 10, 10, 20, 100]));
    let span = (0..12u8, text(), select(SpanKind::ALL.to_vec()), times, attributes(), status(), resource());
    vec(vec(span, 1..8), 0..5).prop_map(|traces| {
        let mut spans = Vec::new();
        for (trace, of) in (1..).zip(traces) {
            let count = of.len() as u8;
            for (number, (parent, name, kind, (start, duration), attributes, status, resource)) in (1..).zip(of) {
                let parent = if parent > 9 { 99 } else { parent % (count + 1) };
                let start = START_NS + start * 5 * MS;
                let span = Span {
                    trace_id: trace_id(trace),
                    span_id: SpanId([number; 8]),
                    parent_span_id: SpanId([parent; 8]),
                    name,
                    kind,
                    start_time_unix_nano: start,
                    end_time_unix_nano: start + duration * MS,
                    attributes,
                    status,
                    ..Span::default()
                };
                spans.push(StoredSpan { span, resource, scope: Arc::new(Scope::default()) });
            }
        }
        spans
    })
}

fn number() -> impl Strategy<Value = Number> {
    select(vec![-2.5, -1.0, 0.0, 0.5, 1.0, 2.0, 404.0, 499.5, 500.0]).prop_map(Number)
}

fn duration() -> impl Strategy<Value = Number> {
    select(vec![0.0, 1.0, 1e6, 1e7, 1.5e7, 2e7, 1e8, 3.6e12]).prop_map(Number)
}

fn comparison() -> impl Strategy<Value = Comparison> {
    select(vec![Comparison::Greater, Comparison::GreaterOrEqual, Comparison::Less, Comparison::LessOrEqual])
}

fn comparing(number: BoxedStrategy<Number>) -> impl Strategy<Value = Matcher> {
    let range = (proptest::option::of(number.clone()), proptest::option::of(number.clone()));
    prop_oneof![
        (comparison(), number).prop_map(|(comparison, number)| Matcher::Compare(comparison, number)),
        range.prop_map(|(low, high)| match (low, high) {
            (Some(low), Some(high)) if low.0 > high.0 => Matcher::Range(Some(high), Some(low)),
            (low, high) => Matcher::Range(low, high),
        }),
    ]
}

fn text_matcher() -> impl Strategy<Value = Matcher> {
    let pattern = select(vec!["^web$", "(?i)WEB", "b", "^.{3}$", "^(call|db)", "\\d{3}", "/", "^[^w]*$"]);
    let wildcard = select(vec!["w*", "*b", "*e*", "G*x", "*\n*", "4*", "*{*}", "**d**"]);
    prop_oneof![
        Just(Matcher::Exists),
        text().prop_map(|text| Matcher::Text(Text::Literal(text))),
        wildcard.prop_map(|text| Matcher::Text(Text::Wildcard(text.to_owned()))),
        pattern.prop_map(|text| Matcher::Text(Text::Regex(Pattern::new(text).unwrap()))),
    ]
}

/// A term, or what is asked of a trace's root.
fn leaf() -> impl Strategy<Value = Expr> {
    let of_root = term().prop_filter("the root is asked for fields", |term| {
        matches!(term, Expr::Field(..) | Expr::Kind(_) | Expr::Status(_))
    });
    prop_oneof![12 => term(), 1 => of_root.prop_map(|term| Expr::Root(Box::new(term)))]
}

fn term() -> impl Strategy<Value = Expr> {
    let field = select(vec![Field::Service, Field::Name, Field::Environment, Field::Version, Field::Host]);
    let word = select(vec!["WEB", "a", "größe", "GRÖSSE", "/x", "4", "nothing"]);
    prop_oneof![
        2 => word.prop_map(|word| Expr::Word(word.to_owned())),
        4 => (field, text_matcher()).prop_map(|(field, matcher)| Expr::Field(field, matcher)),
        4 => (key(), text_matcher()).prop_map(|(key, matcher)| Expr::Field(Field::Attribute(key), matcher)),
        2 => (key(), comparing(number().boxed())).prop_map(|(key, matcher)| Expr::Field(Field::Attribute(key), matcher)),
        2 => comparing(duration().boxed()).prop_map(|matcher| Expr::Field(Field::Duration, matcher)),
        1 => (1..6u8).prop_map(|class| {
            Expr::Field(Field::Attribute("http.response.status_code".to_owned()), Matcher::StatusClass(class))
        }),
        1 => select(SpanKind::ALL.to_vec()).prop_map(Expr::Kind),
        1 => select(vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error]).prop_map(Expr::Status),
        1 => (1..6u8).prop_map(|trace| Expr::Trace(trace_id(trace))),
        1 => (1..9u8).prop_map(|span| Expr::Span(SpanId([span; 8]))),
        2 => select(vec![Expr::IsRoot, Expr::IsEntry, Expr::Always]),
    ]
}

/// Flat, as the parser makes them.
fn expr() -> impl Strategy<Value = Expr> {
    leaf().prop_recursive(3, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(|parts| {
                Expr::And(
                    parts
                        .into_iter()
                        .flat_map(|part| if let Expr::And(inner) = part { inner } else { vec![part] })
                        .collect(),
                )
            }),
            vec(inner.clone(), 2..4).prop_map(|parts| {
                Expr::Or(
                    parts
                        .into_iter()
                        .flat_map(|part| if let Expr::Or(inner) = part { inner } else { vec![part] })
                        .collect(),
                )
            }),
            inner.prop_map(|inner| if let Expr::Not(inner) = inner { *inner } else { Expr::Not(Box::new(inner)) }),
        ]
    })
}

fn condition() -> BoxedStrategy<Option<Expr>> {
    prop_oneof![1 => Just(None), 2 => leaf().prop_map(Some), 2 => expr().prop_map(Some)].boxed()
}

fn span_set() -> impl Strategy<Value = SpanSet> {
    let chain = (condition(), vec((select(Relation::ALL.to_vec()), condition()), 0..3)).prop_map(|(first, others)| {
        let related = |left, (relation, right)| SpanSet::Related(Box::new(left), relation, right);
        others.into_iter().fold(SpanSet::Matching(first), related)
    });
    let chain = chain.boxed();
    let all = prop_oneof![4 => chain.clone(), 1 => vec(chain, 2..3).prop_map(SpanSet::All)].boxed();
    prop_oneof![4 => all.clone(), 1 => vec(all, 2..3).prop_map(SpanSet::Any)]
        .prop_filter("a query has a bounded number of conditions", |set| set.conditions().len() <= 8)
}

fn pipe() -> impl Strategy<Value = Pipe> {
    let count = (condition(), select(Comparison::ALL.to_vec()), (0..5u8).prop_map(|count| Number(count.into())));
    let aggregate = select(vec![Aggregate::Sum, Aggregate::Average, Aggregate::Longest, Aggregate::Shortest]);
    let aggregate = aggregate.boxed();
    let of_durations = (aggregate.clone(), condition(), comparison(), duration());
    let of_numbers = (aggregate, condition(), comparison(), number(), key());
    prop_oneof![
        count.prop_map(|(of, comparison, value)| Pipe {
            aggregate: Aggregate::Count,
            of,
            comparison,
            value,
            measured: Measured::Duration,
        }),
        of_durations.prop_map(|(aggregate, of, comparison, value)| Pipe {
            aggregate,
            of,
            comparison,
            value,
            measured: Measured::Duration,
        }),
        of_numbers.prop_map(|(aggregate, of, comparison, value, key)| Pipe {
            aggregate,
            of,
            comparison,
            value,
            measured: Measured::Attribute(key),
        }),
    ]
}

pub(crate) fn asked() -> impl Strategy<Value = Asked> {
    let pipes = prop_oneof![2 => Just(Vec::new()), 1 => vec(pipe(), 1..3)];
    let query = (span_set(), pipes)
        .prop_map(|(spans, pipes)| Query { spans, pipes })
        .prop_filter("a query has a bounded number of patterns", |query| Query::parse(&query.to_string()).is_ok());
    let order = select(vec![RowOrder::NewestFirst, RowOrder::OldestFirst, RowOrder::SlowestFirst]);
    let limit = select(vec![1, 2, 3, 100]);
    let end_ms = prop_oneof![3 => Just(1_000u64), 1 => 1..200u64];
    (query, order, limit, end_ms).prop_map(|(query, order, limit, end_ms)| Asked { query, order, limit, end_ms })
}
