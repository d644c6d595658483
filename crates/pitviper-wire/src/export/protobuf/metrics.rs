//! Points of metrics.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use otlp::exemplar::Value as ExemplarValue;
use otlp::exponential_histogram_data_point::Buckets;
use otlp::metric::Data;
use otlp::number_data_point::Value as NumberValue;
use pitviper_model::{
    Attributes, Exemplar, ExponentialBuckets, MetricKind, MetricPoint, MetricPoints, Number, PointValue,
    ResourceMetrics,
};
use prost::Message as _;

use super::{attributes, resource, scope};

/// An `ExportMetricsServiceRequest` of these points.
#[must_use]
pub fn metrics_to_protobuf(batch: &[ResourceMetrics]) -> Vec<u8> {
    let resource_metrics = batch.iter().map(|metrics| otlp::ResourceMetrics {
        resource: Some(resource(&metrics.resource)),
        scope_metrics: metrics
            .scopes
            .iter()
            .map(|metrics| otlp::ScopeMetrics {
                scope: Some(scope(&metrics.scope)),
                metrics: metrics.metrics.iter().map(metric).collect(),
                schema_url: metrics.scope.schema_url.clone(),
            })
            .collect(),
        schema_url: metrics.resource.schema_url.clone(),
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }.encode_to_vec()
}

fn metric(of: &MetricPoints) -> otlp::Metric {
    let metric = &of.metric;
    let aggregation_temporality = metric.temporality as i32;
    let data = match metric.kind {
        MetricKind::Gauge => Data::Gauge(otlp::Gauge { data_points: of.points.iter().map(number_point).collect() }),
        MetricKind::Sum => Data::Sum(otlp::Sum {
            data_points: of.points.iter().map(number_point).collect(),
            aggregation_temporality,
            is_monotonic: metric.is_monotonic,
        }),
        MetricKind::Histogram => Data::Histogram(otlp::Histogram {
            data_points: of.points.iter().map(histogram_point).collect(),
            aggregation_temporality,
        }),
        MetricKind::ExponentialHistogram => Data::ExponentialHistogram(otlp::ExponentialHistogram {
            data_points: of.points.iter().map(exponential_point).collect(),
            aggregation_temporality,
        }),
    };
    otlp::Metric {
        name: metric.name.clone(),
        unit: metric.unit.clone(),
        description: metric.description.clone(),
        data: Some(data),
        ..Default::default()
    }
}

type Point = (Attributes, MetricPoint);

fn number_point((own, point): &Point) -> otlp::NumberDataPoint {
    let value = match &point.value {
        PointValue::Number(Number::Int(number)) => Some(NumberValue::AsInt(*number)),
        PointValue::Number(Number::Double(number)) => Some(NumberValue::AsDouble(*number)),
        _ => None,
    };
    otlp::NumberDataPoint {
        attributes: attributes(own),
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        flags: point.flags,
        value,
    }
}

fn histogram_point((own, point): &Point) -> otlp::HistogramDataPoint {
    let sent = otlp::HistogramDataPoint {
        attributes: attributes(own),
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        flags: point.flags,
        ..Default::default()
    };
    let PointValue::Histogram(histogram) = &point.value else { return sent };
    otlp::HistogramDataPoint {
        count: histogram.count,
        sum: histogram.sum,
        min: histogram.min,
        max: histogram.max,
        bucket_counts: histogram.counts.clone(),
        explicit_bounds: histogram.bounds.clone(),
        ..sent
    }
}

fn exponential_point((own, point): &Point) -> otlp::ExponentialHistogramDataPoint {
    let sent = otlp::ExponentialHistogramDataPoint {
        attributes: attributes(own),
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        exemplars: point.exemplars.iter().map(exemplar).collect(),
        flags: point.flags,
        ..Default::default()
    };
    let PointValue::ExponentialHistogram(histogram) = &point.value else { return sent };
    let buckets = |of: &ExponentialBuckets| Some(Buckets { offset: of.offset, bucket_counts: of.counts.clone() });
    otlp::ExponentialHistogramDataPoint {
        count: histogram.count,
        sum: histogram.sum,
        min: histogram.min,
        max: histogram.max,
        scale: histogram.scale,
        zero_count: histogram.zero_count,
        zero_threshold: histogram.zero_threshold,
        positive: buckets(&histogram.positive),
        negative: buckets(&histogram.negative),
        ..sent
    }
}

fn exemplar(exemplar: &Exemplar) -> otlp::Exemplar {
    otlp::Exemplar {
        filtered_attributes: attributes(&exemplar.filtered_attributes),
        time_unix_nano: exemplar.time_unix_nano,
        value: Some(match exemplar.value {
            Number::Int(number) => ExemplarValue::AsInt(number),
            Number::Double(number) => ExemplarValue::AsDouble(number),
        }),
        trace_id: if exemplar.trace_id.is_valid() { exemplar.trace_id.0.to_vec() } else { Vec::new() },
        span_id: if exemplar.span_id.is_valid() { exemplar.span_id.0.to_vec() } else { Vec::new() },
    }
}
