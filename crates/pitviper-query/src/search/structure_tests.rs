//! Tests of patterns, status classes and units, of what stands around conditions, and of the
//! analysis for editors.

use pitviper_store::filter::{Filter, Pattern, TextField, TextMatch};
use proptest::prelude::*;

use super::tests::{canonical, expr, filter, key, wrong};
use crate::search::{
    Aggregate, Analysis, ChipKind, Comparison, Expr, Measured, Number, Pipe, Query, Relation, SpanSet, TokenKind,
};

fn pattern(text: &str) -> TextMatch {
    TextMatch::Regex(Pattern::new(text).unwrap())
}

#[test]
fn patterns_stand_between_slashes() {
    assert_eq!(filter("name:/^GET/"), Filter::Text(TextField::Name, pattern("^GET")));
    let key = TextField::Attribute("url.path".into());
    assert_eq!(filter(r"url.path:/^\/users\/\d+$/"), Filter::Text(key.clone(), pattern(r"^\/users\/\d+$")));
    assert_eq!(filter("url.path:(/(?i)a|b/)"), Filter::Text(key.clone(), pattern("(?i)a|b")));
    assert_eq!(filter("(url.path:/a(b)/)"), Filter::Text(key.clone(), pattern("a(b)")));
    // A path is not a pattern, wherever other slashes stand.
    for path in ["/", "/users", "/users/7", "//", "/users/{id}", "/users//"] {
        assert_eq!(
            filter(&format!("url.path:{path} name:/x")),
            Filter::And(vec![
                Filter::Text(key.clone(), TextMatch::Equals(path.into())),
                Filter::Text(TextField::Name, TextMatch::Equals("/x".into()))
            ]),
            "{path}"
        );
    }
    assert_eq!(
        filter("url.path:(/ OR /a OR /)"),
        Filter::Or(["/", "/a", "/"].map(|path| Filter::Text(key.clone(), TextMatch::Equals(path.into()))).to_vec())
    );
    assert_eq!(filter("url.path:\"/a/\""), Filter::Text(key, TextMatch::Equals("/a/".into())));
    canonical(r"name:/^POST\s\/create$/", r"name:/^POST\s\/create$/");
    canonical("name:/{/} x{/}", "name:\"/{/}\" \"x{/}\"");
    canonical("{name:\"/{/}\"} >> {\"x{/}\"}", "{name:\"/{/}\"} >> {\"x{/}\"}");
    canonical("name:\"/a/\" k:\\/a*", "name:\"/a/\" k:\\/a*");
}

#[test]
fn a_wrong_pattern_is_marked_within() {
    wrong("a name:/x(b/", "(", "unclosed group", None);
    wrong("name:/[z-a]/ b", "z-a", "invalid character class range", None);
    wrong("name:/**/", "/**/", "repetition operator", None);
    wrong("name:/POST .*x/", "/POST .*x/", r"written `\s`", Some(r"name:/POST\s.*x/"));
    wrong("duration:/1/", "/1/", "not text", None);
    wrong(r"name:/(\w{100}){100}/", r"(\w{100}){100}", "too large", None);
    let many: String = (0..17).map(|n| format!("k:/{n}/ ")).collect();
    assert!(Query::parse(&many).unwrap_err().0[0].message.contains("more than 16 patterns"));
}

#[test]
fn statuses_have_classes_and_attributes_units() {
    let key = TextField::Attribute("http.response.status_code".into());
    assert_eq!(filter("http.response.status_code:5xx"), Filter::Text(key.clone(), pattern("^5[0-9]{2}$")));
    canonical(
        "http.status:(404 OR 5XX) http.status:>=500",
        "(http.response.status_code:404 OR http.response.status_code:5xx) http.response.status_code:>=500",
    );
    canonical("@http.status:5xx user:5xx", "@http.status:\"5xx\" user:\"5xx\"");
    canonical("http.response.status_code:\"5xx\"", "http.response.status_code:\"5xx\"");
    wrong("http.status:9xx", "9xx", "1xx to 5xx", None);
    canonical("size:>10KB size:<=1.5MB size:[1kib TO 2GB]", "size:>10000 size:<=1500000 size:[1024 TO 2000000000]");
    canonical("cpu:>80%", "cpu:>0.8");
}

