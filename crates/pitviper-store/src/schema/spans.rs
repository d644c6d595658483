//! The `spans` table: its columns, and the builder that fills them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use arrow::array::ArrayRef;
use arrow::array::builder::{
    BooleanBuilder, Int64Builder, StringBuilder, UInt8Builder, UInt16Builder, UInt32Builder, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use pitviper_model::{Attributes, Event, Link, Resource, Scope, Span};

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{
    AttributeColumns, IdBuilder, ResourceColumns, ScopeColumn, TextDictionary, dictionary_type, entries_field,
};
use super::json::{write_hex, write_map, write_text};

/// Longest [`TraceSpan::detail`](crate::TraceSpan::detail), in bytes. The whole text stays in the attribute.
const MAX_DETAIL_BYTES: usize = 240;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, dictionary_type(), false);
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        required("start_ns", DataType::Int64),
        required("duration_ns", DataType::Int64),
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        required("parent_span_id", DataType::FixedSizeBinary(8)),
        text("service"),
        text("environment"),
        text("version"),
        text("host"),
        text("name"),
        required("kind", DataType::UInt8),
        required("status", DataType::UInt8),
        optional("status_message", DataType::Utf8),
        required("is_root", DataType::Boolean),
        optional("http_status", DataType::UInt16),
        optional("db_system", DataType::Utf8),
        optional("detail", DataType::Utf8),
        required("attrs", DataType::Map(entries_field(DataType::Utf8), false)),
        optional("attr_types", DataType::Utf8),
        required("attrs_num", DataType::Map(entries_field(DataType::Float64), false)),
        optional("events", DataType::Utf8),
        optional("links", DataType::Utf8),
        optional("trace_state", DataType::Utf8),
        required("flags", DataType::UInt32),
        optional("dropped_attributes", DataType::UInt32),
        optional("dropped_events", DataType::UInt32),
        optional("dropped_links", DataType::UInt32),
        // Only where the end is not start plus duration: a clock that ran backwards.
        optional("end_ns", DataType::UInt64),
        text("resource"),
        text("scope"),
    ]))
});

/// The columns of `spans`.
pub(crate) fn spans_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// Turns spans into rows.
#[derive(Debug)]
pub struct SpansBuilder {
    start_ns: Int64Builder,
    duration_ns: Int64Builder,
    trace_id: IdBuilder<16>,
    span_id: IdBuilder<8>,
    parent_span_id: IdBuilder<8>,
    resource: ResourceColumns,
    name: TextDictionary,
    kind: UInt8Builder,
    status: UInt8Builder,
    status_message: StringBuilder,
    is_root: BooleanBuilder,
    http_status: UInt16Builder,
    db_system: StringBuilder,
    detail: StringBuilder,
    attrs: AttributeColumns,
    events: StringBuilder,
    links: StringBuilder,
    trace_state: StringBuilder,
    flags: UInt32Builder,
    dropped_attributes: UInt32Builder,
    dropped_events: UInt32Builder,
    dropped_links: UInt32Builder,
    end_ns: UInt64Builder,
    scope: ScopeColumn,
    json: String,
}

