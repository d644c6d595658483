//! What a query means, in the plainest form of what the guide to the search language says: one span at
//! a time, and for each span all others of its trace.

use std::collections::BTreeSet;

use pitviper_model::{SpanId, SpanKind, TraceId, Value};
use pitviper_query::search::{
    Aggregate, Comparison, Expr, Field, Matcher, Measured, Number, Pipe, Query, Relation, SpanSet, Text,
};
use pitviper_query::views::search::RowOrder;
use pitviper_store::StoredSpan;

/// Spans that started before this time, in nanoseconds since the epoch, are searched.
pub(crate) struct Naive<'a> {
    pub(crate) spans: &'a [StoredSpan],
    pub(crate) end_ns: u64,
}

/// The spans a query finds in a trace, by id.
type Members = BTreeSet<SpanId>;

impl Naive<'_> {
    /// The spans that a query finds, in order.
    pub(crate) fn spans(&self, query: &Query, order: RowOrder) -> Vec<(TraceId, SpanId)> {
        let mut found: Vec<&StoredSpan> = Vec::new();
        for trace_id in self.trace_ids() {
            let members = self.of_trace(query, trace_id);
            found.extend(self.trace(trace_id).into_iter().filter(|stored| members.contains(&stored.span.span_id)));
        }
        found.sort_by_key(|stored| key(order, stored));
        found.iter().map(|stored| (stored.span.trace_id, stored.span.span_id)).collect()
    }

    /// The traces that a query finds, each with how many spans match and the first three, in the order
    /// of their spans that match the condition on the right end.
    pub(crate) fn traces(&self, query: &Query, order: RowOrder) -> Vec<(TraceId, usize, Vec<SpanId>)> {
        let mut rows = Vec::new();
        for trace_id in self.trace_ids() {
            let members = self.of_trace(query, trace_id);
            let trace = self.trace(trace_id);
            let best = trace
                .iter()
                .filter(|stored| self.may_be_member(&query.spans, stored))
                .map(|stored| key(order, stored).0);
            let Some(best) = best.min().filter(|_| !members.is_empty()) else { continue };
            let mut found: Vec<_> = trace.iter().filter(|stored| members.contains(&stored.span.span_id)).collect();
            found.sort_by_key(|stored| key(order, stored));
            let first = found.iter().take(3).map(|stored| stored.span.span_id).collect();
            rows.push(((best, trace_id), (trace_id, members.len(), first)));
        }
        rows.sort_by_key(|(place, _)| *place);
        rows.into_iter().map(|(_, row)| row).collect()
    }

    fn trace_ids(&self) -> BTreeSet<TraceId> {
        self.spans.iter().map(|stored| stored.span.trace_id).collect()
    }

    fn trace(&self, trace_id: TraceId) -> Vec<&StoredSpan> {
        self.spans.iter().filter(|stored| stored.span.trace_id == trace_id).collect()
    }

    /// The query's spans of a trace; none when a function of them does not hold.
    fn of_trace(&self, query: &Query, trace_id: TraceId) -> Members {
        let trace = self.trace(trace_id);
        let members = self.members(&query.spans, &trace);
        let found = || trace.iter().copied().filter(|stored| members.contains(&stored.span.span_id));
        if query.pipes.iter().all(|pipe| self.passes(pipe, found())) { members } else { Members::new() }
    }

    fn members(&self, set: &SpanSet, trace: &[&StoredSpan]) -> Members {
        let matching = |condition: &Option<Expr>| {
            let spans = trace.iter().copied().filter(|stored| self.matches(condition.as_ref(), stored));
            spans.collect::<Vec<_>>()
        };
        match set {
            SpanSet::Matching(condition) => matching(condition).iter().map(|stored| stored.span.span_id).collect(),
            SpanSet::Related(left, relation, condition) => {
                let left = self.members(left, trace);
                let is_related = |right: &&StoredSpan| {
                    let mut lefts = trace.iter().filter(|stored| left.contains(&stored.span.span_id));
                    lefts.any(|left| are_related(trace, left, *relation, right))
                };
                matching(condition).into_iter().filter(is_related).map(|stored| stored.span.span_id).collect()
            }
            SpanSet::All(parts) | SpanSet::Any(parts) => {
                let parts: Vec<Members> = parts.iter().map(|part| self.members(part, trace)).collect();
                if matches!(set, SpanSet::All(_)) && parts.iter().any(BTreeSet::is_empty) {
                    return Members::new();
                }
                parts.into_iter().flatten().collect()
            }
        }
    }

    /// Whether the condition on a right end may hold, whatever the roots are like.
    fn may_be_member(&self, set: &SpanSet, stored: &StoredSpan) -> bool {
        match set {
            SpanSet::Matching(condition) | SpanSet::Related(_, _, condition) => {
                stored.span.start_time_unix_nano < self.end_ns
                    && condition.as_ref().is_none_or(|condition| self.holds_if(condition, stored, Some(true)))
            }
            SpanSet::All(parts) | SpanSet::Any(parts) => parts.iter().any(|part| self.may_be_member(part, stored)),
        }
    }

    fn matches(&self, condition: Option<&Expr>, stored: &StoredSpan) -> bool {
        stored.span.start_time_unix_nano < self.end_ns
            && condition.is_none_or(|condition| self.holds(condition, stored))
    }

    fn holds(&self, expr: &Expr, stored: &StoredSpan) -> bool {
        self.holds_if(expr, stored, None)
    }

    /// Whether the condition holds if what it asks of roots is so.
    fn holds_if(&self, expr: &Expr, stored: &StoredSpan, roots: Option<bool>) -> bool {
        let span = &stored.span;
        match expr {
            Expr::And(parts) => parts.iter().all(|part| self.holds_if(part, stored, roots)),
            Expr::Or(parts) => parts.iter().any(|part| self.holds_if(part, stored, roots)),
            Expr::Not(inner) => !self.holds_if(inner, stored, roots.map(|is| !is)),
            Expr::Word(word) => {
                let stands_in = |text: &str| text.to_lowercase().contains(&word.to_lowercase());
                stands_in(&span.name)
                    || stands_in(stored.resource.service())
                    || stands_in(&span.status.message)
                    || span.attributes.iter().any(|(_, value)| stands_in(&value.to_text()))
            }
            Expr::Field(Field::Duration, matcher) => number_holds(span.duration_nano() as f64, matcher),
            Expr::Field(Field::Attribute(key), matcher @ (Matcher::Compare(..) | Matcher::Range(..))) => {
                span.attributes.get(key).and_then(Value::as_f64).is_some_and(|number| number_holds(number, matcher))
            }
            Expr::Field(field, matcher) => text(field, stored).is_some_and(|text| text_holds(&text, matcher)),
            Expr::Kind(kind) => span.kind == *kind,
            Expr::Status(status) => span.status.code == *status,
            Expr::Trace(trace_id) => span.trace_id == *trace_id,
            Expr::Span(span_id) => span.span_id == *span_id,
            Expr::IsRoot => !span.parent_span_id.is_valid(),
            Expr::IsEntry => matches!(span.kind, SpanKind::Server | SpanKind::Consumer),
            // The root may have started at any time.
            Expr::Root(_) if roots.is_some() => roots == Some(true),
            Expr::Root(term) => {
                let trace = self.trace(span.trace_id);
                trace.iter().any(|other| !other.span.parent_span_id.is_valid() && self.holds(term, other))
            }
            // No profiler took samples in these.
            Expr::Sampled(_) => false,
            Expr::Slowest(slowest) => {
                let limit = slowest.limits.get(stored.resource.service(), &span.name);
                limit.is_some_and(|limit| span.duration_nano().cast_signed() >= limit)
            }
            Expr::Always => true,
        }
    }

    fn passes<'s>(&self, pipe: &Pipe, found: impl Iterator<Item = &'s StoredSpan>) -> bool {
        let counted = found.filter(|stored| self.matches(pipe.of.as_ref(), stored));
        let measured = |stored: &StoredSpan| match &pipe.measured {
            Measured::Attribute(key) if pipe.aggregate != Aggregate::Count => {
                stored.span.attributes.get(key).and_then(Value::as_f64)
            }
            _ => Some(stored.span.duration_nano() as f64),
        };
        let values: Vec<f64> = counted.filter_map(measured).collect();
        let sum: f64 = values.iter().sum();
        let value = match pipe.aggregate {
            Aggregate::Count => Some(values.len() as f64),
            Aggregate::Sum => Some(sum),
            Aggregate::Average => (!values.is_empty()).then(|| sum / values.len() as f64),
            Aggregate::Longest => values.iter().copied().reduce(f64::max),
            Aggregate::Shortest => values.iter().copied().reduce(f64::min),
        };
        value.is_some_and(|value| compares(value, pipe.comparison, pipe.value))
    }
}

