//! Surveys of the fixture's spans, worked out by hand.

use std::time::Duration;

use super::fixture::{SECOND, T0};
use crate::filter::{Filter, TextField, TextMatch};
use crate::questions::aggregate::GroupField;
use crate::questions::survey::{FieldCounts, KnownAttributes, Survey, Surveyed};
use crate::store::{Store, StoreError, TimeRange};

fn question(filter: Filter) -> Survey {
    Survey {
        range: TimeRange { start_ns: T0, end_ns: T0 + 20 * SECOND },
        filter,
        limit: 100,
        time: Duration::from_secs(60),
        time_for_nothing: Duration::from_secs(60),
        max_pages: 100,
        max_attributes: 100,
        max_values: 100,
    }
}

fn attribute(key: &str) -> GroupField {
    GroupField::Attribute(key.to_owned())
}

/// A field's count, its different values, and the values.
fn shape<'a>(answer: &'a Surveyed, field: &GroupField) -> (u64, usize, Vec<(&'a str, u64)>) {
    let counts: Vec<&FieldCounts> = answer.fields.iter().filter(|counts| counts.field == *field).collect();
    assert!(counts.len() <= 1, "{field:?} is there twice");
    let values = |counts: &'a FieldCounts| counts.values.iter().map(|(text, count)| (text.as_str(), *count)).collect();
    counts.first().map_or_else(Default::default, |counts| (counts.count, counts.distinct, values(counts)))
}

/// Spans that a client sent twice count once: 2 and 8 are there twice.
pub(super) async fn surveys(store: &dyn Store) -> Result<(), StoreError> {
    let answer = store.survey(&question(Filter::All)).await?;
    assert_eq!((answer.spans, answer.complete, answer.left_out), (8, true, false));
    let check = |field: GroupField, expect: (u64, usize, Vec<(&str, u64)>)| {
        assert_eq!(shape(&answer, &field), expect, "{field:?}");
    };
    check(GroupField::Service, (8, 2, vec![("shop", 5), ("pay", 3)]));
    check(GroupField::Status, (8, 3, vec![("unset", 5), ("error", 2), ("ok", 1)]));
    check(
        GroupField::Kind,
        (8, 5, vec![("server", 4), ("client", 1), ("consumer", 1), ("internal", 1), ("producer", 1)]),
    );
    check(GroupField::Environment, (8, 2, vec![("prod", 5), ("staging", 3)]));
    // Empty ones are not there.
    check(GroupField::Version, (5, 1, vec![("1.0", 5)]));
    check(GroupField::Host, (5, 1, vec![("alpha", 5)]));
    // The span's attribute comes before that of its resource.
    check(attribute("team"), (5, 2, vec![("blue", 4), ("red", 1)]));
    check(attribute("user.id"), (3, 2, vec![("u1", 2), ("u2", 1)]));
    check(attribute("http.response.status_code"), (3, 2, vec![("200", 2), ("402", 1)]));
    check(attribute("raw"), (1, 1, vec![("00ab", 1)]));
    check(attribute("amount"), (2, 2, vec![("12", 1), ("12.5", 1)]));
    check(attribute("nobody's"), (0, 0, vec![]));
    let types = |key: &str| {
        let counts = answer.fields.iter().find(|counts| counts.field == attribute(key));
        counts.map(|counts| (counts.numbers, counts.flags, counts.on_span))
    };
    // A status that came as text is not a number.
    assert_eq!(types("http.response.status_code"), Some((2, 0, true)));
    assert_eq!(types("cached"), Some((0, 1, true)));
    assert_eq!(types("process.pid"), Some((5, 0, false)));
    assert_eq!(types("team"), Some((0, 0, true)));
    let names: Vec<&GroupField> = answer.fields.iter().map(|counts| &counts.field).collect();
    assert_eq!((names[0], names[1]), (&GroupField::Service, &GroupField::Name));
    let attributes = names.iter().filter_map(|field| match field {
        GroupField::Attribute(key) => Some(key.as_str()),
        _ => None,
    });
    assert!(attributes.is_sorted());

    known(store).await?;
    bounds(store).await
}

/// What is known of all spans is at least what was flushed: nothing of it is made up. Rows count, so that a
/// span that came twice may count twice.
async fn known(store: &dyn Store) -> Result<(), StoreError> {
    let all = store.survey(&Survey { range: TimeRange::ALL, ..question(Filter::All) }).await?;
    let known = store.known_attributes(TimeRange::ALL).await?;
    assert!(!known.left_out && known.fields.is_sorted_by_key(|field| format!("{:?}", field.field)));
    for field in &known.fields {
        let counted = all.fields.iter().find(|counted| counted.field == field.field);
        let counted = counted.unwrap_or_else(|| panic!("nobody has {:?}", field.field));
        assert!(field.count <= 2 * counted.count && (counted.on_span || !field.on_span), "{field:?} {counted:?}");
        let is_there = |text: &str| counted.values.iter().any(|(known, _)| known == text);
        // A span's attribute hides its resource's, which is counted all the same.
        let GroupField::Attribute(name) = &field.field else { panic!("{field:?} is no attribute") };
        assert!(field.values.iter().all(|(text, _)| is_there(text)) || name == "team", "{field:?} {counted:?}");
    }
    if known.spans > 0 {
        assert_eq!(known.spans >= all.spans as u64, known.fields.len() == all.fields.len() - 7, "{known:?}");
    }
    assert_eq!(store.known_attributes(TimeRange { start_ns: 0, end_ns: 1 }).await?, KnownAttributes::default());
    Ok(())
}

async fn bounds(store: &dyn Store) -> Result<(), StoreError> {
    // The newest are 8 and 7.
    let answer = store.survey(&Survey { limit: 2, ..question(Filter::All) }).await?;
    assert_eq!((answer.spans, answer.complete), (2, false));
    assert_eq!(shape(&answer, &GroupField::Name).2, [("GET /cart", 1), ("send", 1)]);
    let answer = store.survey(&Survey { limit: 8, ..question(Filter::All) }).await?;
    assert_eq!((answer.spans, answer.complete), (8, true));
    let answer = store.survey(&Survey { max_attributes: 3, max_values: 1, ..question(Filter::All) }).await?;
    let attributes = answer.fields.iter().filter(|counts| matches!(counts.field, GroupField::Attribute(_)));
    assert!(answer.left_out && attributes.count() <= 3);
    assert_eq!(shape(&answer, &GroupField::Service), (8, 2, vec![("shop", 5)]));
    let nobody = Filter::Text(TextField::Service, TextMatch::Equals("nobody".to_owned()));
    let answer = store.survey(&question(nobody)).await?;
    assert_eq!(answer, Surveyed { complete: true, ..Surveyed::default() });
    // Without time nothing is looked at, and that is said.
    let hurry = Survey { time_for_nothing: Duration::ZERO, ..question(Filter::All) };
    assert_eq!(store.survey(&hurry).await?, Surveyed::default());
    Ok(())
}
