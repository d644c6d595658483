//! Names of fields, and the words between terms.

use super::rank::{Fit, fit, is_slip};
use super::values::share;
use super::{ItemKind, ItemType, Offer};
use crate::search::{Field, Subject, TermPlace, ValuePlace};
use crate::views::facets::{Counts, Key, KeyCounts, Source, ValueType};

/// A name with a meaning of its own.
struct Known {
    name: &'static str,
    value_type: ItemType,
    /// What it means, where nothing is counted.
    detail: &'static str,
    /// How much it is wanted when nothing is written; less is more.
    place: u8,
}

const fn known(name: &'static str, value_type: ItemType, detail: &'static str, place: u8) -> Known {
    Known { name, value_type, detail, place }
}

/// Reserved names. Attributes of spans stand between the first of them and the others.
const RESERVED: [Known; 14] = [
    known("service", ItemType::String, "who made the span", 0),
    known("name", ItemType::String, "what was done", 1),
    known("status", ItemType::String, "ok, error or unset", 2),
    known("duration", ItemType::Duration, "how long it took", 3),
    known("kind", ItemType::String, "server, client and so on", 11),
    known("is", ItemType::String, "root, entry or error", 12),
    known("env", ItemType::String, "deployment environment", 13),
    known("version", ItemType::String, "the service's version", 14),
    known("host", ItemType::String, "the host's name", 15),
    known("slowest", ItemType::Number, "the slowest share of its service and name", 33),
    known("fn", ItemType::String, "a function that ran in it, from samples", 34),
    known("has", ItemType::String, "has:profile: samples were taken in it", 35),
    known("trace", ItemType::String, "trace id, 32 hex digits", 31),
    known("span", ItemType::String, "span id, 16 hex digits", 32),
];

/// Other names of the same, offered to those who begin to write them.
const OTHERS: [Known; 3] = [
    known("request", ItemType::String, "the same as name", 40),
    known("operation", ItemType::String, "the same as name", 40),
    known("http.status", ItemType::Number, "the same as http.response.status_code", 40),
];

const SPAN_ATTRIBUTE: u8 = 10;
const RESOURCE_ATTRIBUTE: u8 = 20;
const UNIQUE_ATTRIBUTE: u8 = 30;

/// What stands before the fields of the trace's root.
const ROOT: &str = "root.";

/// Words between terms, and what has to follow them.
const KEYWORDS: [(&str, &str, &str); 3] = [
    ("OR ", "either this or what follows", "x"),
    ("NOT ", "what follows does not hold", "x"),
    ("AND ", "both; the same as a space", "x"),
];

/// What may be offered where a term stands.
pub(super) fn terms(written: &str, place: TermPlace, counts: &Counts) -> Vec<Offer> {
    let mut offers = Vec::new();
    if place.opens && written.is_empty() {
        offers.push(Offer::new(ItemKind::Op, "{}", "a condition, or any span").caret(1));
    }
    // One letter begins too much to be this.
    let begins_root = written.len() > 1 && written.len() < ROOT.len() && ROOT.starts_with(written);
    if begins_root && !place.attribute {
        offers.push(Offer::new(ItemKind::Key, ROOT, "a field of the trace's root").needs("service:x"));
    }
    match written.strip_prefix(ROOT) {
        Some(written) if !place.attribute => {
            let mut of_root = keys(written, false, counts);
            for offer in &mut of_root {
                offer.item.insert.insert_str(0, ROOT);
                // What is counted is the spans found, and not their roots.
                offer.item.count = None;
                offer.item.detail = "of the trace's root".to_owned();
            }
            offers.extend(of_root);
        }
        _ => offers.extend(keys(written, place.attribute, counts)),
    }
    let words = KEYWORDS.iter().filter(|(word, ..)| place.follows || *word == "NOT ");
    let words = words.filter(|(word, ..)| !place.attribute && fit(written, word) == Some(Fit::Begins));
    offers.extend(words.map(|(word, detail, needs)| Offer::new(ItemKind::Keyword, *word, *detail).needs(needs)));
    offers
}

