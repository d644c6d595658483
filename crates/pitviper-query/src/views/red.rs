//! Rate, errors and durations of one thing over the steps of a window.

use std::collections::BTreeMap;

use pitviper_model::SpanKind;
use pitviper_store::{Dimension, MetricRow, MetricsQuery, Red, SpanScope, Store, StoreError};
use serde::Serialize;
use utoipa::ToSchema;

use super::Window;

/// A figure over the whole window, and its course.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Trend {
    /// Over the whole window; null when nothing was counted.
    #[schema(required)]
    pub v: Option<f64>,
    /// For each step; null where nothing was counted or the step lies in the future.
    pub s: Vec<Option<f64>>,
}

/// Counted spans: the total, and each step.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    pub(super) total: Red,
    pub(super) steps: Vec<Red>,
}

impl Counted {
    pub(super) fn new(window: &Window) -> Self {
        Self { total: Red::default(), steps: vec![Red::default(); window.steps()] }
    }

    pub(super) fn add(&mut self, window: &Window, row: &MetricRow) {
        self.total.merge(&row.red);
        if let Some(step) = window.index_of(row.step_start_ns).and_then(|index| self.steps.get_mut(index)) {
            step.merge(&row.red);
        }
    }

    /// Spans per second.
    pub(super) fn rate(&self, window: &Window) -> Trend {
        Trend { v: Some(self.total.hits as f64 / window.total_seconds()), s: self.rates(window) }
    }

    /// Spans per second of each step.
    pub(super) fn rates(&self, window: &Window) -> Vec<Option<f64>> {
        let rate = |(index, red): (usize, &Red)| window.elapsed_seconds(index).map(|seconds| red.hits as f64 / seconds);
        self.steps.iter().enumerate().map(rate).collect()
    }

    /// What `figure` says of the total and of each step.
    pub(super) fn trend(&self, figure: impl Fn(&Red) -> Option<f64>) -> Trend {
        Trend { v: figure(&self.total), s: self.steps.iter().map(figure).collect() }
    }
}

/// The share of spans that failed.
pub(super) fn failure_share(red: &Red) -> Option<f64> {
    (red.hits > 0).then(|| red.errors as f64 / red.hits as f64)
}

/// A quantile of the durations in whole nanoseconds. The histogram knows a duration to within 1.1 %;
/// no quantile lies outside of the shortest and the longest duration.
pub(super) fn quantile(red: &Red, q: f64) -> Option<f64> {
    let estimate = red.durations.quantile(q)?;
    Some(estimate.round().clamp(red.duration_min_ns as f64, red.duration_max_ns.max(red.duration_min_ns) as f64))
}

/// The mean duration in whole nanoseconds.
pub(super) fn mean(red: &Red) -> Option<f64> {
    (red.hits > 0).then(|| (red.duration_sum_ns as f64 / red.hits as f64).round())
}

/// A question to the metrics over this window, of every span, in one series.
pub(super) fn metrics_query(window: &Window) -> MetricsQuery {
    MetricsQuery {
        range: window.range,
        step_ns: window.step_ns,
        service: None,
        environment: None,
        name: None,
        kind: None,
        scope: SpanScope::All,
        group_by: Vec::new(),
    }
}

/// The metrics of what services are asked to do, each by itself when the query is split by service. That
/// is a service's entry spans; one without any does its work in root spans; and one without those is a
/// part of other services' traces, so all of its spans count.
pub(super) async fn work(store: &dyn Store, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError> {
    let by_scope = {
        let group_by = query.group_by.iter().copied().chain([Dimension::Scope]).collect();
        MetricsQuery { group_by, ..query.clone() }
    };
    let mut rows = store.metrics(&by_scope).await?;
    let scope_of = |row: &MetricRow| {
        let scope = label(&by_scope, row, Dimension::Scope);
        SpanScope::ALL.iter().position(|known| known.as_str() == scope)
    };
    let mut narrowest: BTreeMap<String, Option<usize>> = BTreeMap::new();
    for row in &rows {
        let known = narrowest.entry(label(query, row, Dimension::Service).to_owned()).or_insert(scope_of(row));
        *known = (*known).min(scope_of(row));
    }
    rows.retain(|row| narrowest.get(label(query, row, Dimension::Service)) == Some(&scope_of(row)));
    for row in &mut rows {
        row.labels.pop();
    }
    Ok(rows)
}

/// The value a row has for a dimension.
pub(super) fn label<'a>(query: &MetricsQuery, row: &'a MetricRow, dimension: Dimension) -> &'a str {
    let at = query.group_by.iter().position(|by| *by == dimension);
    at.and_then(|at| row.labels.get(at)).map_or("", String::as_str)
}

/// The kind a row was grouped under.
pub(super) fn kind_of(query: &MetricsQuery, row: &MetricRow) -> SpanKind {
    SpanKind::parse(label(query, row, Dimension::Kind)).unwrap_or_default()
}