#[test]
fn braces_are_related_joined_and_counted() {
    canonical("{service:flaskr}", "service:flaskr");
    canonical("{ a }>>{b}", "{a} >> {b}");
    canonical("{a} > {b} < {c} << {d} ~ {}", "{a} > {b} < {c} << {d} ~ {}");
    canonical("a b >> c", "{a b} >> {c}");
    canonical("{a} && {b} >> {c} || {d} && {}", "{a} && {b} >> {c} || {d} && {}");
    canonical("{name:/users/{id}} >> {b OR c}", "{name:/users/{id}} >> {b OR c}");
    canonical(
        "{name:/x}/} >> {\"a}\" \\{b}",
        "{name:\"/x}/\"} >> {\"a}\" \"{b\"}".replace("\"/x}/\"", "/x}/").as_str(),
    );
    canonical("service:a | count()>5", "{service:a} | count() > 5");
    canonical("| count() > 5", "{} | count() > 5");
    canonical(
        "{a}|count( db.system.name:* -b ) <= 3 | sum(duration) >1s |avg(duration, kind:client)< 100ms",
        "{a} | count(db.system.name:* -b) <= 3 | sum(duration) > 1s | avg(duration, kind:client) < 100ms",
    );
    canonical(
        "{a} | max(duration) >= 2m | min(duration) < 1500us",
        "{a} | max(duration) >= 2m | min(duration) < 1500us",
    );
    let word = |word: &str| Some(Expr::Word(word.into()));
    let related = |left, relation, right| SpanSet::Related(Box::new(left), relation, right);
    let a_above_b = related(SpanSet::Matching(word("a")), Relation::Descendant, word("b"));
    assert_eq!(Query::parse("{a} >> {b} ~ {c}").unwrap().spans, related(a_above_b, Relation::Sibling, word("c")));
    assert_eq!(Query::parse("{a} >> {b}").unwrap().filter(), None);
    assert_eq!(Query::parse("a | count() > 1").unwrap().filter(), None);
    // Within text these characters mean nothing.
    assert_eq!(filter("user:a|b"), Filter::Text(TextField::Attribute("user".into()), TextMatch::Equals("a|b".into())));
    assert_eq!(filter("a&b"), Filter::FullText("a&b".into()));
}

#[test]
fn says_what_is_wrong_around_conditions() {
    wrong("{a b", "{a b", "closing brace", Some("{a b}"));
    wrong("{(a b}", "(a b", "closing parenthesis", Some("{(a b)}"));
    wrong("{k:(a OR b}", "(a OR b", "closing parenthesis", Some("{k:(a OR b)}"));
    wrong("{k:}", "k:", "no value", Some("{k:*}"));
    wrong("a } b", "}", "no opening brace", Some("a  b"));
    wrong("{a} >>", ">>", "on its right", Some("{a} >> {}"));
    wrong(">> {a}", ">>", "on its left", Some("{} >> {a}"));
    wrong("{a} {b}", "{", "missing", Some("{a} && {b}"));
    wrong("{a} AND {b}", "AND", "joined by `&&`", Some("{a} && {b}"));
    wrong("{a} OR {b}", "OR", "joined by `||`", Some("{a} || {b}"));
    wrong("a && b", "&&", "joined by `AND`", Some("a AND b"));
    wrong("a || b", "||", "joined by `OR`", Some("a OR b"));
    wrong("{a} && b c", "b c", "between braces too", Some("{a} && {b c}"));
    wrong("{a && b}", "&&", "joined by `AND`", Some("{a AND b}"));
    wrong("{a >> b}", ">>", "between braces, not within", None);
    wrong("{a {b}}", "{", "within braces", None);
    wrong("-{a}", "-", "cannot be negated", None);
    wrong("({a} >> {b})", "(", "not around them", None);
    wrong("{a} b", "b", "beside braces", None);
    wrong("{duration > 5ms}", ">", "behind a field's colon", None);
    wrong("a | ", "|", "a function has to follow", None);
    wrong("a | cuont() > 5", "cuont", "not a function", Some("a | count() > 5"));
    wrong("a | count > 5", "count", "parentheses", Some("a | count() > 5"));
    wrong("a | count()", "count(", "has to be compared", None);
    wrong("a | count() > ", ">", "a number has to follow", None);
    wrong("a | count() > 5ms", "5ms", "no unit", Some("a | count() > 5"));
    canonical(
        "a | sum(amount)>5 | avg(http.response.body.size, db.system:*) <= 1.5KB | max(@duration) = 3 | min(@\"a b\")<2",
        "{a} | sum(amount) > 5 | avg(http.response.body.size, db.system:*) <= 1500 | max(@duration) = 3 | min(@\"a b\") < 2",
    );
    canonical("a | count() = 3 | sum(http.status) > 1", "{a} | count() = 3 | sum(http.response.status_code) > 1");
    assert_eq!(
        Query::parse("a | sum(duratoin) > 5").unwrap().warnings(),
        ["`duratoin` was taken for an attribute; did you mean `duration`?"]
    );
    wrong("a | sum() > 5ms", "(", "duration", Some("a | sum(duration) > 5ms"));
    wrong("a | sum(size) > 5ms", "5ms", "not a unit of attributes", Some("a | sum(size) > 5"));
    wrong("a | sum(service) > 5ms", "service", "duration", Some("a | sum(duration) > 5ms"));
    wrong("a | sum(\"\") > 5ms", "\"\"", "duration", Some("a | sum(duration) > 5ms"));
    wrong("a | sum(duration) > 5", "5", "needs a unit", Some("a | sum(duration) > 5ms"));
    wrong("a | count(b", "(", "closing parenthesis", None);
    wrong("a | count() > 5 b", "b", "nothing but another function", None);
    let chain = "{a} >> ".repeat(8) + "{b}";
    assert!(Query::parse(&chain).unwrap_err().0[0].message.contains("more than 8 conditions"));
    let bare_chain = "a >> ".repeat(8) + "b";
    assert!(Query::parse(&bare_chain).unwrap_err().0[0].message.contains("more than 8 conditions"));
    let pipes = "a".to_owned() + &" | count() > 1".repeat(9);
    assert!(Query::parse(&pipes).unwrap_err().0[0].message.contains("more than 8 functions"));
}

