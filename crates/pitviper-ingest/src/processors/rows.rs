//! Items as rows.

use pitviper_model::{ResourceLogs, ResourceMetrics, ResourceSpans};
use pitviper_store::schema::{LogsBuilder, MetricPointsBuilder, SpansBuilder};

pub(crate) fn of_spans(batch: &[ResourceSpans]) -> SpansBuilder {
    let mut rows = SpansBuilder::with_capacity(batch.iter().map(ResourceSpans::span_count).sum());
    for resource_spans in batch {
        for scope_spans in &resource_spans.scopes {
            for span in &scope_spans.spans {
                rows.append(&resource_spans.resource, &scope_spans.scope, span);
            }
        }
    }
    rows
}

pub(crate) fn of_points(batch: &[ResourceMetrics]) -> MetricPointsBuilder {
    let mut rows = MetricPointsBuilder::with_capacity(batch.iter().map(ResourceMetrics::point_count).sum());
    for resource_metrics in batch {
        for scope_metrics in &resource_metrics.scopes {
            for of in &scope_metrics.metrics {
                for (attributes, point) in &of.points {
                    rows.append(&resource_metrics.resource, &scope_metrics.scope, &of.metric, attributes, point);
                }
            }
        }
    }
    rows
}

pub(crate) fn of_records(batch: &[ResourceLogs]) -> LogsBuilder {
    let mut rows = LogsBuilder::with_capacity(batch.iter().map(ResourceLogs::record_count).sum());
    for resource_logs in batch {
        for scope_logs in &resource_logs.scopes {
            for record in &scope_logs.records {
                rows.append(&resource_logs.resource, &scope_logs.scope, record);
            }
        }
    }
    rows
}
