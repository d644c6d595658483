//! Metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use otlp::exemplar::Value as ExemplarValue;
use otlp::exponential_histogram_data_point::Buckets;
use otlp::metric::Data;
use otlp::number_data_point::Value as NumberValue;
use pitviper_model::{
    Attributes, Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind,
    MetricPoint, MetricPoints, Number, PointValue, RejectReason, ResourceMetrics, ScopeMetrics, Temporality,
};
use prost::Message;

use super::{attributes, resource, scope, span_id, trace_id};
use crate::decode::points::{Reading, SummaryPoint, from_summary, number, recorded};
use crate::decode::{DecodeError, Decoded};

/// Reads an `ExportMetricsServiceRequest`.
///
/// # Errors
/// When the bytes are not that message.
pub fn metrics_from_protobuf(bytes: &[u8]) -> Result<Decoded<ResourceMetrics>, DecodeError> {
    let request = ExportMetricsServiceRequest::decode(bytes)?;
    let mut reading = Reading::default();
    let batch = request
        .resource_metrics
        .into_iter()
        .map(|metrics| ResourceMetrics {
            resource: resource(metrics.resource, metrics.schema_url),
            scopes: metrics.scope_metrics.into_iter().map(|metrics| scope_metrics(metrics, &mut reading)).collect(),
        })
        .collect();
    Ok(Decoded { batch, rejected: reading.rejected })
}

fn scope_metrics(sent: otlp::ScopeMetrics, reading: &mut Reading) -> ScopeMetrics {
    let mut metrics = Vec::with_capacity(sent.metrics.len());
    for metric in sent.metrics {
        read_metric(metric, &mut metrics, reading);
    }
    ScopeMetrics { scope: scope(sent.scope, sent.schema_url), metrics }
}

fn read_metric(sent: otlp::Metric, out: &mut Vec<MetricPoints>, reading: &mut Reading) {
    let metric = Metric { name: sent.name, unit: sent.unit, description: sent.description, ..Metric::default() };
    let Some(data) = sent.data else {
        reading.rejected.push(RejectReason::UnknownMetricKind);
        return;
    };
    match data {
        Data::Gauge(gauge) => {
            out.push(MetricPoints { metric, points: reading.fit(gauge.data_points.into_iter().map(number_point)) });
        }
        Data::Sum(sum) => {
            let temporality = Temporality::from_otlp(sum.aggregation_temporality);
            let metric = Metric { kind: MetricKind::Sum, temporality, is_monotonic: sum.is_monotonic, ..metric };
            out.push(MetricPoints { metric, points: reading.fit(sum.data_points.into_iter().map(number_point)) });
        }
        Data::Histogram(histogram) => {
            let temporality = Temporality::from_otlp(histogram.aggregation_temporality);
            let metric = Metric { kind: MetricKind::Histogram, temporality, ..metric };
            out.push(MetricPoints { metric, points: histogram.data_points.into_iter().map(histogram_point).collect() });
        }
        Data::ExponentialHistogram(histogram) => {
            let temporality = Temporality::from_otlp(histogram.aggregation_temporality);
            let metric = Metric { kind: MetricKind::ExponentialHistogram, temporality, ..metric };
            let points = histogram.data_points.into_iter().map(exponential_point).collect();
            out.push(MetricPoints { metric, points });
        }
        Data::Summary(summary) => {
            let points = summary.data_points.into_iter().map(summary_point).collect();
            out.extend(from_summary(metric, points, reading));
        }
    }
}

type Point = (Attributes, MetricPoint);

fn number_point(sent: otlp::NumberDataPoint) -> Result<Point, RejectReason> {
    let value = sent.value.map(|value| match value {
        NumberValue::AsDouble(number) => Number::Double(number),
        NumberValue::AsInt(number) => Number::Int(number),
    });
    let point = MetricPoint {
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: number(sent.flags, value)?,
        exemplars: exemplars(sent.exemplars),
    };
    Ok((attributes(sent.attributes), point))
}

fn histogram_point(sent: otlp::HistogramDataPoint) -> Point {
    let value = || {
        PointValue::Histogram(HistogramPoint {
            count: sent.count,
            sum: sent.sum,
            min: sent.min,
            max: sent.max,
            bounds: sent.explicit_bounds,
            counts: sent.bucket_counts,
        })
    };
    let point = MetricPoint {
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: recorded(sent.flags, value),
        exemplars: exemplars(sent.exemplars),
    };
    (attributes(sent.attributes), point)
}

fn exponential_point(sent: otlp::ExponentialHistogramDataPoint) -> Point {
    let value = || {
        PointValue::ExponentialHistogram(ExponentialHistogramPoint {
            count: sent.count,
            sum: sent.sum,
            min: sent.min,
            max: sent.max,
            scale: sent.scale,
            zero_count: sent.zero_count,
            zero_threshold: sent.zero_threshold,
            positive: buckets(sent.positive),
            negative: buckets(sent.negative),
        })
    };
    let point = MetricPoint {
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        value: recorded(sent.flags, value),
        exemplars: exemplars(sent.exemplars),
    };
    (attributes(sent.attributes), point)
}

fn buckets(sent: Option<Buckets>) -> ExponentialBuckets {
    sent.map(|sent| ExponentialBuckets { offset: sent.offset, counts: sent.bucket_counts }).unwrap_or_default()
}

fn summary_point(sent: otlp::SummaryDataPoint) -> SummaryPoint {
    SummaryPoint {
        attributes: attributes(sent.attributes),
        start_time_unix_nano: sent.start_time_unix_nano,
        time_unix_nano: sent.time_unix_nano,
        flags: sent.flags,
        count: sent.count,
        sum: sent.sum,
        quantiles: sent.quantile_values.into_iter().map(|at| (at.quantile, at.value)).collect(),
    }
}

/// One without a value says nothing and is left out.
fn exemplars(sent: Vec<otlp::Exemplar>) -> Vec<Exemplar> {
    sent.into_iter()
        .filter_map(|sent| {
            let value = match sent.value? {
                ExemplarValue::AsDouble(number) => Number::Double(number),
                ExemplarValue::AsInt(number) => Number::Int(number),
            };
            Some(Exemplar {
                time_unix_nano: sent.time_unix_nano,
                value,
                trace_id: trace_id(&sent.trace_id),
                span_id: span_id(&sent.span_id),
                filtered_attributes: attributes(sent.filtered_attributes),
            })
        })
        .collect()
}
