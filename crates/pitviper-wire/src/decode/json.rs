//! OTLP/JSON into the model. Source: OTLP specification, "JSON Protobuf Encoding": ids are hex,
//! 64-bit integers may be strings, enums may be names, unknown fields are ignored, and `null`
//! stands for a default.

use std::sync::Arc;

use base64::Engine as _;
use pitviper_model::{
    Attributes, Event, Link, RejectReason, Resource, ResourceSpans, Scope, ScopeSpans, Span, SpanId, SpanKind, Status,
    StatusCode, TraceId, Value,
};
use serde::{Deserialize, Deserializer, de};

use super::{DecodeError, Decoded, parent_span_id};

/// What a span takes while it is decoded, beyond its text and what hangs on it, in bytes.
pub(super) const SPAN_BYTES: usize = size_of::<SpanDocument>() + size_of::<Span>();

/// The same for the largest thing that hangs on a span.
pub(super) const BELOW_SPAN_BYTES: usize = {
    let link = size_of::<LinkDocument>() + size_of::<Link>();
    let pair = size_of::<KeyValue>() + size_of::<(String, Value)>();
    if link > pair { link } else { pair }
};

/// Reads an `ExportTraceServiceRequest` document.
///
/// # Errors
/// When the bytes are not JSON, or a field has the wrong type.
pub fn traces_from_json(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let document: Request = serde_json::from_slice(bytes)?;
    let mut rejected = Vec::new();
    let batch = document.resource_spans.into_iter().map(|spans| spans.into_model(&mut rejected)).collect();
    Ok(Decoded { batch, rejected })
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A document whose fields may be missing or null.
macro_rules! document {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name {
            $(#[serde(deserialize_with = "or_default")] $field: $type),*
        }
    };
}

document!(Request { resource_spans: Vec<ResourceSpansDocument> });
document!(ResourceSpansDocument { resource: ResourceDocument, scope_spans: Vec<ScopeSpansDocument> });
document!(ResourceDocument { attributes: Vec<KeyValue>, dropped_attributes_count: u32 });
document!(ScopeSpansDocument { scope: ScopeDocument, spans: Vec<SpanDocument> });
document!(ScopeDocument { name: String, version: String, attributes: Vec<KeyValue> });
document!(SpanDocument {
    trace_id: String,
    span_id: String,
    parent_span_id: String,
    trace_state: String,
    flags: u32,
    name: String,
    kind: Kind,
    start_time_unix_nano: Integer<u64>,
    end_time_unix_nano: Integer<u64>,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u32,
    events: Vec<EventDocument>,
    dropped_events_count: u32,
    links: Vec<LinkDocument>,
    dropped_links_count: u32,
    status: StatusDocument,
});
document!(EventDocument {
    time_unix_nano: Integer<u64>,
    name: String,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u32,
});
document!(LinkDocument {
    trace_id: String,
    span_id: String,
    trace_state: String,
    attributes: Vec<KeyValue>,
    dropped_attributes_count: u32,
    flags: u32,
});
document!(StatusDocument { message: String, code: Code });
document!(KeyValue { key: String, value: AnyValue });
document!(AnyValue {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Integer<i64>>,
    double_value: Option<Float>,
    array_value: Option<ArrayDocument>,
    kvlist_value: Option<KvlistDocument>,
    bytes_value: Option<Base64>,
});
document!(ArrayDocument { values: Vec<AnyValue> });
document!(KvlistDocument { values: Vec<KeyValue> });

/// A 64-bit integer as a number or as text.
#[derive(Default)]
struct Integer<T>(T);

impl<'de, T: TryFrom<i128> + std::str::FromStr> Deserialize<'de> for Integer<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Unsigned(u64),
            Signed(i64),
            Text(String),
        }
        let parsed = match Form::deserialize(deserializer)? {
            Form::Unsigned(number) => T::try_from(i128::from(number)).ok(),
            Form::Signed(number) => T::try_from(i128::from(number)).ok(),
            Form::Text(text) => text.parse().ok(),
        };
        parsed.map(Self).ok_or_else(|| de::Error::custom("not a 64-bit integer in range"))
    }
}

