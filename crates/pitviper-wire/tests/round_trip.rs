//! What the agent encodes is what the server decodes, for any span.
#![cfg(feature = "decode")]

use pitviper_model::{Attributes, Link, Resource, Scope, SpanId, SpanKind, StatusCode, TraceId, Value};
use pitviper_wire::decode::traces_from_protobuf;
use pitviper_wire::encode::{AttributeList, SpanEncoder, SpanHead, append_resource_spans};
use proptest::prelude::*;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        ".{0,200}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e300..1e300f64).prop_map(Value::Double),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((".{1,5}", inner), 0..4).prop_map(|pairs| Value::Map(Attributes(pairs))),
        ]
    })
}

fn pairs() -> impl Strategy<Value = Vec<(String, Value)>> {
    proptest::collection::vec(("[a-d.]{1,4}", value()), 0..12)
}

/// What setting the pairs one after the other leaves: the last value of a key, in the order of
/// the last setting.
fn last_wins(pairs: &[(String, Value)], limit: usize) -> (Attributes, u32) {
    let mut kept: Vec<(String, Value)> = Vec::new();
    let mut dropped = 0;
    for (key, value) in pairs {
        if let Some(at) = kept.iter().position(|(name, _)| name == key) {
            kept.remove(at);
        } else if kept.len() >= limit {
            dropped += 1;
            continue;
        }
        kept.push((key.clone(), value.clone()));
    }
    (Attributes(kept), dropped)
}

proptest! {
    #[test]
    fn a_span_arrives_as_it_was_made(
        pairs in pairs(),
        event_pairs in pairs(),
        limit in 1usize..10,
        ids in (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<[u8; 8]>()),
        names in (".{0,40}", ".{0,300}", "[a-z=,]{0,20}"),
        times in (any::<u64>(), any::<u64>()),
        numbers in (0usize..5, 0i32..3, any::<u32>()),
    ) {
        let mut encoder = SpanEncoder::default();
        for (key, value) in &pairs {
            encoder.attributes.set_value(key, value, limit as u32);
        }
        let mut event_attributes = AttributeList::default();
        for (key, value) in &event_pairs {
            event_attributes.set_value(key, value, 128);
        }
        encoder.add_event("first", times.0, &event_attributes, 1);
        encoder.add_event("second", times.0, &event_attributes, 1);
        let link = Link {
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.2),
            attributes: last_wins(&event_pairs, 128).0,
            flags: numbers.2,
            ..Link::default()
        };
        encoder.add_link(&link, 8);
        let head = SpanHead {
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.1),
            parent_span_id: SpanId(ids.2),
            trace_state: &names.2,
            flags: numbers.2,
            kind: SpanKind::ALL[numbers.0],
            start_time_unix_nano: times.0,
        };
        let status = StatusCode::from_otlp(numbers.1);
        let message = if status == StatusCode::Error { names.1.as_str() } else { "" };
        let mut spans = Vec::new();
        encoder.append_span(&mut spans, &head, &names.0, times.1, status, message);
        encoder.append_span(&mut spans, &head, &names.0, times.1, status, message);
        let scope = Scope { name: "scope".to_owned(), version: "1".to_owned(), ..Scope::default() };
        let resource = Resource { attributes: last_wins(&event_pairs, 128).0, ..Resource::default() };
        let mut request = Vec::new();
        append_resource_spans(&mut request, &resource, &[(&scope, &spans), (&Scope::default(), &spans)]);

        let decoded = traces_from_protobuf(&request).unwrap();
        prop_assert_eq!(decoded.rejected, []);
        let decoded = decoded.batch;
        prop_assert_eq!(&*decoded[0].resource, &resource);
        prop_assert_eq!(&*decoded[0].scopes[0].scope, &scope);
        prop_assert_eq!((decoded.len(), decoded[0].scopes.len()), (1, 2));
        prop_assert_eq!(&decoded[0].scopes[0].spans, &decoded[0].scopes[1].spans);
        prop_assert_eq!(decoded[0].scopes[0].spans.len(), 2);
        let span = &decoded[0].scopes[0].spans[1];
        let (attributes, dropped) = last_wins(&pairs, limit);
        prop_assert_eq!(&span.attributes, &attributes);
        prop_assert_eq!(span.dropped_attributes_count, dropped);
        prop_assert_eq!(&span.events[0].attributes, &last_wins(&event_pairs, 128).0);
        prop_assert_eq!((span.events.len(), span.dropped_events_count), (1, 1));
        prop_assert_eq!(&span.links[0], &link);
        prop_assert_eq!((span.trace_id, span.span_id, span.parent_span_id), (head.trace_id, head.span_id, head.parent_span_id));
        prop_assert_eq!((&span.name, &span.trace_state, span.flags), (&names.0, &names.2, numbers.2));
        prop_assert_eq!((span.kind, span.status.code, span.status.message.as_str()), (head.kind, status, message));
        prop_assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), times);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = traces_from_protobuf(&bytes);
        let _ = pitviper_wire::decode::traces_from_json(&bytes);
    }
}
