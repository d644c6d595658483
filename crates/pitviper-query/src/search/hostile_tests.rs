//! Texts that mean harm, and real queries that were damaged: no panic, no time beyond the text's length,
//! and places that lie between characters.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::parser::parse;
use super::{Analysis, MAX_QUERY_BYTES, Place, Query};

/// What reading a text may take, as a multiple of its bytes: each is looked at when it is read, once
/// more when something else was expected, and once to see whether a pattern ends.
const STEPS_A_BYTE: usize = 5;
const STEPS_MORE: usize = 16;

/// Pieces that nest, open without closing, combine without operands, or make one look ahead.
const PIECES: [&str; 44] = [
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "k:(",
    "k:[1 TO ",
    "k:/",
    "k:(/ ",
    "/",
    "\\/",
    "\\",
    "\"",
    "@\"",
    "@",
    ":",
    "::",
    "-",
    "--",
    "NOT ",
    " OR ",
    " AND ",
    "a ",
    "a*",
    "**",
    "k:*",
    "k:>",
    "duration:>",
    "duration:[1ms TO 2",
    "is:",
    "5xx",
    " ",
    "\n",
    "|",
    "| count(",
    "| sum(duration, ",
    ">>",
    " ~ ",
    "&&",
    "||",
    "\u{1F40D}",
    "é",
    "\u{a0}",
];

const QUERIES: [&str; 12] = [
    "service:flaskr name:\"POST /create\" status:error",
    "duration:[100ms TO 1s] http.response.body.size:>=1.5MB -cpu.utilization:>80%",
    "@\"odd key\":\"a value: with (signs)\" trace:4bf92f3577b34da6a3ce929d0e0e4736",
    "service:flaskr (user.role:author OR is:error) NOT kind:client",
    "http.request.method:(PUT OR POST OR DELETE) http.response.status_code:(404 OR 5xx)",
    "name:/^(GET|HEAD)\\s/ url.path:/^\\/users\\/\\d+$/ http.route:\"/users/\"",
    "{service:flaskr name:\"POST /create\"} >> {db.system.name:sqlite duration:>100ms}",
    "{is:entry} >> {name:render*} > {} << {größe:\u{1F40D}*} ~ {k:/{id}/}",
    "{service:flaskr} && {service:notifications status:error} || {name:login}",
    "db.system.name:* | count() > 50 | avg(duration, kind:client) > 100ms",
    "service:flaskr | count(db.system.name:* -k:(a OR b)) > 50 | max(duration) < 2s",
    "*time* \\AND \"OR\" url.path:/users/{id} k:a\\*b",
];

fn check(text: &str) -> Result<(), TestCaseError> {
    let parsed = parse(text);
    let most = STEPS_A_BYTE * text.len() + STEPS_MORE;
    prop_assert!(parsed.steps <= most, "{} steps for {} bytes: {}", parsed.steps, text.len(), text);
    for error in &parsed.errors {
        prop_assert!(error.from <= error.to && error.to <= text.len(), "{error:?} of {text}");
        prop_assert!(text.is_char_boundary(error.from) && text.is_char_boundary(error.to), "{error:?} of {text}");
    }
    for ((from, to), _) in &parsed.tokens {
        prop_assert!(text.is_char_boundary(*from) && text.is_char_boundary(*to), "a token of {text}");
    }
    let analysis = Analysis::of(text);
    match Query::parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            if printed.len() > MAX_QUERY_BYTES {
                // Escapes and names written out can make more of it than a query may have.
                return Ok(());
            }
            prop_assert_eq!(&Query::parse(&printed), &Ok(query), "{} as {}", text, printed);
            // What is printed once is printed so for ever.
            prop_assert_eq!(&Query::parse(&printed).map(|query| query.to_string()), &Ok(printed));
        }
        Err(errors) => prop_assert_eq!(analysis.errors, errors.0),
    }
    Ok(())
}

/// A text's beginning that a query may have.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUERY_BYTES)]
}

/// A piece repeated, perhaps with others: up to the longest query.
fn repeated() -> impl Strategy<Value = String> {
    (vec(select(PIECES.to_vec()), 1..5), 1..2_000usize, vec(select(PIECES.to_vec()), 0..4))
        .prop_map(|(pieces, times, last)| short(&(pieces.concat().repeat(times) + &last.concat())).to_owned())
}

/// A real query in which some pieces were put in, taken out or cut off.
fn damaged() -> impl Strategy<Value = String> {
    let change = (any::<Index>(), 0..6usize, prop::option::of(select(PIECES.to_vec())));
    (select(QUERIES.to_vec()), vec(change, 1..5), prop::option::weighted(0.2, any::<Index>())).prop_map(
        |(query, changes, cut)| {
            let mut characters: Vec<char> = query.chars().collect();
            for (at, remove, insert) in changes {
                let at = at.index(characters.len() + 1);
                let to = (at + remove).min(characters.len());
                characters.splice(at..to, insert.unwrap_or_default().chars());
            }
            if let Some(cut) = cut {
                characters.truncate(cut.index(characters.len() + 1));
            }
            characters.into_iter().collect()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn repeated_pieces_take_no_more_time_than_they_are_long(text in repeated()) {
        check(&text)?;
    }

    #[test]
    fn damaged_queries_are_read_or_refused(text in damaged()) {
        check(&text)?;
    }

    #[test]
    fn every_cursor_has_a_place(text in prop_oneof![damaged(), vec(select(PIECES.to_vec()), 0..40).prop_map(|p| p.concat())]) {
        for cursor in 0..=text.len() + 1 {
            let place = Place::of(&text, cursor);
            prop_assert!(place.is_some());
            let (from, to) = place.map(|place| place.replace).unwrap_or_default();
            prop_assert!(from <= to && to <= text.len(), "{from}..{to} at {cursor} of {text}");
            prop_assert!(text.is_char_boundary(from) && text.is_char_boundary(to), "{from}..{to} at {cursor} of {text}");
            let at = text.floor_char_boundary(cursor);
            prop_assert!(from <= at && at <= to, "{from}..{to} is not at {cursor} of {text}");
        }
    }
}

#[test]
fn a_pattern_as_large_as_a_query_is_refused() {
    for pattern in ["a{1000}{1000}{1000}", "(a|b)*", "(((((((((((((((((", "[^", "\\p{L}", "(?i)ſK", "x{0,999}"] {
        let text = format!("k:/{}/", pattern.repeat(MAX_QUERY_BYTES / pattern.len() - 2));
        assert!(Query::parse(&text).is_err(), "{pattern}");
        check(&text).unwrap();
    }
}