/// A float as a number, or as the text JSON has no number for.
#[derive(Default)]
struct Float(f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => {
                text.parse().map(Self).map_err(|_| de::Error::custom("not a number, NaN, Infinity or -Infinity"))
            }
        }
    }
}

#[derive(Default)]
struct Base64(Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        base64::engine::general_purpose::STANDARD.decode(text).map(Self).map_err(de::Error::custom)
    }
}

/// An enum as its number or its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrName {
    Number(i32),
    Name(String),
}

#[derive(Default)]
struct Kind(SpanKind);

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrName::deserialize(deserializer)? {
            NumberOrName::Number(number) => SpanKind::from_otlp(number),
            NumberOrName::Name(name) => {
                let name = name.strip_prefix("SPAN_KIND_").unwrap_or(&name).to_ascii_lowercase();
                SpanKind::parse(&name).unwrap_or_default()
            }
        }))
    }
}

#[derive(Default)]
struct Code(StatusCode);

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrName::deserialize(deserializer)? {
            NumberOrName::Number(number) => StatusCode::from_otlp(number),
            NumberOrName::Name(name) => match name.as_str() {
                "STATUS_CODE_OK" => StatusCode::Ok,
                "STATUS_CODE_ERROR" => StatusCode::Error,
                _ => StatusCode::Unset,
            },
        }))
    }
}

fn attributes(pairs: Vec<KeyValue>) -> Attributes {
    Attributes(pairs.into_iter().map(|pair| (pair.key, pair.value.into_model())).collect())
}

impl AnyValue {
    fn into_model(self) -> Value {
        if let Some(text) = self.string_value {
            Value::String(text)
        } else if let Some(flag) = self.bool_value {
            Value::Bool(flag)
        } else if let Some(number) = self.int_value {
            Value::Int(number.0)
        } else if let Some(number) = self.double_value {
            Value::Double(number.0)
        } else if let Some(array) = self.array_value {
            Value::Array(array.values.into_iter().map(Self::into_model).collect())
        } else if let Some(list) = self.kvlist_value {
            Value::Map(attributes(list.values))
        } else if let Some(bytes) = self.bytes_value {
            Value::Bytes(bytes.0)
        } else {
            Value::String(String::new())
        }
    }
}

fn trace_id(text: &str) -> TraceId {
    text.parse().unwrap_or_default()
}

fn span_id(text: &str) -> SpanId {
    text.parse().unwrap_or_default()
}

impl ResourceSpansDocument {
    fn into_model(self, rejected: &mut Vec<RejectReason>) -> ResourceSpans {
        ResourceSpans {
            resource: Arc::new(Resource {
                attributes: attributes(self.resource.attributes),
                dropped_attributes_count: self.resource.dropped_attributes_count,
            }),
            scopes: self.scope_spans.into_iter().map(|spans| spans.into_model(rejected)).collect(),
        }
    }
}

impl ScopeSpansDocument {
    fn into_model(self, rejected: &mut Vec<RejectReason>) -> ScopeSpans {
        let scope = Arc::new(Scope {
            name: self.scope.name,
            version: self.scope.version,
            attributes: attributes(self.scope.attributes),
        });
        let mut spans = Vec::with_capacity(self.spans.len());
        for sent in self.spans {
            match sent.into_model() {
                Ok(span) => spans.push(span),
                Err(reason) => rejected.push(reason),
            }
        }
        ScopeSpans { scope, spans }
    }
}

impl SpanDocument {
    fn into_model(self) -> Result<Span, RejectReason> {
        Ok(Span {
            trace_id: trace_id(&self.trace_id),
            span_id: span_id(&self.span_id),
            parent_span_id: parent_span_id(self.parent_span_id.is_empty(), self.parent_span_id.parse().ok())?,
            trace_state: self.trace_state,
            flags: self.flags,
            name: self.name,
            kind: self.kind.0,
            start_time_unix_nano: self.start_time_unix_nano.0,
            end_time_unix_nano: self.end_time_unix_nano.0,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            events: self.events.into_iter().map(EventDocument::into_model).collect(),
            dropped_events_count: self.dropped_events_count,
            links: self.links.into_iter().map(LinkDocument::into_model).collect(),
            dropped_links_count: self.dropped_links_count,
            status: Status { code: self.status.code.0, message: self.status.message },
        })
    }
}