impl Default for SpansBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl SpansBuilder {
    /// A builder with room for `n` spans; it grows as needed.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        // Arrow's own default is room for a thousand rows, far too much for the many small writes.
        let sparse_text = || StringBuilder::with_capacity(n, 0);
        Self {
            start_ns: Int64Builder::with_capacity(n),
            duration_ns: Int64Builder::with_capacity(n),
            trace_id: IdBuilder::with_capacity(n),
            span_id: IdBuilder::with_capacity(n),
            parent_span_id: IdBuilder::with_capacity(n),
            resource: ResourceColumns::with_capacity(n),
            name: TextDictionary::with_capacity(n),
            kind: UInt8Builder::with_capacity(n),
            status: UInt8Builder::with_capacity(n),
            status_message: sparse_text(),
            is_root: BooleanBuilder::with_capacity(n),
            http_status: UInt16Builder::with_capacity(n),
            db_system: sparse_text(),
            detail: sparse_text(),
            attrs: AttributeColumns::with_capacity(n),
            events: sparse_text(),
            links: sparse_text(),
            trace_state: sparse_text(),
            flags: UInt32Builder::with_capacity(n),
            dropped_attributes: UInt32Builder::with_capacity(n),
            dropped_events: UInt32Builder::with_capacity(n),
            dropped_links: UInt32Builder::with_capacity(n),
            end_ns: UInt64Builder::with_capacity(n),
            scope: ScopeColumn::with_capacity(n),
            json: String::new(),
        }
    }

    /// Adds one span. A start after [`super::MAX_START_TIME_UNIX_NANO`] is stored as that.
    ///
    /// # Panics
    /// When the text of one column exceeds 2 GiB; requests are limited to a small part of that.
    pub fn append(&mut self, resource: &Resource, scope: &Scope, span: &Span) {
        self.resource.append(resource);
        self.scope.append(scope);
        self.append_times(span);
        self.trace_id.append(span.trace_id.0);
        self.span_id.append(span.span_id.0);
        self.parent_span_id.append(span.parent_span_id.0);
        self.is_root.append_value(!span.parent_span_id.is_valid());
        self.name.append(&span.name);
        self.kind.append_value(span.kind as u8);
        self.status.append_value(span.status.code as u8);
        append_filled(&mut self.status_message, &span.status.message);
        append_filled(&mut self.trace_state, &span.trace_state);
        self.flags.append_value(span.flags);
        append_above_zero(&mut self.dropped_attributes, span.dropped_attributes_count);
        append_above_zero(&mut self.dropped_events, span.dropped_events_count);
        append_above_zero(&mut self.dropped_links, span.dropped_links_count);
        let promoted = self.attrs.append(&span.attributes);
        self.http_status.append_option(promoted.http_status);
        self.db_system.append_option(promoted.db_system);
        match promoted.detail.or_else(|| exception_line(span)) {
            Some(detail) => self.detail.append_value(one_line(detail)),
            None => self.detail.append_null(),
        }
        append_json(&mut self.events, &mut self.json, &span.events, write_event);
        append_json(&mut self.links, &mut self.json, &span.links, write_link);
    }

    fn append_times(&mut self, span: &Span) {
        let start = span.start_time_unix_nano.min(MAX_START_TIME_UNIX_NANO).cast_signed();
        let duration = i64::try_from(span.duration_nano()).unwrap_or(i64::MAX);
        self.start_ns.append_value(start);
        self.duration_ns.append_value(duration);
        let follows = start.cast_unsigned().checked_add(duration.cast_unsigned()) == Some(span.end_time_unix_nano);
        self.end_ns.append_option((!follows).then_some(span.end_time_unix_nano));
    }

    /// How many spans were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.resource.len()
    }

    /// Whether no span was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn finish(mut self) -> RecordBatch {
        let [attrs, attr_types, attrs_num] = self.attrs.finish();
        let [service, environment, version, host, resource] = self.resource.finish();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.start_ns.finish()),
            Arc::new(self.duration_ns.finish()),
            self.trace_id.finish(),
            self.span_id.finish(),
            self.parent_span_id.finish(),
            service,
            environment,
            version,
            host,
            self.name.finish(),
            Arc::new(self.kind.finish()),
            Arc::new(self.status.finish()),
            Arc::new(self.status_message.finish()),
            Arc::new(self.is_root.finish()),
            Arc::new(self.http_status.finish()),
            Arc::new(self.db_system.finish()),
            Arc::new(self.detail.finish()),
            attrs,
            attr_types,
            attrs_num,
            Arc::new(self.events.finish()),
            Arc::new(self.links.finish()),
            Arc::new(self.trace_state.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.dropped_attributes.finish()),
            Arc::new(self.dropped_events.finish()),
            Arc::new(self.dropped_links.finish()),
            Arc::new(self.end_ns.finish()),
            resource,
            self.scope.finish(),
        ];
        RecordBatch::try_new(spans_schema(), columns).expect("every column gets one value a span, of the schema's type")
    }
}

pub(super) fn append_filled(builder: &mut StringBuilder, text: &str) {
    builder.append_option((!text.is_empty()).then_some(text));
}

pub(super) fn append_above_zero(builder: &mut UInt32Builder, count: u32) {
    builder.append_option((count > 0).then_some(count));
}

pub(super) fn append_json<T>(
    builder: &mut StringBuilder,
    json: &mut String,
    items: &[T],
    write_item: fn(&T, &mut String),
) {
    if items.is_empty() {
        builder.append_null();
        return;
    }
    json.clear();
    json.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_item(item, json);
    }
    json.push(']');
    builder.append_value(&json);
}

fn write_event(event: &Event, out: &mut String) {
    // Text, because a time in nanoseconds may exceed a signed 64-bit integer.
    let _ = write!(out, "{{\"time_unix_nano\":\"{}\",\"name\":", event.time_unix_nano);
    write_text(&event.name, out);
    write_details(&event.attributes, event.dropped_attributes_count, out);
    out.push('}');
}

fn write_link(link: &Link, out: &mut String) {
    out.push_str("{\"trace_id\":\"");
    write_hex(&link.trace_id.0, out);
    out.push_str("\",\"span_id\":\"");
    write_hex(&link.span_id.0, out);
    out.push_str("\",\"trace_state\":");
    write_text(&link.trace_state, out);
    let _ = write!(out, ",\"flags\":{}", link.flags);
    write_details(&link.attributes, link.dropped_attributes_count, out);
    out.push('}');
}

fn write_details(attributes: &Attributes, dropped: u32, out: &mut String) {
    if !attributes.is_empty() {
        out.push_str(",\"attributes\":");
        write_map(attributes, out);
    }
    if dropped > 0 {
        let _ = write!(out, ",\"dropped_attributes_count\":{dropped}");
    }
}

fn exception_line(span: &Span) -> Option<&str> {
    let exception = span.events.iter().find(|event| event.name == "exception")?;
    exception.attributes.first_str(&["exception.message", "exception.type"])
}

/// The text's beginning on one line.
fn one_line(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(MAX_DETAIL_BYTES)];
    if text.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b'\t')) {
        Cow::Owned(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
    } else {
        Cow::Borrowed(text)
    }
}
