//! The `span_metrics` table: rate, errors and durations by key and 10 s bucket.
//!
//! Several rows may have the same key and bucket, one from each write; readers add them up.
//!
//! Most rows count one to three spans, and then what can be told from the rest is not written: of one
//! span its duration is the sum, of two the shorter is the sum less the longer, of three the last is
//! what the sum has left. Such a row has zeros there and an empty histogram, and reads as if it were
//! written out. A histogram that is really missing says so by one bucket that counts nothing.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{BooleanBuilder, Int16Builder, Int64Builder, StringBuilder, UInt8Builder, UInt64Builder};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StringArray};
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
        let (numbers, buckets) = abridge(red);
        for (builder, number) in self.numbers.iter_mut().zip(numbers) {
            builder.append_value(number);
        }
        self.histogram_lengths.push(buckets.len());
        for &(index, count) in buckets {
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

/// The columns of a batch, for reading rows without a copy of each. The batch has all columns, in
/// the schema's order.
pub(crate) struct SpanMetricsRows<'a> {
    pub(crate) bucket_start_ns: &'a [i64],
    pub(crate) service: &'a StringArray,
    pub(crate) environment: &'a StringArray,
    pub(crate) version: &'a StringArray,
    pub(crate) name: &'a StringArray,
    kind: &'a [u8],
    is_root: &'a BooleanArray,
    peer: &'a StringArray,
    /// Hits, errors, sum, minimum, maximum, zeros.
    numbers: [&'a [u64]; 6],
    index_offsets: &'a [i32],
    histogram_index: &'a [i16],
    count_offsets: &'a [i32],
    histogram_count: &'a [u64],
}

/// What a row counts, as it was before anything was left out of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) hits: u64,
    pub(crate) errors: u64,
    pub(crate) duration_sum_ns: u64,
    pub(crate) duration_min_ns: u64,
    pub(crate) duration_max_ns: u64,
    /// The durations themselves, where they are known.
    known: Option<Durations>,
    zeros: u64,
    index: &'a [i16],
    count: &'a [u64],
}

/// Hits, errors, sum, minimum, maximum and zeros, then the buckets, without what can be told from the
/// rest.
pub(crate) fn abridge(red: &Red) -> ([u64; 6], &[(i16, u64)]) {
    let (sum, min, max) = (red.duration_sum_ns, red.duration_min_ns, red.duration_max_ns);
    let known = Durations::of(red.hits, sum, min, max);
    let (min, max) = match red.hits {
        1 if min == max && max == sum => (0, 0),
        2 if shorter(sum, max) == Some(min) => (0, max),
        _ => (min, max),
    };
    let (zeros, buckets): (u64, &[(i16, u64)]) = match known {
        Some(known) if known.histogram() == red.durations => (0, &[]),
        Some(_) if red.durations == ExpHistogram::default() => (0, &[(0, 0)]),
        _ => (red.durations.zeros(), red.durations.buckets()),
    };
    ([red.hits, red.errors, sum, min, max, zeros], buckets)
}

impl<'a> Counted<'a> {
    /// Reads what [`abridge`] left.
    pub(crate) fn of_abridged(numbers: [u64; 6], index: &'a [i16], count: &'a [u64]) -> Self {
        let [hits, errors, sum, min, max, zeros] = numbers;
        let (min, max) = match hits {
            1 if (min, max) == (0, 0) => (sum, sum),
            2 if min == 0 => (shorter(sum, max).unwrap_or(min), max),
            _ => (min, max),
        };
        let known = if index.is_empty() && zeros == 0 { Durations::of(hits, sum, min, max) } else { None };
        Self {
            hits,
            errors,
            duration_sum_ns: sum,
            duration_min_ns: min,
            duration_max_ns: max,
            known,
            zeros,
            index,
            count,
        }
    }

    /// How many durations are zero.
    pub(crate) fn zeros(&self) -> u64 {
        self.known.map_or(self.zeros, |known| known.all().filter(|duration| *duration == 0).count() as u64)
    }

    /// The filled buckets of the histogram, perhaps one twice.
    pub(crate) fn each_bucket(&self, mut see: impl FnMut(i16, u64)) {
        match self.known {
            Some(known) => known.all().filter(|duration| *duration > 0).for_each(|duration| {
                see(ExpHistogram::bucket_index(duration), 1);
            }),
            None => self.index.iter().zip(self.count).for_each(|(&index, &count)| see(index, count)),
        }
    }

    /// Adds it to a sum.
    pub(crate) fn add_to(&self, sum: &mut Red) {
        sum.merge(&Red {
            hits: self.hits,
            errors: self.errors,
            duration_sum_ns: self.duration_sum_ns,
            duration_min_ns: self.duration_min_ns,
            duration_max_ns: self.duration_max_ns,
            durations: ExpHistogram::default(),
        });
        sum.durations.add_buckets([], self.zeros());
        self.each_bucket(|index, count| sum.durations.add_buckets([(index, count)], 0));
    }
}

/// The durations of one to three spans.
#[derive(Debug, Clone, Copy)]
struct Durations {
    count: usize,
    durations: [u64; 3],
}

impl Durations {
    /// The durations that have this sum, shortest and longest, when that leaves no doubt.
    fn of(hits: u64, sum: u64, min: u64, max: u64) -> Option<Self> {
        let last = match hits {
            1 if min == sum && max == sum => 0,
            2 if shorter(sum, max) == Some(min) => 0,
            3 => sum.checked_sub(max)?.checked_sub(min).filter(|last| (min..=max).contains(last))?,
            _ => return None,
        };
        Some(Self { count: hits as usize, durations: [max, min, last] })
    }

