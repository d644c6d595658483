//! The tables of metrics: `metric_series`, one row a series and day, and `metric_points`, sorted by
//! (service, name, series, time). What identifies a series is kept once a day, not with each point.

use std::sync::{Arc, LazyLock};

use arrow::array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder, UInt8Builder, UInt32Builder,
    UInt64Builder,
};
use arrow::array::{ArrayRef, ListArray, PrimitiveArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{ArrowPrimitiveType, DataType, Field, FieldRef, Float64Type, Schema, SchemaRef, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::{
    Attributes, ContentHash, Exemplar, Metric, MetricPoint, Number, PointValue, Resource, Scope, SeriesId,
};

use super::MAX_START_TIME_UNIX_NANO;
use super::columns::{IdBuilder, ScopeColumn, TextDictionary, dictionary_type, resource_json, scope_json};
use super::json::{write_hex, write_map, write_value};
use super::seen::{DAY_NS, SeenKeys, seen_fields};
use super::spans::append_json;

fn item_field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, false))
}

static SERIES_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, dictionary_type(), false);
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let own = [
        text("service"),
        text("environment"),
        text("name"),
        required("series", DataType::FixedSizeBinary(16)),
        text("unit"),
        text("description"),
        required("kind", DataType::UInt8),
        required("temporality", DataType::UInt8),
        required("is_monotonic", DataType::Boolean),
        required("attributes", DataType::Utf8),
        text("resource"),
        text("scope"),
    ];
    Arc::new(Schema::new(seen_fields().into_iter().chain(own).collect::<Vec<_>>()))
});

static POINTS_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, dictionary_type(), false);
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let list = |name: &str, data_type: DataType| Field::new(name, DataType::List(item_field(data_type)), false);
    Arc::new(Schema::new(vec![
        required("time_ns", DataType::Int64),
        text("service"),
        text("name"),
        required("series", DataType::FixedSizeBinary(16)),
        optional("start_ns", DataType::UInt64),
        required("flags", DataType::UInt32),
        // Of gauges and sums, one of the two.
        optional("value", DataType::Float64),
        optional("value_int", DataType::Int64),
        // Of both kinds of histogram.
        optional("count", DataType::UInt64),
        optional("sum", DataType::Float64),
        optional("min", DataType::Float64),
        optional("max", DataType::Float64),
        list("bounds", DataType::Float64),
        // Of an exponential histogram, the buckets above zero.
        list("counts", DataType::UInt64),
        // Of exponential histograms alone.
        optional("scale", DataType::Int32),
        optional("zero_count", DataType::UInt64),
        optional("zero_threshold", DataType::Float64),
        optional("offset", DataType::Int32),
        optional("negative_offset", DataType::Int32),
        list("negative_counts", DataType::UInt64),
        optional("exemplars", DataType::Utf8),
    ]))
});

/// The columns of `metric_series`.
pub(crate) fn metric_series_schema() -> SchemaRef {
    Arc::clone(&SERIES_SCHEMA)
}

/// The columns of `metric_points`.
pub(crate) fn metric_points_schema() -> SchemaRef {
    Arc::clone(&POINTS_SCHEMA)
}

/// A list in each row, without the validity bitmap a general builder keeps.
#[derive(Debug)]
struct ListColumn<T: ArrowPrimitiveType> {
    lengths: Vec<usize>,
    items: Vec<T::Native>,
}

impl<T: ArrowPrimitiveType> ListColumn<T> {
    fn new() -> Self {
        Self { lengths: Vec::new(), items: Vec::new() }
    }

    fn append(&mut self, items: &[T::Native]) {
        self.lengths.push(items.len());
        self.items.extend_from_slice(items);
    }

    fn finish(self) -> ArrayRef {
        let items = Arc::new(PrimitiveArray::<T>::from_iter_values(self.items));
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Arc::new(ListArray::new(item_field(T::DATA_TYPE), offsets, items, None))
    }
}

/// Turns points of metrics into rows, with those of their series.
#[derive(Debug)]
pub struct MetricPointsBuilder {
    series: SeriesBuilder,
    time_ns: Int64Builder,
    service: TextDictionary,
    name: TextDictionary,
    series_id: IdBuilder<16>,
    start_ns: UInt64Builder,
    flags: UInt32Builder,
    value: Float64Builder,
    value_int: Int64Builder,
    count: UInt64Builder,
    /// Sum, minimum, maximum.
    figures: [Float64Builder; 3],
    bounds: ListColumn<Float64Type>,
    counts: ListColumn<UInt64Type>,
    scale: Int32Builder,
    zero_count: UInt64Builder,
    zero_threshold: Float64Builder,
    /// Of the buckets above and below zero.
    offsets: [Int32Builder; 2],
    negative_counts: ListColumn<UInt64Type>,
    exemplars: StringBuilder,
    json: String,
}

