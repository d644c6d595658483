//! Metrics.

use pitviper_model::{
    Attributes, Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind,
    MetricPoint, MetricPoints, Number, PointValue, RejectReason, ResourceMetrics, ScopeMetrics, Temporality,
};
use serde::{Deserialize, Deserializer};

use super::{
    Float, Integer, KeyValue, NumberOrName, ResourceDocument, ScopeDocument, attributes, or_default, span_id, trace_id,
};
use crate::decode::points::{Reading, SummaryPoint, from_summary, number, recorded};
use crate::decode::{DecodeError, Decoded};

/// What the largest of a metric and its points takes while it is decoded, beyond its text and what
/// hangs on it, in bytes.
pub(in crate::decode) const POINT_BYTES: usize = {
    let metric = size_of::<MetricDocument>() + size_of::<MetricPoints>();
    let point = size_of::<ExponentialDocument>() + size_of::<Point>();
    if metric > point { metric } else { point }
};

/// The same of an exemplar.
pub(in crate::decode) const EXEMPLAR_BYTES: usize = size_of::<ExemplarDocument>() + size_of::<Exemplar>();

/// Reads an `ExportMetricsServiceRequest` document.
///
/// # Errors
/// When the bytes are not JSON, or a field has the wrong type.
pub fn metrics_from_json(bytes: &[u8]) -> Result<Decoded<ResourceMetrics>, DecodeError> {
    let document: Request = serde_json::from_slice(bytes)?;
    let mut reading = Reading::default();
    let batch = document.resource_metrics.into_iter().map(|metrics| metrics.into_model(&mut reading)).collect();
    Ok(Decoded { batch, rejected: reading.rejected })
}

document!(Request { resource_metrics: Vec<ResourceMetricsDocument> });
document!(ResourceMetricsDocument {
    resource: ResourceDocument,
    scope_metrics: Vec<ScopeMetricsDocument>,
    schema_url: String,
});
document!(ScopeMetricsDocument { scope: ScopeDocument, metrics: Vec<MetricDocument>, schema_url: String });
document!(MetricDocument {
    name: String,
    unit: String,
    description: String,
    gauge: Option<PointsDocument<NumberDocument>>,
    sum: Option<PointsDocument<NumberDocument>>,
    histogram: Option<PointsDocument<HistogramDocument>>,
    exponential_histogram: Option<PointsDocument<ExponentialDocument>>,
    summary: Option<PointsDocument<SummaryDocument>>,
});

/// The data of any kind of metric.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", bound(deserialize = "T: Deserialize<'de>"))]
struct PointsDocument<T> {
    #[serde(default, deserialize_with = "or_default")]
    data_points: Vec<T>,
    #[serde(default, deserialize_with = "or_default")]
    aggregation_temporality: TemporalityDocument,
    #[serde(default, deserialize_with = "or_default")]
    is_monotonic: bool,
}

document!(NumberDocument {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Integer<u64>,
    time_unix_nano: Integer<u64>,
    exemplars: Vec<ExemplarDocument>,
    flags: u32,
    as_double: Option<Float>,
    as_int: Option<Integer<i64>>,
});
document!(HistogramDocument {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Integer<u64>,
    time_unix_nano: Integer<u64>,
    exemplars: Vec<ExemplarDocument>,
    flags: u32,
    count: Integer<u64>,
    sum: Option<Float>,
    min: Option<Float>,
    max: Option<Float>,
    bucket_counts: Vec<Integer<u64>>,
    explicit_bounds: Vec<Float>,
});
document!(ExponentialDocument {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Integer<u64>,
    time_unix_nano: Integer<u64>,
    exemplars: Vec<ExemplarDocument>,
    flags: u32,
    count: Integer<u64>,
    sum: Option<Float>,
    min: Option<Float>,
    max: Option<Float>,
    scale: i32,
    zero_count: Integer<u64>,
    zero_threshold: Float,
    positive: BucketsDocument,
    negative: BucketsDocument,
});
document!(BucketsDocument { offset: i32, bucket_counts: Vec<Integer<u64>> });
document!(SummaryDocument {
    attributes: Vec<KeyValue>,
    start_time_unix_nano: Integer<u64>,
    time_unix_nano: Integer<u64>,
    flags: u32,
    count: Integer<u64>,
    sum: Float,
    quantile_values: Vec<QuantileDocument>,
});
document!(QuantileDocument { quantile: Float, value: Float });
document!(ExemplarDocument {
    filtered_attributes: Vec<KeyValue>,
    time_unix_nano: Integer<u64>,
    as_double: Option<Float>,
    as_int: Option<Integer<i64>>,
    trace_id: String,
    span_id: String,
});

#[derive(Default)]
struct TemporalityDocument(Temporality);

impl<'de> Deserialize<'de> for TemporalityDocument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match NumberOrName::deserialize(deserializer)? {
            NumberOrName::Number(number) => Temporality::from_otlp(number),
            NumberOrName::Name(name) => match name.as_str() {
                "AGGREGATION_TEMPORALITY_DELTA" => Temporality::Delta,
                "AGGREGATION_TEMPORALITY_CUMULATIVE" => Temporality::Cumulative,
                _ => Temporality::Unspecified,
            },
        }))
    }
}

type Point = (Attributes, MetricPoint);

