//! Tests of the search language: meaning, messages, printing.

use pitviper_model::{SpanId, SpanKind, StatusCode, TraceId};
use pitviper_store::filter::{Bound, DurationLimits, Filter, NumberField, NumberRange, Pattern, TextField, TextMatch};
use proptest::prelude::*;

use crate::search::{Comparison, Expr, Field, Matcher, Number, Query, Slowest, SpanSet, Text};

#[track_caller]
pub(super) fn canonical(text: &str, expected: &str) {
    let query = Query::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors}"));
    assert_eq!(query.to_string(), expected, "canonical form of {text}");
    assert_eq!(Query::parse(expected).unwrap(), query, "{expected} reads back");
}

/// Checks the first error: the text it covers, a part of the message, and the text after the fix.
#[track_caller]
pub(super) fn wrong(text: &str, covered: &str, message: &str, fixed: Option<&str>) {
    let errors = Query::parse(text).expect_err(text);
    let error = &errors.0[0];
    assert_eq!(&text[error.from..error.to], covered, "range of {error:?}");
    assert!(error.message.contains(message), "{error:?}");
    let repaired = error.fix.as_ref().map(|fix| format!("{}{}{}", &text[..error.from], fix.replace, &text[error.to..]));
    assert_eq!(repaired.as_deref(), fixed, "{error:?}");
    if let Some(repaired) = repaired {
        Query::parse(&repaired).unwrap_or_else(|errors| panic!("the fix {repaired} is wrong too: {errors}"));
    }
}

pub(super) fn filter(text: &str) -> Filter {
    Query::parse(text).unwrap_or_else(|errors| panic!("{text}: {errors}")).filter().expect("it asks for spans alone")
}

fn equals(field: TextField, text: &str) -> Filter {
    Filter::Text(field, TextMatch::Equals(text.to_owned()))
}

#[test]
fn prints_the_canonical_form() {
    canonical("", "");
    canonical("   ", "");
    canonical("service:flaskr", "service:flaskr");
    canonical("request:\"POST /create\"  AND operation:/x", "name:\"POST /create\" name:/x");
    canonical("a b OR c d", "(a b) OR (c d)");
    canonical("(a (b (c)))", "a b c");
    canonical("(a OR (b OR c)) d", "(a OR b OR c) d");
    canonical("NOT NOT a -NOT b", "a b");
    canonical("-(a b) NOT kind:SERVER", "-(a b) -kind:server");
    canonical("duration:>0.1s duration:<=90s duration:>1.5us", "duration:>100ms duration:<=90s duration:>1500ns");
    canonical("duration:[100ms TO *] n:[-1 TO 2.5e3]", "duration:[100ms TO *] n:[-1 TO 2500]");
    canonical(
        "http.response.status_code:(500 OR >=502 OR [1 TO 3])",
        "http.response.status_code:500 OR http.response.status_code:>=502 OR http.response.status_code:[1 TO 3]",
    );
    canonical("@service:x \"odd key\":v @\"a:b\":v", "@service:x @\"odd key\":v @\"a:b\":v");
    canonical("db.query.text:*from\\ posts*", "db.query.text:*from\\ posts*");
    canonical("k:\"a*b\" k:a\\*b", "k:\"a*b\" k:\"a*b\"");
    canonical("url.full:http://x/?a=b", "url.full:\"http://x/?a=b\"");
    canonical("is:error is:root is:entry", "status:error is:root is:entry");
    canonical("*time* \"OR\" \\AND", "time \"OR\" \"AND\"");
    canonical("kind:* user@example.org", "duration:* \"user@example.org\"");
    canonical("env:prod version:* host:web-*", "env:prod version:* host:web-*");
}