impl Default for MetricPointsBuilder {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl MetricPointsBuilder {
    /// A builder with room for `n` points; it grows as needed.
    #[must_use]
    pub fn with_capacity(n: usize) -> Self {
        Self {
            series: SeriesBuilder::default(),
            time_ns: Int64Builder::with_capacity(n),
            service: TextDictionary::with_capacity(n),
            name: TextDictionary::with_capacity(n),
            series_id: IdBuilder::with_capacity(n),
            start_ns: UInt64Builder::with_capacity(n),
            flags: UInt32Builder::with_capacity(n),
            value: Float64Builder::with_capacity(n),
            value_int: Int64Builder::with_capacity(n),
            count: UInt64Builder::with_capacity(n),
            figures: std::array::from_fn(|_| Float64Builder::with_capacity(n)),
            bounds: ListColumn::new(),
            counts: ListColumn::new(),
            scale: Int32Builder::with_capacity(n),
            zero_count: UInt64Builder::with_capacity(n),
            zero_threshold: Float64Builder::with_capacity(n),
            offsets: std::array::from_fn(|_| Int32Builder::with_capacity(n)),
            negative_counts: ListColumn::new(),
            exemplars: StringBuilder::with_capacity(n, 0),
            json: String::new(),
        }
    }

    /// Adds one point of the series with these attributes, whose order means nothing. A time after
    /// [`super::MAX_START_TIME_UNIX_NANO`] is stored as that.
    pub fn append(
        &mut self,
        resource: &Resource,
        scope: &Scope,
        metric: &Metric,
        attributes: &Attributes,
        point: &MetricPoint,
    ) {
        let time = point.time_unix_nano.min(MAX_START_TIME_UNIX_NANO).cast_signed();
        let series = self.series.append(resource, scope, metric, attributes, time);
        self.time_ns.append_value(time);
        self.service.append(resource.service());
        self.name.append(&metric.name);
        self.series_id.append(series.0);
        let start = point.start_time_unix_nano;
        self.start_ns.append_option((start > 0).then_some(start));
        self.flags.append_value(point.flags);
        self.append_value(&point.value);
        append_json(&mut self.exemplars, &mut self.json, &point.exemplars, write_exemplar);
    }

    fn append_value(&mut self, value: &PointValue) {
        let (number, integer) = match value {
            PointValue::Number(Number::Double(number)) => (Some(*number), None),
            PointValue::Number(Number::Int(number)) => (None, Some(*number)),
            _ => (None, None),
        };
        self.value.append_option(number);
        self.value_int.append_option(integer);
        let (count, figures, bounds, counts) = match value {
            PointValue::Histogram(of) => {
                (Some(of.count), [of.sum, of.min, of.max], of.bounds.as_slice(), of.counts.as_slice())
            }
            PointValue::ExponentialHistogram(of) => {
                (Some(of.count), [of.sum, of.min, of.max], [].as_slice(), of.positive.counts.as_slice())
            }
            _ => (None, [None; 3], [].as_slice(), [].as_slice()),
        };
        self.count.append_option(count);
        for (column, figure) in self.figures.iter_mut().zip(figures) {
            column.append_option(figure);
        }
        self.bounds.append(bounds);
        self.counts.append(counts);
        let exponential = match value {
            PointValue::ExponentialHistogram(of) => Some(of),
            _ => None,
        };
        self.scale.append_option(exponential.map(|of| of.scale));
        self.zero_count.append_option(exponential.map(|of| of.zero_count));
        self.zero_threshold.append_option(exponential.map(|of| of.zero_threshold));
        self.offsets[0].append_option(exponential.map(|of| of.positive.offset));
        self.offsets[1].append_option(exponential.map(|of| of.negative.offset));
        self.negative_counts.append(exponential.map_or(&[], |of| of.negative.counts.as_slice()));
    }

    /// How many points were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bounds.lengths.len()
    }

    /// Whether no point was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Series and points.
    pub(crate) fn finish(mut self) -> [RecordBatch; 2] {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.time_ns.finish()),
            self.service.finish(),
            self.name.finish(),
            self.series_id.finish(),
            Arc::new(self.start_ns.finish()),
            Arc::new(self.flags.finish()),
            Arc::new(self.value.finish()),
            Arc::new(self.value_int.finish()),
            Arc::new(self.count.finish()),
        ];
        columns.extend(self.figures.iter_mut().map(|figure| Arc::new(figure.finish()) as ArrayRef));
        let [mut offset, mut negative_offset] = self.offsets;
        let rest: [ArrayRef; 9] = [
            self.bounds.finish(),
            self.counts.finish(),
            Arc::new(self.scale.finish()),
            Arc::new(self.zero_count.finish()),
            Arc::new(self.zero_threshold.finish()),
            Arc::new(offset.finish()),
            Arc::new(negative_offset.finish()),
            self.negative_counts.finish(),
            Arc::new(self.exemplars.finish()),
        ];
        columns.extend(rest);
        let points = RecordBatch::try_new(metric_points_schema(), columns)
            .expect("every column gets one value a point, of the schema's type");
        [self.series.finish(), points]
    }
}

