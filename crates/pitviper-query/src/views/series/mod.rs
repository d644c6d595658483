//! Figures over time, several in one answer: the charts of a service.

use pitviper_model::SpanKind;
use pitviper_store::{MetricRow, MetricsQuery, Red, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::red::{Counted, failure_share, mean, metrics_query, quantile, work};
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Most time steps when the caller does not say.
const DEFAULT_POINTS: u32 = 120;

/// Most series in one answer.
pub const MAX_QUERIES: usize = 50;

/// Which spans, which figures, over which time.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SeriesRequest)]
pub struct Request {
    /// Which spans count.
    #[serde(default)]
    pub scope: Scope,
    /// The figures.
    pub queries: Vec<Figure>,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Most time steps, 120 by default; one more where the range does not begin on a step.
    pub max_points: Option<u32>,
}

/// Which spans count. With neither operation nor kind: the requests of the service, by the rule of
/// the services view.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SeriesScope)]
pub struct Scope {
    /// Only this service; all services when missing.
    pub service: Option<String>,
    /// Only spans of this name.
    pub operation: Option<String>,
    /// Only spans of this kind.
    pub kind: Option<Kind>,
    /// Only this deployment environment.
    pub env: Option<String>,
}

/// The role of a span.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Work inside a service.
    Internal,
    /// The handling of a request.
    Server,
    /// A request to another service or database.
    Client,
    /// The sending of a message.
    Producer,
    /// The handling of a message.
    Consumer,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Internal => Self::Internal,
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
        }
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    /// What is measured.
    pub metric: Metric,
    /// How durations become one figure; only for the response time, `avg` by default.
    pub agg: Option<Aggregation>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Durations.
    ResponseTime,
    /// Share of spans that failed.
    FailureRate,
    /// Spans per second.
    Throughput,
    /// Spans.
    Count,
}

/// How durations become one figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// The mean.
    Avg,
    /// The shortest.
    Min,
    /// The longest.
    Max,
    /// The median.
    P50,
    /// The 75th percentile.
    P75,
    /// The 90th percentile.
    P90,
    /// The 95th percentile.
    P95,
    /// The 99th percentile.
    P99,
}

/// What the values of a series are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// A share, 0 to 1.
    Ratio,
    /// Per second.
    Rps,
    /// A number of spans.
    Count,
}

/// Figures over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SeriesData {
    /// Start of each step, in microseconds since the epoch.
    pub t: Vec<i64>,
    /// One for each figure, in their order.
    pub series: Vec<Series>,
}

/// One figure over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Series {
    /// Metric and aggregation, such as `response_time p95`.
    pub name: String,
    /// What is measured.
    pub metric: Metric,
    /// How durations became one figure; null for other metrics.
    #[schema(required)]
    pub agg: Option<Aggregation>,
    /// What this series is split by; empty.
    pub labels: std::collections::BTreeMap<String, String>,
    /// What the values are.
    pub unit: Unit,
    /// A value for each step; null where nothing was counted or the step lies in the future.
    pub v: Vec<Option<f64>>,
}

/// The figures over time.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn series(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<SeriesData>, QueryError> {
    if request.queries.is_empty() || request.queries.len() > MAX_QUERIES {
        let message = format!("has to hold 1 to {MAX_QUERIES} figures, such as {{\"metric\":\"throughput\"}}");
        return Err(QueryError::Parameter { parameter: "queries", message });
    }
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let window = window.in_steps(
        "max_points",
        request.max_points.unwrap_or(DEFAULT_POINTS),
        store.metric_bucket_ns(window.range),
    )?;
    let mut counted = Counted::new(&window);
    for row in rows(store, &request.scope, &window).await? {
        counted.add(&window, &row);
    }
    let data = SeriesData {
        t: (0..window.steps()).map(|index| window.step_start_ns(index) / 1_000).collect(),
        series: request.queries.iter().map(|figure| draw(*figure, &counted, &window)).collect(),
    };
    Ok(Answer { data, meta: Meta::over(&window) })
}

async fn rows(store: &dyn Store, scope: &Scope, window: &Window) -> Result<Vec<MetricRow>, QueryError> {
    let query = MetricsQuery {
        service: scope.service.clone(),
        environment: scope.env.clone(),
        name: scope.operation.clone(),
        kind: scope.kind.map(SpanKind::from),
        ..metrics_query(window)
    };
    let every_span = query.name.is_some() || query.kind.is_some();
    Ok(if every_span { store.metrics(&query).await? } else { work(store, &query).await? })
}

fn draw(figure: Figure, counted: &Counted, window: &Window) -> Series {
    let steps = |value: &dyn Fn(&Red) -> Option<f64>| counted.steps.iter().map(value).collect();
    let (unit, agg, v) = match figure.metric {
        Metric::ResponseTime => {
            let agg = figure.agg.unwrap_or(Aggregation::Avg);
            (Unit::Ns, Some(agg), steps(&|red| aggregate(red, agg)))
        }
        Metric::FailureRate => (Unit::Ratio, None, steps(&failure_share)),
        Metric::Throughput => (Unit::Rps, None, counted.rates(window)),
        Metric::Count => {
            let count = |(index, red): (usize, &Red)| window.elapsed_seconds(index).map(|_| red.hits as f64);
            (Unit::Count, None, counted.steps.iter().enumerate().map(count).collect())
        }
    };
    Series { name: name(figure.metric, agg), metric: figure.metric, agg, labels: Default::default(), unit, v }
}

fn aggregate(red: &Red, agg: Aggregation) -> Option<f64> {
    match agg {
        Aggregation::Avg => mean(red),
        Aggregation::Min => (red.hits > 0).then_some(red.duration_min_ns as f64),
        Aggregation::Max => (red.hits > 0).then_some(red.duration_max_ns as f64),
        Aggregation::P50 => quantile(red, 0.5),
        Aggregation::P75 => quantile(red, 0.75),
        Aggregation::P90 => quantile(red, 0.9),
        Aggregation::P95 => quantile(red, 0.95),
        Aggregation::P99 => quantile(red, 0.99),
    }
}

fn name(metric: Metric, agg: Option<Aggregation>) -> String {
    let metric = match metric {
        Metric::ResponseTime => "response_time",
        Metric::FailureRate => "failure_rate",
        Metric::Throughput => "throughput",
        Metric::Count => "count",
    };
    let agg = match agg {
        None => return metric.to_owned(),
        Some(Aggregation::Avg) => "avg",
        Some(Aggregation::Min) => "min",
        Some(Aggregation::Max) => "max",
        Some(Aggregation::P50) => "p50",
        Some(Aggregation::P75) => "p75",
        Some(Aggregation::P90) => "p90",
        Some(Aggregation::P95) => "p95",
        Some(Aggregation::P99) => "p99",
    };
    format!("{metric} {agg}")
}
