//! Spans, and the envelopes around them.

use pitviper_model::{Attributes, Event, Link, Resource, Scope, SpanId, SpanKind, StatusCode, TraceId};

use super::attributes::{AttributeList, append_key_value};
use super::protobuf::{
    LENGTH_DELIMITED, put_bytes, put_fixed64, put_flags, put_message, put_message_of, put_text, put_uint, put_varint,
    tag, varint_len,
};

// Field numbers of Span.
const TRACE_ID: u8 = 1;
const SPAN_ID: u8 = 2;
const TRACE_STATE: u8 = 3;
const PARENT_SPAN_ID: u8 = 4;
const NAME: u8 = 5;
const KIND: u8 = 6;
const START_TIME: u8 = 7;
const END_TIME: u8 = 8;
const DROPPED_ATTRIBUTES: u8 = 10;
const EVENTS: u8 = 11;
const DROPPED_EVENTS: u8 = 12;
const LINKS: u8 = 13;
const DROPPED_LINKS: u8 = 14;
const STATUS: u8 = 15;
/// `spans` in ScopeSpans.
const SPANS: u8 = 2;

/// Bytes of a span with a parent besides its texts, attributes, events and links.
const FIXED_BYTES: usize = 66;

/// What of a span is known when it begins.
#[derive(Debug, Clone, Copy)]
pub struct SpanHead<'a> {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own id.
    pub span_id: SpanId,
    /// Its parent; invalid for a root.
    pub parent_span_id: SpanId,
    /// W3C trace state; empty for none.
    pub trace_state: &'a str,
    /// OTLP span flags.
    pub flags: u32,
    /// The role it plays.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_time_unix_nano: u64,
}

/// A span under construction. Reused through [`SpanEncoder::clear`], it allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct SpanEncoder {
    /// The attributes.
    pub attributes: AttributeList,
    events: Vec<u8>,
    event_count: u32,
    dropped_events: u32,
    links: Vec<u8>,
    link_count: u32,
    dropped_links: u32,
}

impl SpanEncoder {
    /// Adds an event. Over `limit` events it is dropped and counted.
    pub fn add_event(&mut self, name: &str, time_unix_nano: u64, attributes: &AttributeList, limit: u32) {
        if self.event_count >= limit {
            self.dropped_events += 1;
            return;
        }
        self.event_count += 1;
        put_message(&mut self.events, EVENTS, |out| {
            put_fixed64(out, 1, time_unix_nano);
            put_text(out, 2, name);
            attributes.append_as(out, 3, 4);
        });
    }

    /// Adds a link. Over `limit` links it is dropped and counted.
    pub fn add_link(&mut self, link: &Link, limit: u32) {
        if self.link_count >= limit {
            self.dropped_links += 1;
            return;
        }
        self.link_count += 1;
        append_link(&mut self.links, LINKS, link);
    }

    /// Appends the finished span as one entry of `ScopeSpans.spans`.
    pub fn append_span(
        &self,
        out: &mut Vec<u8>,
        head: &SpanHead<'_>,
        name: &str,
        end_time_unix_nano: u64,
        status: StatusCode,
        status_message: &str,
    ) {
        let texts = head.trace_state.len() + name.len() + status_message.len();
        let lists = self.attributes.as_span_fields().len() + self.events.len() + self.links.len();
        let expected = FIXED_BYTES + texts + lists;
        out.reserve(expected);
        put_message_of(out, SPANS, expected, |out| {
            put_bytes(out, TRACE_ID, &head.trace_id.0);
            put_bytes(out, SPAN_ID, &head.span_id.0);
            put_text(out, TRACE_STATE, head.trace_state);
            if head.parent_span_id.is_valid() {
                put_bytes(out, PARENT_SPAN_ID, &head.parent_span_id.0);
            }
            put_text(out, NAME, name);
            put_uint(out, KIND, head.kind as u64);
            put_fixed64(out, START_TIME, head.start_time_unix_nano);
            put_fixed64(out, END_TIME, end_time_unix_nano);
            out.extend_from_slice(self.attributes.as_span_fields());
            put_uint(out, DROPPED_ATTRIBUTES, u64::from(self.attributes.dropped()));
            out.extend_from_slice(&self.events);
            put_uint(out, DROPPED_EVENTS, u64::from(self.dropped_events));
            out.extend_from_slice(&self.links);
            put_uint(out, DROPPED_LINKS, u64::from(self.dropped_links));
            if status != StatusCode::Unset {
                put_message(out, STATUS, |out| {
                    put_text(out, 2, status_message);
                    put_uint(out, 3, status as u64);
                });
            }
            put_flags(out, head.flags);
        });
    }

