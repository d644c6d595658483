//! Conditions of statements beside what a search says of the same: with SQL's third answer where a
//! column is NULL.

use pitviper_model::{SpanKind, StatusCode, TraceId};
use pitviper_store::StoredSpan;
use pitviper_store::conformance::holds;
use pitviper_store::filter::{Bound, Filter, NumberField, NumberRange, TextField, TextMatch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::generate::{span_id, time, trace_id};

/// A condition that can be written and judged.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// The condition of a search in SQL; NULL where the field is not there.
    Filter {
        sql: String,
        filter: Filter,
        field: Option<TextField>,
    },
    /// An attribute of the span itself, by key, is this.
    Attribute(String, String),
    /// The start in nanoseconds compares so.
    Time(&'static str, i64),
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Condition {
    pub(crate) fn sql(&self) -> String {
        let joined = |parts: &[Self], word: &str, none: &str| {
            let parts: Vec<String> = parts.iter().map(Self::sql).collect();
            if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(word)) }
        };
        match self {
            Self::Filter { sql, .. } => sql.clone(),
            Self::Attribute(key, text) => format!("attr(attributes, {}) = {}", quoted(key), quoted(text)),
            Self::Time(op, time) => format!("time {op} to_timestamp_nanos({time})"),
            Self::And(parts) => joined(parts, " AND ", "true"),
            Self::Or(parts) => joined(parts, " OR ", "false"),
            Self::Not(part) => format!("NOT ({})", part.sql()),
        }
    }

    /// True, false, or NULL.
    pub(crate) fn judge(&self, stored: &StoredSpan) -> Option<bool> {
        match self {
            Self::Filter { filter, field, .. } => {
                let is_there = field.clone().is_none_or(|field| holds(&Filter::Exists(field), stored));
                is_there.then(|| holds(filter, stored))
            }
            Self::Attribute(key, text) => stored.span.attributes.get(key).map(|value| value.to_text() == *text),
            Self::Time(op, time) => {
                let start = i64::try_from(stored.span.start_time_unix_nano).unwrap_or(i64::MAX);
                Some(match *op {
                    "<" => start < *time,
                    "<=" => start <= *time,
                    ">" => start > *time,
                    ">=" => start >= *time,
                    _ => start == *time,
                })
            }
            Self::And(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part.judge(stored)).collect();
                if parts.contains(&Some(false)) { Some(false) } else { (!parts.contains(&None)).then_some(true) }
            }
            Self::Or(parts) => {
                let parts: Vec<_> = parts.iter().map(|part| part.judge(stored)).collect();
                if parts.contains(&Some(true)) { Some(true) } else { (!parts.contains(&None)).then_some(false) }
            }
            Self::Not(part) => part.judge(stored).map(|holds| !holds),
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let known =
        ["", "a", "A", "aa", "b", "ab", "GET /x", "GET /y", "a\nb", "ü", "Ü", "über", "200", "it's", "\"q\"", "*"];
    select(known.to_vec()).prop_map(str::to_owned)
}

fn always(sql: String, filter: Filter) -> Condition {
    Condition::Filter { sql, filter, field: None }
}

fn texts() -> impl Strategy<Value = Condition> {
    use TextField::{Environment, Host, Name, Service, StatusMessage, Version};
    let column = select(vec![
        ("service", Service),
        ("name", Name),
        ("environment", Environment),
        ("version", Version),
        ("host", Host),
        ("status_message", StatusMessage),
    ]);
    let pattern = vec(prop_oneof![2 => Just("%".to_owned()), 3 => text()], 0..4).prop_map(|parts| parts.concat());
    let wanted = prop_oneof![
        3 => text().prop_map(|text| (format!("= {}", quoted(&text)), TextMatch::Equals(text))),
        // A star is itself in one and not in the other.
        2 => pattern.prop_filter("no star", |pattern| !pattern.contains('*')).prop_map(|pattern| {
            (format!("LIKE {}", quoted(&pattern)), TextMatch::Wildcard(pattern.replace('%', "*")))
        }),
    ];
    (column, wanted).prop_map(|((column, field), (sql, wanted))| {
        let nullable = !matches!(field, Service | Name);
        Condition::Filter {
            sql: format!("{column} {sql}"),
            filter: Filter::Text(field.clone(), wanted),
            field: nullable.then_some(field),
        }
    })
}

fn numbers() -> impl Strategy<Value = Condition> {
    let value = select(vec![0i64, 1, 10_000_000, 20_000_000, 1_000_000_000, -1, 1 << 60, 1 << 62, i64::MAX]);
    (select(vec!["<", "<=", ">", ">=", "="]), value, any::<bool>()).prop_map(|(op, number, is_turned)| {
        let bound = |inclusive| Some(Bound { value: number as f64, inclusive });
        let (low, high) = match op {
            "<" => (None, bound(false)),
            "<=" => (None, bound(true)),
            ">" => (bound(false), None),
            ">=" => (bound(true), None),
            _ => (bound(true), bound(true)),
        };
        let turned = match op {
            "<" => ">",
            "<=" => ">=",
            ">" => "<",
            ">=" => "<=",
            same => same,
        };
        let sql =
            if is_turned { format!("{number} {turned} duration_ns") } else { format!("duration_ns {op} {number}") };
        // The greatest number is not a float; the nearest one is beyond all durations.
        let filter = match (number, op) {
            (i64::MAX, "<" | "=" | ">=") => {
                let is_greatest = Filter::Number(
                    NumberField::DurationNs,
                    NumberRange { low: Some(Bound { value: (i64::MAX - 1024) as f64, inclusive: false }), high: None },
                );
                if op == "<" { Filter::Not(Box::new(is_greatest)) } else { is_greatest }
            }
            (i64::MAX, "<=") => Filter::All,
            (i64::MAX, _) => Filter::Or(Vec::new()),
            _ => Filter::Number(NumberField::DurationNs, NumberRange { low, high }),
        };
        always(sql, filter)
    })
}

fn words() -> impl Strategy<Value = Condition> {
    let traces = vec((1..17u8).prop_map(trace_id), 1..5);
    let list = |traces: &[TraceId]| traces.iter().map(|trace| format!("'{trace}'")).collect::<Vec<_>>().join(", ");
    let statuses = vec![StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    prop_oneof![
        select(SpanKind::ALL.to_vec())
            .prop_map(|kind| always(format!("kind = '{}'", kind.as_str()), Filter::Kind(kind))),
        select(SpanKind::ALL.to_vec()).prop_map(|kind| {
            always(format!("kind <> '{}'", kind.as_str()), Filter::Not(Box::new(Filter::Kind(kind))))
        }),
        select(statuses).prop_map(|status| always(format!("status = '{}'", status.as_str()), Filter::Status(status))),
        Just(always("is_root".to_owned(), Filter::IsRoot)),
        Just(always("is_entry".to_owned(), Filter::IsEntry)),
        Just(always("is_error = true".to_owned(), Filter::Status(StatusCode::Error))),
        Just(always("host IS NULL".to_owned(), Filter::Not(Box::new(Filter::Exists(TextField::Host))))),
        (1..17u8).prop_map(|number| {
            let trace = trace_id(number);
            always(format!("trace_id = '{trace}'"), Filter::Trace(trace))
        }),
        traces.prop_map(move |traces| always(format!("trace_id IN ({})", list(&traces)), Filter::Traces(traces))),
        (1..30u8).prop_map(|number| {
            let span = span_id(number);
            always(format!("span_id = '{span}'"), Filter::Span(span))
        }),
    ]
}

pub(crate) fn condition() -> impl Strategy<Value = Condition> {
    let key = select(vec!["k", "n", "team", "größe", ""]).prop_map(str::to_owned);
    let op = select(vec!["<", "<=", ">", ">=", "="]);
    let leaf = prop_oneof![
        4 => texts(),
        2 => numbers(),
        4 => words(),
        2 => (key, text()).prop_map(|(key, text)| Condition::Attribute(key, text)),
        2 => (op, time()).prop_map(|(op, time)| Condition::Time(op, time)),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Condition::And),
            vec(inner.clone(), 0..4).prop_map(Condition::Or),
            inner.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    })
}
