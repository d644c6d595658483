//! The `span_metrics` table: rate, errors and durations by key and 10 s bucket.
//!
//! Several rows may have the same key and bucket, one from each write; readers add them up.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{BooleanBuilder, Int16Builder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder};
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Int16Type, Int64Type, Schema, SchemaRef, UInt8Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{ExpHistogram, SpanKind};

use crate::store::Red;

fn item_field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, false))
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    Arc::new(Schema::new(vec![
        required("bucket_start_ns", DataType::Int64),
        required("service", DataType::Utf8),
        required("environment", DataType::Utf8),
        required("version", DataType::Utf8),
        required("name", DataType::Utf8),
        required("kind", DataType::UInt8),
        required("is_root", DataType::Boolean),
        required("peer", DataType::Utf8),
        required("hits", DataType::UInt64),
        required("errors", DataType::UInt64),
        required("duration_sum_ns", DataType::UInt64),
        required("duration_min_ns", DataType::UInt64),
        required("duration_max_ns", DataType::UInt64),
        required("zeros", DataType::UInt64),
        required("histogram_index", DataType::List(item_field(DataType::Int16))),
        required("histogram_count", DataType::List(item_field(DataType::UInt64))),
    ]))
});

/// The columns of `span_metrics`.
pub(crate) fn span_metrics_schema() -> SchemaRef {
    Arc::clone(&SCHEMA)
}

/// What a row of span metrics counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SpanMetricKey {
    /// Start of the bucket of [`super::METRIC_BUCKET_NS`], in nanoseconds since the Unix epoch.
    pub bucket_start_ns: i64,
    /// The service's name.
    pub service: String,
    /// The deployment environment; empty when not said.
    pub environment: String,
    /// The service's version; empty when not said.
    pub version: String,
    /// The spans' name.
    pub name: String,
    /// The spans' kind.
    pub kind: SpanKind,
    /// Whether the spans have no parent.
    pub is_root: bool,
    /// What the spans talk to: another service, a database, a queue; empty when not known.
    pub peer: String,
}

/// Turns span metrics into rows.
#[derive(Debug)]
pub struct SpanMetricsBuilder {
    bucket_start_ns: Int64Builder,
    service: StringBuilder,
    environment: StringBuilder,
    version: StringBuilder,
    name: StringBuilder,
    kind: UInt8Builder,
    is_root: BooleanBuilder,
    peer: StringBuilder,
    numbers: [UInt64Builder; 6],
    histogram_lengths: Vec<usize>,
    histogram_index: Int16Builder,
    histogram_count: UInt64Builder,
}

