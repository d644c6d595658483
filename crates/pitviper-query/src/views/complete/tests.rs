//! Offers over a handful of spans, and for any text.

use std::sync::Arc;

use pitviper_model::{Attributes, Resource, Scope, Span, SpanKind, StatusCode, Value};
use pitviper_store::StoredSpan;
use proptest::prelude::*;

use super::*;
use crate::search::Analysis;

/// Ten requests, of which two failed, and five statements.
fn counts() -> Counts {
    let span = |name: &str, kind, code, attributes: Vec<(&str, Value)>| {
        let resource = [("service.name", "flaskr"), ("telemetry.sdk.language", "python")];
        let attributes = attributes.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut span = Span { name: name.to_owned(), kind, attributes: Attributes(attributes), ..Span::default() };
        span.status.code = code;
        let resource = Resource { attributes: resource.into_iter().collect(), ..Resource::default() };
        StoredSpan { span, resource: Arc::new(resource), scope: Arc::new(Scope::default()) }
    };
    let mut spans = Vec::new();
    for number in 0..10_i64 {
        let (name, status, code) = match number {
            0 | 1 => ("POST /create", 500, StatusCode::Error),
            2 => ("GET /", 404, StatusCode::Unset),
            _ => ("GET /", 200, StatusCode::Unset),
        };
        let attributes =
            vec![("http.response.status_code", Value::Int(status)), ("http.route", name[4..].trim().into())];
        spans.push(span(name, SpanKind::Server, code, attributes));
    }
    for number in 0..5_i64 {
        let attributes = vec![
            ("db.system.name", "sqlite".into()),
            ("rows", Value::Int(number)),
            ("cached", Value::Bool(number > 3)),
            ("service", "an attribute".into()),
            ("odd key", "a \"b\"".into()),
        ];
        spans.push(span("SELECT post", SpanKind::Client, StatusCode::Unset, attributes));
    }
    Counts::of(&spans, false)
}

/// What is offered at the `^`, and the query with each offer in place.
fn completed(marked: &str) -> Vec<(Item, String)> {
    let cursor = marked.find('^').unwrap();
    let text = marked.replacen('^', "", 1);
    let mut place = Place::of(&text, cursor).unwrap();
    let offers = offers(&mut place, &counts());
    let items = tried(&text, place.replace, offers, 20);
    let with = |item: &Item| [&text[..place.replace.0], &item.insert, &text[place.replace.1..]].concat();
    items.into_iter().map(|item| (item.clone(), with(&item))).collect()
}

fn inserts(marked: &str) -> Vec<String> {
    completed(marked).into_iter().map(|(item, _)| item.insert).collect()
}

/// The first offers, and the query with the very first in place.
#[track_caller]
fn check(marked: &str, expected: &[&str], first: &str) {
    let completed = completed(marked);
    let inserts: Vec<&str> = completed.iter().map(|(item, _)| item.insert.as_str()).take(expected.len()).collect();
    assert_eq!(inserts, expected, "{marked}");
    assert_eq!(completed[0].1, first, "{marked}");
}

#[test]
fn nothing_written_gets_the_most_useful_keys() {
    let all = inserts("^");
    assert_eq!(
        all,
        [
            "service:",
            "name:",
            "status:",
            "duration:",
            "http.response.status_code:",
            "http.route:",
            "cached:",
            "db.system.name:",
            "@\"odd key\":",
            "rows:",
            "@service:",
            "kind:",
            "is:",
            "env:",
            "version:",
            "host:",
            "service.name:",
            "telemetry.sdk.language:",
            "trace:",
            "span:",
        ]
        .map(str::to_owned)
    );
    let items = completed("^");
    let item = &items[4].0;
    assert_eq!((item.value_type, item.count), (Some(ItemType::Number), Some(10)));
    assert_eq!(item.detail, "67 % of spans · 3 values");
    assert_eq!((items[0].0.count, items[0].0.detail.as_str()), (Some(15), "100 % of spans · 1 value"));
    assert_eq!(items[3].0.detail, "how long it took");
}

