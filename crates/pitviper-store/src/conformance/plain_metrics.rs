//! The metrics of a span, the plain way.

use pitviper_model::{ExpHistogram, Resource, Span, StatusCode};

use crate::schema::{METRIC_BUCKET_NS, SpanMetricKey};
use crate::store::{Dimension, Red, SpanScope};

/// The metrics that count one span. It has no peer.
#[must_use]
pub fn metric_of(span: &Span, resource: &Resource) -> (SpanMetricKey, Red) {
    let start = span.start_time_unix_nano.cast_signed();
    let key = SpanMetricKey {
        bucket_start_ns: start.div_euclid(METRIC_BUCKET_NS) * METRIC_BUCKET_NS,
        service: resource.service().to_owned(),
        environment: resource.environment().to_owned(),
        version: resource.version().to_owned(),
        name: span.name.clone(),
        kind: span.kind,
        is_root: !span.parent_span_id.is_valid(),
        peer: String::new(),
    };
    let duration = span.duration_nano();
    let mut durations = ExpHistogram::default();
    durations.record(duration);
    let red = Red {
        hits: 1,
        errors: u64::from(span.status.code == StatusCode::Error),
        duration_sum_ns: duration,
        duration_min_ns: duration,
        duration_max_ns: duration,
        durations,
    };
    (key, red)
}

/// The labels of a row of metrics.
#[must_use]
pub fn labels(key: &SpanMetricKey, dimensions: &[Dimension]) -> Vec<String> {
    let label = |dimension: &Dimension| match dimension {
        Dimension::Service => key.service.clone(),
        Dimension::Environment => key.environment.clone(),
        Dimension::Version => key.version.clone(),
        Dimension::Name => key.name.clone(),
        Dimension::Kind => key.kind.as_str().to_owned(),
        Dimension::Scope => match (key.kind.is_entry(), key.is_root) {
            (true, _) => "entry".to_owned(),
            (_, true) => "root".to_owned(),
            _ => "all".to_owned(),
        },
    };
    dimensions.iter().map(label).collect()
}

/// Whether a question is about spans of this key, whenever they started.
#[must_use]
pub fn is_in_scope(key: &SpanMetricKey, scope: SpanScope) -> bool {
    match scope {
        SpanScope::All => true,
        SpanScope::Entry => key.kind.is_entry(),
        SpanScope::Root => key.is_root,
    }
}
