//! Rows of `spans` back into model types.

use std::sync::Arc;

use arrow::array::{Array, AsArray, DictionaryArray, GenericStringArray, MapArray};
use arrow::datatypes::{ArrowPrimitiveType, Int32Type, Int64Type, UInt8Type, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{
    Attributes, Event, Link, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value,
};

use super::columns::{TYPE_BOOL, TYPE_BYTES, TYPE_DOUBLE, TYPE_INT, TYPE_NESTED, TYPE_STRING};
use super::json::{read_hex, read_value};
use crate::store::{StoreError, StoredSpan, TraceSpan};

/// Columns [`read_waterfall`] needs.
pub(crate) const WATERFALL_COLUMNS: [&str; 11] = [
    "trace_id",
    "span_id",
    "parent_span_id",
    "service",
    "name",
    "kind",
    "status",
    "start_ns",
    "duration_ns",
    "db_system",
    "detail",
];

/// Columns [`read_spans`] needs. The others repeat what these say, for those who search.
pub(crate) const SPAN_COLUMNS: [&str; 21] = [
    "start_ns",
    "duration_ns",
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "status",
    "status_message",
    "attrs",
    "attr_types",
    "events",
    "links",
    "trace_state",
    "flags",
    "dropped_attributes",
    "dropped_events",
    "dropped_links",
    "end_ns",
    "resource",
    "scope",
];

/// The columns of a batch by name, whatever the projection.
pub(super) struct Columns<'a>(pub(super) &'a RecordBatch);

impl<'a> Columns<'a> {
    pub(super) fn array(&self, name: &str) -> &'a dyn Array {
        self.0.column_by_name(name).expect("callers project the columns that are read")
    }

    pub(super) fn number<T: ArrowPrimitiveType>(&self, name: &str, row: usize) -> T::Native {
        self.array(name).as_primitive::<T>().value(row)
    }

    pub(super) fn optional_number<T: ArrowPrimitiveType>(&self, name: &str, row: usize) -> Option<T::Native> {
        let array = self.array(name).as_primitive::<T>();
        array.is_valid(row).then(|| array.value(row))
    }

    pub(super) fn id<const N: usize>(&self, name: &str, row: usize) -> [u8; N] {
        self.array(name).as_fixed_size_binary().value(row).try_into().expect("the schema fixes the size")
    }

    pub(super) fn optional_text(&self, name: &str, row: usize) -> Option<&'a str> {
        let array = self.array(name).as_string::<i32>();
        array.is_valid(row).then(|| array.value(row))
    }

    pub(super) fn dictionary(&self, name: &str) -> &'a DictionaryArray<Int32Type> {
        self.array(name).as_dictionary::<Int32Type>()
    }
}

/// What each value of a dictionary means, worked out when it is first met.
pub(super) struct Decoded<'a, T> {
    keys: &'a [i32],
    values: &'a GenericStringArray<i32>,
    known: Vec<Option<T>>,
}

impl<'a, T: Clone> Decoded<'a, T> {
    pub(super) fn new(array: &'a DictionaryArray<Int32Type>) -> Self {
        let values = array.values().as_string::<i32>();
        Self { keys: array.keys().values(), values, known: vec![None; values.len()] }
    }

    pub(super) fn at(
        &mut self,
        row: usize,
        decode: impl FnOnce(&str) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let key = self.keys[row] as usize;
        if let Some(value) = &self.known[key] {
            return Ok(value.clone());
        }
        let value = decode(self.values.value(key))?;
        self.known[key] = Some(value.clone());
        Ok(value)
    }
}

pub(super) fn shared_text(text: &str) -> Result<Arc<str>, StoreError> {
    Ok(Arc::from(text))
}

/// Reads rows for a waterfall. The batch has at least [`WATERFALL_COLUMNS`].
pub(crate) fn read_waterfall(batch: &RecordBatch) -> Result<Vec<(TraceId, TraceSpan)>, StoreError> {
    let columns = Columns(batch);
    let mut services = Decoded::new(columns.dictionary("service"));
    let mut names = Decoded::new(columns.dictionary("name"));
    (0..batch.num_rows())
        .map(|row| {
            let span = TraceSpan {
                span_id: SpanId(columns.id("span_id", row)),
                parent_span_id: SpanId(columns.id("parent_span_id", row)),
                service: services.at(row, shared_text)?,
                name: names.at(row, shared_text)?,
                kind: read_kind(&columns, row),
                status: read_status(&columns, row),
                start_ns: columns.number::<Int64Type>("start_ns", row),
                duration_ns: columns.number::<Int64Type>("duration_ns", row).cast_unsigned(),
                db_system: columns.optional_text("db_system", row).map(Arc::from),
                detail: columns.optional_text("detail", row).map(Arc::from),
            };
            Ok((TraceId(columns.id("trace_id", row)), span))
        })
        .collect()
}

