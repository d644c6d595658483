//! The operations of one service: its requests, and what else it does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use futures::try_join;
use pitviper_model::SpanKind;
use pitviper_store::{Dimension, MetricRow, MetricsQuery, SpanScope, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::red::{Counted, failure_share, kind_of, label, metrics_query, quantile};
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Points of a course when the caller does not say.
const DEFAULT_POINTS: u32 = 30;

/// Most operations in one answer. Names are meant to have few values; beyond this many, those that
/// took the least time are left out, and a warning says so.
pub const MAX_OPERATIONS: usize = 2_000;

/// Which time.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    #[param(value_type = Option<String>)]
    pub from: Option<TimeText>,
    /// End; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<TimeText>,
    /// Only this deployment environment.
    pub env: Option<String>,
    /// How many points a course has, at most 2000; 30 by default.
    pub points: Option<u32>,
}

/// All spans of one name and kind.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Operation {
    /// The spans' name.
    pub name: String,
    /// Their kind: `internal`, `server`, `client`, `producer` or `consumer`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// Whether the service takes up work here.
    pub entry: bool,
    /// How many spans.
    pub hits: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Share that failed, 0 to 1.
    pub err: f64,
    /// Spans per second.
    pub rps: f64,
    /// Median duration in nanoseconds.
    #[schema(required)]
    pub p50: Option<f64>,
    /// 90th percentile of the duration in nanoseconds.
    #[schema(required)]
    pub p90: Option<f64>,
    /// 95th percentile of the duration in nanoseconds.
    #[schema(required)]
    pub p95: Option<f64>,
    /// 99th percentile of the duration in nanoseconds.
    #[schema(required)]
    pub p99: Option<f64>,
    /// Longest duration in nanoseconds.
    pub max: u64,
    /// Sum of the durations in nanoseconds.
    pub total_ns: u64,
    /// Share of the time of all entry operations, 0 to 1; null for other operations.
    #[schema(required)]
    pub share: Option<f64>,
    /// Spans per second of each step; null in the future.
    pub s: Vec<Option<f64>>,
}

/// The operations of a service: entry operations first, each group by the time it took.
///
/// Where the service has no entry spans, its root spans count as entries.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn operations(
    store: &dyn Store,
    service: &str,
    request: &Request,
    now_us: i64,
) -> Result<Answer<Vec<Operation>>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let window =
        window.in_steps("points", request.points.unwrap_or(DEFAULT_POINTS), store.metric_bucket_ns(window.range))?;
    let query = MetricsQuery {
        service: Some(service.to_owned()),
        environment: request.env.clone(),
        group_by: vec![Dimension::Name, Dimension::Kind],
        ..metrics_query(&window)
    };
    let roots = MetricsQuery { scope: SpanScope::Root, step_ns: None, ..query.clone() };
    let (rows, root_rows) = try_join!(store.metrics(&query), store.metrics(&roots))?;

    let mut counted: BTreeMap<(&str, &str), Counted> = BTreeMap::new();
    for row in &rows {
        let key = (label(&query, row, Dimension::Name), kind_of(&query, row).as_str());
        counted.entry(key).or_insert_with(|| Counted::new(&window)).add(&window, row);
    }
    let entries = entry_operations(&query, &rows, &root_rows);
    let mut data: Vec<Operation> = counted
        .iter()
        .map(|((name, kind), counted)| operation(name, kind, entries.contains(&(*name, *kind)), counted, &window))
        .collect();
    let entry_ns: u64 = data.iter().filter(|row| row.entry).map(|row| row.total_ns).sum();
    for row in data.iter_mut().filter(|row| row.entry && entry_ns > 0) {
        row.share = Some(row.total_ns as f64 / entry_ns as f64);
    }
    data.sort_by_key(|row| Reverse((row.entry, row.total_ns)));

    let mut meta = Meta::over(&window);
    if data.len() > MAX_OPERATIONS {
        let left_out = data.len() - MAX_OPERATIONS;
        meta.exact = false;
        meta.warnings.push(format!("{left_out} operations that took the least time are left out"));
        data.truncate(MAX_OPERATIONS);
    }
    Ok(Answer { data, meta })
}

/// Names and kinds of the operations in which the service takes up work.
fn entry_operations<'a>(
    query: &MetricsQuery,
    rows: &'a [MetricRow],
    roots: &'a [MetricRow],
) -> BTreeSet<(&'a str, &'static str)> {
    let key = |row: &'a MetricRow| (label(query, row, Dimension::Name), kind_of(query, row).as_str());
    let is_entry = |row: &&MetricRow| kind_of(query, row).is_entry();
    let entries: BTreeSet<_> = rows.iter().filter(is_entry).map(key).collect();
    if entries.is_empty() { roots.iter().map(key).collect() } else { entries }
}

fn operation(name: &str, kind: &str, entry: bool, counted: &Counted, window: &Window) -> Operation {
    let red = &counted.total;
    Operation {
        name: name.to_owned(),
        kind: SpanKind::parse(kind).unwrap_or_default().as_str(),
        entry,
        hits: red.hits,
        errors: red.errors,
        err: failure_share(red).unwrap_or_default(),
        rps: red.hits as f64 / window.total_seconds(),
        p50: quantile(red, 0.5),
        p90: quantile(red, 0.9),
        p95: quantile(red, 0.95),
        p99: quantile(red, 0.99),
        max: red.duration_max_ns,
        total_ns: red.duration_sum_ns,
        share: None,
        s: counted.rates(window),
    }
}
