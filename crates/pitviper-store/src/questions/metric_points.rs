//! Metrics: which series there are, and their points by step.

use std::sync::Arc;

use pitviper_model::{Attributes, ExponentialHistogramPoint, HistogramPoint, Metric, Resource, Scope, SeriesId};

use crate::store::TimeRange;

/// A question for the series of metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeriesQuery {
    /// When they had points, by the day: every day of UTC that the range has a moment of counts whole.
    pub range: TimeRange,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of the metric of this name.
    pub name: Option<String>,
    /// How many at most; more than [`MetricSeriesQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
}

impl MetricSeriesQuery {
    /// Most series of one answer.
    pub const MAX_LIMIT: usize = 100_000;
}

/// A series: a metric with one set of attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricSeries {
    /// Its id, which follows from the rest but the metric's description.
    pub id: SeriesId,
    /// What is measured.
    pub metric: Metric,
    /// What tells it from other series of the metric, sorted by key.
    pub attributes: Attributes,
    /// The process that sent it.
    pub resource: Arc<Resource>,
    /// The library that measured it.
    pub scope: Arc<Scope>,
    /// Its earliest point on the days that count, in nanoseconds since the Unix epoch.
    pub first_seen_ns: i64,
    /// Its latest point on the days that count, in nanoseconds since the Unix epoch.
    pub last_seen_ns: i64,
}

/// Series by service, name and id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricSeriesAnswer {
    /// The series.
    pub series: Vec<MetricSeries>,
    /// How many the limit left out.
    pub left_out: usize,
}

/// A question for the points of series.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPointsQuery {
    /// When they were taken.
    pub range: TimeRange,
    /// Of which series; those beyond [`MetricPointsQuery::MAX_SERIES`] are left out.
    pub series: Vec<SeriesId>,
    /// Width of the returned time steps in nanoseconds, at least one; `None` for one step over the
    /// whole range. Steps are aligned to `range.start_ns`.
    pub step_ns: Option<i64>,
}

impl MetricPointsQuery {
    /// Most series of one question.
    pub const MAX_SERIES: usize = 1_000;
    /// Most points that one question reads.
    pub const MAX_POINTS: usize = 4_000_000;
    /// How far before the range the point is looked for that the first one of a cumulative series
    /// goes on from, in nanoseconds.
    pub const LOOK_BACK_NS: i64 = 10 * 60 * 1_000_000_000;
}

/// What the points of one step say together.
#[derive(Debug, Clone, PartialEq)]
pub enum StepValue {
    /// Of a gauge, or of a cumulative sum that may fall, which is read the same way.
    Gauge {
        /// The latest value.
        last: f64,
        /// The sum of the values, of which the average follows.
        sum: f64,
        /// The least value.
        min: f64,
        /// The greatest value.
        max: f64,
        /// How many points.
        count: u64,
    },
    /// Of a sum: by how much it grew. Divided by the width of the step it is a rate.
    Increase(f64),
    /// Of a histogram: what was recorded in the step. Points with other bounds make a step of their own.
    Histogram(HistogramPoint),
    /// Of an exponential histogram: what was recorded in the step.
    ExponentialHistogram(ExponentialHistogramPoint),
}

/// One series in one time step.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricStep {
    /// The series.
    pub series: SeriesId,
    /// Start of the step, in nanoseconds since the Unix epoch.
    pub step_start_ns: i64,
    /// What its points say together.
    pub value: StepValue,
}

/// Points of series by step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MetricPointsAnswer {
    /// By series in the order of the question, then by step. Steps without points have no row.
    pub steps: Vec<MetricStep>,
    /// How many series were left out: beyond the limit, or not known on the days of the range.
    pub series_left_out: usize,
    /// Whether there were more points than are read, so that some are missing.
    pub is_cut: bool,
}
