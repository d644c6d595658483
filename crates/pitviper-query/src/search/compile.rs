//! From a query to the store's filter.

use pitviper_store::filter::{Bound, Filter, NumberField, NumberRange, Pattern, TextField, TextMatch};
use pitviper_store::questions::aggregate::GroupField;

use super::ast::{
    Comparison, Expr, Field, Matcher, Measured, Number, Query, Reserved, SampledSpans, SpanSet, Text, alias,
};
use super::error::nearest;

impl Query {
    /// The store's form of a query that asks for nothing but spans; `None` when it also asks how
    /// spans are related, what their trace's root is, or of a trace's spans together.
    #[must_use]
    pub fn filter(&self) -> Option<Filter> {
        match &self.spans {
            SpanSet::Matching(condition) if self.pipes.is_empty() && !self.asks_for_roots() => {
                Some(condition_filter(condition.as_ref()))
            }
            _ => None,
        }
    }

    /// Remarks on what is valid and yet probably not meant: a field name that is one slip away from
    /// a reserved one; and on terms of which not all is known.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut waiting: Vec<&Expr> = self.spans.conditions().into_iter().flatten().collect();
        waiting.extend(self.pipes.iter().filter_map(|pipe| pipe.of.as_ref()));
        while let Some(expr) = waiting.pop() {
            match expr {
                Expr::And(parts) | Expr::Or(parts) => waiting.extend(parts.iter().rev()),
                Expr::Not(inner) | Expr::Root(inner) => waiting.push(inner),
                Expr::Field(Field::Attribute(key), _) => {
                    warnings.extend(slip(key, Reserved::NAMES.iter().map(|(name, _)| *name)));
                }
                Expr::Sampled(sampled) if !sampled.spans.complete => warnings.push(format!(
                    "there are too many samples to know all spans of `{expr}`: those of the newest are found; choose \
                     a shorter range"
                )),
                _ => {}
            }
        }
        for pipe in &self.pipes {
            if let Measured::Attribute(key) = &pipe.measured {
                warnings.extend(slip(key, ["duration"]));
            }
        }
        let mut seen = Vec::new();
        warnings.retain(|warning| {
            let is_new = !seen.contains(warning);
            seen.push(warning.clone());
            is_new
        });
        warnings
    }
}

/// Names of so few letters are like too many others to be meant by them.
const SHORT_NAME: usize = 3;

/// A remark on an attribute's name that is one slip away from one of these.
fn slip<'a>(key: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let is_own = Reserved::parse(key).is_some() || key.len() <= SHORT_NAME;
    let names = names.into_iter().filter(|name| name.len() > SHORT_NAME);
    let meant = nearest(key, names).filter(|_| !is_own)?;
    Some(format!("`{key}` was taken for an attribute; did you mean `{meant}`?"))
}

/// The store's form of the condition between two braces. What it asks of roots is left open: the
/// filter passes every span that the condition may hold for.
#[must_use]
pub(crate) fn condition_filter(condition: Option<&Expr>) -> Filter {
    let may_hold = |_: &Expr, is_negated: bool| if is_negated { Filter::Or(Vec::new()) } else { Filter::All };
    condition.map_or(Filter::All, |condition| compile(condition, &may_hold, false))
}

/// The store's form of a condition, with what `root` says for each term on a root.
#[must_use]
pub(crate) fn condition_filter_of_roots(condition: &Expr, root: &dyn Fn(&Expr) -> Filter) -> Filter {
    compile(condition, &|term, _| root(term), false)
}

/// The field that a name stands for when figures are split by it; `None` for what has no label.
pub(crate) fn group_field(name: &str) -> Option<GroupField> {
    if let Some(attribute) = name.strip_prefix('@').filter(|attribute| !attribute.is_empty()) {
        return Some(GroupField::Attribute(attribute.to_owned()));
    }
    Some(match Reserved::parse(name) {
        Some(Reserved::Service) => GroupField::Service,
        Some(Reserved::Name) => GroupField::Name,
        Some(Reserved::Kind) => GroupField::Kind,
        Some(Reserved::Status) => GroupField::Status,
        Some(Reserved::Environment) => GroupField::Environment,
        Some(Reserved::Version) => GroupField::Version,
        Some(Reserved::Host) => GroupField::Host,
        Some(
            Reserved::Duration
            | Reserved::Trace
            | Reserved::Span
            | Reserved::Is
            | Reserved::Slowest
            | Reserved::Function
            | Reserved::Has,
        ) => return None,
        None if name.is_empty() => return None,
        None => GroupField::Attribute(alias(name).unwrap_or(name).to_owned()),
    })
}

