//! What the formats read and write, and what they make of anything else.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// Headers of a request.
#[derive(Default, Clone, Debug, PartialEq)]
struct Headers(HashMap<&'static str, String>);

impl Headers {
    fn of(pairs: &[(&'static str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
    }

    fn get_name(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

impl Carrier for Headers {
    type Text = String;

    fn get(&self, field: Field) -> Option<String> {
        self.0.get(field.name()).cloned()
    }
}

fn formats(formats: &[Format]) -> Formats {
    let packed = AtomicFormats::default();
    packed.store(formats);
    packed.load()
}

fn read(order: &[Format], pairs: &[(&'static str, &str)]) -> (Option<SpanContext>, Losses) {
    let mut losses = Losses::default();
    let found = extract(formats(order), &Headers::of(pairs), &mut losses, |_| true);
    (found, losses)
}

fn write(order: &[Format], context: &SpanContext) -> Headers {
    let mut headers = Headers::default();
    inject(formats(order), context, |field, value| {
        headers.0.insert(field.name(), value.to_owned());
    });
    headers
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const W3C: &[Format] = &[Format::TraceContext, Format::Baggage];
const DATADOG: &[Format] = &[Format::Datadog];
const B3: &[Format] = &[Format::B3];
const DYNATRACE: &[Format] = &[Format::Dynatrace];

#[test]
fn trace_context_comes_back_as_it_was() {
    let (found, losses) = read(W3C, &[("traceparent", PARENT), ("tracestate", "vendor=a,other=b")]);
    let context = found.unwrap();
    assert!(context.is_sampled() && context.is_remote && losses == Losses::default());
    assert_eq!(write(W3C, &context), Headers::of(&[("traceparent", PARENT), ("tracestate", "vendor=a,other=b")]));
}

#[test]
fn trace_context_refuses_what_the_specification_refuses() {
    for bad in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        "00-4bf92f3577b34da6a3ce929d0e0e473é-00f067aa0ba902b7-0",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.",
    ] {
        assert_eq!(read(W3C, &[("traceparent", bad)]), (None, Losses { invalid: 1, baggage: 0 }), "{bad}");
    }
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
    assert!(read(W3C, &[("traceparent", later)]).0.is_some());
}

#[test]
fn a_bad_trace_state_is_dropped_alone_and_a_long_one_loses_long_members() {
    for bad in ["no-equals-sign", "a=\u{7f}", &"a=b,".repeat(33), &"x".repeat(600)] {
        let (found, losses) = read(W3C, &[("traceparent", PARENT), ("tracestate", bad)]);
        assert_eq!((found.unwrap().trace_state, losses.invalid), (None, 1));
    }
    let long = format!("a=1,long={},b=2,{}=3", "x".repeat(200), "c".repeat(300));
    let (found, losses) = read(W3C, &[("traceparent", PARENT), ("tracestate", &long)]);
    assert_eq!((found.unwrap().trace_state.as_deref(), losses.invalid), (Some("a=1,b=2"), 1));
}

#[test]
fn datadog_is_kept_whole() {
    // As ddtrace sends it.
    let headers = [
        ("x-datadog-trace-id", "7678291771695307226"),
        ("x-datadog-parent-id", "67667974448284343"),
        ("x-datadog-sampling-priority", "2"),
        ("x-datadog-origin", "synthetics=a"),
        ("x-datadog-tags", "_dd.p.dm=-4,_dd.p.tid=6b00f59800000000,_dd.p.usr.id=QQ==,other=1"),
    ];
    let context = read(DATADOG, &headers).0.unwrap();
    assert_eq!(context.trace_id.to_string(), "6b00f598000000006a8ec5af5db419da");
    assert_eq!(context.span_id.to_string(), "00f067aa0ba902b7");
    assert!(context.is_sampled());
    let state = "dd=s:2;o:synthetics~a;p:00f067aa0ba902b7;t.dm:-4;t.usr.id:QQ~~";
    assert_eq!(context.trace_state.as_deref(), Some(state));
    let again = write(DATADOG, &context);
    for (name, value) in &headers[..4] {
        assert_eq!(again.get_name(name), Some(*value));
    }
    assert_eq!(again.get_name("x-datadog-tags"), Some("_dd.p.tid=6b00f59800000000,_dd.p.dm=-4,_dd.p.usr.id=QQ=="));
    // And through a service that speaks W3C only.
    let w3c = write(W3C, &context);
    let pairs: Vec<_> = w3c.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(write(DATADOG, &read(W3C, &pairs).0.unwrap()), again);
}

#[test]
fn datadog_says_what_it_can_and_no_more() {
    for bad in ["0", "-1", "+1", "x", "", "18446744073709551616"] {
        assert_eq!(read(DATADOG, &[("x-datadog-trace-id", bad)]), (None, Losses { invalid: 1, baggage: 0 }), "{bad}");
    }
    // A browser has no span; who says nothing of recording leaves it to us; tags beyond the bound are none.
    let long = "_dd.p.tid=6b00f59800000000,".repeat(20);
    let (found, losses) = read(DATADOG, &[("x-datadog-trace-id", "1"), ("x-datadog-tags", &long)]);
    let context = found.unwrap();
    assert_eq!((context.trace_id.0[15], context.trace_id.0[0], context.span_id), (1, 0, SpanId::INVALID));
    assert!(context.is_sampled() && context.trace_state.is_none() && losses.invalid == 1);
    let refused = [("x-datadog-trace-id", "1"), ("x-datadog-sampling-priority", "-1")];
    assert!(!read(DATADOG, &refused).0.unwrap().is_sampled());
    // What was decided since counts more than what was handed over.
    let mut context = read(DATADOG, &[("x-datadog-trace-id", "1"), ("x-datadog-parent-id", "2")]).0.unwrap();
    context.trace_state = Some("dd=s:-1;t.dm:-4".into());
    let headers = write(DATADOG, &context);
    assert_eq!(headers.get_name("x-datadog-sampling-priority"), Some("1"));
    context.flags = 0;
    let headers = write(DATADOG, &context);
    assert_eq!(headers.get_name("x-datadog-sampling-priority"), Some("-1"));
    assert_eq!(headers.get_name("x-datadog-tags"), None);
}

#[test]
fn b3_is_read_in_both_forms_and_written_in_the_one_asked_for() {
    let single = "000000000000000080f198ee56343ba8-e457b5a2e4d86bd1-1";
    let context = read(B3, &[("b3", "80f198ee56343ba8-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")]).0.unwrap();
    assert_eq!(write(B3, &context).get_name("b3"), Some(single));
    let several = [("x-b3-traceid", "80f198ee56343ba8"), ("x-b3-spanid", "e457b5a2e4d86bd1"), ("x-b3-sampled", "0")];
    let context = read(B3, &several).0.unwrap();
    assert!(!context.is_sampled());
    let multi = write(&[Format::B3Multi], &context);
    assert_eq!(multi.get_name("x-b3-traceid"), Some("000000000000000080f198ee56343ba8"));
    assert_eq!((multi.get_name("x-b3-sampled"), multi.get_name("x-b3-flags")), (Some("0"), None));
    for bad in ["x", "80f198ee56343ba8", "80f198ee56343ba8-0000000000000000-1", "80f198ee56343ba8-e457b5a2e4d86bd1-2"] {
        assert_eq!(read(B3, &[("b3", bad)]), (None, Losses { invalid: 1, baggage: 0 }), "{bad}");
    }
    assert_eq!(read(B3, &[("b3", "0")]), (None, Losses::default()));
    // Nobody has decided yet.
    let left = extract(formats(B3), &Headers::of(&several[..2]), &mut Losses::default(), |_| false).unwrap();
    assert!(!left.is_sampled());
}

#[test]
fn the_debug_flag_of_b3_goes_on_in_every_format() {
    let context = read(B3, &[("b3", "80f198ee56343ba8-e457b5a2e4d86bd1-d")]).0.unwrap();
    assert!(write(B3, &context).get_name("b3").unwrap().ends_with("-d"));
    let multi = write(&[Format::B3Multi], &context);
    assert_eq!((multi.get_name("x-b3-sampled"), multi.get_name("x-b3-flags")), (None, Some("1")));
    assert_eq!(write(DATADOG, &context).get_name("x-datadog-sampling-priority"), Some("2"));
    let multi: Vec<_> = multi.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(read(B3, &multi).0.unwrap().trace_state.as_deref(), Some("dd=s:2"));
}

#[test]
fn fields_of_dynatrace_that_we_cannot_use_are_passed_on() {
    let ids = ";6h4bf92f3577b34da6a3ce929d0e0e4736;7h00f067aa0ba902b7";
    let others = "FW4;-111872945;3;1374093256;11563;0;60138607;260;ebda;2h01;3h51e6ffc8;4h2d2b;5h01";
    let tag = format!("{others}{ids}");
    let mut context = read(DYNATRACE, &[("x-dynatrace", &tag)]).0.unwrap();
    assert!(context.is_sampled());
    assert_eq!(write(DYNATRACE, &context).get_name("x-dynatrace"), Some(tag.as_str()));
    // Also over a hop that speaks W3C only, and beside what others have there.
    context.trace_state = Some(format!("a=1,{}", context.trace_state.unwrap()).into());
    let w3c = write(W3C, &context);
    let pairs: Vec<_> = w3c.0.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let context = read(W3C, &pairs).0.unwrap();
    assert_eq!(write(DYNATRACE, &context).get_name("x-dynatrace"), Some(tag.as_str()));
    // A trace of our own is one that we can read.
    let own = read(W3C, &[("traceparent", PARENT)]).0.unwrap();
    let tag = write(DYNATRACE, &own).get_name("x-dynatrace").unwrap().to_owned();
    assert_eq!(read(DYNATRACE, &[("x-dynatrace", &tag)]).0.unwrap().span_id, own.span_id);
    let long = format!("FW4;{}{ids}", "x".repeat(300));
    let (found, losses) = read(DYNATRACE, &[("x-dynatrace", &long)]);
    assert_eq!((found.unwrap().trace_state, losses.invalid), (None, 1));
    for bad in ["FW3;1;2", "FW4", "FW4;6hx;7hx", &format!("FW4;{}{ids}", "x".repeat(1_100))] {
        assert_eq!(read(DYNATRACE, &[("x-dynatrace", bad)]), (None, Losses { invalid: 1, baggage: 0 }), "{bad}");
    }
}

#[test]
fn the_first_format_that_names_a_trace_counts() {
    let both = [("traceparent", PARENT), ("x-datadog-trace-id", "1"), ("x-datadog-parent-id", "2")];
    let order = Propagation::default().extract;
    assert_eq!(read(&order, &both).0.unwrap().span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(read(&order, &both[1..]).0.unwrap().span_id.to_string(), "0000000000000002");
    assert_eq!(read(&[Format::Datadog, Format::TraceContext], &both).0.unwrap().span_id.0[7], 2);
    // An invalid one is none.
    let broken = [("traceparent", "00-x"), ("x-datadog-trace-id", "1"), ("x-datadog-parent-id", "2")];
    assert_eq!(read(&order, &broken).0.unwrap().span_id.0[7], 2);
    // Of the same trace W3C's fields say who the caller was, and what others want to know again.
    let same = [
        ("x-datadog-trace-id", "11803532876627986230"),
        ("x-datadog-parent-id", "2"),
        ("x-datadog-tags", "_dd.p.tid=4bf92f3577b34da6"),
        ("traceparent", PARENT),
        ("tracestate", "dd=s:2,a=b"),
    ];
    let context = read(&[Format::Datadog, Format::TraceContext], &same).0.unwrap();
    assert_eq!(context.span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(context.trace_state.as_deref(), Some("dd=s:2,a=b"));
}

#[test]
fn baggage_keeps_properties_and_decodes() {
    let header = "user.id=42,name=J%C3%BCrgen%20S;level=1;public , k%20y = v=w,broken%zz=%ff%";
    let (found, losses) = read(W3C, &[("traceparent", PARENT), ("baggage", header)]);
    let baggage = found.unwrap().baggage.unwrap();
    let shown: Vec<_> = baggage.members().iter().map(|m| (&*m.key, &*m.value, &*m.properties)).collect();
    let expected = [
        ("user.id", "42", ""),
        ("name", "Jürgen S", "level=1;public"),
        ("k y", "v=w", ""),
        ("broken%zz", "\u{fffd}%", ""),
    ];
    assert_eq!((shown, losses), (expected.to_vec(), Losses::default()));
    assert!(baggage.header().starts_with("user.id=42,name=J%C3%BCrgen%20S;level=1;public,k%20y=v=w,"));
    assert_eq!((baggage.get("name"), baggage.get("nobody")), (Some("Jürgen S"), None));
}

#[test]
fn baggage_goes_on_without_a_trace() {
    let context = read(W3C, &[("baggage", "a=1")]).0.unwrap();
    assert!(!context.is_valid());
    assert_eq!(write(W3C, &context), Headers::of(&[("baggage", "a=1")]));
    assert_eq!(read(W3C, &[]), (None, Losses::default()));
}

#[test]
fn baggage_has_bounds_and_what_is_beyond_them_is_counted() {
    for (bad, count) in [("novalue", 1), ("=1", 1), ("a b=1", 1), ("a=\"x\"", 1), ("a=1\\,b=2 3", 2), (",,", 0)] {
        assert_eq!(Baggage::parse(bad), (None, count), "{bad}");
    }
    let (twice, dropped) = Baggage::parse("a=1,b=2,a=3");
    assert_eq!((twice.unwrap().header(), dropped), ("a=3,b=2", 0));
    let many: String = (0..70).map(|number| format!("k{number}=v,")).collect();
    let (kept, dropped) = Baggage::parse(&many);
    assert_eq!((kept.unwrap().members().len(), dropped), (64, 6));
    let long = format!("a=1,b={},c=2,d={}", "x".repeat(8_190), "y".repeat(90));
    let (kept, dropped) = Baggage::parse(&long);
    assert_eq!((kept.unwrap().header(), dropped), ("a=1", 3));
    // A text that is short may be long when it is encoded.
    let wide = Member { key: "w".to_owned(), value: " ".repeat(4_000), properties: String::new() };
    let plain = Member { key: "p".to_owned(), value: "1".to_owned(), properties: String::new() };
    let (kept, dropped) = Baggage::new([wide, plain]);
    assert_eq!((kept.unwrap().header(), dropped), ("p=1", 1));
}

#[test]
fn formats_have_the_names_that_settings_use() {
    for (name, format) in
        ["tracecontext", "baggage", "datadog", "b3", "b3multi", "dynatrace"].into_iter().zip(Format::ALL)
    {
        assert_eq!(Format::parse(name), Some(format));
        assert_eq!(formats(&[format]).collect::<Vec<_>>(), [format]);
    }
    assert_eq!(Format::parse("jaeger"), None);
    assert_eq!(formats(&[]).next(), None);
    let twice = [Format::B3, Format::TraceContext, Format::B3];
    assert_eq!(formats(&twice).collect::<Vec<_>>(), [Format::B3, Format::TraceContext]);
    assert_eq!(Field::of_header(b"X-B3-TraceId"), Some(Field::B3TraceId));
    assert_eq!(Field::of_header(b"x-request-id"), None);
}

/// A piece of some format, or nothing of the kind.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[0-9a-f]{16}",
        "[0-9a-f]{32}",
        "[0-9]{1,20}",
        "00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]",
        "[0-9a-f]{32}-[0-9a-f]{16}-[01d]",
        "FW4;[-0-9;a-fh]{0,40};6h[0-9a-f]{32};7h[0-9a-f]{16}",
        "(dd=|o:|s:|t\\.|_dd\\.p\\.|[a-z%=;,:~ é]){0,30}",
    ]
}

#[test]
fn a_decision_changes_what_is_told_and_nothing_else() {
    let state = "dd=s:1;o:rum;t.dm:-1;t.x:y,other=z";
    let (context, _) = read(
        &[Format::TraceContext],
        &[("traceparent", "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-03"), ("tracestate", state)],
    );
    let context = context.unwrap();
    let dropped = context.decided(-1, "-4");
    assert!(!dropped.is_sampled() && dropped.flags & RANDOM != 0);
    assert_eq!((dropped.priority(), dropped.trace_id), (-1, context.trace_id));
    assert_eq!(dropped.trace_state.as_deref(), Some("dd=s:-1;t.dm:-4;o:rum;t.x:y,other=z"));
    let kept = SpanContext { flags: 0, trace_state: None, ..context }.decided(2, "-4");
    assert!(kept.is_sampled());
    assert_eq!((kept.priority(), kept.trace_state.as_deref()), (2, Some("dd=s:2;t.dm:-4")));
}

proptest! {
    /// Whatever headers hold, they are read, what is read is within the bounds, and what is written of it
    /// is read as the same again.
    #[test]
    fn hostile_headers_are_read_within_bounds(texts in prop::collection::vec(prop::option::of(piece()), Field::ALL.len())) {
        let given = Field::ALL.into_iter().zip(texts).filter_map(|(field, text)| Some((field.name(), text?)));
        let headers = Headers(given.collect());
        for order in [
            vec![Format::TraceContext, Format::Baggage, Format::Datadog],
            vec![Format::Datadog, Format::B3, Format::TraceContext],
            vec![Format::B3Multi, Format::Baggage],
            vec![Format::Dynatrace, Format::TraceContext],
        ] {
            let Some(context) = extract(formats(&order), &headers, &mut Losses::default(), |_| true) else { continue };
            prop_assert!(context.trace_state.as_ref().is_none_or(|state| state.len() <= 512));
            prop_assert!(context.baggage.as_ref().is_none_or(|baggage| baggage.header().len() <= 8_192));
            let written = write(&Format::ALL, &context);
            prop_assert!(written.0.values().all(|value| value.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t')));
            if context.is_valid() {
                let again = extract(formats(&[Format::TraceContext, Format::Baggage]), &written, &mut Losses::default(), |_| true);
                prop_assert_eq!(again, Some(context));
            }
        }
    }

    #[test]
    fn hostile_baggage_comes_back_as_it_was_read(text in "([a-z%=;, é\"]|%[0-9A-F]{2}|k[0-9]=v,){0,60}") {
        if let (Some(baggage), _) = Baggage::parse(&text) {
            let (again, lost) = Baggage::parse(baggage.header());
            prop_assert_eq!((again.as_ref(), lost), (Some(&baggage), 0));
        }
    }
}