#[test]
fn means_what_it_says() {
    assert_eq!(filter(""), Filter::All);
    assert_eq!(
        filter("service:flaskr status:error"),
        Filter::And(vec![equals(TextField::Service, "flaskr"), Filter::Status(StatusCode::Error)])
    );
    assert_eq!(
        filter("duration:>100ms"),
        Filter::Number(
            NumberField::DurationNs,
            NumberRange { low: Some(Bound { value: 1e8, inclusive: false }), high: None }
        )
    );
    assert_eq!(
        filter("-size:[1 TO 5]"),
        Filter::Not(Box::new(Filter::Number(
            NumberField::Attribute("size".into()),
            NumberRange {
                low: Some(Bound { value: 1.0, inclusive: true }),
                high: Some(Bound { value: 5.0, inclusive: true })
            }
        )))
    );
    assert_eq!(
        filter("http.route:(/a OR /b*)"),
        Filter::Or(vec![
            equals(TextField::Attribute("http.route".into()), "/a"),
            Filter::Text(TextField::Attribute("http.route".into()), TextMatch::Wildcard("/b*".into())),
        ])
    );
    assert_eq!(filter("@env:*"), Filter::Exists(TextField::Attribute("env".into())));
    assert_eq!(filter("host:*"), Filter::Exists(TextField::Host));
    assert_eq!(filter("duration:*"), Filter::All);
    assert_eq!(filter("\"time out\""), Filter::FullText("time out".into()));
    assert_eq!(filter("kind:client"), Filter::Kind(SpanKind::Client));
    assert_eq!(filter("is:entry"), Filter::IsEntry);
    assert_eq!(
        filter("trace:4BF92F3577b34da6a3ce929d0e0e4736"),
        Filter::Trace("4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap())
    );
    assert_eq!(filter("span_id:00f067aa0ba902b7"), Filter::Span("00f067aa0ba902b7".parse().unwrap()));
}

#[test]
fn says_what_is_wrong_and_how_to_repair_it() {
    wrong("duration:>100", "100", "needs a unit", Some("duration:>100ms"));
    wrong("duration:>5sec x", "5sec", "`sec` is not a unit", Some("duration:>5s x"));
    wrong("duration:>5parsec", "5parsec", "not a unit", None);
    wrong("duration:100ms", "100ms", "compares", Some("duration:>=100ms"));
    wrong("duration:>-5ms", "-5ms", "not negative", None);
    wrong("size:>5parsec", "5parsec", "not a unit of attributes", Some("size:>5"));
    wrong("service:>5", ">5", "not a number", None);
    wrong("(a b", "(a b", "closing parenthesis", Some("(a b)"));
    wrong("a) b", ")", "no opening parenthesis", Some("a b"));
    wrong("a ()", "()", "nothing between", Some("a "));
    wrong("k:(a OR b", "(a OR b", "closing parenthesis", Some("k:(a OR b)"));
    wrong("k:(a b)", "b", "joined by `OR`", Some("k:(a OR b)"));
    wrong("k:(a OR )", "(a OR )", "value is missing", None);
    wrong("k:(OR a)", "OR", "on its left", Some("k:( a)"));
    wrong("name:\"POST", "\"POST", "closing quote", Some("name:\"POST\""));
    wrong("is:rot", "rot", "is:root", Some("is:root"));
    wrong("is:purple", "purple", "not known", None);
    wrong("kind:servr", "servr", "not a kind", Some("kind:server"));
    wrong("status:failed", "failed", "ok, error or unset", None);
    wrong("a status:500", "status:500", "HTTP status", Some("a http.response.status_code:500"));
    wrong("service:", "service:", "no value", Some("service:*"));
    wrong("(service:)", "service:", "no value", Some("(service:*)"));
    wrong("service: flaskr", " ", "without a space", Some("service:flaskr"));
    wrong("a AND", "AND", "on its right", Some("a "));
    wrong("OR a", "OR", "on its left", Some(" a"));
    wrong("a OR", "OR", "on its right", Some("a "));
    wrong("a -", "-", "nothing to negate", Some("a "));
    wrong("trace:4bf9", "4bf9", "32 hex", None);
    wrong("duration:[1ms 2ms]", "[1ms 2ms]", "[low TO high]", None);
    wrong("duration:[2s TO 1s]", "2s TO 1s", "empty", None);
    wrong("duration:[1ms TO", "[1ms TO", "closing bracket", None);
    wrong("foo*bar", "foo*bar", "name a field", Some("name:foo*bar"));
    wrong("k:a\\**", "a\\**", "quote the value", None);
    wrong(":x", ":", "missing", None);
}

#[test]
fn names_all_errors_at_once_and_counts_as_browsers_do() {
    let errors = Query::parse("duration:>5 is:rot \u{1F40D} kind:x").unwrap_err().0;
    let ranges: Vec<_> = errors.iter().map(|error| (error.from, error.to)).collect();
    // The snake is two UTF-16 code units.
    assert_eq!(ranges, [(10, 11), (15, 18), (27, 28)]);
}

#[test]
fn bounds_depth_length_and_terms() {
    let deep = format!("{}a{}", "(".repeat(5_000 / 2), ")".repeat(5_000 / 2));
    assert!(Query::parse(&deep).unwrap_err().0[0].message.contains("nest deeper"));
    let deepest = format!("{}a{}", "(".repeat(64), ")".repeat(64));
    assert!(Query::parse(&deepest).is_ok());
    assert!(Query::parse(&"a".repeat(9_000)).unwrap_err().0[0].message.contains("longer than"));
    assert!(Query::parse(&"a ".repeat(513)).unwrap_err().0[0].message.contains("more than 512 terms"));
    assert!(Query::parse(&"-".repeat(8_000)).is_err());
}

#[test]
fn reads_what_is_equal() {
    canonical("service=flaskr duration:=2s duration>=1ms", "service:flaskr duration:=2s duration:>=1ms");
    canonical(
        "service:=flaskr name=\"GET /\" http.status=5xx",
        "service:flaskr name:\"GET /\" http.response.status_code:5xx",
    );
    canonical("@service=x user.role=auth* n=/a+/", "@service:x user.role:auth* n:/a+/");
    canonical("k:(=a OR =b) size>5KB", "(k:a OR k:b) size:>5000");
    // Arrows, tags and signs without a value are words.
    canonical("a->b x=>y <b> a==b a= =b", "\"a->b\" \"x=>y\" \"<b>\" \"a==b\" \"a=\" \"=b\"");
    canonical("k:\"=x\"", "k:\"=x\"");
    wrong("service:=", "=", "a value has to follow", None);
    wrong("kind=servr", "servr", "not a kind", Some("kind=server"));
    wrong("duration=5", "5", "needs a unit", Some("duration=5ms"));
    let exactly = Some(Bound { value: 2e9, inclusive: true });
    let range = NumberRange { low: exactly, high: exactly };
    assert_eq!(filter("duration=2s"), Filter::Number(NumberField::DurationNs, range));
    assert_eq!(filter("amount=5"), equals(TextField::Attribute("amount".into()), "5"));
}

#[test]
fn reads_terms_on_the_root() {
    canonical("root.service:flaskr", "root.service:flaskr");
    canonical("root.request:x root.is:error", "root.name:x root.status:error");
    canonical("root.http.status:5xx", "root.http.response.status_code:5xx");
    canonical("-root.user.role:(a OR b)", "-(root.user.role:a OR root.user.role:b)");
    canonical("root.@service:x root.\"odd key\":y", "root.@service:x root.@\"odd key\":y");
    canonical("@root.service:x root.duration>2s", "@root.service:x root.duration:>2s");
    wrong("root.kind:servr", "servr", "not a kind", Some("root.kind:server"));
    wrong("root.service:", "root.service:", "no value", Some("root.service:*"));
    let query = Query::parse("service:a -root.service:b").unwrap();
    assert!(query.asks_for_roots() && query.filter().is_none());
    assert_eq!(
        Query::parse("root.sevice:x").unwrap().warnings(),
        ["`sevice` was taken for an attribute; did you mean `service`?"]
    );
}

#[test]
fn reads_the_slowest_share() {
    canonical("slowest:10% slowest:2.50%", "slowest:10% slowest:2.5%");
    canonical("@slowest:yes", "@slowest:yes");
    wrong("slowest:10", "10", "a share", Some("slowest:10%"));
    wrong("slowest:100%", "100%", "a share", None);
    wrong("slowest:x", "x", "a share", None);
    assert_eq!(filter("slowest:5%"), Filter::SlowerThan(DurationLimits::default()));
}

#[test]
fn reads_what_was_sampled() {
    canonical("has:profile has:PROFILE", "has:profile has:profile");
    canonical("fn:* has:*", "has:profile has:profile");
    canonical("fn:parse_body -fn:Blog.create", "fn:parse_body -fn:Blog.create");
    canonical("fn:Blog.* fn:\"f.<locals>.g\"", "fn:Blog.* fn:\"f.<locals>.g\"");
    canonical("fn:(a OR /^b.*c$/) root.has:profile", "(fn:a OR fn:/^b.*c$/) root.has:profile");
    canonical("{fn:a} >> {has:profile} | count(fn:b) > 1", "{fn:a} >> {has:profile} | count(fn:b) > 1");
    canonical("@fn:x @has:profile", "@fn:x @has:profile");
    wrong("has:samples", "samples", "use has:profile", Some("has:profile"));
    wrong("fn:>5", ">5", "not a number", None);
    assert_eq!(filter("fn:a"), Filter::Or(Vec::new()), "nobody was asked");
    assert_eq!(Query::parse("hats:x").unwrap().warnings(), Vec::<String>::new(), "short names are like too many");
}

#[test]
fn what_is_not_known_of_samples_is_said() {
    let mut query = Query::parse("status:error -fn:parse_body").unwrap();
    assert!(!query.is_cut() && query.warnings().is_empty());
    query.terms_mut(&mut |term| {
        if let Expr::Sampled(sampled) = term {
            sampled.spans.complete = false;
        }
    });
    assert!(query.is_cut() && query.warnings()[0].contains("`fn:parse_body`"));
}

#[test]
fn warns_of_slips() {
    assert_eq!(
        Query::parse("sevice:x user.role:y").unwrap().warnings(),
        ["`sevice` was taken for an attribute; did you mean `service`?"]
    );
    assert!(Query::parse("@service:x db.system.name:y size:>1").unwrap().warnings().is_empty());
}

pub(super) fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("service".to_owned()),
        Just("http.route".to_owned()),
        Just("root.name".to_owned()),
        "[a-z.]{1,8}",
        "\\PC{1,6}"
    ]
}

