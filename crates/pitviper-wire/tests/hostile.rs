//! What strangers send is read or refused: no bytes make a decoder panic, and what it makes of them was
//! foreseen.
#![cfg(feature = "decode")]

mod support;

use pitviper_model::{Resource, Scope, Signal, SpanId, SpanKind, StatusCode, TraceId};
use pitviper_wire::decode::{
    ContentEncoding, Telemetry, decompress, json_cost, protobuf_cost, traces_from_json, traces_from_protobuf,
};
use pitviper_wire::encode::{Scalar, SpanEncoder, SpanHead, append_resource_spans};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use self::support::changed;

/// What unpacks to more is refused.
const LIMIT: usize = 10_000;

fn protobuf() -> Vec<u8> {
    let mut encoder = SpanEncoder::default();
    let mut spans = Vec::new();
    for number in 1..4u8 {
        encoder.clear();
        encoder.attributes.set("http.route", Scalar::Str("/users/<id>"), 10);
        encoder.attributes.set("n", Scalar::Int(number.into()), 10);
        let head = SpanHead {
            trace_id: TraceId([number; 16]),
            span_id: SpanId([number; 8]),
            parent_span_id: SpanId::INVALID,
            trace_state: "a=b",
            flags: 1,
            kind: SpanKind::Server,
            start_time_unix_nano: 5,
        };
        encoder.append_span(&mut spans, &head, "GET", 9, StatusCode::Error, "out");
    }
    let mut body = Vec::new();
    append_resource_spans(&mut body, &Resource::default(), &[(&Scope::default(), &spans)]);
    body
}

const JSON: &str = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"é"}}]},
"scopeSpans":[{"spans":[{"traceId":"02020202020202020202020202020202","spanId":"0000000000000001","name":"as json","kind":2,
"startTimeUnixNano":"5","endTimeUnixNano":9,"attributes":[{"key":"a","value":{"arrayValue":{"values":[{"intValue":"1"},
{"doubleValue":0.5},{"bytesValue":"AAE="},{"kvlistValue":{"values":[{"key":"b","value":{"boolValue":true}}]}}]}}}]}]}]}]}"#;

/// Looks at bytes in every way there is.
fn take(bytes: &[u8]) {
    for signal in Signal::ALL {
        let _ = (protobuf_cost(signal, bytes), json_cost(signal, bytes));
        let _ = (Telemetry::from_protobuf(signal, bytes), Telemetry::from_json(signal, bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        take(&bytes);
    }

    #[test]
    fn a_damaged_message_is_read_or_refused(changes in vec((any::<Index>(), any::<u8>()), 1..6), cut: Index) {
        for whole in [protobuf(), JSON.as_bytes().to_vec()] {
            let bytes = changed(whole, &changes);
            take(&bytes);
            take(&bytes[..cut.index(bytes.len())]);
        }
    }

    #[test]
    fn nesting_is_bounded(unit in select(vec!["[", "{\"a\":", "{\"resourceSpans\":[", "\u{a}\u{7f}", "\"", "\\u"]), times in 1..5_000usize) {
        take(unit.repeat(times).as_bytes());
    }

    #[test]
    fn nothing_unpacks_beyond_the_limit(bytes in vec(any::<u8>(), 0..300)) {
        for name in ["gzip", "zstd", "deflate"] {
            let Some(encoding) = ContentEncoding::parse(name) else { continue };
            if let Ok(unpacked) = decompress(encoding, &bytes, LIMIT) {
                prop_assert!(unpacked.len() <= LIMIT);
            }
        }
    }
}

#[test]
fn the_messages_are_messages_before_they_are_damaged() {
    assert_eq!(traces_from_protobuf(&protobuf()).unwrap().batch[0].span_count(), 3);
    assert_eq!(traces_from_json(JSON.as_bytes()).unwrap().batch[0].span_count(), 1);
}
