//! Log records and points of metrics as a Parquet file: plain columns for other tools, and beside them each
//! one whole as it stands in OTLP, from which it comes back exactly.
//!
//! `docs/guides/server.md` lists the columns.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use pitviper_model::{Attributes, Value};

use crate::file_writer::{FileWriter, failed};
use crate::schema::write_json;
use crate::store::StoreError;

/// Records handed over at once when reading.
const READ_ROWS: usize = 512;

/// The column that holds each record whole.
const OTLP: &str = "otlp";

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    Arc::new(Schema::new(vec![
        text("signal"),
        Field::new("time_unix_nano", DataType::UInt64, false),
        text("service"),
        text("name"),
        text("severity"),
        text("text"),
        Field::new("value", DataType::Float64, true),
        text("trace_id"),
        text("span_id"),
        text("attributes"),
        text(OTLP),
    ]))
});

/// One log record or point of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRecord {
    /// `logs` or `metrics`.
    pub signal: &'static str,
    /// When.
    pub time_unix_nano: u64,
    /// The service.
    pub service: String,
    /// The metric's name, or the event's.
    pub name: String,
    /// Of a log record, as its sender calls it.
    pub severity: String,
    /// Of a log record, its body as text; of a point, the unit.
    pub text: String,
    /// Of a gauge or a sum.
    pub value: Option<f64>,
    /// Of a log record; empty for none.
    pub trace_id: String,
    /// Of a log record; empty for none.
    pub span_id: String,
    /// Its own.
    pub attributes: Attributes,
    /// The whole of it, as a request in OTLP/JSON that holds nothing else.
    pub otlp: String,
}

/// A file being written.
#[derive(Debug)]
pub struct RecordFileWriter(FileWriter);

impl RecordFileWriter {
    /// Begins a file, in place of one that may be there.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        FileWriter::create(path, &SCHEMA).map(Self)
    }

    /// Appends records.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&mut self, records: &[FileRecord]) -> Result<(), StoreError> {
        let texts = |value: fn(&FileRecord) -> &str| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(records.iter().map(value)))
        };
        let attributes = records.iter().map(|record| write_json(&Value::Map(record.attributes.clone())));
        let columns: Vec<ArrayRef> = vec![
            texts(|record| record.signal),
            Arc::new(UInt64Array::from_iter_values(records.iter().map(|record| record.time_unix_nano))),
            texts(|record| &record.service),
            texts(|record| &record.name),
            texts(|record| &record.severity),
            texts(|record| &record.text),
            Arc::new(Float64Array::from_iter(records.iter().map(|record| record.value))),
            texts(|record| &record.trace_id),
            texts(|record| &record.span_id),
            Arc::new(StringArray::from_iter_values(attributes)),
            texts(|record| &record.otlp),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&SCHEMA), columns)
            .map_err(|error| StoreError::Engine(format!("putting records into columns: {error}")))?;
        self.0.write(&rows)
    }

    /// Writes the end of the file, durably.
    ///
    /// # Errors
    /// What the file system says.
    pub fn finish(self) -> Result<(), StoreError> {
        self.0.finish()
    }
}

/// A file being read: some requests in OTLP/JSON at a time.
pub struct RecordFileReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl std::fmt::Debug for RecordFileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordFileReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl RecordFileReader {
    /// Opens a file; `None` when it is a Parquet file of something else.
    ///
    /// # Errors
    /// When it is no Parquet file, and what the file system says.
    pub fn open(path: &Path) -> Result<Option<Self>, StoreError> {
        let file = File::open(path).map_err(|error| failed("opening", path, error))?;
        let invalid = |error: parquet::errors::ParquetError| failed("opening", path, std::io::Error::other(error));
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(invalid)?;
        let whole = builder.schema().field_with_name(OTLP);
        if whole.map_or(true, |field| field.data_type() != &DataType::Utf8) {
            return Ok(None);
        }
        let mask = ProjectionMask::columns(builder.parquet_schema(), [OTLP]);
        let reader = builder.with_projection(mask).with_batch_size(READ_ROWS).build().map_err(invalid)?;
        Ok(Some(Self { path: path.to_owned(), reader }))
    }
}

impl Iterator for RecordFileReader {
    type Item = Result<Vec<String>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        let broken = |error: arrow::error::ArrowError| failed("reading", &self.path, std::io::Error::other(error));
        Some(batch.map_err(broken).map(|batch| {
            let whole = batch.column(0).as_string::<i32>();
            whole.iter().map(|text| text.unwrap_or_default().to_owned()).collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs.parquet");
        let record = |number: usize| FileRecord {
            signal: "logs",
            time_unix_nano: number as u64,
            service: "shop".to_owned(),
            name: String::new(),
            severity: "INFO".to_owned(),
            text: "a\nb".to_owned(),
            value: None,
            trace_id: String::new(),
            span_id: String::new(),
            attributes: [("a", 1)].into_iter().collect(),
            otlp: format!("{{\"number\":{number}}}"),
        };
        let records: Vec<FileRecord> = (0..READ_ROWS + 3).map(record).collect();
        let mut writer = RecordFileWriter::create(&path).unwrap();
        writer.write(&records[..2]).unwrap();
        writer.write(&records[2..]).unwrap();
        writer.finish().unwrap();
        let found: Vec<Vec<String>> = RecordFileReader::open(&path).unwrap().unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        let expected: Vec<String> = records.into_iter().map(|record| record.otlp).collect();
        assert_eq!(found.concat(), expected);
    }
}