fn matcher(duration: bool) -> BoxedStrategy<Matcher> {
    let number = if duration {
        prop_oneof![
            (0u64..1 << 53).prop_map(|ns| ns as f64),
            (0u64..1_000_000).prop_map(|ms| ms as f64 * 1e6),
            0.0..1e300f64
        ]
        .boxed()
    } else {
        prop_oneof![any::<i32>().prop_map(f64::from), proptest::num::f64::NORMAL].boxed()
    };
    let number = number.prop_map(Number);
    // Of attributes, `=` compares text.
    let count = if duration { 5 } else { 4 };
    let comparison = proptest::sample::select(Comparison::ALL[..count].to_vec());
    let compare = (comparison, number.clone()).prop_map(|(comparison, number)| Matcher::Compare(comparison, number));
    let range = (proptest::option::of(number.clone()), proptest::option::of(number)).prop_map(|(a, b)| match (a, b) {
        (Some(a), Some(b)) if a.0 > b.0 => Matcher::Range(Some(b), Some(a)),
        (a, b) => Matcher::Range(a, b),
    });
    if duration { prop_oneof![compare, range].boxed() } else { prop_oneof![compare, range, text_matcher()].boxed() }
}

fn text_matcher() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        Just(Matcher::Exists),
        "\\PC{0,8}".prop_map(|text| Matcher::Text(Text::Literal(text))),
        "/?[a-z /{}]{0,6}/?".prop_map(|text| Matcher::Text(Text::Literal(text))),
        "[a-z+\\\\d]{1,6}"
            .prop_filter_map("it is a pattern", |text| Pattern::new(&text).ok())
            .prop_map(|pattern| Matcher::Text(Text::Regex(pattern))),
        ("[^*]{0,4}", "[^*]{1,4}").prop_map(|(a, b)| Matcher::Text(Text::Wildcard(format!("{a}*{b}")))),
    ]
}

