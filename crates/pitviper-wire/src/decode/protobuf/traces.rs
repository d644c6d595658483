//! Spans.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use pitviper_model::{
    Event, Link, RejectReason, ResourceSpans, ScopeSpans, Span, SpanId, SpanKind, Status, StatusCode, TraceId,
};
use prost::Message;

use super::{attributes, resource, scope, span_id, trace_id};
use crate::decode::{DecodeError, Decoded, parent_span_id};

/// Reads an `ExportTraceServiceRequest`.
///
/// # Errors
/// When the bytes are not that message.
pub fn traces_from_protobuf(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let request = ExportTraceServiceRequest::decode(bytes)?;
    let mut rejected = Vec::new();
    let batch = request
        .resource_spans
        .into_iter()
        .map(|spans| ResourceSpans {
            resource: resource(spans.resource, spans.schema_url),
            scopes: spans.scope_spans.into_iter().map(|spans| scope_spans(spans, &mut rejected)).collect(),
        })
        .collect();
    Ok(Decoded { batch, rejected })
}

fn scope_spans(scope_spans: otlp::ScopeSpans, rejected: &mut Vec<RejectReason>) -> ScopeSpans {
    let mut spans = Vec::with_capacity(scope_spans.spans.len());
    for sent in scope_spans.spans {
        match span(sent) {
            Ok(span) => spans.push(span),
            Err(reason) => rejected.push(reason),
        }
    }
    ScopeSpans { scope: scope(scope_spans.scope, scope_spans.schema_url), spans }
}

fn span(span: otlp::Span) -> Result<Span, RejectReason> {
    let status = span.status.unwrap_or_default();
    let links_sent = span.links.len();
    let links: Vec<Link> = span.links.into_iter().filter_map(link).collect();
    // A link whose ids are none leads nowhere.
    let links_left_out = u32::try_from(links_sent - links.len()).unwrap_or(u32::MAX);
    Ok(Span {
        trace_id: trace_id(&span.trace_id),
        span_id: span_id(&span.span_id),
        parent_span_id: parent_span_id(span.parent_span_id.is_empty(), SpanId::from_slice(&span.parent_span_id))?,
        trace_state: span.trace_state,
        flags: span.flags,
        name: span.name,
        kind: SpanKind::from_otlp(span.kind),
        start_time_unix_nano: span.start_time_unix_nano,
        end_time_unix_nano: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        dropped_attributes_count: span.dropped_attributes_count,
        events: span
            .events
            .into_iter()
            .map(|event| Event {
                time_unix_nano: event.time_unix_nano,
                name: event.name,
                attributes: attributes(event.attributes),
                dropped_attributes_count: event.dropped_attributes_count,
            })
            .collect(),
        dropped_events_count: span.dropped_events_count,
        links,
        dropped_links_count: span.dropped_links_count.saturating_add(links_left_out),
        status: Status { code: StatusCode::from_otlp(status.code), message: status.message },
    })
}

fn link(link: otlp::span::Link) -> Option<Link> {
    Some(Link {
        trace_id: TraceId::from_slice(&link.trace_id).filter(|id| id.is_valid())?,
        span_id: SpanId::from_slice(&link.span_id).filter(|id| id.is_valid())?,
        trace_state: link.trace_state,
        attributes: attributes(link.attributes),
        dropped_attributes_count: link.dropped_attributes_count,
        flags: link.flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_that_is_no_id_does_not_make_a_root() {
        let parents = [vec![], vec![0; 8], vec![7; 8], vec![7; 7], vec![7; 9], vec![0; 16]];
        let spans = parents.map(|parent_span_id| otlp::Span { parent_span_id, ..otlp::Span::default() }).into();
        let scope_spans = vec![otlp::ScopeSpans { spans, ..otlp::ScopeSpans::default() }];
        let resource_spans = vec![otlp::ResourceSpans { scope_spans, ..otlp::ResourceSpans::default() }];
        let decoded = traces_from_protobuf(&ExportTraceServiceRequest { resource_spans }.encode_to_vec()).unwrap();
        let kept: Vec<_> = decoded.batch[0].scopes[0].spans.iter().map(|span| span.parent_span_id).collect();
        assert_eq!(kept, [SpanId::INVALID, SpanId::INVALID, SpanId([7; 8])]);
        assert_eq!(decoded.rejected, [RejectReason::InvalidParentSpanId; 3]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_left_out() {
        let link = |trace_id: &[u8], span_id: &[u8]| otlp::span::Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            ..otlp::span::Link::default()
        };
        let links =
            vec![link(&[1; 16], &[2; 8]), link(&[1; 15], &[2; 8]), link(&[1; 16], &[]), link(&[0; 16], &[2; 8])];
        let decoded = span(otlp::Span { links, dropped_links_count: 7, ..otlp::Span::default() }).unwrap();
        assert_eq!((decoded.links.len(), decoded.dropped_links_count), (1, 10));
        assert_eq!((decoded.links[0].trace_id, decoded.links[0].span_id), (TraceId([1; 16]), SpanId([2; 8])));
    }
}