fn read_kind(columns: &Columns<'_>, row: usize) -> SpanKind {
    SpanKind::from_otlp(i32::from(columns.number::<UInt8Type>("kind", row)))
}

fn read_status(columns: &Columns<'_>, row: usize) -> StatusCode {
    StatusCode::from_otlp(i32::from(columns.number::<UInt8Type>("status", row)))
}

/// Reads whole spans. The batch has at least [`SPAN_COLUMNS`].
pub(crate) fn read_spans(batch: &RecordBatch) -> Result<Vec<StoredSpan>, StoreError> {
    let columns = Columns(batch);
    let mut names = Decoded::new(columns.dictionary("name"));
    let mut resources = Decoded::new(columns.dictionary("resource"));
    let mut scopes = Decoded::new(columns.dictionary("scope"));
    (0..batch.num_rows())
        .map(|row| {
            let name: Arc<str> = names.at(row, shared_text)?;
            Ok(StoredSpan {
                span: read_span(&columns, row, &name)?,
                resource: resources.at(row, |text| read_resource(text).map(Arc::new))?,
                scope: scopes.at(row, |text| read_scope(text).map(Arc::new))?,
            })
        })
        .collect()
}

fn read_span(columns: &Columns<'_>, row: usize, name: &str) -> Result<Span, StoreError> {
    let start = columns.number::<Int64Type>("start_ns", row).cast_unsigned();
    let duration = columns.number::<Int64Type>("duration_ns", row).cast_unsigned();
    let dropped = |name: &str| columns.optional_number::<UInt32Type>(name, row).unwrap_or_default();
    let text = |name: &str| columns.optional_text(name, row).unwrap_or_default().to_owned();
    Ok(Span {
        trace_id: TraceId(columns.id("trace_id", row)),
        span_id: SpanId(columns.id("span_id", row)),
        parent_span_id: SpanId(columns.id("parent_span_id", row)),
        trace_state: text("trace_state"),
        flags: columns.number::<UInt32Type>("flags", row),
        name: name.to_owned(),
        kind: read_kind(columns, row),
        start_time_unix_nano: start,
        end_time_unix_nano: columns
            .optional_number::<UInt64Type>("end_ns", row)
            .unwrap_or_else(|| start.saturating_add(duration)),
        attributes: read_row_attributes(columns, row)?,
        dropped_attributes_count: dropped("dropped_attributes"),
        events: read_list(columns.optional_text("events", row), read_event)?,
        dropped_events_count: dropped("dropped_events"),
        links: read_list(columns.optional_text("links", row), read_link)?,
        dropped_links_count: dropped("dropped_links"),
        status: Status { code: read_status(columns, row), message: text("status_message") },
    })
}

pub(super) fn read_row_attributes(columns: &Columns<'_>, row: usize) -> Result<Attributes, StoreError> {
    let map: &MapArray = columns.array("attrs").as_map();
    let range = map.value_offsets()[row] as usize..map.value_offsets()[row + 1] as usize;
    let keys = map.keys().as_string::<i32>();
    let values = map.values().as_string::<i32>();
    let mut letters = columns.optional_text("attr_types", row).unwrap_or_default().chars();
    range
        .map(|at| {
            let letter = letters.next().unwrap_or(TYPE_STRING);
            let value = read_typed(letter, values.value(at)).ok_or_else(|| damaged("attribute"))?;
            Ok((keys.value(at).to_owned(), value))
        })
        .collect::<Result<_, _>>()
        .map(Attributes)
}

fn read_typed(letter: char, text: &str) -> Option<Value> {
    match letter {
        TYPE_STRING => Some(Value::String(text.to_owned())),
        TYPE_BOOL => Some(Value::Bool(text == "true")),
        TYPE_INT => text.parse().ok().map(Value::Int),
        TYPE_DOUBLE => text.parse().ok().map(Value::Double),
        TYPE_BYTES => read_hex(text).map(Value::Bytes),
        TYPE_NESTED => read_value(text),
        _ => None,
    }
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Engine(format!("a stored {what} cannot be read; the segment is damaged"))
}

pub(super) fn read_list<T>(text: Option<&str>, read_item: fn(&Attributes) -> Option<T>) -> Result<Vec<T>, StoreError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let Some(Value::Array(items)) = read_value(text) else { return Err(damaged("event or link")) };
    items
        .iter()
        .map(|item| match item {
            Value::Map(fields) => read_item(fields).ok_or_else(|| damaged("event or link")),
            _ => Err(damaged("event or link")),
        })
        .collect()
}

fn read_event(fields: &Attributes) -> Option<Event> {
    Some(Event {
        time_unix_nano: fields.get_str("time_unix_nano")?.parse().ok()?,
        name: fields.get_str("name")?.to_owned(),
        attributes: read_details(fields),
        dropped_attributes_count: read_count(fields, "dropped_attributes_count"),
    })
}

