//! Metrics: what is measured, and the points of its series.

use std::sync::Arc;

use crate::{Attributes, Resource, Scope, SpanId, TraceId};

/// What kind of points a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum MetricKind {
    /// A value at a moment.
    #[default]
    Gauge = 1,
    /// A value that adds up.
    Sum = 2,
    /// A distribution over buckets with bounds of their own.
    Histogram = 3,
    /// A distribution over buckets whose bounds grow by a constant factor.
    ExponentialHistogram = 4,
}

impl MetricKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Gauge, Self::Sum, Self::Histogram, Self::ExponentialHistogram];

    /// The kind of this number; a gauge when there is none.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number).unwrap_or_default()
    }
}

/// What the points of a sum or a distribution count from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Temporality {
    /// Not said; gauges have none.
    #[default]
    Unspecified = 0,
    /// From the point before.
    Delta = 1,
    /// From a fixed start.
    Cumulative = 2,
}

impl Temporality {
    /// The temporality of an OTLP number; unspecified when there is none.
    #[must_use]
    pub fn from_otlp(number: i32) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The unit of its values, by UCUM; empty when not said.
    pub unit: String,
    /// What it means; empty when not said.
    pub description: String,
    /// What kind of points it has.
    pub kind: MetricKind,
    /// What its points count from.
    pub temporality: Temporality,
    /// Whether a sum only grows.
    pub is_monotonic: bool,
}

/// A number as it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A signed 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Double(f64),
}

impl Number {
    /// The number as a float; integers beyond 2^53 are rounded.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}

/// A distribution over buckets with bounds of their own.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HistogramPoint {
    /// How many values.
    pub count: u64,
    /// Their sum, where it means something.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// Upper bounds of the buckets, inclusive and growing; the last bucket has none.
    pub bounds: Vec<f64>,
    /// How many values each bucket has: one more than there are bounds, or empty.
    pub counts: Vec<u64>,
}

/// Consecutive buckets of an exponential histogram.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExponentialBuckets {
    /// The index of the first bucket.
    pub offset: i32,
    /// How many values each bucket has.
    pub counts: Vec<u64>,
}

/// A distribution over buckets whose bounds are the powers of `2^(2^-scale)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExponentialHistogramPoint {
    /// How many values.
    pub count: u64,
    /// Their sum, where it means something.
    pub sum: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
    /// How fine the buckets are.
    pub scale: i32,
    /// How many values are as good as zero.
    pub zero_count: u64,
    /// Up to which absolute value that is.
    pub zero_threshold: f64,
    /// Buckets of the values above zero.
    pub positive: ExponentialBuckets,
    /// Buckets of the absolute values of those below zero.
    pub negative: ExponentialBuckets,
}

/// What a point says.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum PointValue {
    /// That nothing was recorded.
    #[default]
    Nothing,
    /// Of a gauge or a sum.
    Number(Number),
    /// Of a histogram.
    Histogram(HistogramPoint),
    /// Of an exponential histogram.
    ExponentialHistogram(ExponentialHistogramPoint),
}

/// One measured value with where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The value.
    pub value: Number,
    /// The trace it was measured in; [`TraceId::INVALID`] for none.
    pub trace_id: TraceId,
    /// The span it was measured in; [`SpanId::INVALID`] for none.
    pub span_id: SpanId,
    /// Attributes that the series leaves out.
    pub filtered_attributes: Attributes,
}

/// One point of a series.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricPoint {
    /// Since when it counts, in nanoseconds since the Unix epoch; zero when not said.
    pub start_time_unix_nano: u64,
    /// When it was taken, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// OTLP's data point flags.
    pub flags: u32,
    /// What it says.
    pub value: PointValue,
    /// Some of the values behind it.
    pub exemplars: Vec<Exemplar>,
}

/// Points of one metric, each with the attributes that tell its series from the others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricPoints {
    /// What is measured.
    pub metric: Metric,
    /// Its points.
    pub points: Vec<(Attributes, MetricPoint)>,
}

/// Metrics that one library measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeMetrics {
    /// The library.
    pub scope: Arc<Scope>,
    /// Its metrics.
    pub metrics: Vec<MetricPoints>,
}

/// Metrics that one process sent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceMetrics {
    /// The process.
    pub resource: Arc<Resource>,
    /// Its metrics, by library.
    pub scopes: Vec<ScopeMetrics>,
}

impl ResourceMetrics {
    /// How many points there are in all scopes.
    #[must_use]
    pub fn point_count(&self) -> usize {
        let metrics = self.scopes.iter().flat_map(|scope| &scope.metrics);
        metrics.map(|metric| metric.points.len()).sum()
    }
}