/// `root` makes a filter of a term on a root, and is told whether it stands behind a negation.
fn compile(expr: &Expr, root: &dyn Fn(&Expr, bool) -> Filter, is_negated: bool) -> Filter {
    let each = |parts: &[Expr]| parts.iter().map(|part| compile(part, root, is_negated)).collect();
    match expr {
        Expr::And(parts) => Filter::And(each(parts)),
        Expr::Or(parts) => Filter::Or(each(parts)),
        Expr::Not(inner) => Filter::Not(Box::new(compile(inner, root, !is_negated))),
        Expr::Root(term) => root(term, is_negated),
        Expr::Slowest(slowest) => Filter::SlowerThan(slowest.limits.clone()),
        Expr::Sampled(sampled) => compile_sampled(&sampled.spans),
        Expr::Word(word) => Filter::FullText(word.clone()),
        Expr::Field(field, matcher) => compile_field(field, matcher),
        Expr::Kind(kind) => Filter::Kind(*kind),
        Expr::Status(status) => Filter::Status(*status),
        Expr::Trace(id) => Filter::Trace(*id),
        Expr::Span(id) => Filter::Span(*id),
        Expr::IsRoot => Filter::IsRoot,
        Expr::IsEntry => Filter::IsEntry,
        Expr::Always => Filter::All,
    }
}

/// Most traces that a look at known spans is narrowed to.
const NARROW_TRACES: usize = 4_096;

fn compile_sampled(spans: &SampledSpans) -> Filter {
    let mut any = Vec::new();
    if !spans.known.is_empty() {
        let traces = spans.known.traces();
        let known = Filter::Known(spans.known.clone());
        // A segment finds traces by an index, and spans of no trace in particular by looking at each.
        let narrowed = traces.len() <= NARROW_TRACES;
        any.push(if narrowed { Filter::And(vec![Filter::Traces(traces), known]) } else { known });
    }
    if !spans.ids.is_empty() {
        any.push(Filter::Spans(spans.ids.clone()));
    }
    if any.len() == 1 { any.swap_remove(0) } else { Filter::Or(any) }
}

fn compile_field(field: &Field, matcher: &Matcher) -> Filter {
    let number_field = match field {
        Field::Duration => NumberField::DurationNs,
        Field::Attribute(key) => NumberField::Attribute(key.clone()),
        _ => return compile_text(field, matcher),
    };
    let bound = |number: Number, inclusive| Some(Bound { value: number.0, inclusive });
    let range = match matcher {
        Matcher::Compare(Comparison::Greater, n) => NumberRange { low: bound(*n, false), high: None },
        Matcher::Compare(Comparison::GreaterOrEqual, n) => NumberRange { low: bound(*n, true), high: None },
        Matcher::Compare(Comparison::Less, n) => NumberRange { low: None, high: bound(*n, false) },
        Matcher::Compare(Comparison::LessOrEqual, n) => NumberRange { low: None, high: bound(*n, true) },
        Matcher::Compare(Comparison::Equal, n) => NumberRange { low: bound(*n, true), high: bound(*n, true) },
        Matcher::Range(low, high) => {
            let end = |end: Option<Number>| end.and_then(|number| bound(number, true));
            NumberRange { low: end(*low), high: end(*high) }
        }
        Matcher::Exists | Matcher::Text(_) | Matcher::StatusClass(_) => return compile_text(field, matcher),
    };
    Filter::Number(number_field, range)
}

fn compile_text(field: &Field, matcher: &Matcher) -> Filter {
    let field = match field {
        Field::Service => TextField::Service,
        Field::Name => TextField::Name,
        Field::Environment => TextField::Environment,
        Field::Version => TextField::Version,
        Field::Host => TextField::Host,
        Field::Attribute(key) => TextField::Attribute(key.clone()),
        // The parser lets nothing but numbers through, and every span has a duration.
        Field::Duration => return Filter::All,
    };
    match matcher {
        Matcher::Text(Text::Literal(text)) => Filter::Text(field, TextMatch::Equals(text.clone())),
        Matcher::Text(Text::Wildcard(pattern)) => Filter::Text(field, TextMatch::Wildcard(pattern.clone())),
        Matcher::Text(Text::Regex(pattern)) => Filter::Text(field, TextMatch::Regex(pattern.clone())),
        // By its text, because some clients send the status as text.
        Matcher::StatusClass(class) => {
            let pattern = Pattern::new(&format!("^{class}[0-9]{{2}}$")).expect("three digits are a pattern");
            Filter::Text(field, TextMatch::Regex(pattern))
        }
        // Numbers of text fields do not pass the parser.
        Matcher::Exists | Matcher::Compare(..) | Matcher::Range(..) => Filter::Exists(field),
    }
}
