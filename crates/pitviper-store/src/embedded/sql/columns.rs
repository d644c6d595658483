//! The columns of the views, made from those that are stored.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Int64Array, MapArray, StringArray, StringViewArray,
    TimestampNanosecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, UInt8Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use pitviper_model::{SpanKind, StatusCode, Value};

use crate::questions::sql::{SqlType, SqlView, VIEWS};
use crate::schema::{Table, read_resource, read_scope, read_value};

/// A view over a table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Spans,
    SpanMetrics,
}

static SCHEMAS: LazyLock<[SchemaRef; 2]> = LazyLock::new(|| [Of::Spans, Of::SpanMetrics].map(Of::make_schema));

impl Of {
    pub(super) const ALL: [Self; 2] = [Self::Spans, Self::SpanMetrics];

    /// What documents say of it.
    pub(super) fn view(self) -> &'static SqlView {
        VIEWS[self as usize]
    }

    /// The columns of the view.
    pub(super) fn schema(self) -> SchemaRef {
        Arc::clone(&SCHEMAS[self as usize])
    }

    fn make_schema(self) -> SchemaRef {
        let field = |column: &crate::questions::sql::SqlViewColumn| {
            let data_type = match column.kind {
                SqlType::Boolean => DataType::Boolean,
                SqlType::Integer => DataType::Int64,
                SqlType::Float => DataType::Float64,
                SqlType::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, None),
                SqlType::Map => map_type(),
                SqlType::Text | SqlType::List => DataType::Utf8View,
            };
            Field::new(column.name, data_type, column.optional)
        };
        Arc::new(Schema::new(self.view().columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The stored columns that a column of the view is made of.
    pub(super) fn needs(self, column: &str) -> &'static [&'static str] {
        match (self, column) {
            (Self::SpanMetrics, _) => &[],
            (_, "time") => &["start_ns"],
            (_, "duration_ns") => &["duration_ns"],
            (_, "trace_id") => &["trace_id"],
            (_, "span_id") => &["span_id"],
            (_, "parent_id") => &["parent_span_id"],
            (_, "service") => &["service"],
            (_, "name") => &["name"],
            (_, "kind" | "is_entry") => &["kind"],
            (_, "status" | "is_error") => &["status"],
            (_, "status_message") => &["status_message"],
            (_, "environment") => &["environment"],
            (_, "version") => &["version"],
            (_, "host") => &["host"],
            (_, "http_status") => &["http_status"],
            (_, "db_system") => &["db_system"],
            (_, "detail") => &["detail"],
            (_, "is_root") => &["is_root"],
            (_, "event_count") => &["events"],
            (_, "scope") => &["scope"],
            (_, "attributes") => &["attrs"],
            (_, "resource_attributes") => &["resource"],
            _ => &[],
        }
    }

    /// The rows of a stored batch, with the columns of a projection of the view's schema.
    pub(super) fn rows(self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let column = |field: &Arc<Field>| match self {
            Self::Spans => of_spans(batch, field.name()),
            Self::SpanMetrics => of_span_metrics(batch, field.name()),
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
    }

    /// The table that it shows.
    pub(super) fn table(self) -> Table {
        match self {
            Self::Spans => Table::Spans,
            Self::SpanMetrics => Table::SpanMetrics,
        }
    }
}

/// The type of attributes, as they are stored.
fn map_type() -> DataType {
    let spans = Table::Spans.schema();
    spans.field_with_name("attrs").expect("spans have attributes").data_type().clone()
}

fn stored<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).expect("the columns that the view needs were read")
}

fn of_spans(batch: &RecordBatch, column: &str) -> Result<ArrayRef, ArrowError> {
    Ok(match column {
        "time" => times(stored(batch, "start_ns")),
        "duration_ns" => Arc::clone(stored(batch, "duration_ns")),
        "trace_id" => hex(stored(batch, "trace_id").as_fixed_size_binary(), |_| false),
        "span_id" => hex(stored(batch, "span_id").as_fixed_size_binary(), |_| false),
        // A span without a parent has the id of zeros.
        "parent_id" => {
            hex(stored(batch, "parent_span_id").as_fixed_size_binary(), |id| id.iter().all(|byte| *byte == 0))
        }
        "service" | "name" => cast(stored(batch, column), &DataType::Utf8View)?,
        "environment" | "version" | "host" => filled(&cast(stored(batch, column), &DataType::Utf8View)?),
        "status_message" | "db_system" | "detail" => cast(stored(batch, column), &DataType::Utf8View)?,
        "kind" => words(stored(batch, "kind"), |code| SpanKind::from_otlp(i32::from(code)).as_str()),
        "status" => words(stored(batch, "status"), |code| StatusCode::from_otlp(i32::from(code)).as_str()),
        "is_entry" => codes(stored(batch, "kind"), |code| SpanKind::from_otlp(i32::from(code)).is_entry()),
        "is_error" => codes(stored(batch, "status"), |code| code == StatusCode::Error as u8),
        "is_root" => Arc::clone(stored(batch, "is_root")),
        "http_status" => cast(stored(batch, "http_status"), &DataType::Int64)?,
        "event_count" => {
            let events = stored(batch, "events").as_string::<i32>();
            Arc::new(events.iter().map(|list| Some(list.map_or(0, items))).collect::<Int64Array>())
        }
        "scope" => of_dictionary(stored(batch, "scope"), |texts| {
            let name = |text: Option<&str>| {
                let scope = text.and_then(|text| read_scope(text).ok())?;
                (!scope.name.is_empty()).then_some(scope.name)
            };
            Arc::new(texts.iter().map(name).collect::<StringViewArray>())
        })?,
        "attributes" => whole(stored(batch, "attrs"))?,
        "resource_attributes" => of_dictionary(stored(batch, "resource"), |texts| Arc::new(resource_maps(texts)))?,
        other => return Err(ArrowError::SchemaError(format!("the view has no column {other}"))),
    })
}