impl EventDocument {
    fn into_model(self) -> Event {
        Event {
            time_unix_nano: self.time_unix_nano.0,
            name: self.name,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
        }
    }
}

impl LinkDocument {
    fn into_model(self) -> Link {
        Link {
            trace_id: trace_id(&self.trace_id),
            span_id: span_id(&self.span_id),
            trace_state: self.trace_state,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            flags: self.flags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_the_specification_allows() {
        let document = r#"{"resourceSpans":[{"resource":{"attributes":[
            {"key":"service.name","value":{"stringValue":"shop"}}],"later":{"field":[1,2]}},
          "scopeSpans":[{"scope":{"name":"lib"},"spans":[
            {"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"eee19b7ec3c1b174","parentSpanId":null,
             "name":"GET /","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"1544712660000000000",
             "endTimeUnixNano":1544712661000000000,"status":{"code":2},
             "attributes":[{"key":"i","value":{"intValue":"-7"}},{"key":"j","value":{"intValue":8}},
               {"key":"d","value":{"doubleValue":"NaN"}},{"key":"b","value":{"bytesValue":"AQI="}},
               {"key":"a","value":{"arrayValue":{"values":[{"boolValue":true},{}]}}},
               {"key":"new","value":{"laterValue":1}}]}]}]}],"later":1}"#;
        let spans = traces_from_json(document.as_bytes()).unwrap().batch;
        assert_eq!(spans[0].resource.service(), "shop");
        let span = &spans[0].scopes[0].spans[0];
        assert_eq!(span.trace_id.to_string(), "5b8efff798038103d269b633813fc60c");
        assert_eq!(span.parent_span_id, SpanId::INVALID);
        assert_eq!((span.kind, span.status.code), (SpanKind::Server, StatusCode::Error));
        assert_eq!(span.duration_nano(), 1_000_000_000);
        assert_eq!(span.attributes.get("i"), Some(&Value::Int(-7)));
        assert_eq!(span.attributes.get("j"), Some(&Value::Int(8)));
        assert!(matches!(span.attributes.get("d"), Some(Value::Double(number)) if number.is_nan()));
        assert_eq!(span.attributes.get("b"), Some(&Value::Bytes(vec![1, 2])));
        let array = Value::Array(vec![Value::Bool(true), Value::String(String::new())]);
        assert_eq!(span.attributes.get("a"), Some(&array));
        assert_eq!(span.attributes.get_str("new"), Some(""));
    }

    #[test]
    fn says_where_it_failed() {
        let error = traces_from_json(br#"{"resourceSpans":[{"scopeSpans":7}]}"#).unwrap_err().to_string();
        assert!(error.contains("line 1 column"), "{error}");
        assert!(traces_from_json(b"{").is_err());
        let nested = [r#"{"arrayValue":{"values":["#.repeat(300), "]}}".repeat(300)].concat();
        let deep = format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"a","value":{nested}}}]}}}}]}}"#);
        assert!(traces_from_json(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn a_parent_that_is_no_id_does_not_make_a_root() {
        let decode = |parent: &str| {
            let span = format!(r#"{{"name":"a","parentSpanId":{parent}}}"#);
            traces_from_json(format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#).as_bytes())
        };
        for root in ["null", r#""""#, r#""0000000000000000""#] {
            let decoded = decode(root).unwrap();
            assert_eq!(decoded.batch[0].scopes[0].spans[0].parent_span_id, SpanId::INVALID, "{root}");
        }
        for malformed in [r#""00""#, r#""zzf067aa0ba902b7""#, r#""00f067aa0ba902b700""#] {
            let decoded = decode(malformed).unwrap();
            assert_eq!(decoded.rejected, [RejectReason::InvalidParentSpanId], "{malformed}");
            assert_eq!(decoded.batch[0].span_count(), 0, "{malformed}");
        }
    }
}
