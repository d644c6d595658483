//! What of a statement's conditions the scan can use to read less. The engine asks all conditions
//! again, so rows too many do no harm here, and none may be missing.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use pitviper_model::{SpanKind, StatusCode, TraceId};

use super::functions::ATTR;
use crate::filter::{Bound, Filter, NumberField, NumberRange, TextField, TextMatch};
use crate::store::TimeRange;

/// Numbers beyond this are not all numbers of a [`Bound`].
const MAX_EXACT: i64 = 1 << 53;

/// What of the conditions, all of which hold, can be used.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pushdown {
    pub(super) range: TimeRange,
    pub(super) filter: Filter,
}

impl Pushdown {
    pub(super) fn of(range: TimeRange, conditions: &[Expr]) -> Self {
        let mut pushdown = Self { range, filter: Filter::All };
        let mut filters = Vec::new();
        let mut parts: Vec<&Expr> = conditions.iter().collect();
        while let Some(part) = parts.pop() {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = part {
                parts.extend([&**left, &**right]);
            } else if !pushdown.narrow(part) {
                filters.extend(filter(part));
            }
        }
        if !filters.is_empty() {
            pushdown.filter = Filter::And(filters);
        }
        pushdown
    }

    /// Whether the condition is on the time, and then the range is narrowed.
    fn narrow(&mut self, condition: &Expr) -> bool {
        let Some((column, op, value)) = comparison(condition) else { return false };
        let (Some("time"), ScalarValue::TimestampNanosecond(Some(time), _)) = (name_of(column), value) else {
            return false;
        };
        let after = time.saturating_add(1);
        let (start, end) = match op {
            Operator::Eq => (*time, after),
            Operator::Gt => (after, i64::MAX),
            Operator::GtEq => (*time, i64::MAX),
            Operator::Lt => (i64::MIN, *time),
            Operator::LtEq => (i64::MIN, after),
            _ => return false,
        };
        // Nothing starts at the last nanosecond there is.
        self.range.start_ns = self.range.start_ns.max(start);
        self.range.end_ns = self.range.end_ns.min(end);
        true
    }
}

/// Whether anything of a condition can be used.
pub(super) fn is_useful(condition: &Expr) -> bool {
    let all = Pushdown { range: TimeRange::ALL, filter: Filter::All };
    Pushdown::of(TimeRange::ALL, std::slice::from_ref(condition)) != all
}

/// A filter that passes every row of which the condition is true.
fn filter(condition: &Expr) -> Option<Filter> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => match (filter(left), filter(right)) {
            (Some(left), Some(right)) => Some(Filter::And(vec![left, right])),
            (one, other) => one.or(other),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(Filter::Or(vec![filter(left)?, filter(right)?]))
        }
        Expr::BinaryExpr(_) => {
            let (side, op, value) = comparison(condition)?;
            compare(side, op, value)
        }
        Expr::InList(list) if !list.negated => {
            let values = list.list.iter().map(|item| match item {
                Expr::Literal(value, _) => compare(&list.expr, Operator::Eq, value),
                _ => None,
            });
            let filters = values.collect::<Option<Vec<_>>>()?;
            let traces: Vec<TraceId> = filters
                .iter()
                .filter_map(|filter| match filter {
                    Filter::Trace(trace) => Some(*trace),
                    _ => None,
                })
                .collect();
            Some(if traces.len() == filters.len() { Filter::Traces(traces) } else { Filter::Or(filters) })
        }
        Expr::Like(like) if !like.negated && !like.case_insensitive && like.escape_char.is_none() => {
            let (field, Expr::Literal(pattern, _)) = (text_field(&like.expr)?, &*like.pattern) else { return None };
            let pattern = pattern.try_as_str()??;
            let is_plain = !pattern.contains(['_', '\\', '*']);
            is_plain.then(|| Filter::Text(field, TextMatch::Wildcard(pattern.replace('%', "*"))))
        }
        Expr::Not(inner) => match flag(inner)? {
            (filter, true) => Some(Filter::Not(Box::new(filter))),
            _ => None,
        },
        other => flag(other).map(|(filter, _)| filter),
    }
}

/// The filter of a column that is true or false, and whether it is exactly that.
fn flag(condition: &Expr) -> Option<(Filter, bool)> {
    match name_of(condition)? {
        "is_root" => Some((Filter::IsRoot, true)),
        "is_entry" => Some((Filter::IsEntry, true)),
        "is_error" => Some((Filter::Status(StatusCode::Error), true)),
        _ => None,
    }
}

/// What is compared with a constant.
fn comparison(condition: &Expr) -> Option<(&Expr, Operator, &ScalarValue)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    match (&**left, &**right) {
        (side, Expr::Literal(value, _)) => Some((side, *op, value)),
        (Expr::Literal(value, _), side) => Some((side, op.swap()?, value)),
        _ => None,
    }
}