#[test]
fn names_are_completed_and_repaired() {
    check("ser^", &["service:", "@service:", "service.name:"], "service:");
    check("-stat^ a", &["status:", "http.response.status_code:"], "-status: a");
    check("sevice^", &["service:"], "service:");
    check("sevice:^", &["service:"], "service:");
    check("se^vice:flaskr a", &["service:"], "service:flaskr a");
    check("a @ser^", &["@service:", "@service.name:"], "a @service:");
    check("req^", &["request:"], "request:");
    check("http.st^", &["http.status:"], "http.status:");
    assert!(inserts("a O^").contains(&"OR ".to_owned()) && !inserts("O^").contains(&"OR ".to_owned()));
    // A name whose values are of another kind is not offered before a value.
    assert!(!inserts("se^:flaskr").contains(&"duration:".to_owned()));
    assert!(!inserts("^service:flaskr").contains(&"kind:".to_owned()));
}

#[test]
fn values_are_those_of_the_field() {
    check("service:^", &["flaskr", "*"], "service:flaskr");
    check("name:^", &["\"GET /\"", "\"SELECT post\"", "\"POST /create\""], "name:\"GET /\"");
    check("name:PO^ST a", &["\"POST /create\""], "name:\"POST /create\" a");
    check("name:\"po^", &["\"POST /create\"", "\"SELECT post\""], "name:\"POST /create\"");
    check("name:*create^", &["\"POST /create\""], "name:\"POST /create\"");
    check("@\"odd key\":^", &["\"a \\\"b\\\"\""], "@\"odd key\":\"a \\\"b\\\"\"");
    check(
        "http.response.status_code:^",
        &["200", "500", "404", "5xx", "4xx", "2xx", ">"],
        "http.response.status_code:200",
    );
    check("http.status:5^", &["500", "5xx", ">5"], "http.status:500");
    check("rows:>^", &["0", "1", "2", "3", "4"], "rows:>0");
    check("cached:^", &["false", "true", "*"], "cached:false");
    check("http.route:(^", &["\"/\"", "/create"], "http.route:(\"/\"");
    check("kind:^", &["server", "client", "internal"], "kind:server");
    check("status:eror^", &["error"], "status:error");
    check("is:^", &["root", "entry", "error", "*"], "is:root");
    assert_eq!(completed("kind:i^")[0].0.count, Some(0));
    assert_eq!(completed("service:^")[0].0.count, Some(15));
    assert_eq!(inserts("trace:^"), ["*"]);
    assert_eq!(inserts("trace:0^"), Vec::<String>::new());
    assert_eq!(inserts("name:>^"), Vec::<String>::new());
}

#[test]
fn durations_have_comparisons_and_units() {
    check("duration:^", &[">", ">=", "<", "<=", "=", "[100ms TO 1s]", "*"], "duration:>");
    check("duration:>^", &["10ms", "100ms", "1s", "10s"], "duration:>10ms");
    check("duration:>15^", &["15ms", "15s", "15us", "15m", "15h", "15ns"], "duration:>15ms");
    check("duration:15m^", &[">15ms", ">15m"], "duration:>15ms");
    check("duration:[15m^s TO 1s]", &["15ms"], "duration:[15ms TO 1s]");
    assert_eq!(inserts("duration:x^"), Vec::<String>::new());
}

