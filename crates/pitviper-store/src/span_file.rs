//! Spans as a Parquet file with plain columns, for other tools and for moving them elsewhere.
//!
//! Nothing of the store's own layout is in it: ids are hex, kinds and states are words, and what is nested
//! is JSON in the form the store keeps it ([`crate::schema`]), from which it comes back exactly.
//! `docs/guides/server.md` lists the columns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use pitviper_model::{
    Attributes, Event, Link, Resource, Scope, Span, SpanId, SpanKind, Status, StatusCode, TraceId, Value,
};

use crate::file_writer::{FileWriter, failed};
use crate::schema::{read_json, write_json};
use crate::store::{StoreError, StoredSpan};

/// Spans handed over at once when reading.
const READ_ROWS: usize = 1_024;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let count = |name: &str| Field::new(name, DataType::UInt32, false);
    let nanos = |name: &str| Field::new(name, DataType::UInt64, false);
    Arc::new(Schema::new(vec![
        text("trace_id"),
        text("span_id"),
        text("parent_span_id"),
        text("trace_state"),
        count("flags"),
        text("service"),
        text("name"),
        text("kind"),
        text("status"),
        text("status_message"),
        nanos("start_unix_nano"),
        nanos("end_unix_nano"),
        nanos("duration_ns"),
        text("attributes"),
        count("dropped_attributes"),
        text("events"),
        count("dropped_events"),
        text("links"),
        count("dropped_links"),
        text("resource"),
        count("resource_dropped_attributes"),
        text("scope_name"),
        text("scope_version"),
        text("scope_attributes"),
    ]))
});

/// A file being written.
#[derive(Debug)]
pub struct SpanFileWriter(FileWriter);

impl SpanFileWriter {
    /// Begins a file, in place of one that may be there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        FileWriter::create(path, &SCHEMA).map(Self)
    }

    /// Appends spans.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, spans: &[StoredSpan]) -> Result<(), StoreError> {
        self.0.write(&rows(spans)?)
    }

    /// Writes the end of the file, durably.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self) -> Result<(), StoreError> {
        self.0.finish()
    }
}

/// A file being read, some spans at a time.
pub struct SpanFileReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl std::fmt::Debug for SpanFileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanFileReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SpanFileReader {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is no Parquet file or lacks a column, and what the file system says.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(|error| failed("opening", path, error))?;
        let invalid = |error: String| failed("opening", path, std::io::Error::other(error));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| invalid(error.to_string()))?;
        for wanted in SCHEMA.fields() {
            match builder.schema().field_with_name(wanted.name()) {
                Ok(found) if found.data_type() == wanted.data_type() => {}
                Ok(found) => {
                    let (name, is, should) = (wanted.name(), found.data_type(), wanted.data_type());
                    return Err(invalid(format!("the column `{name}` is {is} and should be {should}")));
                }
                Err(_) => return Err(invalid(format!("there is no column `{}`", wanted.name()))),
            }
        }
        let reader = builder.with_batch_size(READ_ROWS).build().map_err(|error| invalid(error.to_string()))?;
        Ok(Self { path: path.to_owned(), reader })
    }
}

impl Iterator for SpanFileReader {
    type Item = Result<Vec<StoredSpan>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let error = |what: String| failed("reading", &self.path, std::io::Error::other(what));
        let batch = match batch {
            Ok(batch) => batch,
            Err(broken) => return Some(Err(error(broken.to_string()))),
        };
        Some(
            (0..batch.num_rows())
                .map(|row| read(&Row { batch: &batch, row }).map_err(|what| error(format!("row {row}: {what}"))))
                .collect(),
        )
    }
}

fn rows(spans: &[StoredSpan]) -> Result<RecordBatch, StoreError> {
    let texts = |value: &dyn Fn(&StoredSpan) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(spans.iter().map(value)))
    };
    let counts = |value: fn(&StoredSpan) -> u32| -> ArrayRef {
        Arc::new(UInt32Array::from_iter_values(spans.iter().map(value)))
    };
    let nanos = |value: fn(&StoredSpan) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(spans.iter().map(value)))
    };
    let parent = |stored: &StoredSpan| {
        let parent = stored.span.parent_span_id;
        if parent.is_valid() { parent.to_string() } else { String::new() }
    };
    let columns = vec![
        texts(&|stored| stored.span.trace_id.to_string()),
        texts(&|stored| stored.span.span_id.to_string()),
        texts(&parent),
        texts(&|stored| stored.span.trace_state.clone()),
        counts(|stored| stored.span.flags),
        texts(&|stored| stored.resource.service().to_owned()),
        texts(&|stored| stored.span.name.clone()),
        texts(&|stored| stored.span.kind.as_str().to_owned()),
        texts(&|stored| stored.span.status.code.as_str().to_owned()),
        texts(&|stored| stored.span.status.message.clone()),
        nanos(|stored| stored.span.start_time_unix_nano),
        nanos(|stored| stored.span.end_time_unix_nano),
        nanos(|stored| stored.span.duration_nano()),
        texts(&|stored| write_json(&Value::Map(stored.span.attributes.clone()))),
        counts(|stored| stored.span.dropped_attributes_count),
        texts(&|stored| write_json(&Value::Array(stored.span.events.iter().map(event_value).collect()))),
        counts(|stored| stored.span.dropped_events_count),
        texts(&|stored| write_json(&Value::Array(stored.span.links.iter().map(link_value).collect()))),
        counts(|stored| stored.span.dropped_links_count),
        texts(&|stored| write_json(&Value::Map(stored.resource.attributes.clone()))),
        counts(|stored| stored.resource.dropped_attributes_count),
        texts(&|stored| stored.scope.name.clone()),
        texts(&|stored| stored.scope.version.clone()),
        texts(&|stored| write_json(&Value::Map(stored.scope.attributes.clone()))),
    ];
    RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
        .map_err(|error| StoreError::Engine(format!("putting spans into columns: {error}")))
}