    fn all(&self) -> impl Iterator<Item = u64> {
        self.durations.into_iter().take(self.count)
    }

    fn histogram(&self) -> ExpHistogram {
        let mut histogram = ExpHistogram::default();
        self.all().for_each(|duration| histogram.record(duration));
        histogram
    }
}

/// The shorter of two durations; `None` when two cannot have that sum.
fn shorter(sum: u64, longer: u64) -> Option<u64> {
    sum.checked_sub(longer).filter(|shorter| *shorter <= longer)
}

impl<'a> SpanMetricsRows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch) -> Self {
        let text = |column: usize| batch.column(column).as_string::<i32>();
        let list = |column: usize| batch.column(column).as_list::<i32>();
        Self {
            bucket_start_ns: batch.column(0).as_primitive::<Int64Type>().values(),
            service: text(1),
            environment: text(2),
            version: text(3),
            name: text(4),
            kind: batch.column(5).as_primitive::<UInt8Type>().values(),
            is_root: batch.column(6).as_boolean(),
            peer: text(7),
            numbers: std::array::from_fn(|at| &**batch.column(8 + at).as_primitive::<UInt64Type>().values()),
            index_offsets: list(14).value_offsets(),
            histogram_index: list(14).values().as_primitive::<Int16Type>().values(),
            count_offsets: list(15).value_offsets(),
            histogram_count: list(15).values().as_primitive::<UInt64Type>().values(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bucket_start_ns.len()
    }

    pub(crate) fn kind(&self, row: usize) -> SpanKind {
        SpanKind::from_otlp(i32::from(self.kind[row]))
    }

    pub(crate) fn is_root(&self, row: usize) -> bool {
        self.is_root.value(row)
    }

    /// Whether two rows differ in nothing but their bucket, their peer and what they count.
    pub(crate) fn is_same_key(&self, left: usize, right: usize) -> bool {
        self.name.value(left) == self.name.value(right)
            && self.kind[left] == self.kind[right]
            && self.is_root.value(left) == self.is_root.value(right)
            && [self.service, self.environment, self.version]
                .iter()
                .all(|column| column.value(left) == column.value(right))
    }

    fn key(&self, row: usize) -> SpanMetricKey {
        let text = |column: &StringArray| column.value(row).to_owned();
        SpanMetricKey {
            bucket_start_ns: self.bucket_start_ns[row],
            service: text(self.service),
            environment: text(self.environment),
            version: text(self.version),
            name: text(self.name),
            kind: self.kind(row),
            is_root: self.is_root(row),
            peer: text(self.peer),
        }
    }

    /// What a row counts.
    pub(crate) fn counted(&self, row: usize) -> Counted<'a> {
        let list = |offsets: &[i32]| offsets[row] as usize..offsets[row + 1] as usize;
        let index = &self.histogram_index[list(self.index_offsets)];
        let count = &self.histogram_count[list(self.count_offsets)];
        Counted::of_abridged(self.numbers.map(|numbers| numbers[row]), index, count)
    }
}

/// Reads rows back. The batch has all columns, in the schema's order.
pub(crate) fn read_span_metrics(batch: &RecordBatch) -> impl Iterator<Item = (SpanMetricKey, Red)> + '_ {
    let rows = SpanMetricsRows::new(batch);
    (0..batch.num_rows()).map(move |row| {
        let mut red = Red::default();
        rows.counted(row).add_to(&mut red);
        (rows.key(row), red)
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

    fn one_row(red: &Red) -> (RecordBatch, Red) {
        let key = SpanMetricKey {
            bucket_start_ns: 0,
            service: String::new(),
            environment: String::new(),
            version: String::new(),
            name: String::new(),
            kind: SpanKind::Internal,
            is_root: false,
            peer: String::new(),
        };
        let mut builder = SpanMetricsBuilder::new();
        builder.append(&key, red);
        let batch = builder.finish();
        let (_, read) = read_span_metrics(&batch).next().unwrap();
        (batch, read)
    }

    fn of_durations(durations: &[u64]) -> Red {
        let mut red = Red::default();
        for &duration in durations {
            let mut one = Red {
                hits: 1,
                duration_sum_ns: duration,
                duration_min_ns: duration,
                duration_max_ns: duration,
                ..Red::default()
            };
            one.durations.record(duration);
            red.merge(&one);
        }
        red
    }

    proptest::proptest! {
        #[test]
        fn few_durations_come_back_without_lists(
            durations in proptest::collection::vec(proptest::prop_oneof![0u64..4, 0u64..10_000_000_000], 1..6)
        ) {
            let red = of_durations(&durations);
            let (batch, read) = one_row(&red);
            proptest::prop_assert_eq!(&read, &red);
            let listed = batch.column(14).as_list::<i32>().values().len();
            proptest::prop_assert_eq!(listed, if durations.len() <= 3 { 0 } else { red.durations.buckets().len() });
        }

        #[test]
        fn what_does_not_fit_together_comes_back_as_it_was(
            hits in 1u64..5, sum in 0u64..40, min in 1u64..20, max in 1u64..20,
            buckets in proptest::collection::btree_map(-1i16..3, 1u64..3, 0..3), zeros in 0u64..2,
        ) {
            let durations = ExpHistogram::from_buckets(buckets, zeros);
            let red = Red { hits, errors: 0, duration_sum_ns: sum, duration_min_ns: min, duration_max_ns: max, durations };
            proptest::prop_assert_eq!(one_row(&red).1, red);
        }
    }
}
