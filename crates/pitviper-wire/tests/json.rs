//! Any span that is written as OTLP/JSON, in any of the forms its specification allows, is read as
//! it was meant.
#![cfg(feature = "decode")]

use std::sync::Arc;

use base64::Engine as _;
use pitviper_model::{
    Attributes, Event, Link, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode,
    TraceId, Value,
};
use pitviper_wire::decode::traces_from_json;
use proptest::prelude::*;
use serde_json::json;

type Json = serde_json::Value;

/// Which of the allowed forms a document has.
#[derive(Debug, Clone, Copy)]
struct Forms {
    integers_as_text: bool,
    enums_as_names: bool,
    upper_case_ids: bool,
    /// A field with its default value is null instead of missing.
    nulls: bool,
}

impl Forms {
    fn object(self, fields: Vec<(&str, Json)>) -> Json {
        let mut object = serde_json::Map::new();
        for (key, value) in fields {
            let default = matches!(&value, Json::Null)
                || value == json!(0)
                || value.as_str().is_some_and(str::is_empty)
                || value.as_array().is_some_and(Vec::is_empty);
            match (default, self.nulls) {
                (false, _) => drop(object.insert(key.to_owned(), value)),
                (true, true) => drop(object.insert(key.to_owned(), Json::Null)),
                (true, false) => {}
            }
        }
        // Whatever a later version adds must be skipped.
        object.insert("fieldOfALaterVersion".to_owned(), json!([{ "a": 1 }]));
        Json::Object(object)
    }

    fn integer(self, number: impl Into<i128>) -> Json {
        let number = number.into();
        let as_number = i64::try_from(number).map(Json::from).or_else(|_| u64::try_from(number).map(Json::from));
        match as_number {
            Ok(json) if !self.integers_as_text => json,
            _ => Json::String(number.to_string()),
        }
    }

    fn id(self, id: &impl ToString) -> Json {
        let text = id.to_string();
        Json::String(if self.upper_case_ids { text.to_uppercase() } else { text })
    }

    fn kind(self, kind: SpanKind) -> Json {
        if self.enums_as_names {
            Json::String(format!("SPAN_KIND_{}", kind.as_str().to_uppercase()))
        } else {
            json!(kind as i32)
        }
    }

    fn code(self, code: StatusCode) -> Json {
        if self.enums_as_names {
            Json::String(format!("STATUS_CODE_{}", code.as_str().to_uppercase()))
        } else {
            json!(code as i32)
        }
    }

    fn value(self, value: &Value) -> Json {
        match value {
            Value::String(text) => json!({ "stringValue": text }),
            Value::Bool(flag) => json!({ "boolValue": flag }),
            Value::Int(number) => json!({ "intValue": self.integer(*number) }),
            Value::Double(number) if number.is_finite() => json!({ "doubleValue": number }),
            Value::Double(number) if *number > 0.0 => json!({ "doubleValue": "Infinity" }),
            Value::Double(_) => json!({ "doubleValue": "-Infinity" }),
            Value::Bytes(bytes) => {
                json!({ "bytesValue": base64::engine::general_purpose::STANDARD.encode(bytes) })
            }
            Value::Array(values) => {
                let values: Vec<Json> = values.iter().map(|value| self.value(value)).collect();
                json!({ "arrayValue": self.object(vec![("values", Json::Array(values))]) })
            }
            Value::Map(attributes) => {
                json!({ "kvlistValue": self.object(vec![("values", self.attributes(attributes))]) })
            }
        }
    }

    fn attributes(self, attributes: &Attributes) -> Json {
        attributes.iter().map(|(key, value)| json!({ "key": key, "value": self.value(value) })).collect()
    }

    fn event(self, event: &Event) -> Json {
        self.object(vec![
            ("timeUnixNano", self.integer(event.time_unix_nano)),
            ("name", json!(event.name)),
            ("attributes", self.attributes(&event.attributes)),
            ("droppedAttributesCount", json!(event.dropped_attributes_count)),
        ])
    }

    fn link(self, link: &Link) -> Json {
        self.object(vec![
            ("traceId", self.id(&link.trace_id)),
            ("spanId", self.id(&link.span_id)),
            ("traceState", json!(link.trace_state)),
            ("attributes", self.attributes(&link.attributes)),
            ("droppedAttributesCount", json!(link.dropped_attributes_count)),
            ("flags", json!(link.flags)),
        ])
    }

    fn span(self, span: &Span) -> Json {
        let parent = if span.parent_span_id.is_valid() { self.id(&span.parent_span_id) } else { json!("") };
        self.object(vec![
            ("traceId", self.id(&span.trace_id)),
            ("spanId", self.id(&span.span_id)),
            ("parentSpanId", parent),
            ("traceState", json!(span.trace_state)),
            ("flags", json!(span.flags)),
            ("name", json!(span.name)),
            ("kind", self.kind(span.kind)),
            ("startTimeUnixNano", self.integer(span.start_time_unix_nano)),
            ("endTimeUnixNano", self.integer(span.end_time_unix_nano)),
            ("attributes", self.attributes(&span.attributes)),
            ("droppedAttributesCount", json!(span.dropped_attributes_count)),
            ("events", span.events.iter().map(|event| self.event(event)).collect()),
            ("droppedEventsCount", json!(span.dropped_events_count)),
            ("links", span.links.iter().map(|link| self.link(link)).collect()),
            ("droppedLinksCount", json!(span.dropped_links_count)),
            (
                "status",
                self.object(vec![("message", json!(span.status.message)), ("code", self.code(span.status.code))]),
            ),
        ])
    }