#[test]
fn what_stands_around_conditions_is_offered() {
    check(
        "{service:flaskr} ^",
        &[">> {}", "> {}", "<< {}", "< {}", "~ {}", "&& {}", "|| {}", "| "],
        "{service:flaskr} >> {}",
    );
    check("{service:flaskr} >^", &[">> {}", "> {}"], "{service:flaskr} >> {}");
    assert_eq!(completed("{a} ^")[0].0.caret, Some(4));
    check("{a} >> ^", &["{}", "service:"], "{a} >> {}");
    check("{a} >> {ki^", &["kind:"], "{a} >> {kind:");
    check("a | ^", &["count() > 10", "sum(duration) > 100ms", "avg(duration) > 100ms"], "a | count() > 10");
    check("a | m^", &["max(duration) > 100ms", "min(duration) > 100ms"], "a | max(duration) > 100ms");
    check("a | cuont^() > 5", &["count"], "a | count() > 5");
    check("a | sum(^", &["duration"], "a | sum(duration");
    check("a | sum(ro^", &["rows"], "a | sum(rows");
    check("a | sum(rows) > ^", &["1", "10"], "a | sum(rows) > 1");
    check("roo^", &["root."], "root.");
    check("a root.ki^", &["root.kind:"], "a root.kind:");
    check("root.kind:cl^", &["client"], "root.kind:client");
    check("slow^", &["slowest:"], "slowest:");
    check("has:^", &["profile"], "has:profile");
    check("slowest:^", &["10%", "5%"], "slowest:10%");
    check("a | count() ^", &[">", ">=", "<", "<="], "a | count() >");
    check("a | avg(duration) > 5^", &["5ms", "5s"], "a | avg(duration) > 5ms");
    check("a | count(kind:c^) > 5", &["client", "consumer"], "a | count(kind:client) > 5");
    assert_eq!(inserts("a | count() > 5 ^"), Vec::<String>::new());
}

#[test]
fn places_count_utf16() {
    assert_eq!([0, 1, 2, 3, 4].map(|at| bytes_at("é𝄞x", at)), [0, 2, 2, 6, 7]);
    assert_eq!(units("é𝄞x", 6), 3);
    assert_eq!(bytes_at("é", usize::MAX), 2);
    assert_eq!(values::share(0.001), "<1 % of spans");
    assert_eq!(values::share(0.999), "99 % of spans");
}

/// Pieces that queries are made of, and some that they are not.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "service:", "flaskr", "name:", "\"GET /\"", "http.route:", "/", "/users/{id}", "duration:", ">", "100ms",
            "rows:", "(", ")", "[", "]", " TO ", "{", "}", ">>", "~", "&&", "||", "|", "count", "sum(duration", "OR",
            "AND", "NOT ", "-", "@", "\"", "\\", ":", "*", "5", "http.status:", "5xx", "kind:", "is:", "sevice", ",",
        ]).prop_map(str::to_owned),
        3 => Just(" ".to_owned()),
        1 => "\\PC{0,3}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn every_offer_leaves_a_query_no_more_wrong(text in pieces(), at in 0.0_f64..=1.0) {
        let counts = counts();
        let errors = |text: &str| Analysis::of(text).errors.len();
        let cursor = bytes_at(&text, (units(&text, text.len()) as f64 * at) as usize);
        let mut place = Place::of(&text, cursor).unwrap();
        let offers = offers(&mut place, &counts);
        let needs: Vec<(String, &str)> =
            offers.iter().map(|offer| (offer.item.insert.clone(), offer.needs)).collect();
        for item in tried(&text, place.replace, offers, 40) {
            let with = |needs: &str| [&text[..place.replace.0], &item.insert, needs, &text[place.replace.1..]].concat();
            // A key with nothing behind it is not a term yet.
            let needs = needs.iter().find(|(insert, _)| *insert == item.insert).map_or("", |(_, needs)| *needs);
            let least = errors(&with("")).min(errors(&with(needs)));
            prop_assert!(least <= errors(&text), "{text:?} at {cursor}: {:?}", item.insert);
            prop_assert!(matches!(needs, "" | "*" | "x" | " 1" | " 1s" | "count() > 1" | ") > 1s" | ") > 1" | "service:x"));
        }
    }

    #[test]
    fn any_text_has_a_place(text in "\\PC{0,60}", cursor in 0_usize..80) {
        let cursor = bytes_at(&text, cursor);
        let place = Place::of(&text, cursor).unwrap();
        prop_assert!(place.replace.0 <= cursor && cursor <= place.replace.1 && place.replace.1 <= text.len());
        prop_assert!(text.is_char_boundary(place.replace.0) && text.is_char_boundary(place.replace.1));
    }
}
