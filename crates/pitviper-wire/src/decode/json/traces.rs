//! Spans.

use pitviper_model::{
    Event, Link, RejectReason, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode, TraceId,
};
use serde::{Deserialize, Deserializer};

use super::{
    Integer, KeyValue, NumberOrName, ResourceDocument, ScopeDocument, attributes, or_default, span_id, trace_id,
};
use crate::decode::{DecodeError, Decoded, parent_span_id};

/// What a span takes while it is decoded, beyond its text and what hangs on it, in bytes.
pub(in crate::decode) const SPAN_BYTES: usize = size_of::<SpanDocument>() + size_of::<Span>();

/// The same for a link, the largest thing that hangs on a span beside its attributes.
pub(in crate::decode) const LINK_BYTES: usize = size_of::<LinkDocument>() + size_of::<Link>();

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

document!(Request { resource_spans: Vec<ResourceSpansDocument> });
document!(ResourceSpansDocument { resource: ResourceDocument, scope_spans: Vec<ScopeSpansDocument>, schema_url: String });
document!(ScopeSpansDocument { scope: ScopeDocument, spans: Vec<SpanDocument>, schema_url: String });
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

impl ResourceSpansDocument {
    fn into_model(self, rejected: &mut Vec<RejectReason>) -> ResourceSpans {
        ResourceSpans {
            resource: self.resource.into_model(self.schema_url),
            scopes: self.scope_spans.into_iter().map(|spans| spans.into_model(rejected)).collect(),
        }
    }
}

impl ScopeSpansDocument {
    fn into_model(self, rejected: &mut Vec<RejectReason>) -> ScopeSpans {
        let scope = self.scope.into_model(self.schema_url);
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
        let links_sent = self.links.len();
        let links: Vec<Link> = self.links.into_iter().filter_map(LinkDocument::into_model).collect();
        // A link whose ids are none leads nowhere.
        let links_left_out = u32::try_from(links_sent - links.len()).unwrap_or(u32::MAX);
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
            links,
            dropped_links_count: self.dropped_links_count.saturating_add(links_left_out),
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
    fn into_model(self) -> Option<Link> {
        Some(Link {
            trace_id: self.trace_id.parse().ok().filter(|id: &TraceId| id.is_valid())?,
            span_id: self.span_id.parse().ok().filter(|id: &SpanId| id.is_valid())?,
            trace_state: self.trace_state,
            attributes: attributes(self.attributes),
            dropped_attributes_count: self.dropped_attributes_count,
            flags: self.flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::Value;

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

    #[test]
    fn a_link_that_leads_nowhere_is_left_out() {
        let (trace, span) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
        let link = |trace: &str, span: &str| format!(r#"{{"traceId":"{trace}","spanId":"{span}"}}"#);
        let links = [link(trace, span), link("5b", span), link(trace, ""), link(&"0".repeat(32), span)].join(",");
        let span = format!(r#"{{"links":[{links}],"droppedLinksCount":7}}"#);
        let document = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#);
        let decoded = traces_from_json(document.as_bytes()).unwrap();
        let span = &decoded.batch[0].scopes[0].spans[0];
        assert_eq!((span.links.len(), span.dropped_links_count), (1, 10));
        assert_eq!(span.links[0].trace_id.to_string(), trace);
    }
}