    fn request(self, batch: &[ResourceSpans]) -> Json {
        let scope_spans = |scope_spans: &ScopeSpans| {
            let scope = self.object(vec![
                ("name", json!(scope_spans.scope.name)),
                ("version", json!(scope_spans.scope.version)),
                ("attributes", self.attributes(&scope_spans.scope.attributes)),
            ]);
            let spans = scope_spans.spans.iter().map(|span| self.span(span)).collect();
            self.object(vec![("scope", scope), ("spans", spans)])
        };
        let resource_spans = |resource_spans: &ResourceSpans| {
            let resource = self.object(vec![
                ("attributes", self.attributes(&resource_spans.resource.attributes)),
                ("droppedAttributesCount", json!(resource_spans.resource.dropped_attributes_count)),
            ]);
            self.object(vec![
                ("resource", resource),
                ("scopeSpans", resource_spans.scopes.iter().map(scope_spans).collect()),
            ])
        };
        self.object(vec![("resourceSpans", batch.iter().map(resource_spans).collect())])
    }
}

fn forms() -> impl Strategy<Value = Forms> {
    any::<[bool; 4]>().prop_map(|[integers_as_text, enums_as_names, upper_case_ids, nulls]| Forms {
        integers_as_text,
        enums_as_names,
        upper_case_ids,
        nulls,
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        ".{0,60}".prop_map(Value::String),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        // Few digits: the reader of JSON numbers may be off in the last bit of long ones.
        any::<i32>().prop_map(|eighths| Value::Double(f64::from(eighths) / 8.0)),
        Just(Value::Double(f64::INFINITY)),
        Just(Value::Double(f64::NEG_INFINITY)),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec((".{1,5}", inner), 0..4).prop_map(|pairs| Value::Map(Attributes(pairs))),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Attributes> {
    proptest::collection::vec((".{1,8}", value()), 0..4).prop_map(Attributes)
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), ".{0,20}", attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (any::<[u8; 16]>(), any::<[u8; 8]>(), "[a-z=,]{0,20}", attributes(), any::<[u32; 2]>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, [dropped_attributes_count, flags])| Link {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), prop_oneof![Just([0; 8]), any::<[u8; 8]>()]);
    let texts = ("[a-z=,]{0,20}", ".{0,40}", ".{0,40}");
    let enums = (0usize..5, 0i32..3);
    let hung_on = (attributes(), proptest::collection::vec(event(), 0..3), proptest::collection::vec(link(), 0..3));
    (ids, texts, enums, any::<[u64; 2]>(), any::<[u32; 4]>(), hung_on).prop_map(
        |(ids, texts, enums, times, counts, (attributes, events, links))| Span {
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.1),
            parent_span_id: SpanId(ids.2),
            trace_state: texts.0,
            flags: counts[0],
            name: texts.1,
            kind: SpanKind::ALL[enums.0],
            start_time_unix_nano: times[0],
            end_time_unix_nano: times[1],
            attributes,
            dropped_attributes_count: counts[1],
            events,
            dropped_events_count: counts[2],
            links,
            dropped_links_count: counts[3],
            status: Status { code: StatusCode::from_otlp(enums.1), message: texts.2 },
        },
    )
}

fn batch() -> impl Strategy<Value = Vec<ResourceSpans>> {
    let scope = (".{0,10}", ".{0,5}", attributes()).prop_map(|(name, version, attributes)| Scope {
        name,
        version,
        attributes,
        ..Scope::default()
    });
    let scope_spans = (scope, proptest::collection::vec(span(), 0..3))
        .prop_map(|(scope, spans)| ScopeSpans { scope: Arc::new(scope), spans });
    let resource_spans = (attributes(), any::<u32>(), proptest::collection::vec(scope_spans, 0..3)).prop_map(
        |(attributes, dropped_attributes_count, scopes)| ResourceSpans {
            resource: Arc::new(Resource { attributes, dropped_attributes_count, ..Resource::default() }),
            scopes,
        },
    );
    proptest::collection::vec(resource_spans, 0..3)
}

proptest! {
    #[test]
    fn a_document_is_read_as_it_was_meant(batch in batch(), forms in forms()) {
        let document = forms.request(&batch).to_string();
        let decoded = traces_from_json(document.as_bytes()).unwrap();
        prop_assert_eq!(decoded.rejected, []);
        prop_assert_eq!(decoded.batch, batch, "{}", document);
    }

    #[test]
    fn a_damaged_document_is_an_error_not_a_panic(batch in batch(), forms in forms(), at in any::<prop::sample::Index>()) {
        let mut document = forms.request(&batch).to_string().into_bytes();
        let at = at.index(document.len());
        document.truncate(at);
        prop_assert!(traces_from_json(&document).is_err());
    }
}
