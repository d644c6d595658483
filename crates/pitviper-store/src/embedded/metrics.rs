//! Answers from `span_metrics`: rows of all tiers added up by label and step.

use rustc_hash::FxHashMap;

use super::hot::Snapshot;
use super::manifest::Table;
use crate::schema::{METRIC_BUCKET_NS, SpanMetricKey, read_span_metrics};
use crate::store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, StoreError, TimeRange};

/// Rows by labels, then step.
pub(super) fn metrics(snapshot: &Snapshot, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
    let range = TimeRange { start_ns: bucket_floor(query.range.start_ns), end_ns: bucket_floor(query.range.end_ns) };
    let mut sums: FxHashMap<(Vec<String>, i64), Red> = FxHashMap::default();
    let mut add = |key: &SpanMetricKey, red: &Red| {
        if matches(query, range, key) {
            let labels = query.group_by.iter().map(|dimension| label(key, *dimension)).collect();
            sums.entry((labels, step_start(query, range, key.bucket_start_ns))).or_default().merge(red);
        }
    };
    for batch in snapshot.hot_rows(Table::SpanMetrics, range) {
        read_span_metrics(batch).for_each(|(key, red)| add(&key, &red));
    }
    for segment in snapshot.segments_in(Table::SpanMetrics, range) {
        if query.service.as_deref().is_some_and(|service| !segment.may_hold_service(service)) {
            continue;
        }
        for batch in &segment.metrics()?.rows {
            read_span_metrics(batch).for_each(|(key, red)| add(&key, &red));
        }
    }
    let mut rows: Vec<MetricRow> =
        sums.into_iter().map(|((labels, step_start_ns), red)| MetricRow { labels, step_start_ns, red }).collect();
    rows.sort_unstable_by(|left, right| (&left.labels, left.step_start_ns).cmp(&(&right.labels, right.step_start_ns)));
    Ok(rows)
}

fn bucket_floor(time_ns: i64) -> i64 {
    time_ns.div_euclid(METRIC_BUCKET_NS).saturating_mul(METRIC_BUCKET_NS)
}

fn step_start(query: &MetricsQuery, range: TimeRange, bucket_start_ns: i64) -> i64 {
    match query.step_ns {
        // Wide arithmetic, because the range may be all of time.
        Some(step) if step > 0 => {
            let steps = (i128::from(bucket_start_ns) - i128::from(range.start_ns)) / i128::from(step);
            i64::try_from(i128::from(range.start_ns) + steps * i128::from(step)).unwrap_or(range.start_ns)
        }
        _ => range.start_ns,
    }
}

fn matches(query: &MetricsQuery, range: TimeRange, key: &SpanMetricKey) -> bool {
    let equals = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let in_scope = match query.scope {
        SpanScope::All => true,
        SpanScope::Entry => key.kind.is_entry(),
        SpanScope::Root => key.is_root,
    };
    in_scope
        && (range.start_ns..range.end_ns).contains(&key.bucket_start_ns)
        && equals(&query.service, &key.service)
        && equals(&query.environment, &key.environment)
        && equals(&query.name, &key.name)
        && query.kind.is_none_or(|kind| kind == key.kind)
}

fn label(key: &SpanMetricKey, dimension: Dimension) -> String {
    match dimension {
        Dimension::Service => key.service.clone(),
        Dimension::Environment => key.environment.clone(),
        Dimension::Version => key.version.clone(),
        Dimension::Name => key.name.clone(),
        Dimension::Kind => key.kind.as_str().to_owned(),
    }
}
