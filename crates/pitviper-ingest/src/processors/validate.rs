//! Which spans are fit to keep.

use pitviper_model::{Attributes, RejectReason, ResourceSpans, Span, Value};
use pitviper_store::schema::MAX_START_TIME_UNIX_NANO;

/// Largest text of a span, all names, trace states, attributes, events and links together, in bytes.
/// Beyond it one span would be a burden on every query that meets it.
const MAX_SPAN_BYTES: usize = 4 * 1024 * 1024;

/// Takes out the spans that cannot be kept, with a reason for each.
pub(crate) fn split(mut batch: Vec<ResourceSpans>) -> (Vec<ResourceSpans>, Vec<RejectReason>) {
    let mut rejections = Vec::new();
    for scope_spans in batch.iter_mut().flat_map(|resource_spans| &mut resource_spans.scopes) {
        scope_spans.spans.retain(|span| match fault(span) {
            Some(reason) => {
                rejections.push(reason);
                false
            }
            None => true,
        });
    }
    (batch, rejections)
}

fn fault(span: &Span) -> Option<RejectReason> {
    if !span.trace_id.is_valid() {
        Some(RejectReason::InvalidTraceId)
    } else if !span.span_id.is_valid() {
        Some(RejectReason::InvalidSpanId)
    } else if span.start_time_unix_nano == 0 || span.start_time_unix_nano > MAX_START_TIME_UNIX_NANO {
        Some(RejectReason::InvalidTime)
    } else if text_bytes(span) > MAX_SPAN_BYTES {
        Some(RejectReason::TooLarge)
    } else {
        None
    }
}

fn text_bytes(span: &Span) -> usize {
    let own = span.name.len() + span.trace_state.len() + span.status.message.len() + list_bytes(&span.attributes);
    let events = span.events.iter().map(|event| event.name.len() + list_bytes(&event.attributes));
    let links = span.links.iter().map(|link| link.trace_state.len() + list_bytes(&link.attributes));
    own + events.sum::<usize>() + links.sum::<usize>()
}

fn list_bytes(list: &Attributes) -> usize {
    list.iter().map(|(key, value)| key.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len() * 2,
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        Value::Map(list) => list_bytes(list),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Event, Link, ScopeSpans, SpanId, Status, TraceId};

    use super::*;

    #[test]
    fn names_each_fault_and_keeps_the_rest() {
        let good =
            Span { trace_id: TraceId([1; 16]), span_id: SpanId([1; 8]), start_time_unix_nano: 1, ..Span::default() };
        let huge: Attributes = [("a", "x".repeat(MAX_SPAN_BYTES))].into_iter().collect();
        let spans = vec![
            Span { trace_id: TraceId::INVALID, ..good.clone() },
            good.clone(),
            Span { span_id: SpanId::INVALID, ..good.clone() },
            Span { start_time_unix_nano: 0, ..good.clone() },
            Span { start_time_unix_nano: u64::MAX, ..good.clone() },
            Span { attributes: huge, ..good.clone() },
        ];
        let scopes = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let (kept, rejections) = split(vec![ResourceSpans { scopes, ..ResourceSpans::default() }]);
        assert_eq!(kept[0].scopes[0].spans, [good]);
        use RejectReason::{InvalidSpanId, InvalidTime, InvalidTraceId, TooLarge};
        assert_eq!(rejections, [InvalidTraceId, InvalidSpanId, InvalidTime, InvalidTime, TooLarge]);
    }

    #[test]
    fn all_text_of_a_span_counts_toward_its_size() {
        let text = || "x".repeat(MAX_SPAN_BYTES + 1);
        let attributes: Attributes = [("a", text())].into_iter().collect();
        let event = |event| Span { events: vec![event], ..Span::default() };
        let link = |link| Span { links: vec![link], ..Span::default() };
        let huge = [
            ("name", Span { name: text(), ..Span::default() }),
            ("trace state", Span { trace_state: text(), ..Span::default() }),
            ("status", Span { status: Status { message: text(), ..Status::default() }, ..Span::default() }),
            ("attribute", Span { attributes: attributes.clone(), ..Span::default() }),
            ("event name", event(Event { name: text(), ..Event::default() })),
            ("event attribute", event(Event { attributes: attributes.clone(), ..Event::default() })),
            ("link trace state", link(Link { trace_state: text(), ..Link::default() })),
            ("link attribute", link(Link { attributes, ..Link::default() })),
        ];
        for (what, span) in huge {
            let ids = (TraceId([1; 16]), SpanId([1; 8]));
            let span = Span { trace_id: ids.0, span_id: ids.1, start_time_unix_nano: 1, ..span };
            assert_eq!(fault(&span), Some(RejectReason::TooLarge), "{what}");
        }
    }
}
