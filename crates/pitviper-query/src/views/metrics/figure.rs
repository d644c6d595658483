//! How a metric's values become one, and what was put together to make it.

use std::fmt;

use pitviper_model::{Metric, MetricKind, Temporality};
use pitviper_store::StepValue;

use super::spread::Spread;
use super::wrong;
use crate::QueryError;
use crate::views::aggregate::percentile;

/// What the points of a metric are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::views) enum Natural {
    /// A value at a moment.
    Moment,
    /// What came in a step.
    Growth,
    /// How values were distributed in a step.
    Distribution,
}

/// What a metric's points are read as. A sum that may fall, or does not say what it counts from, is read
/// as a gauge.
pub(in crate::views) fn natural(metric: &Metric) -> Natural {
    match (metric.kind, metric.temporality) {
        (MetricKind::Gauge, _) | (MetricKind::Sum, Temporality::Unspecified) => Natural::Moment,
        (MetricKind::Sum, Temporality::Cumulative) if !metric.is_monotonic => Natural::Moment,
        (MetricKind::Sum, _) => Natural::Growth,
        (MetricKind::Histogram | MetricKind::ExponentialHistogram, _) => Natural::Distribution,
    }
}

/// How values become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aggregation {
    Average,
    Least,
    Greatest,
    Sum,
    Last,
    Count,
    Rate,
    Quantile(f64),
}

/// Values of series in a step, put together.
#[derive(Debug, Clone, Default)]
pub(in crate::views) struct Fold {
    moments: Option<Moments>,
    growth: Option<f64>,
    spread: Option<Box<Spread>>,
}

/// Values of gauges.
#[derive(Debug, Clone, Copy)]
struct Moments {
    sum: f64,
    count: u64,
    min: f64,
    max: f64,
    /// The latest value of each series, added up, and of how many series.
    last: f64,
    series: u64,
}

impl Fold {
    pub(in crate::views) fn add(&mut self, value: StepValue) {
        match value {
            StepValue::Gauge { last, sum, min, max, count } => {
                self.add_moments(&Moments { sum, count, min, max, last, series: 1 });
            }
            StepValue::Increase(by) => *self.growth.get_or_insert(0.0) += by,
            StepValue::Histogram(point) => self.spread.get_or_insert_default().add(&point),
            StepValue::ExponentialHistogram(point) => self.spread.get_or_insert_default().add_exponential(&point),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if let Some(moments) = &other.moments {
            self.add_moments(moments);
        }
        if let Some(growth) = other.growth {
            *self.growth.get_or_insert(0.0) += growth;
        }
        if let Some(spread) = &other.spread {
            self.spread.get_or_insert_default().merge(spread);
        }
    }

    fn add_moments(&mut self, more: &Moments) {
        match &mut self.moments {
            None => self.moments = Some(*more),
            Some(known) => {
                known.sum += more.sum;
                known.count += more.count;
                known.min = known.min.min(more.min);
                known.max = known.max.max(more.max);
                known.last += more.last;
                known.series += more.series;
            }
        }
    }

    /// The latest value of a gauge, what a sum grew by in a second, the mean of a distribution.
    pub(in crate::views) fn plain(&self, seconds: f64) -> Option<f64> {
        let aggregation = match (&self.moments, &self.growth) {
            (Some(_), _) => Aggregation::Last,
            (None, Some(_)) => Aggregation::Rate,
            (None, None) => Aggregation::Average,
        };
        aggregation.of(self, seconds)
    }
}

impl Aggregation {
    /// Reads an aggregation; the natural one of the kind when there is none.
    pub(super) fn parse(text: Option<&str>, kind: Natural) -> Result<Self, QueryError> {
        let Some(text) = text else {
            return Ok(if kind == Natural::Growth { Self::Rate } else { Self::Average });
        };
        let known = match text {
            "avg" => Some(Self::Average),
            "min" => Some(Self::Least),
            "max" => Some(Self::Greatest),
            "sum" => Some(Self::Sum),
            "last" => Some(Self::Last),
            "count" => Some(Self::Count),
            "rate" => Some(Self::Rate),
            "median" => Some(Self::Quantile(0.5)),
            _ => percentile(text).map(Self::Quantile),
        };
        let fits = |of: &Self| match kind {
            Natural::Moment => !matches!(of, Self::Count | Self::Rate | Self::Quantile(_)),
            Natural::Growth => matches!(of, Self::Rate | Self::Sum),
            Natural::Distribution => !matches!(of, Self::Last),
        };
        known.filter(fits).ok_or_else(|| {
            let allowed = match kind {
                Natural::Moment => "avg, min, max, sum or last, because the metric is a value at a moment",
                Natural::Growth => "rate or sum, because the metric is a sum that grows",
                Natural::Distribution => {
                    "avg, min, max, sum, count, rate, median or a percentile such as p95, because the metric is a \
                     distribution"
                }
            };
            wrong("agg", format!("has to be {allowed}"))
        })
    }

