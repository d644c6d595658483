//! Writing OTLP: the model as an `ExportTraceServiceRequest`, protobuf or JSON.
//!
//! For files and for passing telemetry on; the agent writes its own in [`crate::encode`]. What
//! [`crate::decode`] makes of it is what went in.

mod json;
mod protobuf;

pub use json::traces_to_json;
pub use protobuf::traces_to_protobuf;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pitviper_model::{
        Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
        StatusCode, TraceId, Value,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{traces_from_json, traces_from_protobuf};

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<String>().prop_map(Value::String),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<f64>().prop_filter("equal to itself", |number| !number.is_nan()).prop_map(Value::Double),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                proptest::collection::vec((any::<String>(), inner), 0..3)
                    .prop_map(|pairs| Value::Map(Attributes(pairs))),
            ]
        })
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        proptest::collection::vec((any::<String>(), value()), 0..4).prop_map(Attributes)
    }

    prop_compose! {
        fn span()(
            ids in any::<([u8; 16], [u8; 8], [u8; 8])>(),
            texts in any::<(String, String, String)>(),
            numbers in any::<(u64, u64, u32, u32, u32, u32, u64)>(),
            kind in 0usize..5,
            status in 0i32..3,
            own in attributes(),
            of_event in attributes(),
            of_link in attributes(),
        ) -> Span {
            Span {
                trace_id: TraceId(ids.0),
                span_id: SpanId(ids.1),
                parent_span_id: SpanId(ids.2),
                trace_state: texts.0.clone(),
                flags: numbers.2,
                name: texts.1,
                kind: SpanKind::ALL[kind],
                start_time_unix_nano: numbers.0,
                end_time_unix_nano: numbers.1,
                attributes: own,
                dropped_attributes_count: numbers.3,
                events: vec![Event {
                    time_unix_nano: numbers.6,
                    name: texts.2.clone(),
                    attributes: of_event,
                    dropped_attributes_count: numbers.4,
                }],
                dropped_events_count: numbers.4,
                links: vec![Link {
                    trace_id: TraceId(ids.0),
                    span_id: SpanId(ids.2),
                    trace_state: texts.0,
                    attributes: of_link,
                    dropped_attributes_count: numbers.5,
                    flags: numbers.2,
                }],
                dropped_links_count: numbers.5,
                status: Status { code: StatusCode::from_otlp(status), message: texts.2 },
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_as_it_was(spans in proptest::collection::vec(span(), 1..4), of_resource in attributes(), of_scope in attributes()) {
            let batch = vec![ResourceSpans {
                resource: Arc::new(Resource { attributes: of_resource, dropped_attributes_count: 9, schema_url: "r".into() }),
                scopes: vec![ScopeSpans {
                    scope: Arc::new(Scope { name: "lib".into(), version: "1".into(), attributes: of_scope, schema_url: "s".into() }),
                    spans,
                }],
            }];
            let json = traces_from_json(traces_to_json(&batch).as_bytes()).unwrap();
            prop_assert_eq!(&json.batch, &batch);
            prop_assert!(!traces_to_json(&batch).contains('\n'), "a request is one line");
            let protobuf = traces_from_protobuf(&traces_to_protobuf(&batch)).unwrap();
            prop_assert_eq!(&protobuf.batch, &batch);
            prop_assert!(json.rejected.is_empty() && protobuf.rejected.is_empty());
        }
    }

    #[test]
    fn numbers_json_has_no_form_for_come_back() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let attributes = Attributes(vec![("number".into(), Value::Double(number))]);
            let resource = Arc::new(Resource { attributes, ..Resource::default() });
            let text = traces_to_json(&[ResourceSpans { resource, scopes: Vec::new() }]);
            let back = traces_from_json(text.as_bytes()).unwrap();
            let found = back.batch[0].resource.attributes.get("number").and_then(Value::as_f64).unwrap();
            assert!(found == number || found.is_nan() && number.is_nan(), "{text}");
        }
    }
}