fn of_span_metrics(batch: &RecordBatch, column: &str) -> Result<ArrayRef, ArrowError> {
    Ok(match column {
        "time" => times(stored(batch, "bucket_start_ns")),
        "service" | "name" => cast(stored(batch, column), &DataType::Utf8View)?,
        "environment" | "version" | "peer" => filled(&cast(stored(batch, column), &DataType::Utf8View)?),
        "kind" => words(stored(batch, "kind"), |code| SpanKind::from_otlp(i32::from(code)).as_str()),
        "is_root" => Arc::clone(stored(batch, "is_root")),
        number => {
            let numbers = stored(batch, number).as_primitive::<UInt64Type>();
            let numbers = numbers.values().iter().map(|number| i64::try_from(*number).unwrap_or(i64::MAX));
            Arc::new(Int64Array::from_iter_values(numbers))
        }
    })
}

fn times(starts: &ArrayRef) -> ArrayRef {
    let starts = starts.as_primitive::<Int64Type>();
    Arc::new(TimestampNanosecondArray::new(starts.values().clone(), None))
}

/// Ids as lower-case hex digits.
fn hex(ids: &FixedSizeBinaryArray, is_none: impl Fn(&[u8]) -> bool) -> ArrayRef {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut texts = StringViewBuilder::with_capacity(ids.len());
    let mut text = String::with_capacity(32);
    for id in (0..ids.len()).map(|row| ids.value(row)) {
        if is_none(id) {
            texts.append_null();
            continue;
        }
        text.clear();
        for byte in id {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        texts.append_value(&text);
    }
    Arc::new(texts.finish())
}

fn words(column: &ArrayRef, word: impl Fn(u8) -> &'static str) -> ArrayRef {
    let codes = column.as_primitive::<UInt8Type>().values();
    let mut texts = StringViewBuilder::with_capacity(codes.len());
    codes.iter().for_each(|code| texts.append_value(word(*code)));
    Arc::new(texts.finish())
}

fn codes(column: &ArrayRef, passes: impl Fn(u8) -> bool) -> ArrayRef {
    let codes = column.as_primitive::<UInt8Type>().values();
    Arc::new(BooleanArray::new(BooleanBuffer::collect_bool(codes.len(), |row| passes(codes[row])), None))
}

/// How many items a stored list has.
fn items(list: &str) -> i64 {
    match read_value(list) {
        Some(Value::Array(items)) => items.len() as i64,
        _ => 0,
    }
}

/// Where nothing was said, an empty text is stored.
fn filled(texts: &ArrayRef) -> ArrayRef {
    let texts = texts.as_string_view();
    let is_said = BooleanBuffer::collect_bool(texts.len(), |row| texts.is_valid(row) && !texts.value(row).is_empty());
    let (views, buffers, _) = texts.clone().into_parts();
    Arc::new(StringViewArray::new(views, buffers, Some(NullBuffer::new(is_said))))
}

/// Makes a value of each text of a dictionary, and of each row that of its text.
fn of_dictionary(column: &ArrayRef, make: impl FnOnce(&StringArray) -> ArrayRef) -> Result<ArrayRef, ArrowError> {
    let dictionary = column.as_dictionary::<Int32Type>();
    if dictionary.is_empty() {
        let values = make(&StringArray::from(Vec::<&str>::new()));
        return Ok(new_null_array(values.data_type(), 0));
    }
    // Of a part of a batch, only the texts that its rows refer to.
    let keys = dictionary.keys().values();
    let mut used: Vec<i32> = keys.to_vec();
    used.sort_unstable();
    used.dedup();
    let place = |key: &i32| used.partition_point(|known| known < key) as u32;
    let texts = dictionary.values().as_string::<i32>();
    let texts: StringArray = used.iter().map(|key| Some(texts.value(*key as usize))).collect();
    take(&make(&texts), &UInt32Array::from_iter_values(keys.iter().map(place)), None)
}

fn resource_maps(texts: &StringArray) -> MapArray {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Field::new("value", DataType::Utf8, false));
    for text in texts {
        let resource = text.and_then(|text| read_resource(text).ok()).unwrap_or_default();
        for (key, value) in resource.attributes.iter() {
            maps.keys().append_value(key);
            maps.values().append_value(value.to_text());
        }
        maps.append(true).expect("as many keys as values");
    }
    maps.finish()
}

/// A map of its own. A part of a larger one holds on to all of it, and is taken to be as large.
fn whole(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let map = column.as_map();
    let offsets = map.value_offsets();
    let used = (offsets[offsets.len() - 1] - offsets[0]) as usize;
    if used == map.keys().len() {
        return Ok(Arc::clone(column));
    }
    take(column, &UInt32Array::from_iter_values(0..column.len() as u32), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_view_can_be_made_of_what_is_stored() {
        for of in Of::ALL {
            assert_eq!(of.view().name, of.table().as_str());
            let stored = RecordBatch::new_empty(of.table().schema());
            let rows = of.rows(&stored, &of.schema()).unwrap();
            assert_eq!((rows.num_rows(), rows.schema()), (0, of.schema()));
            for column in of.view().columns {
                for name in of.needs(column.name) {
                    assert!(stored.column_by_name(name).is_some(), "{name}");
                }
                assert!(of == Of::SpanMetrics || !of.needs(column.name).is_empty(), "{}", column.name);
            }
        }
    }
}
