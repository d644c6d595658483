//! Answers from `span_metrics`: rows of all tiers added up by label and step.

use arrow::array::{RecordBatch, StringArray};
use rustc_hash::FxHashMap;

use super::hot::Snapshot;
use super::manifest::Table;
use crate::schema::{METRIC_BUCKET_NS, SpanMetricsRows};
use crate::store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, StoreError, TimeRange};

/// Rows by labels, then step.
pub(super) fn metrics(snapshot: &Snapshot, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
    let range = TimeRange { start_ns: bucket_floor(query.range.start_ns), end_ns: bucket_floor(query.range.end_ns) };
    let mut sums = Sums::default();
    for batch in snapshot.hot_rows(Table::SpanMetrics, range) {
        sums.add(batch, query, range);
    }
    for segment in snapshot.segments_in(Table::SpanMetrics, range) {
        if query.service.as_deref().is_some_and(|service| !segment.may_hold_service(service)) {
            continue;
        }
        for batch in &segment.metrics()?.rows {
            sums.add(batch, query, range);
        }
    }
    let mut rows: Vec<MetricRow> = sums
        .places
        .into_iter()
        .map(|((labels, step_start_ns), place)| MetricRow {
            labels: labels.into_iter().map(String::from).collect(),
            step_start_ns,
            red: std::mem::take(&mut sums.reds[place]),
        })
        .collect();
    rows.sort_unstable_by(|left, right| (&left.labels, left.step_start_ns).cmp(&(&right.labels, right.step_start_ns)));
    Ok(rows)
}

/// Sums by labels and step.
#[derive(Default)]
struct Sums {
    places: FxHashMap<(Vec<Box<str>>, i64), usize>,
    reds: Vec<Red>,
}

impl Sums {
    /// Adds the rows that the query asks for. Rows of one service and name follow each other, so
    /// most go where the one before went, and cost no look-up.
    fn add(&mut self, batch: &RecordBatch, query: &MetricsQuery, range: TimeRange) {
        let rows = SpanMetricsRows::new(batch);
        let mut labels: Vec<&str> = Vec::with_capacity(query.group_by.len());
        let mut before: Option<(Vec<&str>, i64, usize)> = None;
        for row in 0..rows.len() {
            if !matches(query, range, &rows, row) {
                continue;
            }
            labels.clear();
            labels.extend(query.group_by.iter().map(|dimension| label(&rows, row, *dimension)));
            let step = step_start(query, range, rows.bucket_start_ns[row]);
            let place = match &before {
                Some((last, last_step, place)) if *last_step == step && *last == labels => *place,
                _ => {
                    let place = self.place(&labels, step);
                    before = Some((labels.clone(), step, place));
                    place
                }
            };
            rows.add_to(row, &mut self.reds[place]);
        }
    }

    fn place(&mut self, labels: &[&str], step: i64) -> usize {
        let key = (labels.iter().map(|label| Box::from(*label)).collect(), step);
        *self.places.entry(key).or_insert_with(|| {
            self.reds.push(Red::default());
            self.reds.len() - 1
        })
    }
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

fn matches(query: &MetricsQuery, range: TimeRange, rows: &SpanMetricsRows<'_>, row: usize) -> bool {
    let equals = |wanted: &Option<String>, column: &StringArray| {
        wanted.as_deref().is_none_or(|wanted| wanted == column.value(row))
    };
    let in_scope = || match query.scope {
        SpanScope::All => true,
        SpanScope::Entry => rows.kind(row).is_entry(),
        SpanScope::Root => rows.is_root(row),
    };
    (range.start_ns..range.end_ns).contains(&rows.bucket_start_ns[row])
        && in_scope()
        && equals(&query.service, rows.service)
        && equals(&query.environment, rows.environment)
        && equals(&query.name, rows.name)
        && query.kind.is_none_or(|kind| kind == rows.kind(row))
}

fn label<'a>(rows: &SpanMetricsRows<'a>, row: usize, dimension: Dimension) -> &'a str {
    match dimension {
        Dimension::Service => rows.service.value(row),
        Dimension::Environment => rows.environment.value(row),
        Dimension::Version => rows.version.value(row),
        Dimension::Name => rows.name.value(row),
        Dimension::Kind => rows.kind(row).as_str(),
    }
}
