//! Points of metrics.

use std::fmt::Write as _;

use pitviper_model::{
    Attributes, Exemplar, ExponentialBuckets, MetricKind, MetricPoint, MetricPoints, Number, PointValue,
    ResourceMetrics, ScopeMetrics,
};

use super::{attributes, double, list, resource, schema_url, scope, text};

/// An `ExportMetricsServiceRequest` document of these points, without a line break.
#[must_use]
pub fn metrics_to_json(batch: &[ResourceMetrics]) -> String {
    let mut out = String::from("{\"resourceMetrics\":");
    list(batch, &mut out, |metrics, out| {
        resource(&metrics.resource, out);
        out.push_str(",\"scopeMetrics\":");
        list(&metrics.scopes, out, scope_metrics);
        schema_url(&metrics.resource.schema_url, out);
        out.push('}');
    });
    out.push('}');
    out
}

fn scope_metrics(metrics: &ScopeMetrics, out: &mut String) {
    scope(&metrics.scope, out);
    out.push_str(",\"metrics\":");
    list(&metrics.metrics, out, metric);
    schema_url(&metrics.scope.schema_url, out);
    out.push('}');
}

fn metric(of: &MetricPoints, out: &mut String) {
    let metric = &of.metric;
    out.push_str("{\"name\":");
    text(&metric.name, out);
    out.push_str(",\"unit\":");
    text(&metric.unit, out);
    out.push_str(",\"description\":");
    text(&metric.description, out);
    let kind = match metric.kind {
        MetricKind::Gauge => "gauge",
        MetricKind::Sum => "sum",
        MetricKind::Histogram => "histogram",
        MetricKind::ExponentialHistogram => "exponentialHistogram",
    };
    let _ = write!(out, ",\"{kind}\":{{");
    if metric.kind != MetricKind::Gauge {
        let _ = write!(out, "\"aggregationTemporality\":{},", metric.temporality as i32);
    }
    if metric.kind == MetricKind::Sum {
        let _ = write!(out, "\"isMonotonic\":{},", metric.is_monotonic);
    }
    out.push_str("\"dataPoints\":");
    list(&of.points, out, point);
    out.push_str("}}");
}

fn point((own, point): &(Attributes, MetricPoint), out: &mut String) {
    let _ = write!(
        out,
        "{{\"startTimeUnixNano\":\"{}\",\"timeUnixNano\":\"{}\",\"flags\":{},\"attributes\":",
        point.start_time_unix_nano, point.time_unix_nano, point.flags
    );
    attributes(own, out);
    match &point.value {
        PointValue::Nothing => {}
        PointValue::Number(own) => number(*own, out),
        PointValue::Histogram(histogram) => {
            figures(histogram.count, [histogram.sum, histogram.min, histogram.max], out);
            out.push_str(",\"explicitBounds\":");
            list(&histogram.bounds, out, |bound, out| double(*bound, out));
            out.push_str(",\"bucketCounts\":");
            counts(&histogram.counts, out);
        }
        PointValue::ExponentialHistogram(histogram) => {
            figures(histogram.count, [histogram.sum, histogram.min, histogram.max], out);
            let _ = write!(out, ",\"scale\":{},\"zeroCount\":\"{}\"", histogram.scale, histogram.zero_count);
            out.push_str(",\"zeroThreshold\":");
            double(histogram.zero_threshold, out);
            out.push_str(",\"positive\":");
            buckets(&histogram.positive, out);
            out.push_str(",\"negative\":");
            buckets(&histogram.negative, out);
        }
    }
    out.push_str(",\"exemplars\":");
    list(&point.exemplars, out, exemplar);
    out.push('}');
}

fn number(number: Number, out: &mut String) {
    match number {
        Number::Int(number) => {
            let _ = write!(out, ",\"asInt\":\"{number}\"");
        }
        Number::Double(number) => {
            out.push_str(",\"asDouble\":");
            double(number, out);
        }
    }
}

fn figures(count: u64, figures: [Option<f64>; 3], out: &mut String) {
    let _ = write!(out, ",\"count\":\"{count}\"");
    for (name, figure) in ["sum", "min", "max"].into_iter().zip(figures) {
        if let Some(figure) = figure {
            let _ = write!(out, ",\"{name}\":");
            double(figure, out);
        }
    }
}

fn counts(counts: &[u64], out: &mut String) {
    list(counts, out, |count, out| {
        let _ = write!(out, "\"{count}\"");
    });
}

fn buckets(buckets: &ExponentialBuckets, out: &mut String) {
    let _ = write!(out, "{{\"offset\":{},\"bucketCounts\":", buckets.offset);
    counts(&buckets.counts, out);
    out.push('}');
}

fn exemplar(exemplar: &Exemplar, out: &mut String) {
    let _ = write!(out, "{{\"timeUnixNano\":\"{}\"", exemplar.time_unix_nano);
    number(exemplar.value, out);
    if exemplar.trace_id.is_valid() {
        let _ = write!(out, ",\"traceId\":\"{}\"", exemplar.trace_id);
    }
    if exemplar.span_id.is_valid() {
        let _ = write!(out, ",\"spanId\":\"{}\"", exemplar.span_id);
    }
    out.push_str(",\"filteredAttributes\":");
    attributes(&exemplar.filtered_attributes, out);
    out.push('}');
}