fn compare(side: &Expr, op: Operator, value: &ScalarValue) -> Option<Filter> {
    if name_of(side) == Some("duration_ns") {
        return duration(op, value);
    }
    let text = value.try_as_str()??;
    let equals = match name_of(side) {
        Some("trace_id") => id(text).map(Filter::Trace).unwrap_or(NONE),
        Some("span_id") => id(text).map(Filter::Span).unwrap_or(NONE),
        Some("kind") => SpanKind::ALL.into_iter().find(|kind| kind.as_str() == text).map(Filter::Kind).unwrap_or(NONE),
        Some("status") => [StatusCode::Unset, StatusCode::Ok, StatusCode::Error]
            .into_iter()
            .find(|status| status.as_str() == text)
            .map(Filter::Status)
            .unwrap_or(NONE),
        _ => Filter::Text(text_field(side)?, TextMatch::Equals(text.to_owned())),
    };
    match op {
        Operator::Eq => Some(equals),
        // Of an attribute the filter also asks the process, so what it rules out is not known.
        Operator::NotEq if !matches!(equals, Filter::Text(TextField::Attribute(_), _)) => {
            Some(Filter::Not(Box::new(equals)))
        }
        _ => None,
    }
}

/// Nothing passes.
const NONE: Filter = Filter::Or(Vec::new());

/// An id in the digits in which the view shows it.
fn id<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|id| id.to_string() == text)
}

fn duration(op: Operator, value: &ScalarValue) -> Option<Filter> {
    let ScalarValue::Int64(Some(value)) = value else { return None };
    if value.unsigned_abs() > MAX_EXACT.unsigned_abs() {
        return None;
    }
    let bound = |inclusive| Some(Bound { value: *value as f64, inclusive });
    let (low, high) = match op {
        Operator::Eq => (bound(true), bound(true)),
        Operator::Gt => (bound(false), None),
        Operator::GtEq => (bound(true), None),
        Operator::Lt => (None, bound(false)),
        Operator::LtEq => (None, bound(true)),
        _ => return None,
    };
    Some(Filter::Number(NumberField::DurationNs, NumberRange { low, high }))
}

/// The text field that a side of a comparison is.
fn text_field(side: &Expr) -> Option<TextField> {
    match name_of(side) {
        Some("service") => return Some(TextField::Service),
        Some("name") => return Some(TextField::Name),
        Some("environment") => return Some(TextField::Environment),
        Some("version") => return Some(TextField::Version),
        Some("host") => return Some(TextField::Host),
        Some("status_message") => return Some(TextField::StatusMessage),
        _ => {}
    }
    let Expr::ScalarFunction(call) = side else { return None };
    match call.args.as_slice() {
        [map, Expr::Literal(key, _)] if call.name() == ATTR && name_of(map) == Some("attributes") => {
            Some(TextField::Attribute(key.try_as_str()??.to_owned()))
        }
        _ => None,
    }
}

fn name_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(&column.name),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    fn pushed(condition: Expr) -> Filter {
        Pushdown::of(TimeRange::ALL, &[condition]).filter
    }

    #[test]
    fn conditions_on_the_time_narrow_the_range() {
        let time = |time: i64| lit(ScalarValue::TimestampNanosecond(Some(time), None));
        let range = TimeRange { start_ns: 10, end_ns: 100 };
        let narrowed = |condition: Expr| {
            let pushdown = Pushdown::of(range, &[condition]);
            assert_eq!(pushdown.filter, Filter::All);
            (pushdown.range.start_ns, pushdown.range.end_ns)
        };
        assert_eq!(narrowed(col("time").gt(time(20))), (21, 100));
        assert_eq!(narrowed(col("time").gt_eq(time(20)).and(col("time").lt(time(30)))), (20, 30));
        assert_eq!(narrowed(time(30).gt_eq(col("time"))), (10, 31));
        assert_eq!(narrowed(col("time").eq(time(20))), (20, 21));
        assert_eq!(narrowed(col("time").lt(time(500))), (10, 100));
        assert_eq!(narrowed(col("time").not_eq(time(20))), (10, 100));
    }

    #[test]
    fn what_only_sometimes_helps_is_left_out_of_an_or() {
        let known = || col("service").eq(lit("a"));
        let unknown = || col("event_count").gt(lit(1i64));
        let service = Filter::Text(TextField::Service, TextMatch::Equals("a".to_owned()));
        assert_eq!(pushed(known().and(unknown())), Filter::And(vec![service.clone()]));
        assert_eq!(pushed(known().or(unknown())), Filter::All);
        let either = Filter::Or(vec![service.clone(), Filter::And(vec![service])]);
        assert!(is_useful(&known().or(known().and(known()))));
        assert_ne!(pushed(known().or(known().and(unknown()))), Filter::And(vec![either.clone()]));
    }

    #[test]
    fn ids_and_words_that_no_row_has_leave_nothing() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        assert_eq!(pushed(col("trace_id").eq(lit(trace))), Filter::And(vec![Filter::Trace(trace.parse().unwrap())]));
        assert_eq!(pushed(col("trace_id").eq(lit(trace.to_uppercase()))), Filter::And(vec![NONE]));
        assert_eq!(pushed(col("status").eq(lit("failed"))), Filter::And(vec![NONE]));
        assert_eq!(pushed(col("kind").eq(lit("server"))), Filter::And(vec![Filter::Kind(SpanKind::Server)]));
    }

    #[test]
    fn numbers_that_a_bound_cannot_say_are_left_to_the_engine() {
        assert_eq!(pushed(col("duration_ns").gt(lit(i64::MAX))), Filter::All);
        assert!(is_useful(&col("duration_ns").gt(lit(5i64))));
    }
}