fn event_value(event: &Event) -> Value {
    let mut value = Attributes::default();
    value.set("time_unix_nano", Value::Int(event.time_unix_nano.cast_signed()));
    value.set("name", event.name.as_str());
    value.set("attributes", Value::Map(event.attributes.clone()));
    value.set("dropped_attributes", Value::Int(i64::from(event.dropped_attributes_count)));
    Value::Map(value)
}

fn link_value(link: &Link) -> Value {
    let mut value = Attributes::default();
    value.set("trace_id", link.trace_id.to_string());
    value.set("span_id", link.span_id.to_string());
    value.set("trace_state", link.trace_state.as_str());
    value.set("attributes", Value::Map(link.attributes.clone()));
    value.set("dropped_attributes", Value::Int(i64::from(link.dropped_attributes_count)));
    value.set("flags", Value::Int(i64::from(link.flags)));
    Value::Map(value)
}

/// A row, by the names of its columns. That they are there was checked when the file was opened.
struct Row<'a> {
    batch: &'a RecordBatch,
    row: usize,
}

impl<'a> Row<'a> {
    fn column(&self, name: &str) -> Result<&'a dyn Array, String> {
        let column = self.batch.column_by_name(name).ok_or_else(|| format!("no `{name}`"))?;
        if column.is_null(self.row) { Err(format!("`{name}` is null")) } else { Ok(column) }
    }

    fn text(&self, name: &str) -> Result<&'a str, String> {
        Ok(self.column(name)?.as_string::<i32>().value(self.row))
    }

    fn count(&self, name: &str) -> Result<u32, String> {
        Ok(self.column(name)?.as_primitive::<UInt32Type>().value(self.row))
    }

    fn nanos(&self, name: &str) -> Result<u64, String> {
        Ok(self.column(name)?.as_primitive::<UInt64Type>().value(self.row))
    }

    fn json(&self, name: &str) -> Result<Value, String> {
        read_json(self.text(name)?).ok_or_else(|| format!("`{name}` is not the JSON it should be"))
    }

    fn attributes(&self, name: &str) -> Result<Attributes, String> {
        map(self.json(name)?).ok_or_else(|| format!("`{name}` is not an object"))
    }

    fn list<T>(&self, name: &str, item: fn(&Attributes) -> Option<T>) -> Result<Vec<T>, String> {
        let Value::Array(values) = self.json(name)? else { return Err(format!("`{name}` is not a list")) };
        let items = values.into_iter().map(|value| map(value).as_ref().and_then(item)).collect::<Option<Vec<T>>>();
        items.ok_or_else(|| format!("`{name}` lacks something"))
    }
}

fn map(value: Value) -> Option<Attributes> {
    match value {
        Value::Map(attributes) => Some(attributes),
        _ => None,
    }
}

fn read(row: &Row<'_>) -> Result<StoredSpan, String> {
    let word = |name: &'static str| move || format!("`{name}` is not one of the words it may be");
    let parent = row.text("parent_span_id")?;
    let status = row.text("status")?;
    let span = Span {
        trace_id: row.text("trace_id")?.parse().map_err(|_| "`trace_id` is not 32 hex digits".to_owned())?,
        span_id: row.text("span_id")?.parse().map_err(|_| "`span_id` is not 16 hex digits".to_owned())?,
        parent_span_id: if parent.is_empty() {
            SpanId::INVALID
        } else {
            parent.parse().map_err(|_| "`parent_span_id` is not 16 hex digits".to_owned())?
        },
        trace_state: row.text("trace_state")?.to_owned(),
        flags: row.count("flags")?,
        name: row.text("name")?.to_owned(),
        kind: SpanKind::parse(row.text("kind")?).ok_or_else(word("kind"))?,
        start_time_unix_nano: row.nanos("start_unix_nano")?,
        end_time_unix_nano: row.nanos("end_unix_nano")?,
        attributes: row.attributes("attributes")?,
        dropped_attributes_count: row.count("dropped_attributes")?,
        events: row.list("events", event)?,
        dropped_events_count: row.count("dropped_events")?,
        links: row.list("links", link)?,
        dropped_links_count: row.count("dropped_links")?,
        status: Status {
            code: [StatusCode::Unset, StatusCode::Ok, StatusCode::Error]
                .into_iter()
                .find(|code| code.as_str() == status)
                .ok_or_else(word("status"))?,
            message: row.text("status_message")?.to_owned(),
        },
    };
    let resource = Resource {
        attributes: row.attributes("resource")?,
        dropped_attributes_count: row.count("resource_dropped_attributes")?,
        ..Resource::default()
    };
    let scope = Scope {
        name: row.text("scope_name")?.to_owned(),
        version: row.text("scope_version")?.to_owned(),
        attributes: row.attributes("scope_attributes")?,
        ..Scope::default()
    };
    Ok(StoredSpan { span, resource: Arc::new(resource), scope: Arc::new(scope) })
}

