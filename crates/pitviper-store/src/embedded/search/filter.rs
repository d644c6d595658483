//! Compiles a [`Filter`] to the query engine's expressions. Every expression is true or false, never
//! null, so that `not` means what [`Filter::Not`] says.

use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::Like;
use datafusion::prelude::{col, lit, not};
use datafusion::scalar::ScalarValue;
use pitviper_model::SpanKind;

use super::attribute::{AttributeNumber, AttributeText, ContainsText, MatchesPattern, TextTest};
use super::row_function::call;
use super::slower::SlowerThan;
use crate::filter::{Bound, Filter, NumberField, NumberRange, TextField, TextMatch};

/// The filter as an expression over the columns of `spans`.
pub(super) fn compile(filter: &Filter) -> Expr {
    match filter {
        Filter::All => lit(true),
        Filter::And(filters) => filters.iter().map(compile).reduce(Expr::and).unwrap_or_else(|| lit(true)),
        Filter::Or(filters) => filters.iter().map(compile).reduce(Expr::or).unwrap_or_else(|| lit(false)),
        Filter::Not(filter) => not(compile(filter)),
        Filter::Text(field, wanted) => compile_text(field, wanted),
        Filter::Exists(field) => exists(field),
        Filter::Number(NumberField::DurationNs, range) => duration_in(*range),
        Filter::Number(NumberField::Attribute(key), range) => {
            call(AttributeNumber::new(key.clone(), *range), vec![col("attrs_num")])
        }
        Filter::Kind(kind) => col("kind").eq(lit(*kind as u8)),
        Filter::Status(status) => col("status").eq(lit(*status as u8)),
        Filter::Trace(trace_id) => col("trace_id").eq(id_literal(&trace_id.0)),
        Filter::Traces(trace_ids) => {
            col("trace_id").in_list(trace_ids.iter().map(|trace_id| id_literal(&trace_id.0)).collect(), false)
        }
        Filter::Span(span_id) => col("span_id").eq(id_literal(&span_id.0)),
        Filter::IsRoot => col("is_root").eq(lit(true)),
        Filter::IsEntry => SpanKind::ALL
            .into_iter()
            .filter(|kind| kind.is_entry())
            .map(|kind| col("kind").eq(lit(kind as u8)))
            .reduce(Expr::or)
            .unwrap_or_else(|| lit(false)),
        Filter::SlowerThan(limits) => {
            call(SlowerThan { limits: limits.clone() }, ["service", "name", "duration_ns"].map(col).to_vec())
        }
        Filter::FullText(text) => {
            let columns = ["name", "service", "status_message", "attrs"];
            call(ContainsText::new(text), columns.map(col).to_vec())
        }
    }
}

/// An id as a literal of its column's type.
pub(super) fn id_literal(id: &[u8]) -> Expr {
    let size = i32::try_from(id.len()).expect("ids have 8 or 16 bytes");
    Expr::Literal(ScalarValue::FixedSizeBinary(size, Some(id.to_vec())), None)
}

fn attribute_text(key: &str, test: TextTest) -> Expr {
    call(AttributeText { key: key.to_owned(), test }, vec![col("attrs"), col("resource")])
}

fn fits_nothing_said(wanted: &TextMatch) -> bool {
    match wanted {
        TextMatch::Equals(text) => text.is_empty(),
        TextMatch::Wildcard(pattern) => pattern.bytes().all(|byte| byte == b'*'),
        TextMatch::Regex(_) => false,
    }
}

fn compile_text(field: &TextField, wanted: &TextMatch) -> Expr {
    let column = match field {
        TextField::Service => "service",
        TextField::Name => "name",
        TextField::Environment => "environment",
        TextField::Version => "version",
        TextField::Host => "host",
        TextField::StatusMessage => "status_message",
        TextField::Attribute(key) => {
            let test = match wanted {
                TextMatch::Equals(text) => TextTest::Equals(text.clone()),
                TextMatch::Wildcard(pattern) => TextTest::Wildcard(pattern.clone()),
                TextMatch::Regex(pattern) => TextTest::Regex(pattern.clone()),
            };
            return attribute_text(key, test);
        }
    };
    let compared = match wanted {
        TextMatch::Equals(text) => col(column).eq(lit(text.as_str())),
        TextMatch::Wildcard(pattern) => {
            let pattern = Box::new(lit(like_pattern(pattern)));
            Expr::Like(Like::new(false, Box::new(col(column)), pattern, None, false))
        }
        TextMatch::Regex(pattern) => {
            // What is not there is stored as empty text, which a pattern may fit.
            return exists(field).and(call(MatchesPattern { pattern: pattern.clone() }, vec![col(column)]));
        }
    };
    if *field != TextField::StatusMessage {
        return compared;
    }
    // A message that is not there is an empty one.
    let said = compared.is_true();
    if fits_nothing_said(wanted) { said.or(col(column).is_null()) } else { said }
}

/// A wildcard pattern as one for LIKE, whose own wildcards stand for themselves.
fn like_pattern(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    for character in pattern.chars() {
        match character {
            '*' => out.push('%'),
            '%' | '_' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

fn exists(field: &TextField) -> Expr {
    match field {
        TextField::Service | TextField::Name => lit(true),
        TextField::StatusMessage => col("status_message").is_not_null(),
        TextField::Attribute(key) => attribute_text(key, TextTest::Exists),
        TextField::Environment => col("environment").not_eq(lit("")),
        TextField::Version => col("version").not_eq(lit("")),
        TextField::Host => col("host").not_eq(lit("")),
    }
}

fn duration_in(range: NumberRange) -> Expr {
    let mut condition = lit(true);
    if let Some(low) = range.low {
        condition = condition.and(at_least(low).map_or_else(|| lit(false), |low| col("duration_ns").gt_eq(lit(low))));
    }
    if let Some(high) = range.high {
        condition = condition.and(at_most(high).map_or_else(|| lit(false), |high| col("duration_ns").lt_eq(lit(high))));
    }
    condition
}

/// The least whole number in the range; `None` when there is none.
fn at_least(low: Bound) -> Option<i64> {
    let least = if low.inclusive { low.value.ceil() } else { low.value.floor() + 1.0 };
    // The cast saturates; a bound beyond all durations leaves none.
    (least <= i64::MAX as f64).then_some(least as i64)
}

/// The greatest whole number in the range; `None` when there is none.
fn at_most(high: Bound) -> Option<i64> {
    let greatest = if high.inclusive { high.value.floor() } else { high.value.ceil() - 1.0 };
    (greatest >= i64::MIN as f64).then_some(greatest as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_become_whole_numbers() {
        let bound = |value, inclusive| Bound { value, inclusive };
        assert_eq!(at_least(bound(10.0, true)), Some(10));
        assert_eq!(at_least(bound(10.0, false)), Some(11));
        assert_eq!(at_least(bound(10.5, true)), Some(11));
        assert_eq!(at_least(bound(10.5, false)), Some(11));
        assert_eq!(at_most(bound(10.0, true)), Some(10));
        assert_eq!(at_most(bound(10.0, false)), Some(9));
        assert_eq!(at_most(bound(10.5, false)), Some(10));
        assert_eq!(at_least(bound(f64::NAN, true)), None);
        assert_eq!(at_most(bound(f64::NAN, true)), None);
        assert_eq!(at_most(bound(f64::INFINITY, true)), Some(i64::MAX));
    }

    #[test]
    fn only_the_star_is_a_wildcard() {
        assert_eq!(like_pattern("GET /*_%\\"), "GET /%\\_\\%\\\\");
    }
}