#[derive(Debug)]
struct SeriesBuilder {
    seen: SeenKeys<SeriesId>,
    service: TextDictionary,
    environment: TextDictionary,
    name: TextDictionary,
    series: IdBuilder<16>,
    unit: TextDictionary,
    description: TextDictionary,
    kind: UInt8Builder,
    temporality: UInt8Builder,
    is_monotonic: BooleanBuilder,
    attributes: StringBuilder,
    resource: TextDictionary,
    scope: ScopeColumn,
    /// What the last point's series has beside its attributes, hashed.
    last: Option<(Resource, Scope, Metric, ContentHash)>,
    json: String,
}

impl Default for SeriesBuilder {
    fn default() -> Self {
        let text = || TextDictionary::with_capacity(0);
        Self {
            seen: SeenKeys::new(DAY_NS),
            service: text(),
            environment: text(),
            name: text(),
            series: IdBuilder::default(),
            unit: text(),
            description: text(),
            kind: UInt8Builder::with_capacity(0),
            temporality: UInt8Builder::with_capacity(0),
            is_monotonic: BooleanBuilder::with_capacity(0),
            attributes: StringBuilder::with_capacity(0, 0),
            resource: text(),
            scope: ScopeColumn::with_capacity(0),
            last: None,
            json: String::new(),
        }
    }
}

impl SeriesBuilder {
    fn append(
        &mut self,
        resource: &Resource,
        scope: &Scope,
        metric: &Metric,
        attributes: &Attributes,
        time_ns: i64,
    ) -> SeriesId {
        let mut hash = self.hash(resource, scope, metric);
        self.json.clear();
        write_map(&sorted(attributes), &mut self.json);
        let id = SeriesId(hash.text(&self.json).finish());
        if self.seen.see(id, time_ns) {
            self.service.append(resource.service());
            self.environment.append(resource.environment());
            self.name.append(&metric.name);
            self.series.append(id.0);
            self.unit.append(&metric.unit);
            self.description.append(&metric.description);
            self.kind.append_value(metric.kind as u8);
            self.temporality.append_value(metric.temporality as u8);
            self.is_monotonic.append_value(metric.is_monotonic);
            self.attributes.append_value(&self.json);
            self.resource.append(&resource_json(resource));
            self.scope.append(scope);
        }
        id
    }

    /// The description does not identify a metric, and may be reworded.
    fn hash(&mut self, resource: &Resource, scope: &Scope, metric: &Metric) -> ContentHash {
        if let Some((last_resource, last_scope, last_metric, hash)) = &self.last
            && (last_resource, last_scope, last_metric) == (resource, scope, metric)
        {
            return *hash;
        }
        let mut hash = ContentHash::default();
        hash.text(&resource_json(resource)).text(&scope_json(scope)).text(&metric.name).text(&metric.unit);
        hash.number(metric.kind as u64).number(metric.temporality as u64).number(u64::from(metric.is_monotonic));
        self.last = Some((resource.clone(), scope.clone(), metric.clone(), hash));
        hash
    }

    fn finish(mut self) -> RecordBatch {
        let own: [ArrayRef; 12] = [
            self.service.finish(),
            self.environment.finish(),
            self.name.finish(),
            self.series.finish(),
            self.unit.finish(),
            self.description.finish(),
            Arc::new(self.kind.finish()),
            Arc::new(self.temporality.finish()),
            Arc::new(self.is_monotonic.finish()),
            Arc::new(self.attributes.finish()),
            self.resource.finish(),
            self.scope.finish(),
        ];
        let columns = self.seen.finish().into_iter().chain(own).collect();
        RecordBatch::try_new(metric_series_schema(), columns)
            .expect("every column gets one value a series, of the schema's type")
    }
}

/// A series is the same in whatever order its attributes come.
pub(super) fn sorted(attributes: &Attributes) -> Attributes {
    let mut pairs = attributes.0.clone();
    pairs.sort_by(|(left, _), (right, _)| left.cmp(right));
    Attributes(pairs)
}

fn write_exemplar(exemplar: &Exemplar, out: &mut String) {
    use std::fmt::Write as _;
    // Text, because a time in nanoseconds may exceed a signed 64-bit integer.
    let _ = write!(out, "{{\"time_unix_nano\":\"{}\",\"value\":", exemplar.time_unix_nano);
    write_value(
        &match exemplar.value {
            Number::Int(number) => number.into(),
            Number::Double(number) => number.into(),
        },
        out,
    );
    out.push_str(",\"trace_id\":\"");
    write_hex(&exemplar.trace_id.0, out);
    out.push_str("\",\"span_id\":\"");
    write_hex(&exemplar.span_id.0, out);
    out.push('"');
    if !exemplar.filtered_attributes.is_empty() {
        out.push_str(",\"attributes\":");
        write_map(&exemplar.filtered_attributes, out);
    }
    out.push('}');
}
