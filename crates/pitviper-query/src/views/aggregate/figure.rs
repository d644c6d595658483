//! Metrics and aggregations: how they are written, and what they make of what was counted.

use pitviper_store::filter::Filter;
use pitviper_store::questions::aggregate::{Keep, Measure, Tally};
use serde::Serialize;
use utoipa::ToSchema;

use crate::QueryError;

/// What is measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Metric {
    /// Spans.
    Count,
    /// Spans per second.
    Rate,
    /// Spans that failed.
    Errors,
    /// The share of spans that failed.
    FailureRate,
    /// A number of each span, or of each trace.
    Number { measure: Measure, aggregation: Aggregation, is_entry: bool },
}

/// How numbers become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Aggregation {
    Average,
    Least,
    Greatest,
    Sum,
    Count,
    /// The number at this share of all, from the lowest.
    Quantile(f64),
    /// The mean of this share of all, the largest.
    Slowest(f64),
}

/// What the values of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AggregateUnit)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// A share, 0 to 1.
    Ratio,
    /// Per second.
    Rps,
    /// A number of spans.
    Count,
    /// That of the attribute.
    Attribute,
}

impl Metric {
    /// Reads a metric and its aggregation.
    pub(super) fn parse(metric: &str, aggregation: Option<&str>) -> Result<Self, QueryError> {
        let counted = match metric {
            "count" => Some(Self::Count),
            "rate" => Some(Self::Rate),
            "errors" => Some(Self::Errors),
            "failure_rate" => Some(Self::FailureRate),
            _ => None,
        };
        if let Some(counted) = counted {
            if aggregation.is_some() {
                return Err(wrong("agg", format!("`{metric}` is counted as it is; leave the aggregation out")));
            }
            return Ok(counted);
        }
        let (measure, is_entry) = match metric {
            "" => {
                return Err(wrong("metric", "is missing; use count, duration or the name of an attribute".to_owned()));
            }
            "duration" => (Measure::Duration, false),
            "response_time" => (Measure::Duration, true),
            "calls" => (Measure::SpansPerTrace, false),
            attribute => (Measure::Attribute(attribute.strip_prefix('@').unwrap_or(attribute).to_owned()), false),
        };
        let aggregation = aggregation.map_or(Ok(Aggregation::Average), Aggregation::parse)?;
        Ok(Self::Number { measure, aggregation, is_entry })
    }

    pub(super) fn measure(&self) -> Measure {
        match self {
            Self::Number { measure, .. } => measure.clone(),
            _ => Measure::Duration,
        }
    }

    /// The condition that is part of the metric.
    pub(super) fn narrow(&self, filter: Filter) -> Filter {
        match self {
            Self::Number { is_entry: true, .. } => Filter::And(vec![filter, Filter::IsEntry]),
            _ => filter,
        }
    }

    pub(super) fn keep(&self) -> Keep {
        match self {
            Self::Number { aggregation: Aggregation::Quantile(_) | Aggregation::Slowest(_), .. } => Keep::Values,
            _ => Keep::Nothing,
        }
    }

    pub(super) fn unit(&self) -> Unit {
        match self {
            Self::Count | Self::Errors | Self::Number { aggregation: Aggregation::Count, .. } => Unit::Count,
            Self::Rate => Unit::Rps,
            Self::FailureRate => Unit::Ratio,
            Self::Number { measure: Measure::Duration, .. } => Unit::Ns,
            Self::Number { measure: Measure::SpansPerTrace, .. } => Unit::Count,
            Self::Number { measure: Measure::Attribute(_), .. } => Unit::Attribute,
        }
    }

    /// Whether nothing counted is a number too.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Count | Self::Rate | Self::Errors | Self::Number { aggregation: Aggregation::Count, .. })
    }

    /// What the metric says of what was counted in so many seconds.
    pub(super) fn of(&self, tally: &Tally, seconds: f64) -> Option<f64> {
        let count = tally.count as f64;
        let mean = |sum: f64| (tally.count > 0).then(|| sum / count);
        match self {
            Self::Count => Some(count),
            Self::Rate => Some(count / seconds),
            Self::Errors => Some(tally.errors as f64),
            Self::FailureRate => mean(tally.errors as f64),
            Self::Number { aggregation, .. } => {
                // A number from the buckets lies no farther out than what was measured.
                let within = |value: f64| value.clamp(tally.min, tally.max);
                match aggregation {
                    Aggregation::Count => Some(count),
                    Aggregation::Sum => (tally.count > 0).then_some(tally.sum),
                    Aggregation::Average => mean(tally.sum),
                    Aggregation::Least => (tally.count > 0).then_some(tally.min),
                    Aggregation::Greatest => (tally.count > 0).then_some(tally.max),
                    Aggregation::Quantile(q) => tally.distribution.quantile(*q).map(within),
                    Aggregation::Slowest(share) => tally.distribution.mean_of_largest(*share).map(within),
                }
            }
        }
    }
}

impl Aggregation {
    fn parse(text: &str) -> Result<Self, QueryError> {
        let named = match text {
            "avg" => Some(Self::Average),
            "min" => Some(Self::Least),
            "max" => Some(Self::Greatest),
            "sum" => Some(Self::Sum),
            "count" => Some(Self::Count),
            "median" => Some(Self::Quantile(0.5)),
            _ => None,
        };
        let quantile = || percentile(text).map(Self::Quantile);
        let slowest = || {
            let share = text.strip_prefix("slowest:")?.strip_suffix('%')?;
            percent(share).map(|percent| Self::Slowest(percent / 100.0))
        };
        named.or_else(quantile).or_else(slowest).ok_or_else(|| {
            let message =
                "has to be avg, min, max, sum, count, median, a percentile such as p95 or p99.9, or slowest:10%";
            wrong("agg", message.to_owned())
        })
    }
}

/// The quantile of a percentile such as `p95` or `p99.9`.
pub(in crate::views) fn percentile(text: &str) -> Option<f64> {
    text.strip_prefix('p').and_then(percent).map(|percent| percent / 100.0)
}

/// A number between 0 and 100, both excluded, written plainly.
fn percent(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<f64>().ok().filter(|percent| is_plain && *percent > 0.0 && *percent < 100.0)
}

fn wrong(parameter: &'static str, message: String) -> QueryError {
    QueryError::Parameter { parameter, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregations_are_read() {
        let parse = |text: &str| Aggregation::parse(text).ok();
        assert!(matches!(parse("p99.9"), Some(Aggregation::Quantile(q)) if (q - 0.999).abs() < 1e-12));
        assert_eq!(parse("median"), Some(Aggregation::Quantile(0.5)));
        assert_eq!(parse("slowest:2.5%"), Some(Aggregation::Slowest(0.025)));
        for wrong in ["", "p0", "p100", "p-5", "p1e1", "pinf", "slowest:10", "slowest:0%", "slowest:%", "mean"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_counted_has_no_aggregation() {
        assert_eq!(Metric::parse("rate", None).unwrap(), Metric::Rate);
        assert!(Metric::parse("rate", Some("p95")).is_err());
        assert!(Metric::parse("", None).is_err());
        let attribute = Metric::parse("@duration", Some("max")).unwrap();
        assert_eq!((attribute.measure(), attribute.unit()), (Measure::Attribute("duration".into()), Unit::Attribute));
    }
}