/// The place of a span in the rows: its value, its trace, itself.
fn key(order: RowOrder, stored: &StoredSpan) -> (i64, TraceId, SpanId) {
    let start = stored.span.start_time_unix_nano.cast_signed();
    let value = match order {
        RowOrder::OldestFirst => start,
        RowOrder::NewestFirst => -start,
        RowOrder::SlowestFirst => -stored.span.duration_nano().cast_signed(),
    };
    (value, stored.span.trace_id, stored.span.span_id)
}

/// The parent, unless it never came. Of spans that are each other's ancestors, the earliest has none.
fn parent<'a>(trace: &[&'a StoredSpan], stored: &StoredSpan) -> Option<&'a StoredSpan> {
    let named =
        |stored: &StoredSpan| trace.iter().copied().find(|other| other.span.span_id == stored.span.parent_span_id);
    let above = named(stored)?;
    let mut circle = vec![above];
    while circle[circle.len() - 1].span.span_id != stored.span.span_id {
        let Some(next) = named(circle[circle.len() - 1]) else { return Some(above) };
        if circle.iter().any(|seen| seen.span.span_id == next.span.span_id) {
            // A circle further above, which this span is no part of.
            return Some(above);
        }
        circle.push(next);
    }
    let time = |stored: &StoredSpan| (stored.span.start_time_unix_nano, stored.span.span_id);
    let is_earliest = circle.iter().all(|other| time(stored) <= time(other));
    (!is_earliest).then_some(above)
}

