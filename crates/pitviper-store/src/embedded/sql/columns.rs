//! The columns of the views, made from those that are stored.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{MapBuilder, MapFieldNames, StringBuilder, StringViewBuilder};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int64Array, MapArray, StringArray,
    StringViewArray, TimestampNanosecondArray, UInt32Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{
    DataType, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit, UInt8Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use pitviper_model::{Attributes, SpanKind, StatusCode, Value};

use crate::questions::sql::{SqlType, SqlView, VIEWS};
use crate::schema::{Counted, Table, read_json, read_resource, read_scope};

/// A view over a table of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Spans,
    SpanMetrics,
    Logs,
    Exceptions,
    Metrics,
    MetricSeries,
    Profiles,
    Libraries,
}

/// How a column of a view is made of what is stored.
#[derive(Debug, Clone, Copy)]
enum How {
    /// As it is.
    Same,
    /// As 64 bits with a sign; what does not fit is the greatest.
    Whole,
    Time,
    Text,
    /// Where nothing was said, an empty text is stored, which is NULL.
    Filled,
    Hex,
    /// Zeros stand for none.
    HexOrNull,
    Kind,
    Status,
    IsEntry,
    IsError,
    /// How many items a list has.
    Items,
    ScopeName,
    Map,
    ResourceMap,
    JsonMap,
    /// Of counted durations, some of which are stored without what can be told from the rest.
    Shortest,
    Longest,
    /// The first of several columns that is not NULL.
    FirstFloat,
    FirstText,
}