impl ResourceMetricsDocument {
    fn into_model(self, reading: &mut Reading) -> ResourceMetrics {
        let scopes = self.scope_metrics.into_iter().map(|sent| {
            let mut metrics = Vec::with_capacity(sent.metrics.len());
            sent.metrics.into_iter().for_each(|metric| metric.read(&mut metrics, reading));
            ScopeMetrics { scope: sent.scope.into_model(sent.schema_url), metrics }
        });
        ResourceMetrics { scopes: scopes.collect(), resource: self.resource.into_model(self.schema_url) }
    }
}

impl MetricDocument {
    fn read(self, out: &mut Vec<MetricPoints>, reading: &mut Reading) {
        let metric = Metric { name: self.name, unit: self.unit, description: self.description, ..Metric::default() };
        let of = |kind, temporality: TemporalityDocument, metric| Metric { kind, temporality: temporality.0, ..metric };
        if let Some(gauge) = self.gauge {
            out.push(MetricPoints {
                metric,
                points: reading.fit(gauge.data_points.into_iter().map(NumberDocument::into_model)),
            });
        } else if let Some(sum) = self.sum {
            let metric = Metric { is_monotonic: sum.is_monotonic, ..metric };
            let metric = of(MetricKind::Sum, sum.aggregation_temporality, metric);
            out.push(MetricPoints {
                metric,
                points: reading.fit(sum.data_points.into_iter().map(NumberDocument::into_model)),
            });
        } else if let Some(histogram) = self.histogram {
            let metric = of(MetricKind::Histogram, histogram.aggregation_temporality, metric);
            let points = histogram.data_points.into_iter().map(HistogramDocument::into_model).collect();
            out.push(MetricPoints { metric, points });
        } else if let Some(histogram) = self.exponential_histogram {
            let metric = of(MetricKind::ExponentialHistogram, histogram.aggregation_temporality, metric);
            let points = histogram.data_points.into_iter().map(ExponentialDocument::into_model).collect();
            out.push(MetricPoints { metric, points });
        } else if let Some(summary) = self.summary {
            let points = summary.data_points.into_iter().map(SummaryDocument::into_point).collect();
            out.extend(from_summary(metric, points, reading));
        } else {
            reading.rejected.push(RejectReason::UnknownMetricKind);
        }
    }
}

fn either(double: Option<Float>, int: Option<Integer<i64>>) -> Option<Number> {
    int.map(|number| Number::Int(number.0)).or(double.map(|number| Number::Double(number.0)))
}

fn plain<T>(counts: Vec<Integer<T>>) -> Vec<T> {
    counts.into_iter().map(|count| count.0).collect()
}

fn float(number: Option<Float>) -> Option<f64> {
    number.map(|number| number.0)
}

impl NumberDocument {
    fn into_model(self) -> Result<Point, RejectReason> {
        let point = MetricPoint {
            start_time_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            flags: self.flags,
            value: number(self.flags, either(self.as_double, self.as_int))?,
            exemplars: exemplars(self.exemplars),
        };
        Ok((attributes(self.attributes), point))
    }
}

impl HistogramDocument {
    fn into_model(self) -> Point {
        let value = || {
            PointValue::Histogram(HistogramPoint {
                count: self.count.0,
                sum: float(self.sum),
                min: float(self.min),
                max: float(self.max),
                bounds: self.explicit_bounds.into_iter().map(|bound| bound.0).collect(),
                counts: plain(self.bucket_counts),
            })
        };
        let point = MetricPoint {
            start_time_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            flags: self.flags,
            value: recorded(self.flags, value),
            exemplars: exemplars(self.exemplars),
        };
        (attributes(self.attributes), point)
    }
}

impl ExponentialDocument {
    fn into_model(self) -> Point {
        let buckets = |of: BucketsDocument| ExponentialBuckets { offset: of.offset, counts: plain(of.bucket_counts) };
        let value = || {
            PointValue::ExponentialHistogram(ExponentialHistogramPoint {
                count: self.count.0,
                sum: float(self.sum),
                min: float(self.min),
                max: float(self.max),
                scale: self.scale,
                zero_count: self.zero_count.0,
                zero_threshold: self.zero_threshold.0,
                positive: buckets(self.positive),
                negative: buckets(self.negative),
            })
        };
        let point = MetricPoint {
            start_time_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            flags: self.flags,
            value: recorded(self.flags, value),
            exemplars: exemplars(self.exemplars),
        };
        (attributes(self.attributes), point)
    }
}

impl SummaryDocument {
    fn into_point(self) -> SummaryPoint {
        SummaryPoint {
            attributes: attributes(self.attributes),
            start_time_unix_nano: self.start_time_unix_nano.0,
            time_unix_nano: self.time_unix_nano.0,
            flags: self.flags,
            count: self.count.0,
            sum: self.sum.0,
            quantiles: self.quantile_values.into_iter().map(|at| (at.quantile.0, at.value.0)).collect(),
        }
    }
}

/// One without a value says nothing and is left out.
fn exemplars(sent: Vec<ExemplarDocument>) -> Vec<Exemplar> {
    sent.into_iter()
        .filter_map(|sent| {
            Some(Exemplar {
                time_unix_nano: sent.time_unix_nano.0,
                value: either(sent.as_double, sent.as_int)?,
                trace_id: trace_id(&sent.trace_id),
                span_id: span_id(&sent.span_id),
                filtered_attributes: attributes(sent.filtered_attributes),
            })
        })
        .collect()
}