fn event(value: &Attributes) -> Option<Event> {
    Some(Event {
        time_unix_nano: value.get("time_unix_nano")?.as_i64()?.cast_unsigned(),
        name: value.get_str("name")?.to_owned(),
        attributes: map(value.get("attributes")?.clone())?,
        dropped_attributes_count: u32::try_from(value.get("dropped_attributes")?.as_i64()?).ok()?,
    })
}

fn link(value: &Attributes) -> Option<Link> {
    Some(Link {
        // An id that is not valid is kept as it came.
        trace_id: id(value.get_str("trace_id")?).map(TraceId)?,
        span_id: id(value.get_str("span_id")?).map(SpanId)?,
        trace_state: value.get_str("trace_state")?.to_owned(),
        attributes: map(value.get("attributes")?.clone())?,
        dropped_attributes_count: u32::try_from(value.get("dropped_attributes")?.as_i64()?).ok()?,
        flags: u32::try_from(value.get("flags")?.as_i64()?).ok()?,
    })
}

fn id<const N: usize>(hex: &str) -> Option<[u8; N]> {
    crate::schema::read_id(hex)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use parquet::arrow::ArrowWriter;

    use super::*;

    fn stored(number: u64) -> StoredSpan {
        let nested: Attributes =
            [("$key", Value::Double(f64::INFINITY)), ("bytes", Value::Bytes(vec![0, 255]))].into_iter().collect();
        let mut attributes: Attributes = [("text", "é\"\n\u{1}"), ("again", "one")].into_iter().collect();
        attributes.0.push(("again".to_owned(), Value::Int(i64::MIN)));
        attributes.0.push(("nested".to_owned(), Value::Array(vec![Value::Map(nested.clone()), Value::Bool(true)])));
        let event = Event {
            time_unix_nano: u64::MAX,
            name: "exception".to_owned(),
            attributes: attributes.clone(),
            dropped_attributes_count: 7,
        };
        let link = Link {
            trace_id: TraceId([3; 16]),
            span_id: SpanId::INVALID,
            trace_state: "a=b".to_owned(),
            attributes: nested.clone(),
            dropped_attributes_count: 1,
            flags: 0x301,
        };
        let span = Span {
            trace_id: TraceId([1; 16]),
            span_id: SpanId((number + 1).to_be_bytes()),
            parent_span_id: if number == 0 { SpanId::INVALID } else { SpanId([2; 8]) },
            trace_state: "x=y".to_owned(),
            flags: 1,
            name: format!("name {number}"),
            kind: SpanKind::Consumer,
            start_time_unix_nano: 1_700_000_000_000_000_000 + number,
            end_time_unix_nano: number,
            attributes: attributes.clone(),
            dropped_attributes_count: 2,
            events: vec![event],
            dropped_events_count: 3,
            links: vec![link],
            dropped_links_count: 4,
            status: Status { code: StatusCode::Error, message: "no".to_owned() },
        };
        let resource = Resource { attributes, dropped_attributes_count: 5, ..Resource::default() };
        let scope = Scope { name: "lib".to_owned(), version: "1".to_owned(), attributes: nested, ..Scope::default() };
        StoredSpan { span, resource: Arc::new(resource), scope: Arc::new(scope) }
    }

    #[test]
    fn spans_come_back_as_they_went_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spans.parquet");
        let spans: Vec<StoredSpan> = (0..READ_ROWS as u64 + 5).map(stored).collect();
        let mut writer = SpanFileWriter::create(&path).unwrap();
        writer.write(&spans[..3]).unwrap();
        writer.write(&spans[3..]).unwrap();
        writer.finish().unwrap();
        let batches: Vec<Vec<StoredSpan>> = SpanFileReader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(batches.len(), 2);
        assert_eq!(batches.concat(), spans);
    }

    #[test]
    fn a_file_of_something_else_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("other");
        std::fs::write(&path, b"nothing like it").unwrap();
        assert!(SpanFileReader::open(&path).unwrap_err().to_string().contains("opening"));
        let schema = Arc::new(Schema::new(vec![Field::new("trace_id", DataType::UInt32, false)]));
        let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), Arc::clone(&schema), None).unwrap();
        let column: ArrayRef = Arc::new(UInt32Array::from_iter_values([1]));
        writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
        writer.close().unwrap();
        let refused = SpanFileReader::open(&path).unwrap_err().to_string();
        assert!(refused.contains("the column `trace_id` is UInt32 and should be Utf8"), "{refused}");
    }
}