    /// The events as values.
    #[must_use]
    pub fn read_events(&self) -> Vec<Event> {
        super::read::events(&self.events)
    }

    /// The links as values.
    #[must_use]
    pub fn read_links(&self) -> Vec<Link> {
        super::read::links(&self.links)
    }

    /// How many attributes, events and links the limits cost.
    #[must_use]
    pub fn dropped(&self) -> (u32, u32, u32) {
        (self.attributes.dropped(), self.dropped_events, self.dropped_links)
    }

    /// Empties the span and keeps its memory.
    pub fn clear(&mut self) {
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        self.event_count = 0;
        self.dropped_events = 0;
        self.link_count = 0;
        self.dropped_links = 0;
    }

    /// Memory kept, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.attributes.capacity() + self.events.capacity() + self.links.capacity()
    }
}

/// Appends a link as field `field`.
pub fn append_link(out: &mut Vec<u8>, field: u8, link: &Link) {
    put_message(out, field, |out| {
        put_bytes(out, 1, &link.trace_id.0);
        put_bytes(out, 2, &link.span_id.0);
        put_text(out, 3, &link.trace_state);
        for (key, value) in link.attributes.iter() {
            append_key_value(out, 4, key, value);
        }
        put_uint(out, 5, u64::from(link.dropped_attributes_count));
        if link.flags != 0 {
            const FLAGS: u8 = 6 << 3 | 5;
            out.push(FLAGS);
            out.extend_from_slice(&link.flags.to_le_bytes());
        }
    });
}

fn append_attributes(out: &mut Vec<u8>, field: u8, attributes: &Attributes) {
    for (key, value) in attributes.iter() {
        append_key_value(out, field, key, value);
    }
}

/// Appends one entry of `ExportTraceServiceRequest.resource_spans`: scopes, each with its spans, which are entries as
/// [`SpanEncoder::append_span`] writes them. They are copied once.
pub fn append_resource_spans(out: &mut Vec<u8>, resource: &Resource, scopes: &[(&Scope, &[u8])]) {
    let mut head = Vec::new();
    put_message(&mut head, 1, |out| {
        append_attributes(out, 1, &resource.attributes);
        put_uint(out, 2, u64::from(resource.dropped_attributes_count));
    });
    let heads: Vec<Vec<u8>> = scopes.iter().map(|(scope, _)| scope_head(scope)).collect();
    let length_of = |index: usize| heads[index].len() + scopes[index].1.len();
    let field_length = |length: usize| 1 + varint_len(length as u64) + length;
    let length = head.len() + (0..scopes.len()).map(|index| field_length(length_of(index))).sum::<usize>();
    out.reserve(field_length(length));
    out.push(tag(1, LENGTH_DELIMITED));
    put_varint(out, length as u64);
    out.extend_from_slice(&head);
    for (index, (_, spans)) in scopes.iter().enumerate() {
        out.push(tag(2, LENGTH_DELIMITED));
        put_varint(out, length_of(index) as u64);
        out.extend_from_slice(&heads[index]);
        out.extend_from_slice(spans);
    }
}

/// What an entry of `ResourceSpans.scope_spans` begins with.
fn scope_head(scope: &Scope) -> Vec<u8> {
    let mut head = Vec::new();
    put_message(&mut head, 1, |out| {
        put_text(out, 1, &scope.name);
        put_text(out, 2, &scope.version);
        append_attributes(out, 3, &scope.attributes);
    });
    head
}