pub(super) fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        "\\PC{1,8}".prop_map(Expr::Word),
        (key(), matcher(false)).prop_map(|(key, matcher)| Expr::Field(Field::Attribute(key), matcher)),
        matcher(true).prop_map(|matcher| Expr::Field(Field::Duration, matcher)),
        text_matcher().prop_map(|matcher| Expr::Field(Field::Name, matcher)),
        any::<[u8; 16]>().prop_map(|id| Expr::Trace(TraceId(id))),
        any::<[u8; 8]>().prop_map(|id| Expr::Span(SpanId(id))),
        proptest::sample::select(SpanKind::ALL.to_vec()).prop_map(Expr::Kind),
        (1u32..1_000).prop_map(|tenths| {
            let percent = Number(f64::from(tenths) / 10.0);
            Expr::Slowest(Slowest { percent, limits: DurationLimits::default() })
        }),
        Just(Expr::IsRoot),
        Just(Expr::Status(StatusCode::Unset)),
        Just(Expr::Always),
    ];
    let leaf = leaf.prop_flat_map(|leaf| {
        let of_root = match &leaf {
            Expr::Word(_) => leaf.clone(),
            other => Expr::Root(Box::new(other.clone())),
        };
        prop_oneof![3 => Just(leaf), 1 => Just(of_root)]
    });
    leaf.prop_recursive(4, 24, 4, |inner| {
        let parts = proptest::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            parts.clone().prop_map(|parts| super::combine(parts, Expr::And).unwrap()),
            parts.prop_map(|parts| super::combine(parts, Expr::Or).unwrap()),
            inner.prop_map(super::negate),
        ]
    })
}