    /// Whether it is worked out from buckets.
    pub(super) fn is_estimate(self) -> bool {
        matches!(self, Self::Quantile(_))
    }

    /// Whether it is about the latest values, which do not add up over time.
    pub(super) fn is_of_moments(self) -> bool {
        matches!(self, Self::Last)
    }

    /// The value of what was put together over so many seconds.
    pub(super) fn of(self, fold: &Fold, seconds: f64) -> Option<f64> {
        let value = if let Some(moments) = &fold.moments {
            match self {
                Self::Average => Some(moments.sum / moments.count as f64),
                Self::Least => Some(moments.min),
                Self::Greatest => Some(moments.max),
                Self::Sum => Some(moments.last),
                Self::Last => Some(moments.last / moments.series as f64),
                Self::Count | Self::Rate | Self::Quantile(_) => None,
            }
        } else if let Some(growth) = fold.growth {
            match self {
                Self::Rate => Some(growth / seconds),
                Self::Sum => Some(growth),
                _ => None,
            }
        } else {
            let spread = fold.spread.as_ref()?;
            match self {
                Self::Average => spread.mean(),
                Self::Least => spread.least(),
                Self::Greatest => spread.greatest(),
                Self::Sum => spread.sum(),
                Self::Count => Some(spread.count() as f64),
                Self::Rate => Some(spread.count() as f64 / seconds),
                Self::Quantile(q) => spread.quantile(q),
                Self::Last => None,
            }
        };
        value.filter(|value| value.is_finite())
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Average => "avg",
            Self::Least => "min",
            Self::Greatest => "max",
            Self::Sum => "sum",
            Self::Last => "last",
            Self::Count => "count",
            Self::Rate => "rate",
            // Rounded, because 0.999 times a hundred is not 99.9.
            Self::Quantile(q) => return write!(f, "p{}", (q * 1e8).round() / 1e6),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregations_fit_the_kind() {
        let parse =
            |text, kind| Aggregation::parse(text, kind).map(|of| of.to_string()).map_err(|error| error.to_string());
        assert_eq!(parse(None, Natural::Moment).unwrap(), "avg");
        assert_eq!(parse(None, Natural::Growth).unwrap(), "rate");
        assert_eq!(parse(Some("p99.9"), Natural::Distribution).unwrap(), "p99.9");
        assert_eq!(parse(Some("median"), Natural::Distribution).unwrap(), "p50");
        assert!(parse(Some("p95"), Natural::Moment).unwrap_err().contains("value at a moment"));
        assert!(parse(Some("avg"), Natural::Growth).unwrap_err().contains("rate or sum"));
        assert!(parse(Some("last"), Natural::Distribution).unwrap_err().contains("p95"));
        assert!(parse(Some("p0"), Natural::Distribution).is_err());
    }

    #[test]
    fn sums_of_gauges_are_of_their_latest_values() {
        let mut fold = Fold::default();
        fold.add(StepValue::Gauge { last: 3.0, sum: 10.0, min: 1.0, max: 6.0, count: 4 });
        fold.add(StepValue::Gauge { last: 5.0, sum: 5.0, min: 5.0, max: 5.0, count: 1 });
        let of = |aggregation: Aggregation| aggregation.of(&fold, 10.0).unwrap();
        use Aggregation::{Average, Greatest, Last, Least, Sum};
        assert_eq!([Average, Least, Greatest, Sum, Last].map(of), [3.0, 1.0, 6.0, 8.0, 4.0]);
        assert_eq!(fold.plain(10.0), Some(4.0));
    }
}