#[test]
fn one_pass_names_errors_in_every_part() {
    let errors = Query::parse("{is:rot} >> {duration:>5} | cuont() > 1 | sum(duration) > 7").unwrap_err().0;
    let ranges: Vec<_> = errors.iter().map(|error| (error.from, error.to)).collect();
    assert_eq!(ranges, [(4, 7), (23, 24), (28, 33), (58, 59)]);
}

#[test]
fn an_analysis_names_tokens_and_chips() {
    let text = "\u{1F40D} {service:a -kind:client AND x} >> {k:/b/ OR n:>5} | count(d:*) > 50";
    let analysis = Analysis::of(&text[5..]);
    assert_eq!(analysis.errors, []);
    let units: Vec<u16> = text[5..].encode_utf16().collect();
    let part = |from: usize, to: usize| String::from_utf16(&units[from..to]).unwrap();
    let tokens: Vec<_> = analysis.tokens.iter().map(|token| (token.kind, part(token.from, token.to))).collect();
    use TokenKind::{Bracket, Field, Function, Number, Operator, Pipe, Regex, Relation, Value, Word};
    let expected = [
        (Bracket, "{"),
        (Field, "service:"),
        (Value, "a"),
        (Operator, "-"),
        (Field, "kind:"),
        (Value, "client"),
        (Operator, "AND"),
        (Word, "x"),
        (Bracket, "}"),
        (Relation, ">>"),
        (Bracket, "{"),
        (Field, "k:"),
        (Regex, "/b/"),
        (Operator, "OR"),
        (Field, "n:"),
        (Operator, ">"),
        (Number, "5"),
        (Bracket, "}"),
        (Pipe, "|"),
        (Function, "count"),
        (Bracket, "("),
        (Field, "d:"),
        (Value, "*"),
        (Bracket, ")"),
        (Operator, ">"),
        (Number, "50"),
    ];
    assert_eq!(tokens, expected.map(|(kind, text)| (kind, text.to_owned())));
    let chips: Vec<_> = analysis
        .chips
        .iter()
        .map(|chip| (chip.kind, chip.index, part(chip.from, chip.to), chip.text.as_str(), chip.without.as_str()))
        .collect();
    let rest = ">> {k:/b/ OR n:>5} | count(d:*) > 50";
    assert_eq!(
        chips,
        [
            (ChipKind::Term, 0, "service:a".into(), "service:a", format!("{{-kind:client x}} {rest}").as_str()),
            (ChipKind::Term, 0, "-kind:client".into(), "-kind:client", format!("{{service:a x}} {rest}").as_str()),
            (ChipKind::Term, 0, "x".into(), "x", format!("{{service:a -kind:client}} {rest}").as_str()),
            (
                ChipKind::Term,
                1,
                "k:/b/ OR n:>5".into(),
                "k:/b/ OR n:>5",
                "{service:a -kind:client x} >> {} | count(d:*) > 50"
            ),
            (
                ChipKind::Pipe,
                0,
                "| count(d:*) > 50".into(),
                "| count(d:*) > 50",
                "{service:a -kind:client x} >> {k:/b/ OR n:>5}"
            ),
        ]
    );
    // The snake is two units, so what follows begins at the third.
    assert_eq!(Analysis::of("\u{1F40D} a").chips[1].from, 3);
}

#[test]
fn an_analysis_goes_on_behind_errors() {
    let analysis = Analysis::of("is:rot service:a duration:>5");
    assert_eq!((analysis.errors.len(), analysis.tokens.len()), (2, 7));
    assert_eq!((analysis.canonical, analysis.chips.len()), (None, 0));
    assert_eq!(Analysis::of("sevice:x").warnings.len(), 1);
    assert_eq!(Analysis::of("").canonical.as_deref(), Some(""));
    assert_eq!(Analysis::of(&"a".repeat(9_000)).errors.len(), 1);
}

