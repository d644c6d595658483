//! Metrics and their points.

use pitviper_model::{
    ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind, Number, SpanId, Temporality,
    TraceId,
};

use super::attributes::append_attribute_fields;
use super::protobuf::{
    LENGTH_DELIMITED, put_bytes, put_fixed64, put_message, put_sint, put_text, put_uint, put_varint, tag,
};

/// `metrics` in ScopeMetrics.
const METRICS: u8 = 2;
/// `data_points` in all kinds of metrics.
const DATA_POINTS: u8 = 1;
// Times have the same field numbers in all kinds of points.
const START_TIME: u8 = 2;
const TIME: u8 = 3;

/// What points of all kinds have.
#[derive(Debug, Clone, Copy)]
pub struct PointHead<'a> {
    /// The attributes of its series, as [`AttributeList::as_bytes`](super::AttributeList::as_bytes) gives them.
    pub attributes: &'a [u8],
    /// Since when it counts, in nanoseconds since the Unix epoch; zero when not said.
    pub start_time_unix_nano: u64,
    /// When it was taken, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
}

impl PointHead<'_> {
    fn put_times(&self, out: &mut Vec<u8>) {
        if self.start_time_unix_nano != 0 {
            put_fixed64(out, START_TIME, self.start_time_unix_nano);
        }
        put_fixed64(out, TIME, self.time_unix_nano);
    }
}

/// One measured value with where it came from.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarRef<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The value.
    pub value: Number,
    /// The trace it was measured in; invalid for none.
    pub trace_id: TraceId,
    /// The span it was measured in; invalid for none.
    pub span_id: SpanId,
    /// Attributes that the series leaves out, encoded as in [`PointHead`].
    pub filtered_attributes: &'a [u8],
}

/// Appends a metric as one entry of `ScopeMetrics.metrics`; `points` are entries as the functions for
/// its kind write them.
pub fn append_metric(out: &mut Vec<u8>, metric: &Metric, points: &[u8]) {
    put_message(out, METRICS, |out| {
        put_text(out, 1, &metric.name);
        put_text(out, 2, &metric.description);
        put_text(out, 3, &metric.unit);
        let kind = match metric.kind {
            MetricKind::Gauge => 5,
            MetricKind::Sum => 7,
            MetricKind::Histogram => 9,
            MetricKind::ExponentialHistogram => 10,
        };
        put_message(out, kind, |out| {
            out.extend_from_slice(points);
            if metric.kind != MetricKind::Gauge && metric.temporality != Temporality::Unspecified {
                put_uint(out, 2, metric.temporality as u64);
            }
            if metric.kind == MetricKind::Sum {
                put_uint(out, 3, u64::from(metric.is_monotonic));
            }
        });
    });
}

/// Appends a point of a gauge or a sum.
pub fn append_number_point<'e>(
    out: &mut Vec<u8>,
    head: &PointHead<'_>,
    value: Number,
    exemplars: impl Iterator<Item = ExemplarRef<'e>>,
) {
    put_message(out, DATA_POINTS, |out| {
        head.put_times(out);
        put_number(out, value, 4, 6);
        append_attribute_fields(out, 7, head.attributes);
        put_exemplars(out, 5, exemplars);
    });
}

/// Appends a point of a histogram.
pub fn append_histogram_point<'e>(
    out: &mut Vec<u8>,
    head: &PointHead<'_>,
    point: &HistogramPoint,
    exemplars: impl Iterator<Item = ExemplarRef<'e>>,
) {
    put_message(out, DATA_POINTS, |out| {
        head.put_times(out);
        put_fixed64(out, 4, point.count);
        put_double(out, 5, point.sum);
        put_packed_fixed64(out, 6, point.counts.iter().copied());
        put_packed_fixed64(out, 7, point.bounds.iter().map(|bound| bound.to_bits()));
        put_exemplars(out, 8, exemplars);
        append_attribute_fields(out, 9, head.attributes);
        put_double(out, 11, point.min);
        put_double(out, 12, point.max);
    });
}

/// Appends a point of an exponential histogram.
pub fn append_exponential_histogram_point<'e>(
    out: &mut Vec<u8>,
    head: &PointHead<'_>,
    point: &ExponentialHistogramPoint,
    exemplars: impl Iterator<Item = ExemplarRef<'e>>,
) {
    put_message(out, DATA_POINTS, |out| {
        append_attribute_fields(out, 1, head.attributes);
        head.put_times(out);
        put_fixed64(out, 4, point.count);
        put_double(out, 5, point.sum);
        put_sint(out, 6, point.scale);
        put_fixed64(out, 7, point.zero_count);
        put_buckets(out, 8, &point.positive);
        put_buckets(out, 9, &point.negative);
        put_exemplars(out, 11, exemplars);
        put_double(out, 12, point.min);
        put_double(out, 13, point.max);
        if point.zero_threshold != 0.0 {
            put_fixed64(out, 14, point.zero_threshold.to_bits());
        }
    });
}

fn put_buckets(out: &mut Vec<u8>, field: u8, buckets: &ExponentialBuckets) {
    if buckets.counts.is_empty() {
        return;
    }
    put_message(out, field, |out| {
        put_sint(out, 1, buckets.offset);
        put_message(out, 2, |out| buckets.counts.iter().for_each(|&count| put_varint(out, count)));
    });
}

fn put_number(out: &mut Vec<u8>, value: Number, double_field: u8, int_field: u8) {
    match value {
        Number::Double(number) => put_fixed64(out, double_field, number.to_bits()),
        Number::Int(number) => put_fixed64(out, int_field, number as u64),
    }
}

fn put_double(out: &mut Vec<u8>, field: u8, value: Option<f64>) {
    if let Some(number) = value {
        put_fixed64(out, field, number.to_bits());
    }
}

fn put_packed_fixed64(out: &mut Vec<u8>, field: u8, words: impl ExactSizeIterator<Item = u64>) {
    if words.len() > 0 {
        out.push(tag(field, LENGTH_DELIMITED));
        put_varint(out, words.len() as u64 * 8);
        words.for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }
}

fn put_exemplars<'e>(out: &mut Vec<u8>, field: u8, exemplars: impl Iterator<Item = ExemplarRef<'e>>) {
    for exemplar in exemplars {
        put_message(out, field, |out| {
            put_fixed64(out, 2, exemplar.time_unix_nano);
            put_number(out, exemplar.value, 3, 6);
            if exemplar.span_id.is_valid() {
                put_bytes(out, 4, &exemplar.span_id.0);
            }
            if exemplar.trace_id.is_valid() {
                put_bytes(out, 5, &exemplar.trace_id.0);
            }
            append_attribute_fields(out, 7, exemplar.filtered_attributes);
        });
    }
}
