//! The processes of a service: what they are, and how they are doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::try_join;
use pitviper_model::Resource;
use pitviper_store::{MetricPointsQuery, MetricSeries, MetricSeriesQuery, Store, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::metrics::{Kind, SeriesFold, instance};
use super::{Answer, JsonAttributes, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Most processes of one answer, those seen last.
pub const MAX_INSTANCES: usize = 500;

/// Most series whose latest value is looked for.
const MAX_SERIES: usize = 5 * MetricPointsQuery::MAX_SERIES;

/// How long before the end of the range values count as the latest, in nanoseconds. Longer than the
/// minute that most clients wait between two points.
const LATEST_NS: i64 = 5 * 60 * 1_000_000_000;

/// The names of metrics about the process itself, not its work, begin so.
const RUNTIME: [&str; 14] = [
    "process.",
    "system.",
    "container.",
    "cpython.",
    "python.",
    "asyncio.",
    "jvm.",
    "nodejs.",
    "v8js.",
    "go.",
    "dotnet.",
    "pitviper.",
    "otel.sdk.",
    "runtime.",
];

/// Over which time.
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
}

/// A process.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Instance {
    /// What tells it from the others: `service.instance.id`, or host and process id.
    pub instance: String,
    /// Host; empty when not said.
    pub host: String,
    /// The service's version; empty when not said.
    pub version: String,
    /// Deployment environment; empty when not said.
    pub env: String,
    /// When it was first seen in the range, by the hour of its spans and the day of its metrics, in
    /// microseconds since the epoch.
    pub first_seen_us: i64,
    /// When it was last seen, in microseconds since the epoch.
    pub last_seen_us: i64,
    /// What it says of itself.
    pub resource: JsonAttributes,
    /// Its latest metrics about the process itself, by name and attributes.
    pub metrics: Vec<LatestMetric>,
}

/// The latest value of a series.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LatestMetric {
    /// The metric's name.
    pub name: String,
    /// What kind of metric it is.
    pub kind: Kind,
    /// The unit of the metric, by UCUM; empty when not said.
    pub unit: String,
    /// What tells the series from others of the metric.
    pub attributes: JsonAttributes,
    /// The latest value; of a sum that grows its growth a second, of a distribution its mean, both over
    /// the five minutes before the end of the range.
    pub value: f64,
    /// When the series had its latest point, in microseconds since the epoch.
    pub time_us: i64,
}

/// The processes of a service, those seen last first.
///
/// # Errors
/// When a parameter is not usable or the store fails. An unknown service has none.
pub async fn instances(
    store: &dyn Store,
    service: &str,
    request: &Request,
    now_us: i64,
) -> Result<Answer<Vec<Instance>>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let range = window.range;
    let question =
        MetricSeriesQuery { range, service: Some(service.to_owned()), name: None, limit: MetricSeriesQuery::MAX_LIMIT };
    let (seen, metrics) = try_join!(store.resources(range), store.metric_series(&question))?;
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| seen.resource.service() == service) {
        see(&mut found, &seen.resource, seen.first_seen_ns, seen.last_seen_ns);
    }
    // Series are known by the day; those that ended before the range are not of it.
    for series in metrics.series.iter().filter(|series| series.last_seen_ns >= range.start_ns) {
        see(&mut found, &series.resource, series.first_seen_ns, series.last_seen_ns);
    }
    let mut instances: Vec<(String, Found)> = found.into_iter().collect();
    instances.sort_by(|(left, one), (right, other)| other.last_ns.cmp(&one.last_ns).then_with(|| left.cmp(right)));
    let left_out = instances.len().saturating_sub(MAX_INSTANCES);
    instances.truncate(MAX_INSTANCES);

    let mut runtime: Vec<&MetricSeries> = metrics.series.iter().filter(|series| is_runtime(series)).collect();
    runtime.retain(|series| series.last_seen_ns >= range.end_ns.saturating_sub(LATEST_NS));
    let mut unread = metrics.left_out + runtime.len().saturating_sub(MAX_SERIES);
    runtime.truncate(MAX_SERIES);
    let (mut latest, is_cut) = latest(store, range, &runtime).await?;
    unread += usize::from(is_cut);

    let data = instances.into_iter().map(|(name, of)| {
        let metrics = latest.remove(&name).unwrap_or_default();
        of.into_instance(name, metrics)
    });
    let data = data.collect();
    let mut warnings = Vec::new();
    if left_out > 0 {
        warnings.push(format!("{left_out} processes are left out; choose a shorter range"));
    }
    if unread > 0 {
        warnings.push("there are too many metrics to read all".to_owned());
    }
    Ok(Answer { data, meta: Meta { exact: warnings.is_empty(), warnings, ..Meta::over(&window) } })
}

/// What was seen of a process.
struct Found {
    resource: Arc<Resource>,
    first_ns: i64,
    last_ns: i64,
}

fn see(found: &mut BTreeMap<String, Found>, resource: &Arc<Resource>, first_ns: i64, last_ns: i64) {
    let known =
        found.entry(instance(resource)).or_insert_with(|| Found { resource: Arc::clone(resource), first_ns, last_ns });
    known.first_ns = known.first_ns.min(first_ns);
    if last_ns > known.last_ns {
        // What it said last is believed.
        known.last_ns = last_ns;
        known.resource = Arc::clone(resource);
    }
}

impl Found {
    fn into_instance(self, instance: String, metrics: Vec<LatestMetric>) -> Instance {
        Instance {
            instance,
            host: self.resource.host().to_owned(),
            version: self.resource.version().to_owned(),
            env: self.resource.environment().to_owned(),
            first_seen_us: self.first_ns.div_euclid(1_000),
            last_seen_us: self.last_ns.div_euclid(1_000),
            resource: JsonAttributes(self.resource.attributes.clone()),
            metrics,
        }
    }
}

fn is_runtime(series: &MetricSeries) -> bool {
    RUNTIME.iter().any(|prefix| series.metric.name.starts_with(prefix))
}

/// The latest value of each series, by process, and whether points are missing.
async fn latest(
    store: &dyn Store,
    range: TimeRange,
    series: &[&MetricSeries],
) -> Result<(BTreeMap<String, Vec<LatestMetric>>, bool), QueryError> {
    let range = TimeRange { start_ns: range.end_ns.saturating_sub(LATEST_NS), ..range };
    let mut by_instance: BTreeMap<String, Vec<LatestMetric>> = BTreeMap::new();
    let mut is_cut = false;
    for series in series.chunks(MetricPointsQuery::MAX_SERIES) {
        let ids = series.iter().map(|series| series.id).collect();
        let answer = store.metric_points(&MetricPointsQuery { range, series: ids, step_ns: None }).await?;
        is_cut |= answer.is_cut;
        let mut folds: BTreeMap<_, SeriesFold> = BTreeMap::new();
        for step in answer.steps {
            folds.entry(step.series).or_default().add(step.value);
        }
        for of in series {
            // A process that began since grew in the time since then.
            let since_ns = range.start_ns.max(of.first_seen_ns);
            let seconds = (range.end_ns.saturating_sub(since_ns) as f64 / 1e9).max(1.0);
            let Some(value) = folds.get(&of.id).and_then(|fold| fold.plain(seconds)) else { continue };
            by_instance.entry(instance(&of.resource)).or_default().push(LatestMetric {
                name: of.metric.name.clone(),
                kind: of.metric.kind.into(),
                unit: of.metric.unit.clone(),
                attributes: JsonAttributes(of.attributes.clone()),
                value,
                time_us: of.last_seen_ns.div_euclid(1_000),
            });
        }
    }
    Ok((by_instance, is_cut))
}
