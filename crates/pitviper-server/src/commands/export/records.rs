//! What an export writes one by one: spans, log records, points of metrics, each with its process and
//! library, put together into requests.

use std::sync::Arc;

use pitviper_model::{
    MetricPoints, Number, PointValue, Resource, ResourceLogs, ResourceMetrics, ResourceSpans, Scope, ScopeLogs,
    ScopeMetrics, ScopeSpans,
};
use pitviper_store::embedded::StoredPoint;
use pitviper_store::{FileRecord, StoredLog, StoredSpan};
use pitviper_wire::export::{
    logs_to_json, logs_to_protobuf, metrics_to_json, metrics_to_protobuf, traces_to_json, traces_to_protobuf,
};

/// Something that is exported.
pub(super) trait Exported: Sized {
    /// The process and the library.
    fn origin(&self) -> (&Arc<Resource>, &Arc<Scope>);

    /// One request with these, in OTLP/JSON.
    fn to_json(items: &[Self]) -> String;

    /// One request with these, in OTLP protobuf.
    fn to_protobuf(items: &[Self]) -> Vec<u8>;

    /// What it is, for a message.
    fn describe(&self) -> String;
}

/// A process and its libraries, each with its items.
type Process<'a, T> = (Arc<Resource>, Vec<(Arc<Scope>, Vec<&'a T>)>);

/// Items put together as a request has them: by library with `of_scope`, and these by process with
/// `of_resource`.
fn grouped_by<T: Exported, S, R>(
    items: &[T],
    of_scope: impl Fn(Arc<Scope>, Vec<&T>) -> S,
    of_resource: impl Fn(Arc<Resource>, Vec<S>) -> R,
) -> Vec<R> {
    let mut batch: Vec<Process<'_, T>> = Vec::new();
    for item in items {
        let (resource, scope) = item.origin();
        let at = batch.iter().rposition(|(known, _)| Arc::ptr_eq(known, resource) || known == resource);
        let at = at.unwrap_or_else(|| {
            batch.push((Arc::clone(resource), Vec::new()));
            batch.len() - 1
        });
        let scopes = &mut batch[at].1;
        match scopes.iter().rposition(|(known, _)| Arc::ptr_eq(known, scope) || known == scope) {
            Some(at) => scopes[at].1.push(item),
            None => scopes.push((Arc::clone(scope), vec![item])),
        }
    }
    let whole = |(resource, scopes): Process<'_, T>| {
        of_resource(resource, scopes.into_iter().map(|(scope, items)| of_scope(scope, items)).collect())
    };
    batch.into_iter().map(whole).collect()
}

/// Spans by process and library.
pub(in crate::commands) fn grouped(spans: &[StoredSpan]) -> Vec<ResourceSpans> {
    grouped_by(
        spans,
        |scope, spans| ScopeSpans { scope, spans: spans.into_iter().map(|stored| stored.span.clone()).collect() },
        |resource, scopes| ResourceSpans { resource, scopes },
    )
}

impl Exported for StoredSpan {
    fn origin(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.resource, &self.scope)
    }

    fn to_json(items: &[Self]) -> String {
        traces_to_json(&grouped(items))
    }

    fn to_protobuf(items: &[Self]) -> Vec<u8> {
        traces_to_protobuf(&grouped(items))
    }

    fn describe(&self) -> String {
        format!("the span {} of trace {}", self.span.span_id, self.span.trace_id)
    }
}

fn grouped_logs(records: &[StoredLog]) -> Vec<ResourceLogs> {
    grouped_by(
        records,
        |scope, records| ScopeLogs {
            scope,
            records: records.into_iter().map(|stored| stored.record.clone()).collect(),
        },
        |resource, scopes| ResourceLogs { resource, scopes },
    )
}

impl Exported for StoredLog {
    fn origin(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.resource, &self.scope)
    }

    fn to_json(items: &[Self]) -> String {
        logs_to_json(&grouped_logs(items))
    }

    fn to_protobuf(items: &[Self]) -> Vec<u8> {
        logs_to_protobuf(&grouped_logs(items))
    }

    fn describe(&self) -> String {
        format!("the log record of {} ns", self.record.best_time_unix_nano())
    }
}

fn grouped_points(points: &[StoredPoint]) -> Vec<ResourceMetrics> {
    let of_scope = |scope: Arc<Scope>, points: Vec<&StoredPoint>| {
        let mut metrics: Vec<MetricPoints> = Vec::new();
        for StoredPoint { series, point } in points {
            let point = (series.attributes.clone(), point.clone());
            match metrics.iter_mut().rev().find(|known| known.metric == series.metric) {
                Some(known) => known.points.push(point),
                None => metrics.push(MetricPoints { metric: series.metric.clone(), points: vec![point] }),
            }
        }
        ScopeMetrics { scope, metrics }
    };
    grouped_by(points, of_scope, |resource, scopes| ResourceMetrics { resource, scopes })
}

impl Exported for StoredPoint {
    fn origin(&self) -> (&Arc<Resource>, &Arc<Scope>) {
        (&self.series.resource, &self.series.scope)
    }

    fn to_json(items: &[Self]) -> String {
        metrics_to_json(&grouped_points(items))
    }

    fn to_protobuf(items: &[Self]) -> Vec<u8> {
        metrics_to_protobuf(&grouped_points(items))
    }

    fn describe(&self) -> String {
        format!("the point of `{}` of {} ns", self.series.metric.name, self.point.time_unix_nano)
    }
}

/// A log record as a row of a Parquet file.
pub(super) fn row_of_log(stored: &StoredLog) -> FileRecord {
    let record = &stored.record;
    let id = |is_valid: bool, id: String| if is_valid { id } else { String::new() };
    FileRecord {
        signal: "logs",
        time_unix_nano: record.best_time_unix_nano(),
        service: stored.resource.service().to_owned(),
        name: record.event_name.clone(),
        severity: record.severity_text.clone(),
        text: record.body.as_ref().map_or_else(String::new, pitviper_model::Value::to_text),
        value: None,
        trace_id: id(record.trace_id.is_valid(), record.trace_id.to_string()),
        span_id: id(record.span_id.is_valid(), record.span_id.to_string()),
        attributes: record.attributes.clone(),
        otlp: StoredLog::to_json(std::slice::from_ref(stored)),
    }
}

/// A point of a metric as a row of a Parquet file.
pub(super) fn row_of_point(stored: &StoredPoint) -> FileRecord {
    let StoredPoint { series, point } = stored;
    FileRecord {
        signal: "metrics",
        time_unix_nano: point.time_unix_nano,
        service: series.resource.service().to_owned(),
        name: series.metric.name.clone(),
        severity: String::new(),
        text: series.metric.unit.clone(),
        value: match point.value {
            PointValue::Number(number) => Some(Number::as_f64(number)),
            _ => None,
        },
        trace_id: String::new(),
        span_id: String::new(),
        attributes: series.attributes.clone(),
        otlp: StoredPoint::to_json(std::slice::from_ref(stored)),
    }
}
