//! Values of fields.

use pitviper_store::FunctionName;

use super::rank::{Fit, fit};
use super::syntax::{COMPARISONS, durations};
use super::{ItemKind, Offer};
use crate::search::{Expr, Field, Query, SpanSet, Subject, ValuePlace};
use crate::views::facets::{Counts, Key, KeyCounts, ValueType};

/// A number with at most so many values is rather picked than compared.
const PICKED_VALUES: usize = 10;

/// The attribute whose values have classes.
const STATUS_CODE: &str = "http.response.status_code";

/// What has few values, and what they mean.
const KINDS: [(&str, &str); 5] = [
    ("server", "answers a request"),
    ("client", "makes a request"),
    ("internal", "within the process"),
    ("producer", "sends a message"),
    ("consumer", "handles a message"),
];
const STATUSES: [(&str, &str); 3] =
    [("error", "it failed"), ("ok", "it was said to be well"), ("unset", "nothing was said")];
const SHARES: [(&str, &str); 4] = [
    ("10%", "of the spans of each service and name"),
    ("5%", "of the spans of each service and name"),
    ("1%", "of the spans of each service and name"),
    ("0.1%", "of the spans of each service and name"),
];
const BESIDES: [(&str, &str); 1] = [("profile", "a profiler took samples in it")];
const PLACES: [(&str, &str); 3] =
    [("root", "has no parent"), ("entry", "where work enters a service"), ("error", "the same as status:error")];

/// What may be offered as the value of a field.
pub(super) fn values(written: &str, place: &ValuePlace, counts: &Counts) -> Vec<Offer> {
    let wanted = wanted(written);
    let offers = match &place.subject {
        Subject::Text(field) => of_text(field, written, &wanted, place, counts),
        _ if place.compared && place.subject != Subject::Duration => Vec::new(),
        Subject::Kind => of_list(&KINDS, &wanted, counts.get(&Key::Kind)),
        Subject::Status => of_list(&STATUSES, &wanted, counts.get(&Key::Status)),
        Subject::Is => of_list(&PLACES, &wanted, None),
        Subject::Duration => of_duration(written, place),
        Subject::Share => of_list(&SHARES, &wanted, None),
        Subject::Has => of_list(&BESIDES, &wanted, None),
        // What there is was looked up.
        Subject::Function | Subject::Id => Vec::new(),
    };
    let has_any = !matches!(place.subject, Subject::Share | Subject::Has | Subject::Function);
    let any = written.is_empty() && !place.compared && !place.grouped && has_any;
    offers.into_iter().chain(any.then(|| Offer::new(ItemKind::Keyword, "*", "has the field"))).collect()
}

/// Functions as values of `fn`: those that begin as written first, and the application's own before others.
pub(super) fn functions(written: &str, names: Vec<FunctionName>) -> Vec<Offer> {
    let wanted = wanted(written);
    let mut ranked: Vec<(Fit, bool, Offer)> = Vec::new();
    for FunctionName { name, in_app } in names {
        let detail = if in_app { "own code" } else { "of a library" };
        // The last part is what most people look for.
        let last = name.rsplit('.').next().unwrap_or_default();
        if let Some(fit) = fit(&wanted, &name).into_iter().chain(fit(&wanted, last)).min() {
            ranked.push((fit, !in_app, Offer::new(ItemKind::Value, value_text(&name), detail)));
        }
    }
    // They come in the order of their names.
    ranked.sort_by_key(|(fit, is_other, _)| (*fit, *is_other));
    ranked.into_iter().map(|(.., offer)| offer).collect()
}

/// What is written without the stars that stand for anything.
pub(super) fn wanted(written: &str) -> String {
    written.replace('*', "")
}

/// A share of the spans, as it is shown. Neither none nor all is said of some.
pub(super) fn share(share: f64) -> String {
    let percent = (share * 100.0).round();
    match percent as u64 {
        0 if share > 0.0 => "<1 % of spans".to_owned(),
        100 if share < 1.0 => "99 % of spans".to_owned(),
        percent => format!("{percent} % of spans"),
    }
}

