//! What stands around conditions, and numbers: what can be offered without a look at the spans.

use super::rank::{Fit, fit};
use super::values::share;
use super::{ItemKind, ItemType, Offer};
use crate::search::{Aggregate, Relation};
use crate::views::facets::{Counts, Key, ValueType};

/// How numbers compare.
pub(super) const COMPARISONS: [(&str, &str); 5] =
    [(">", "more than"), (">=", "at least"), ("<", "less than"), ("<=", "at most"), ("=", "exactly")];

/// Units of time, the most usual first.
const UNITS: [(&str, &str); 6] = [
    ("ms", "milliseconds"),
    ("s", "seconds"),
    ("us", "microseconds"),
    ("m", "minutes"),
    ("h", "hours"),
    ("ns", "nanoseconds"),
];

/// Durations for those who have none in mind.
const DURATIONS: [&str; 4] = ["10ms", "100ms", "1s", "10s"];

/// What may be written behind conditions in braces.
pub(super) fn relations(written: &str) -> Vec<Offer> {
    let detail = |relation| match relation {
        Relation::Descendant => "somewhere below",
        Relation::Child => "a child",
        Relation::Ancestor => "somewhere above",
        Relation::Parent => "the parent",
        Relation::Sibling => "a sibling",
    };
    let relations = Relation::ALL.map(|relation| (relation.as_str(), detail(relation)));
    let joints = [("&&", "the trace has both"), ("||", "the trace has either")];
    let signs = relations.into_iter().chain(joints).filter(|(sign, _)| sign.starts_with(written));
    let mut offers: Vec<Offer> = signs
        .map(|(sign, detail)| {
            let insert = format!("{sign} {{}}");
            let caret = insert.len() - 1;
            Offer::new(ItemKind::Op, insert, detail).caret(caret)
        })
        .collect();
    if written.is_empty() {
        offers.push(Offer::new(ItemKind::Op, "| ", "a function of the trace's spans").needs("count() > 1"));
    }
    offers
}

/// Functions of a trace's spans.
pub(super) fn functions(written: &str, is_called: bool) -> Vec<Offer> {
    let mut ranked: Vec<(Fit, Offer)> = Vec::new();
    for (function, detail) in [
        (Aggregate::Count, "how many spans"),
        (Aggregate::Sum, "the sum of their durations"),
        (Aggregate::Average, "their mean duration"),
        (Aggregate::Longest, "the longest duration"),
        (Aggregate::Shortest, "the shortest duration"),
    ] {
        let name = function.as_str();
        let Some(fit) = fit(written, name) else { continue };
        let (call, number) = match function {
            Aggregate::Count => (format!("{name}()"), "10"),
            _ => (format!("{name}(duration)"), "100ms"),
        };
        let insert = if is_called { name.to_owned() } else { format!("{call} > {number}") };
        ranked.push((fit, Offer::new(ItemKind::Function, insert, detail)));
    }
    ranked.sort_by_key(|(fit, _)| *fit);
    ranked.into_iter().map(|(_, offer)| offer).collect()
}

/// What a function is of: the duration, or an attribute whose values are numbers.
pub(super) fn argument(written: &str, counts: &Counts) -> Vec<Offer> {
    let mut ranked: Vec<(Fit, Offer)> = Vec::new();
    if let Some(fit) = fit(written, "duration") {
        let duration = Offer::new(ItemKind::Keyword, "duration", "how long the spans took").needs(") > 1s");
        ranked.push((fit, duration));
    }
    for counted in counts.keys.iter().filter(|counted| counted.value_type == ValueType::Number) {
        let Key::Attribute(name) = &counted.key else { continue };
        if let Some(fit) = fit(written, name) {
            let offer = Offer::new(ItemKind::Key, counted.key.written(), share(counted.share));
            ranked.push((fit, offer.count(counted.count).of_type(ItemType::Number).needs(") > 1")));
        }
    }
    ranked.sort_by_key(|(fit, _)| *fit);
    ranked.into_iter().map(|(_, offer)| offer).collect()
}

/// How a function's result compares.
pub(super) fn comparisons(counts: bool) -> Vec<Offer> {
    let needs = if counts { " 1" } else { " 1s" };
    COMPARISONS.iter().map(|(sign, detail)| Offer::new(ItemKind::Op, *sign, *detail).needs(needs)).collect()
}

/// What a function's result compares with.
pub(super) fn numbers(written: &str, counts: bool) -> Vec<Offer> {
    if !counts {
        return durations(written, "");
    }
    let numbers = ["1", "10", "100"].into_iter().filter(|_| written.is_empty());
    numbers.map(|number| Offer::new(ItemKind::Value, number, "")).collect()
}

/// Durations that begin as written, with a comparison in front.
pub(super) fn durations(written: &str, comparison: &str) -> Vec<Offer> {
    if written.is_empty() {
        return DURATIONS.iter().map(|text| Offer::new(ItemKind::Value, format!("{comparison}{text}"), "")).collect();
    }
    let unit_at = written.find(|c: char| c.is_alphabetic()).unwrap_or(written.len());
    let (number, begin) = written.split_at(unit_at);
    if number.parse::<f64>().is_err() {
        return Vec::new();
    }
    let units = UNITS.iter().filter(|(unit, _)| unit.starts_with(begin));
    units.map(|(unit, detail)| Offer::new(ItemKind::Value, format!("{comparison}{number}{unit}"), *detail)).collect()
}
