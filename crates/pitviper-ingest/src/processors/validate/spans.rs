//! Spans.

use pitviper_model::{RejectReason, ResourceSpans, Span};

use super::{MAX_ITEM_BYTES, is_storable};

/// Takes out the spans that cannot be kept, and notes a reason for each.
pub(crate) fn fit_spans(mut batch: Vec<ResourceSpans>, rejections: &mut Vec<RejectReason>) -> Vec<ResourceSpans> {
    for scope_spans in batch.iter_mut().flat_map(|resource_spans| &mut resource_spans.scopes) {
        scope_spans.spans.retain(|span| match fault(span) {
            Some(reason) => {
                rejections.push(reason);
                false
            }
            None => true,
        });
    }
    batch
}

fn fault(span: &Span) -> Option<RejectReason> {
    if !span.trace_id.is_valid() {
        Some(RejectReason::InvalidTraceId)
    } else if !span.span_id.is_valid() {
        Some(RejectReason::InvalidSpanId)
    } else if !is_storable(span.start_time_unix_nano) {
        Some(RejectReason::InvalidTime)
    } else if text_bytes(span) > MAX_ITEM_BYTES {
        Some(RejectReason::TooLarge)
    } else {
        None
    }
}

fn text_bytes(span: &Span) -> usize {
    let own = span.name.len() + span.trace_state.len() + span.status.message.len() + span.attributes.size_bytes();
    let events = span.events.iter().map(|event| event.name.len() + event.attributes.size_bytes());
    let links = span.links.iter().map(|link| link.trace_state.len() + link.attributes.size_bytes());
    own + events.sum::<usize>() + links.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use pitviper_model::{Attributes, Event, Link, ScopeSpans, SpanId, Status, TraceId};

    use super::*;

    #[test]
    fn names_each_fault_and_keeps_the_rest() {
        let good =
            Span { trace_id: TraceId([1; 16]), span_id: SpanId([1; 8]), start_time_unix_nano: 1, ..Span::default() };
        let huge: Attributes = [("a", "x".repeat(MAX_ITEM_BYTES))].into_iter().collect();
        let spans = vec![
            Span { trace_id: TraceId::INVALID, ..good.clone() },
            good.clone(),
            Span { span_id: SpanId::INVALID, ..good.clone() },
            Span { start_time_unix_nano: 0, ..good.clone() },
            Span { start_time_unix_nano: u64::MAX, ..good.clone() },
            Span { attributes: huge, ..good.clone() },
        ];
        let scopes = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
        let mut rejections = Vec::new();
        let kept = fit_spans(vec![ResourceSpans { scopes, ..ResourceSpans::default() }], &mut rejections);
        assert_eq!(kept[0].scopes[0].spans, [good]);
        use RejectReason::{InvalidSpanId, InvalidTime, InvalidTraceId, TooLarge};
        assert_eq!(rejections, [InvalidTraceId, InvalidSpanId, InvalidTime, InvalidTime, TooLarge]);
    }

    #[test]
    fn all_text_of_a_span_counts_toward_its_size() {
        let text = || "x".repeat(MAX_ITEM_BYTES + 1);
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
