//! What a message takes in memory once it is decoded, found out before it is.
//!
//! An empty span is two bytes of protobuf and hundreds of bytes in memory, so a bound on the bytes
//! of a message does not bound its memory: a few kilobytes, well compressed, could ask for
//! gigabytes. Walking over a message costs a fraction of decoding it and allocates nothing.

use std::mem::size_of;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{Event, Link, ResourceSpans, ScopeSpans, Span, Value};

use super::json;

/// Deepest nesting that is looked into; the decoders refuse what is deeper.
const MAX_DEPTH: usize = 128;

/// A kind of protobuf message: what one takes beyond its text, and which of its fields are messages.
/// It is there twice for a moment, as it was sent and in the model.
struct Shape {
    bytes: usize,
    fields: &'static [(u64, &'static Shape)],
}

static REQUEST: Shape = Shape { bytes: 0, fields: &[(1, &RESOURCE_SPANS)] };
static RESOURCE_SPANS: Shape = Shape {
    bytes: size_of::<otlp::ResourceSpans>() + size_of::<ResourceSpans>(),
    fields: &[(1, &RESOURCE), (2, &SCOPE_SPANS)],
};
static RESOURCE: Shape = Shape { bytes: size_of::<pitviper_model::Resource>(), fields: &[(1, &PAIR)] };
static SCOPE_SPANS: Shape =
    Shape { bytes: size_of::<otlp::ScopeSpans>() + size_of::<ScopeSpans>(), fields: &[(1, &SCOPE), (2, &SPAN)] };
static SCOPE: Shape = Shape { bytes: size_of::<pitviper_model::Scope>(), fields: &[(3, &PAIR)] };
static SPAN: Shape =
    Shape { bytes: size_of::<otlp::Span>() + size_of::<Span>(), fields: &[(9, &PAIR), (11, &EVENT), (13, &LINK)] };
static EVENT: Shape = Shape { bytes: size_of::<otlp::span::Event>() + size_of::<Event>(), fields: &[(3, &PAIR)] };
static LINK: Shape = Shape { bytes: size_of::<otlp::span::Link>() + size_of::<Link>(), fields: &[(4, &PAIR)] };
static PAIR: Shape =
    Shape { bytes: size_of::<KeyValue>() + size_of::<(String, Value)>(), fields: &[(2, &VALUE_OF_PAIR)] };
/// Its bytes are the pair's.
static VALUE_OF_PAIR: Shape = Shape { bytes: 0, fields: &[(5, &VALUES), (6, &PAIRS)] };
static VALUE: Shape = Shape { bytes: size_of::<AnyValue>() + size_of::<Value>(), fields: &[(5, &VALUES), (6, &PAIRS)] };
static VALUES: Shape = Shape { bytes: 0, fields: &[(1, &VALUE)] };
static PAIRS: Shape = Shape { bytes: 0, fields: &[(1, &PAIR)] };

/// About how many bytes an `ExportTraceServiceRequest` takes while it is decoded.
#[must_use]
pub fn protobuf_cost(bytes: &[u8]) -> usize {
    bytes.len().saturating_add(walk(&REQUEST, bytes, 0))
}

/// What is damaged ends the walk; decoding will say what is wrong with it.
fn walk(shape: &Shape, mut bytes: &[u8], depth: usize) -> usize {
    let mut cost = 0_usize;
    if depth > MAX_DEPTH {
        return cost;
    }
    while let Some(key) = varint(&mut bytes) {
        let skip = match key & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes),
            5 => Some(4),
            _ => None,
        };
        let field = skip.and_then(|skip| usize::try_from(skip).ok()).and_then(|skip| bytes.split_at_checked(skip));
        let Some((field, rest)) = field else { break };
        bytes = rest;
        if key & 7 == 2
            && let Some((_, inner)) = shape.fields.iter().find(|(number, _)| *number == key >> 3)
        {
            cost = cost.saturating_add(inner.bytes).saturating_add(walk(inner, field, depth + 1));
        }
    }
    cost
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// How deep in an OTLP/JSON document its spans are: an object and a list for the request, its
/// resources and its scopes, then the object of the span.
const SPAN_DEPTH: usize = 7;

/// About how many bytes an OTLP/JSON document takes while it is decoded. Objects and lists are told
/// apart by their depth alone: what is above the spans takes less than a span does, and what is below
/// takes no more than the largest thing that may be there.
#[must_use]
pub fn json_cost(bytes: &[u8]) -> usize {
    let (mut cost, mut depth) = (bytes.len(), 0_usize);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => skip_string(&mut rest),
            b'{' | b'[' => {
                depth += 1;
                let container = if depth <= SPAN_DEPTH { json::SPAN_BYTES } else { json::BELOW_SPAN_BYTES };
                cost = cost.saturating_add(container);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    cost
}

fn skip_string(rest: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => drop(rest.next()),
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, any_value};
    use prost::Message as _;

    use super::*;

    const MANY: usize = 1_000;

    fn request(span: otlp::Span, spans: usize) -> Vec<u8> {
        let scope_spans = vec![otlp::ScopeSpans { spans: vec![span; spans], ..otlp::ScopeSpans::default() }];
        let resource_spans = vec![otlp::ResourceSpans { scope_spans, ..otlp::ResourceSpans::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    }

    #[test]
    fn what_is_small_on_the_wire_and_large_in_memory_is_seen() {
        let list = any_value::Value::ArrayValue(ArrayValue { values: vec![AnyValue::default(); MANY] });
        let nested = KeyValue { value: Some(AnyValue { value: Some(list) }), ..KeyValue::default() };
        let inside = |span| request(span, 1);
        let cases = [
            ("spans", request(otlp::Span::default(), MANY), size_of::<Span>()),
            (
                "attributes",
                inside(otlp::Span { attributes: vec![KeyValue::default(); MANY], ..otlp::Span::default() }),
                size_of::<(String, Value)>(),
            ),
            (
                "events",
                inside(otlp::Span { events: vec![Default::default(); MANY], ..otlp::Span::default() }),
                size_of::<Event>(),
            ),
            (
                "links",
                inside(otlp::Span { links: vec![Default::default(); MANY], ..otlp::Span::default() }),
                size_of::<Link>(),
            ),
            ("values", inside(otlp::Span { attributes: vec![nested], ..otlp::Span::default() }), size_of::<Value>()),
        ];
        for (what, bytes, each) in cases {
            let cost = protobuf_cost(&bytes);
            assert!(cost > MANY * each && bytes.len() < 3 * MANY, "{what}: {} bytes cost {cost}", bytes.len());
        }
    }

    #[test]
    fn json_is_seen_whichever_way_its_objects_are_written() {
        for empty in ["{}", "[]"] {
            let spans = vec![empty; MANY].join(",");
            let document = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#);
            assert_eq!(super::super::traces_from_json(document.as_bytes()).unwrap().batch[0].span_count(), MANY);
            assert!(json_cost(document.as_bytes()) > MANY * size_of::<Span>(), "{empty}");
        }
        let text = format!(r#"{{"a":"{}\\"[[["}}"#, "[{".repeat(MANY));
        assert!(json_cost(text.as_bytes()) < 2 * text.len() + 2 * json::SPAN_BYTES, "text is only text");
    }

    #[test]
    fn damaged_bytes_have_a_cost_and_no_end_but_theirs() {
        for bytes in
            [&b"\x0a"[..], b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff", b"\x0a\x7f\x12", b"\x0b"]
        {
            assert_eq!(protobuf_cost(bytes), bytes.len());
        }
    }
}