fn read_link(fields: &Attributes) -> Option<Link> {
    Some(Link {
        trace_id: fields.get_str("trace_id")?.parse().ok()?,
        span_id: fields.get_str("span_id")?.parse().ok()?,
        trace_state: fields.get_str("trace_state")?.to_owned(),
        attributes: read_details(fields),
        dropped_attributes_count: read_count(fields, "dropped_attributes_count"),
        flags: read_count(fields, "flags"),
    })
}

pub(super) fn read_details(fields: &Attributes) -> Attributes {
    match fields.get("attributes") {
        Some(Value::Map(attributes)) => attributes.clone(),
        _ => Attributes::default(),
    }
}

fn read_count(fields: &Attributes, name: &str) -> u32 {
    fields.get(name).and_then(Value::as_i64).and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

/// Reads a value of the `resource` column.
pub(crate) fn read_resource(text: &str) -> Result<Resource, StoreError> {
    let Some(Value::Map(fields)) = read_value(text) else { return Err(damaged("resource")) };
    Ok(Resource {
        attributes: read_details(&fields),
        dropped_attributes_count: read_count(&fields, "dropped_attributes_count"),
        schema_url: fields.get_str("schema_url").unwrap_or_default().to_owned(),
    })
}

/// Reads a value of the `scope` column.
pub(crate) fn read_scope(text: &str) -> Result<Scope, StoreError> {
    let Some(Value::Map(fields)) = read_value(text) else { return Err(damaged("scope")) };
    let owned = |name: &str| fields.get_str(name).unwrap_or_default().to_owned();
    let [name, version, schema_url] = ["name", "version", "schema_url"].map(owned);
    Ok(Scope { name, version, attributes: read_details(&fields), schema_url })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::strategies::{attributes, resource, scope, text};
    use crate::schema::{MAX_START_TIME_UNIX_NANO, SpansBuilder, Table};

    fn event() -> impl Strategy<Value = Event> {
        (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
            |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
                time_unix_nano,
                name,
                attributes,
                dropped_attributes_count,
            },
        )
    }

    fn link() -> impl Strategy<Value = Link> {
        (any::<[u8; 16]>(), any::<[u8; 8]>(), text(), attributes(), any::<u32>(), any::<u32>()).prop_map(
            |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
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
        let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<[u8; 8]>());
        let times = (0..=MAX_START_TIME_UNIX_NANO, any::<u64>());
        let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
        let texts = (text(), text(), text());
        let numbers = (any::<u32>(), any::<[u32; 3]>(), 0..6i32, 0..3i32);
        (ids, times, lists, texts, numbers).prop_map(|(ids, times, lists, texts, numbers)| Span {
            trace_id: TraceId(ids.0),
            span_id: SpanId(ids.1),
            parent_span_id: SpanId(ids.2),
            trace_state: texts.0,
            flags: numbers.0,
            name: texts.1,
            kind: SpanKind::from_otlp(numbers.2),
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes: lists.0,
            dropped_attributes_count: numbers.1[0],
            events: lists.1,
            dropped_events_count: numbers.1[1],
            links: lists.2,
            dropped_links_count: numbers.1[2],
            status: Status { code: StatusCode::from_otlp(numbers.3), message: texts.2 },
        })
    }

    fn stored() -> impl Strategy<Value = StoredSpan> {
        (span(), resource(), scope()).prop_map(|(span, resource, scope)| StoredSpan {
            span,
            resource: Arc::new(resource),
            scope: Arc::new(scope),
        })
    }

    fn rows(spans: &[StoredSpan]) -> RecordBatch {
        let mut builder = SpansBuilder::with_capacity(spans.len());
        for stored in spans {
            builder.append(&stored.resource, &stored.scope, &stored.span);
        }
        builder.finish()
    }

    proptest! {
        #[test]
        fn spans_come_back_as_they_were(spans in vec(stored(), 1..6)) {
            prop_assert_eq!(read_spans(&rows(&spans)).unwrap(), spans);
        }

        #[test]
        fn spans_of_merged_batches_come_back_as_they_were(parts in vec(vec(stored(), 1..4), 1..4)) {
            let batches: Vec<RecordBatch> = parts.iter().map(|part| rows(part)).collect();
            let merged = Table::Spans.concat(&batches.iter().collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(read_spans(&merged).unwrap(), parts.concat());
        }
    }

    #[test]
    fn a_start_beyond_the_limit_is_stored_as_the_limit() {
        let late = Span { start_time_unix_nano: u64::MAX, end_time_unix_nano: u64::MAX, ..Span::default() };
        let stored = StoredSpan { span: late, resource: Arc::default(), scope: Arc::default() };
        let found = read_spans(&rows(&[stored])).unwrap();
        assert_eq!(found[0].span.start_time_unix_nano, MAX_START_TIME_UNIX_NANO);
        assert_eq!(found[0].span.end_time_unix_nano, u64::MAX);
    }
}