/// A column of a view: its name, what it is made of, and how.
type Made = (&'static str, &'static [&'static str], How);

const TIME: Made = ("time", &["time_ns"], How::Time);
const SERVICE: Made = ("service", &["service"], How::Text);
const ENVIRONMENT: Made = ("environment", &["environment"], How::Filled);
const VERSION: Made = ("version", &["version"], How::Filled);
const HOST: Made = ("host", &["host"], How::Filled);
const TRACE: Made = ("trace_id", &["trace_id"], How::HexOrNull);
const SPAN: Made = ("span_id", &["span_id"], How::HexOrNull);
const SCOPE: Made = ("scope", &["scope"], How::ScopeName);
const ATTRIBUTES: Made = ("attributes", &["attrs"], How::Map);
const RESOURCE: Made = ("resource_attributes", &["resource"], How::ResourceMap);

static SPANS: [Made; 23] = [
    ("time", &["start_ns"], How::Time),
    ("duration_ns", &["duration_ns"], How::Same),
    ("trace_id", &["trace_id"], How::Hex),
    ("span_id", &["span_id"], How::Hex),
    ("parent_id", &["parent_span_id"], How::HexOrNull),
    SERVICE,
    ("name", &["name"], How::Text),
    ("kind", &["kind"], How::Kind),
    ("status", &["status"], How::Status),
    ("status_message", &["status_message"], How::Text),
    ENVIRONMENT,
    VERSION,
    HOST,
    ("http_status", &["http_status"], How::Whole),
    ("db_system", &["db_system"], How::Text),
    ("detail", &["detail"], How::Text),
    ("is_root", &["is_root"], How::Same),
    ("is_entry", &["kind"], How::IsEntry),
    ("is_error", &["status"], How::IsError),
    ("event_count", &["events"], How::Items),
    SCOPE,
    ATTRIBUTES,
    RESOURCE,
];

/// What the shortest and the longest of counted durations are told from.
const COUNTED: [&str; 4] = ["hits", "duration_sum_ns", "duration_min_ns", "duration_max_ns"];

static SPAN_METRICS: [Made; 13] = [
    ("time", &["bucket_start_ns"], How::Time),
    SERVICE,
    ENVIRONMENT,
    VERSION,
    ("name", &["name"], How::Text),
    ("kind", &["kind"], How::Kind),
    ("is_root", &["is_root"], How::Same),
    ("peer", &["peer"], How::Filled),
    ("hits", &["hits"], How::Whole),
    ("errors", &["errors"], How::Whole),
    ("duration_sum_ns", &["duration_sum_ns"], How::Whole),
    ("duration_min_ns", &COUNTED, How::Shortest),
    ("duration_max_ns", &COUNTED, How::Longest),
];

static LOGS: [Made; 14] = [
    TIME,
    SERVICE,
    ENVIRONMENT,
    VERSION,
    HOST,
    ("severity", &["severity"], How::Whole),
    ("severity_text", &["severity_text"], How::Filled),
    ("event_name", &["event_name"], How::Filled),
    ("body", &["body", "body_json"], How::FirstText),
    TRACE,
    SPAN,
    SCOPE,
    ATTRIBUTES,
    RESOURCE,
];

static EXCEPTIONS: [Made; 14] = [
    TIME,
    SERVICE,
    ENVIRONMENT,
    VERSION,
    HOST,
    ("fingerprint", &["fingerprint"], How::Hex),
    ("exception_type", &["exception_type"], How::Filled),
    ("message", &["message"], How::Text),
    ("stacktrace", &["stacktrace"], How::Text),
    ("handled", &["handled"], How::Same),
    TRACE,
    SPAN,
    ATTRIBUTES,
    RESOURCE,
];

static METRICS: [Made; 9] = [
    TIME,
    SERVICE,
    ("name", &["name"], How::Text),
    ("series", &["series"], How::Hex),
    ("value", &["value", "value_int"], How::FirstFloat),
    ("count", &["count"], How::Whole),
    ("sum", &["sum"], How::Same),
    ("min", &["min"], How::Same),
    ("max", &["max"], How::Same),
];

static METRIC_SERIES: [Made; 11] = [
    ("first_seen", &["first_seen_ns"], How::Time),
    ("last_seen", &["last_seen_ns"], How::Time),
    SERVICE,
    ENVIRONMENT,
    ("name", &["name"], How::Text),
    ("series", &["series"], How::Hex),
    ("unit", &["unit"], How::Filled),
    ("description", &["description"], How::Filled),
    SCOPE,
    ("attributes", &["attributes"], How::JsonMap),
    RESOURCE,
];

static PROFILES: [Made; 15] = [
    TIME,
    SERVICE,
    ENVIRONMENT,
    VERSION,
    HOST,
    ("sample_type", &["sample_type"], How::Text),
    ("unit", &["unit"], How::Filled),
    ("value", &["value"], How::Same),
    ("stack", &["stack"], How::Hex),
    ("thread", &["thread"], How::Filled),
    ("endpoint", &["endpoint"], How::Filled),
    TRACE,
    SPAN,
    ATTRIBUTES,
    RESOURCE,
];

static LIBRARIES: [Made; 8] = [
    ("first_seen", &["first_seen_ns"], How::Time),
    ("last_seen", &["last_seen_ns"], How::Time),
    SERVICE,
    ENVIRONMENT,
    ("package", &["package"], How::Text),
    ("version", &["version"], How::Text),
    ("runtime", &["runtime"], How::Filled),
    HOST,
];

static SCHEMAS: LazyLock<[SchemaRef; 8]> = LazyLock::new(|| Of::ALL.map(Of::make_schema));

impl Of {
    /// All views, in the order of [`VIEWS`].
    pub(super) const ALL: [Self; 8] = [
        Self::Spans,
        Self::SpanMetrics,
        Self::Logs,
        Self::Exceptions,
        Self::Metrics,
        Self::MetricSeries,
        Self::Profiles,
        Self::Libraries,
    ];

    /// What documents say of it.
    pub(super) fn view(self) -> &'static SqlView {
        VIEWS[self as usize]
    }

    /// The columns of the view.
    pub(super) fn schema(self) -> SchemaRef {
        Arc::clone(&SCHEMAS[self as usize])
    }

    /// The table that it shows.
    pub(super) fn table(self) -> Table {
        match self {
            Self::Spans => Table::Spans,
            Self::SpanMetrics => Table::SpanMetrics,
            Self::Logs => Table::Logs,
            Self::Exceptions => Table::Exceptions,
            Self::Metrics => Table::MetricPoints,
            Self::MetricSeries => Table::MetricSeries,
            Self::Profiles => Table::ProfileSamples,
            Self::Libraries => Table::Libraries,
        }
    }

    fn made(self) -> &'static [Made] {
        match self {
            Self::Spans => &SPANS,
            Self::SpanMetrics => &SPAN_METRICS,
            Self::Logs => &LOGS,
            Self::Exceptions => &EXCEPTIONS,
            Self::Metrics => &METRICS,
            Self::MetricSeries => &METRIC_SERIES,
            Self::Profiles => &PROFILES,
            Self::Libraries => &LIBRARIES,
        }
    }

    /// The stored columns that tell a row from all others, where a sender may have repeated it.
    pub(super) fn identity(self) -> &'static [&'static str] {
        match self {
            Self::Spans => &["trace_id", "span_id"],
            Self::Logs | Self::Exceptions => &["time_ns", "id"],
            Self::Metrics => &["series", "time_ns"],
            Self::SpanMetrics | Self::MetricSeries | Self::Profiles | Self::Libraries => &[],
        }
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

    /// The stored columns that columns of the view are made of.
    pub(super) fn needs(self, schema: &Schema) -> Vec<&'static str> {
        let is_asked = |made: &&Made| schema.column_with_name(made.0).is_some();
        let asked = self.made().iter().filter(is_asked).flat_map(|made| made.1);
        let mut needed: Vec<&'static str> = self.identity().to_vec();
        for name in asked {
            if !needed.contains(name) {
                needed.push(name);
            }
        }
        needed
    }

    /// The rows of a stored batch, with the columns of a projection of the view's schema.
    pub(super) fn rows(self, batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
        let column = |field: &Arc<Field>| {
            let made = self.made().iter().find(|made| made.0 == field.name());
            let (_, stored, how) = made.expect("a test has every column of a view be made of something");
            how.make(batch, stored)
        };
        let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
    }
}