fn of_list(list: &[(&str, &str)], wanted: &str, counts: Option<&KeyCounts>) -> Vec<Offer> {
    let mut ranked: Vec<(Fit, Offer)> = Vec::new();
    for (value, detail) in list {
        let counted = counts.map(|counts| counts.values.iter().find(|counted| counted.text == *value));
        let offer = Offer::new(ItemKind::Value, *value, *detail);
        // A value that no span has is worth knowing too, with its count.
        let offer = match counted {
            Some(counted) => offer.count(counted.map_or(0, |counted| counted.count)),
            None => offer,
        };
        ranked.extend(fit(wanted, value).map(|fit| (fit, offer)));
    }
    ranked.sort_by_key(|(fit, offer)| (*fit, u64::MAX - offer.item.count.unwrap_or(0)));
    ranked.into_iter().map(|(_, offer)| offer).collect()
}

fn of_text(field: &Field, written: &str, wanted: &str, place: &ValuePlace, counts: &Counts) -> Vec<Offer> {
    let Some(key) = Key::of(field) else { return Vec::new() };
    let counts = counts.get(&key);
    let is_number = counts.is_some_and(|counts| counts.value_type == ValueType::Number);
    if place.compared && !is_number {
        return Vec::new();
    }
    let mut values = counts.map_or_else(Vec::new, |counts| counted_values(counts, wanted, place.compared));
    if key.name() == STATUS_CODE && !place.compared {
        values.extend(counts.map_or_else(Vec::new, |counts| status_classes(counts, wanted)));
    }
    let is_compared =
        is_number && !place.compared && !place.grouped && (written.is_empty() || is_plain_number(written));
    let comparisons: Vec<Offer> = if is_compared {
        let comparison = |(sign, detail): &(&str, &str)| Offer::new(ItemKind::Op, format!("{sign}{written}"), *detail);
        COMPARISONS.iter().map(comparison).collect()
    } else {
        Vec::new()
    };
    let is_picked = counts.is_none_or(|counts| counts.distinct <= PICKED_VALUES) || !written.is_empty();
    let (first, last) = if is_picked { (values, comparisons) } else { (comparisons, values) };
    first.into_iter().chain(last).collect()
}

fn counted_values(counts: &KeyCounts, wanted: &str, compared: bool) -> Vec<Offer> {
    let mut ranked: Vec<(Fit, Offer)> = Vec::new();
    for value in &counts.values {
        // What is cut, or is more than a line, is not for a search bar; in a comparison only numbers are.
        let fits = !value.cut && !value.text.contains(char::is_control) && (!compared || is_plain_number(&value.text));
        if let Some(fit) = fit(wanted, &value.text).filter(|_| fits) {
            let detail = share(counts.share * value.count as f64 / counts.count.max(1) as f64);
            let offer = Offer::new(ItemKind::Value, value_text(&value.text), detail).count(value.count);
            ranked.push((fit, offer));
        }
    }
    // Values are often alike, so what is merely like the written one counts when nothing else does.
    if ranked.iter().any(|(fit, _)| *fit <= Fit::Contains) {
        ranked.retain(|(fit, _)| *fit <= Fit::Contains);
    }
    // Values come by count already.
    ranked.sort_by_key(|(fit, _)| *fit);
    ranked.into_iter().map(|(_, offer)| offer).collect()
}

/// The classes of HTTP statuses that were counted.
fn status_classes(counts: &KeyCounts, wanted: &str) -> Vec<Offer> {
    let classes = ["5", "4", "3", "2", "1"].into_iter().filter_map(|class| {
        let of_class = counts.values.iter().filter(|value| value.text.len() == 3 && value.text.starts_with(class));
        let count: u64 = of_class.map(|value| value.count).sum();
        let written = format!("{class}xx");
        let fits = count > 0 && fit(wanted, &written) == Some(Fit::Begins);
        fits.then(|| {
            let detail = share(counts.share * count as f64 / counts.count.max(1) as f64);
            Offer::new(ItemKind::Value, written, detail).count(count)
        })
    });
    classes.collect()
}

fn is_plain_number(text: &str) -> bool {
    !text.is_empty() && text.parse::<f64>().is_ok_and(f64::is_finite)
}

/// A value as it is written in a search, between quotes where it needs them.
fn value_text(text: &str) -> String {
    Query { spans: SpanSet::Matching(Some(Expr::Word(text.to_owned()))), pipes: Vec::new() }.to_string()
}

fn of_duration(written: &str, place: &ValuePlace) -> Vec<Offer> {
    if place.compared {
        return durations(written, "");
    }
    if !written.is_empty() {
        return durations(written, ">");
    }
    let comparisons = COMPARISONS.iter().map(|(sign, detail)| Offer::new(ItemKind::Op, *sign, *detail));
    let range = Offer::new(ItemKind::Op, "[100ms TO 1s]", "between, ends included");
    comparisons.chain([range]).collect()
}