impl Default for SpanMetricsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanMetricsBuilder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        // Arrow's own default is room for a thousand rows, far too much for the many small writes.
        let text = || StringBuilder::with_capacity(0, 0);
        Self {
            bucket_start_ns: Int64Builder::with_capacity(0),
            service: text(),
            environment: text(),
            version: text(),
            name: text(),
            kind: UInt8Builder::with_capacity(0),
            is_root: BooleanBuilder::with_capacity(0),
            peer: text(),
            numbers: std::array::from_fn(|_| UInt64Builder::with_capacity(0)),
            histogram_lengths: Vec::new(),
            histogram_index: Int16Builder::with_capacity(0),
            histogram_count: UInt64Builder::with_capacity(0),
        }
    }

    /// Adds one row.
    pub fn append(&mut self, key: &SpanMetricKey, red: &Red) {
        self.bucket_start_ns.append_value(key.bucket_start_ns);
        self.service.append_value(&key.service);
        self.environment.append_value(&key.environment);
        self.version.append_value(&key.version);
        self.name.append_value(&key.name);
        self.kind.append_value(key.kind as u8);
        self.is_root.append_value(key.is_root);
        self.peer.append_value(&key.peer);
        let numbers = [
            red.hits,
            red.errors,
            red.duration_sum_ns,
            red.duration_min_ns,
            red.duration_max_ns,
            red.durations.zeros(),
        ];
        for (builder, number) in self.numbers.iter_mut().zip(numbers) {
            builder.append_value(number);
        }
        self.histogram_lengths.push(red.durations.buckets().len());
        for &(index, count) in red.durations.buckets() {
            self.histogram_index.append_value(index);
            self.histogram_count.append_value(count);
        }
    }

    /// Whether no row was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.histogram_lengths.is_empty()
    }

    pub(crate) fn finish(mut self) -> RecordBatch {
        let list = |items: ArrayRef, lengths: &[usize]| -> ArrayRef {
            let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
            Arc::new(ListArray::new(item_field(items.data_type().clone()), offsets, items, None))
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.bucket_start_ns.finish()),
            Arc::new(self.service.finish()),
            Arc::new(self.environment.finish()),
            Arc::new(self.version.finish()),
            Arc::new(self.name.finish()),
            Arc::new(self.kind.finish()),
            Arc::new(self.is_root.finish()),
            Arc::new(self.peer.finish()),
        ];
        columns.extend(self.numbers.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef));
        columns.push(list(Arc::new(self.histogram_index.finish()), &self.histogram_lengths));
        columns.push(list(Arc::new(self.histogram_count.finish()), &self.histogram_lengths));
        RecordBatch::try_new(span_metrics_schema(), columns)
            .expect("every column gets one value a row, of the schema's type")
    }
}

/// Reads rows back. The batch has all columns, in the schema's order.
pub(crate) fn read_span_metrics(batch: &RecordBatch) -> impl Iterator<Item = (SpanMetricKey, Red)> + '_ {
    let text = |column: usize, row: usize| batch.column(column).as_string::<i32>().value(row).to_owned();
    let number = |column: usize, row: usize| batch.column(column).as_primitive::<UInt64Type>().value(row);
    (0..batch.num_rows()).map(move |row| {
        let kind = batch.column(5).as_primitive::<UInt8Type>().value(row);
        let key = SpanMetricKey {
            bucket_start_ns: batch.column(0).as_primitive::<Int64Type>().value(row),
            service: text(1, row),
            environment: text(2, row),
            version: text(3, row),
            name: text(4, row),
            kind: SpanKind::from_otlp(i32::from(kind)),
            is_root: batch.column(6).as_boolean().value(row),
            peer: text(7, row),
        };
        let index = batch.column(14).as_list::<i32>().value(row);
        let count = batch.column(15).as_list::<i32>().value(row);
        let buckets = index.as_primitive::<Int16Type>().values().iter().copied();
        let counts = count.as_primitive::<UInt64Type>().values().iter().copied();
        let red = Red {
            hits: number(8, row),
            errors: number(9, row),
            duration_sum_ns: number(10, row),
            duration_min_ns: number(11, row),
            duration_max_ns: number(12, row),
            durations: ExpHistogram::from_buckets(buckets.zip(counts), number(13, row)),
        };
        (key, red)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_were() {
        let mut red =
            Red { hits: 3, errors: 1, duration_sum_ns: 60, duration_min_ns: 0, duration_max_ns: 50, ..Red::default() };
        red.durations = ExpHistogram::from_buckets([(-1, 1), (180, 7)], 1);
        let key = SpanMetricKey {
            bucket_start_ns: 10,
            service: "a".into(),
            environment: "b".into(),
            version: "c".into(),
            name: "d".into(),
            kind: SpanKind::Consumer,
            is_root: true,
            peer: "e".into(),
        };
        let other = SpanMetricKey { is_root: false, kind: SpanKind::Client, ..key.clone() };
        let mut builder = SpanMetricsBuilder::new();
        assert!(builder.is_empty());
        builder.append(&key, &red);
        builder.append(&other, &Red::default());
        let rows: Vec<_> = read_span_metrics(&builder.finish()).collect();
        assert_eq!(rows, vec![(key, red), (other, Red::default())]);
    }
}