fn is_above(trace: &[&StoredSpan], upper: &StoredSpan, lower: &StoredSpan) -> bool {
    let mut at = parent(trace, lower);
    while let Some(above) = at {
        if above.span.span_id == upper.span.span_id {
            return true;
        }
        at = parent(trace, above);
    }
    false
}

fn are_related(trace: &[&StoredSpan], left: &StoredSpan, relation: Relation, right: &StoredSpan) -> bool {
    let is_parent = |upper: &StoredSpan, lower: &StoredSpan| {
        parent(trace, lower).is_some_and(|above| above.span.span_id == upper.span.span_id)
    };
    match relation {
        Relation::Descendant => is_above(trace, left, right),
        Relation::Child => is_parent(left, right),
        Relation::Ancestor => is_above(trace, right, left),
        Relation::Parent => is_parent(right, left),
        Relation::Sibling => {
            let family = left.span.parent_span_id;
            left.span.span_id != right.span.span_id && family.is_valid() && family == right.span.parent_span_id
        }
    }
}

fn text(field: &Field, stored: &StoredSpan) -> Option<String> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    match field {
        Field::Service => Some(stored.resource.service().to_owned()),
        Field::Name => Some(stored.span.name.clone()),
        Field::Environment => filled(stored.resource.environment()),
        Field::Version => filled(stored.resource.version()),
        Field::Host => filled(stored.resource.host()),
        Field::Duration => None,
        Field::Attribute(key) => {
            let found = stored.span.attributes.get(key).or_else(|| stored.resource.attributes.get(key));
            found.map(Value::to_text)
        }
    }
}

fn text_holds(text: &str, matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Exists => true,
        Matcher::Text(Text::Literal(literal)) => text == literal,
        Matcher::Text(Text::Wildcard(pattern)) => fits(pattern, text),
        Matcher::Text(Text::Regex(pattern)) => pattern.is_match(text),
        Matcher::StatusClass(class) => {
            text.len() == 3 && text.starts_with(&class.to_string()) && text.bytes().all(|byte| byte.is_ascii_digit())
        }
        Matcher::Compare(..) | Matcher::Range(..) => false,
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| fits(&pattern[1..], &text[at..]))
        }
        Some(wanted) => text.strip_prefix(wanted).is_some_and(|rest| fits(&pattern[wanted.len_utf8()..], rest)),
    }
}

fn number_holds(number: f64, matcher: &Matcher) -> bool {
    match matcher {
        Matcher::Compare(comparison, with) => compares(number, *comparison, *with),
        Matcher::Range(low, high) => low.is_none_or(|low| number >= low.0) && high.is_none_or(|high| number <= high.0),
        _ => false,
    }
}

fn compares(left: f64, comparison: Comparison, right: Number) -> bool {
    match comparison {
        Comparison::Greater => left > right.0,
        Comparison::GreaterOrEqual => left >= right.0,
        Comparison::Less => left < right.0,
        Comparison::LessOrEqual => left <= right.0,
        Comparison::Equal => left == right.0,
    }
}