/// Names that were probably meant by a field's name that no span has.
pub(super) fn repairs(value: &ValuePlace, counts: &Counts) -> Vec<Offer> {
    let Subject::Text(Field::Attribute(key)) = &value.subject else { return Vec::new() };
    if counts.get(&Key::Attribute(key.clone())).is_some() {
        return Vec::new();
    }
    let mut offers = keys(&value.name, false, counts);
    offers.retain(|offer| is_slip(&value.name, offer.item.insert.trim_end_matches(':')));
    offers
}

/// What a key is sorted by: how it fits, how much it is wanted, how few spans have it, its name.
type Rank<'a> = (Fit, u8, u64, &'a str);

fn keys(written: &str, attribute: bool, counts: &Counts) -> Vec<Offer> {
    let mut ranked: Vec<(Rank<'_>, Offer)> = Vec::new();
    for known in RESERVED.iter().filter(|_| !attribute) {
        if let Some(fit) = fit(written, known.name) {
            let counted = counts.keys.iter().find(|counts| is_reserved(&counts.key) && counts.key.name() == known.name);
            ranked.push(((fit, known.place, 0, known.name), reserved(known, counted)));
        }
    }
    for known in OTHERS.iter().filter(|_| !attribute && !written.is_empty()) {
        if let Some(fit @ (Fit::Begins | Fit::Slip(_))) = fit(written, known.name) {
            ranked.push(((fit, known.place, 0, known.name), reserved(known, None)));
        }
    }
    for counts in counts.keys.iter().filter(|counts| !is_reserved(&counts.key)) {
        let place = match counts.source {
            _ if counts.unique => UNIQUE_ATTRIBUTE,
            Source::Resource => RESOURCE_ATTRIBUTE,
            _ => SPAN_ATTRIBUTE,
        };
        if let Some(fit) = fit(written, counts.key.name()) {
            let rank = (fit, place, u64::MAX - counts.count, counts.key.name());
            ranked.push((rank, self::attribute(counts, attribute)));
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, offer)| offer).collect()
}

fn is_reserved(key: &Key) -> bool {
    !matches!(key, Key::Attribute(_))
}

fn reserved(known: &Known, counted: Option<&KeyCounts>) -> Offer {
    let detail = counted.map_or_else(|| known.detail.to_owned(), detail);
    let offer = Offer::new(ItemKind::Key, format!("{}:", known.name), detail).needs("*").of_type(known.value_type);
    match counted {
        Some(counted) => offer.count(counted.count),
        None => offer,
    }
}

fn attribute(counts: &KeyCounts, behind_at: bool) -> Offer {
    let written = counts.key.written();
    let at = if behind_at && !written.starts_with('@') { "@" } else { "" };
    let value_type = match counts.value_type {
        ValueType::String => ItemType::String,
        ValueType::Number => ItemType::Number,
        ValueType::Bool => ItemType::Bool,
    };
    let offer = Offer::new(ItemKind::Key, format!("{at}{written}:"), detail(counts));
    offer.needs("*").of_type(value_type).count(counts.count)
}

fn detail(counts: &KeyCounts) -> String {
    let share = share(counts.share);
    match counts.distinct {
        _ if counts.unique => format!("{share} · another value on each"),
        1 => format!("{share} · 1 value"),
        values => format!("{share} · {values} values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::{Expr, Query, SpanSet};

    #[test]
    fn reserved_names_are_no_attributes() {
        for known in RESERVED.iter().chain(&OTHERS) {
            let query = Query::parse(&format!("{}:*", known.name)).unwrap();
            let own = Field::Attribute(known.name.to_owned());
            let is_attribute = matches!(&query.spans, SpanSet::Matching(Some(Expr::Field(field, _))) if *field == own);
            assert!(!is_attribute, "{}", known.name);
        }
    }
}