fn condition() -> BoxedStrategy<Option<Expr>> {
    proptest::option::weighted(0.8, expr()).boxed()
}

fn set() -> impl Strategy<Value = SpanSet> {
    let relation = proptest::sample::select(Relation::ALL.to_vec());
    let related = |left, (relation, right)| SpanSet::Related(Box::new(left), relation, right);
    let chain = (condition(), proptest::collection::vec((relation, condition()), 0..3))
        .prop_map(move |(first, others)| others.into_iter().fold(SpanSet::Matching(first), related))
        .boxed();
    let all = prop_oneof![
        3 => chain.clone(),
        1 => proptest::collection::vec(chain, 2..3).prop_map(SpanSet::All),
    ]
    .boxed();
    prop_oneof![
        3 => all.clone(),
        1 => (all.clone(), all).prop_map(|(a, b)| SpanSet::Any(vec![a, b])),
    ]
    .prop_filter("a query has a bounded number of conditions", |set| set.conditions().len() <= 8)
}

fn pipe() -> impl Strategy<Value = Pipe> {
    let aggregate = proptest::sample::select(vec![
        Aggregate::Count,
        Aggregate::Sum,
        Aggregate::Average,
        Aggregate::Longest,
        Aggregate::Shortest,
    ]);
    let comparison = proptest::sample::select(Comparison::ALL.to_vec());
    let measured = prop_oneof![
        2 => Just(Measured::Duration),
        1 => key().prop_map(Measured::Attribute),
    ];
    (aggregate, condition(), comparison, 0u32..1_000_000, measured).prop_map(
        |(aggregate, of, comparison, value, measured)| {
            let measured = if aggregate == Aggregate::Count { Measured::Duration } else { measured };
            Pipe { aggregate, of, comparison, value: Number(value.into()), measured }
        },
    )
}

/// Text that looks like the language, so that more of it is read.
fn language_like() -> impl Strategy<Value = String> {
    let pieces = proptest::sample::select(vec![
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        " ",
        " ",
        "-",
        ":",
        "\"",
        "*",
        "/",
        "/a/",
        "\\",
        ">",
        ">>",
        "<<",
        "<",
        "~",
        "&&",
        "||",
        "|",
        " | ",
        "count(",
        "sum(duration",
        "avg(amount",
        "=",
        "root.",
        "slowest:",
        ",",
        "OR",
        " AND ",
        "NOT",
        " TO ",
        "@",
        "duration:>",
        "is:root",
        "kind:",
        "service:",
        "a",
        "5",
        "5xx",
        "http.status:",
        "ms",
        "%",
        "é",
        "\u{1F40D}",
        "\u{a0}",
        "\n",
        "trace:",
    ]);
    proptest::collection::vec(pieces, 0..60).prop_map(|pieces| pieces.concat())
}

fn check_any_text(text: &str) -> Result<(), TestCaseError> {
    let units = text.encode_utf16().count();
    let analysis = Analysis::of(text);
    let mut end = 0;
    for token in &analysis.tokens {
        prop_assert!(end <= token.from && token.from < token.to && token.to <= units, "{}: {:?}", text, token);
        end = token.to;
    }
    for error in &analysis.errors {
        prop_assert!(error.from <= error.to && error.to <= units, "{}: {:?}", text, error);
    }
    match Query::parse(text) {
        Ok(query) => {
            let printed = query.to_string();
            prop_assert_eq!(Query::parse(&printed), Ok(query), "{} as {}", text, printed);
            prop_assert_eq!(analysis.canonical.as_ref(), Some(&printed));
            for chip in &analysis.chips {
                prop_assert!(chip.from < chip.to && chip.to <= units, "{}: {:?}", text, chip);
                prop_assert!(Query::parse(&chip.without).is_ok(), "{} without {:?}", text, chip);
            }
        }
        Err(errors) => prop_assert_eq!(analysis.errors, errors.0),
    }
    Ok(())
}

proptest! {
    #[test]
    fn printing_sets_and_pipes_reads_back(spans in set(), pipes in proptest::collection::vec(pipe(), 0..3)) {
        let query = Query { spans, pipes };
        let text = query.to_string();
        prop_assert_eq!(Query::parse(&text), Ok(query), "{}", text);
    }

    #[test]
    fn any_text_has_an_analysis(text in "\\PC{0,200}") {
        check_any_text(&text)?;
    }

    #[test]
    fn any_language_like_text_has_an_analysis(text in language_like()) {
        check_any_text(&text)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn kilobytes_have_an_analysis(parts in proptest::collection::vec(language_like(), 20..60)) {
        check_any_text(&parts.concat())?;
    }
}