impl How {
    fn make(self, batch: &RecordBatch, names: &[&str]) -> Result<ArrayRef, ArrowError> {
        let column = stored(batch, names[0]);
        Ok(match self {
            Self::Same => Arc::clone(column),
            Self::Whole => whole_numbers(column)?,
            Self::Time => times(column),
            Self::Text => cast(column, &DataType::Utf8View)?,
            Self::Filled => filled(&cast(column, &DataType::Utf8View)?),
            Self::Hex => hex(column.as_fixed_size_binary(), |_| false),
            Self::HexOrNull => hex(column.as_fixed_size_binary(), |id| id.iter().all(|byte| *byte == 0)),
            Self::Kind => words(column, |code| SpanKind::from_otlp(i32::from(code)).as_str()),
            Self::Status => words(column, |code| StatusCode::from_otlp(i32::from(code)).as_str()),
            Self::IsEntry => codes(column, |code| SpanKind::from_otlp(i32::from(code)).is_entry()),
            Self::IsError => codes(column, |code| code == StatusCode::Error as u8),
            Self::Items => {
                let lists = column.as_string::<i32>();
                Arc::new(lists.iter().map(|list| Some(list.map_or(0, items))).collect::<Int64Array>())
            }
            Self::ScopeName => of_dictionary(column, |texts| {
                let name = |text: Option<&str>| {
                    let scope = text.and_then(|text| read_scope(text).ok())?;
                    (!scope.name.is_empty()).then_some(scope.name)
                };
                Arc::new(texts.iter().map(name).collect::<StringViewArray>())
            })?,
            Self::Map => whole_map(column)?,
            Self::ResourceMap => of_dictionary(column, |texts| {
                Arc::new(maps(texts, |text| read_resource(text).unwrap_or_default().attributes))
            })?,
            Self::JsonMap => Arc::new(maps(column.as_string::<i32>(), |text| match read_json(text) {
                Some(Value::Map(attributes)) => attributes,
                _ => Attributes::default(),
            })),
            Self::Shortest => durations(batch, names, |counted| counted.duration_min_ns),
            Self::Longest => durations(batch, names, |counted| counted.duration_max_ns),
            Self::FirstFloat => {
                let (floats, others) = (column.as_primitive::<Float64Type>(), stored(batch, names[1]));
                let others = cast(others, &DataType::Float64)?;
                let others = others.as_primitive::<Float64Type>();
                let first = floats.iter().zip(others).map(|(one, other)| one.or(other));
                Arc::new(first.collect::<Float64Array>())
            }
            Self::FirstText => {
                let (texts, others) = (column.as_string::<i32>(), stored(batch, names[1]).as_string::<i32>());
                let first = texts.iter().zip(others).map(|(one, other)| one.or(other));
                Arc::new(first.collect::<StringViewArray>())
            }
        })
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

/// A duration of each row of counted ones.
fn durations(batch: &RecordBatch, names: &[&str], of: impl Fn(&Counted<'_>) -> u64) -> ArrayRef {
    let numbers = |name: &&str| stored(batch, name).as_primitive::<UInt64Type>().values().clone();
    let numbers: Vec<_> = names.iter().map(numbers).collect();
    let duration = |row: usize| {
        let [hits, sum, min, max] = std::array::from_fn(|at| numbers[at][row]);
        // The buckets are not read; that there is a zero says that they are not told from the rest.
        let counted = Counted::of_abridged([hits, 0, sum, min, max, 1], &[], &[]);
        i64::try_from(of(&counted)).unwrap_or(i64::MAX)
    };
    Arc::new(Int64Array::from_iter_values((0..batch.num_rows()).map(duration)))
}

/// Whole numbers of 64 bits with a sign.
fn whole_numbers(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let DataType::UInt64 = column.data_type() else { return cast(column, &DataType::Int64) };
    let numbers = column.as_primitive::<UInt64Type>().iter();
    let numbers = numbers.map(|number| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)));
    Ok(Arc::new(numbers.collect::<Int64Array>()))
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
    match read_json(list) {
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

/// A map of each text, by what is read from it.
fn maps(texts: &StringArray, read: impl Fn(&str) -> Attributes) -> MapArray {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut maps = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new())
        .with_values_field(Field::new("value", DataType::Utf8, false));
    for text in texts {
        for (key, value) in text.map(&read).unwrap_or_default().iter() {
            maps.keys().append_value(key);
            maps.values().append_value(value.to_text());
        }
        maps.append(true).expect("as many keys as values");
    }
    maps.finish()
}

/// A map of its own. A part of a larger one holds on to all of it, and is taken to be as large.
fn whole_map(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
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
    fn every_column_of_a_view_is_made_of_what_is_stored() {
        for (of, view) in Of::ALL.into_iter().zip(VIEWS) {
            assert_eq!(of.view(), view);
            let names: Vec<&str> = of.made().iter().map(|made| made.0).collect();
            assert_eq!(names, view.columns.iter().map(|column| column.name).collect::<Vec<_>>());
            let stored = RecordBatch::new_empty(of.table().schema());
            for name in of.needs(&of.schema()) {
                assert!(stored.column_by_name(name).is_some(), "{name}");
            }
            let rows = of.rows(&stored, &of.schema()).unwrap();
            assert_eq!((rows.num_rows(), rows.schema()), (0, of.schema()));
        }
    }
}