proptest! {
    #[test]
    fn printing_reads_back_as_the_same_query(root in expr()) {
        let query = Query { spans: SpanSet::Matching(Some(root)), pipes: Vec::new() };
        let text = query.to_string();
        let read = Query::parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&query), "{}", text);
    }

    #[test]
    fn never_panics(text in "\\PC{0,60}") {
        let _ = Query::parse(&text);
    }

    #[test]
    fn never_panics_on_language_like_text(parts in proptest::collection::vec(proptest::sample::select(vec![
        "(", ")", "[", "]", " ", "-", ":", "\"", "*", ">", "<=", "=", "root.", "slowest", "5%", "OR", " AND ", "NOT", " TO ", "@", "\\", "duration", "is",
        "kind", "service", "a", "5", "ms", "é", "\u{1F40D}", "status", "1.", "e9", "trace", "/", "{", "}",
    ]), 0..24)) {
        let text: String = parts.concat();
        match Query::parse(&text) {
            Ok(query) => {
                let read = Query::parse(&query.to_string());
                prop_assert_eq!(read.as_ref(), Ok(&query), "{}", text);
            }
            Err(errors) => {
                let units = text.encode_utf16().count();
                prop_assert!(!errors.0.is_empty());
                for error in errors.0 {
                    prop_assert!(error.from <= error.to && error.to <= units, "{}: {:?}", text, error);
                }
            }
        }
    }
}
