//! Metrics as applications report them: a metric split by attributes over time, and which metrics there are.
//!
//! Points are first put together by series and step, as their kind and temporality ask for: what a sum
//! or a distribution counted in a step, the values of a gauge. Then the series of a group are.

mod figure;
mod names;
mod spread;

use std::collections::BTreeMap;

use pitviper_model::{MetricKind, Resource, SeriesId, Temporality};
use pitviper_store::{MetricPointsQuery, MetricSeries, MetricSeriesQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::figure::{Aggregation, Fold};
pub(super) use self::figure::{Fold as SeriesFold, natural};
pub use self::names::{MetricName, NamesRequest, names};
use super::aggregate::bounded;
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Most steps when the caller leaves their width to us.
const AUTO_POINTS: u32 = 120;

/// Series when the caller does not say.
const DEFAULT_TOP: u32 = 10;

/// Most series of one answer.
pub const MAX_TOP: u32 = 100;

/// Most groups that are told apart.
pub const MAX_GROUPS: usize = 500;

/// Most attributes to split by.
pub const MAX_SPLIT: usize = 4;

/// Most attributes to filter by.
pub const MAX_FILTERS: usize = 16;

/// Most series of the metric that are read.
pub const MAX_SERIES: usize = 5 * MetricPointsQuery::MAX_SERIES;

/// What to work out, of which metric.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MetricRequest)]
pub struct Request {
    /// The metric's name, such as `process.memory.usage`.
    pub metric: String,
    /// Of a gauge, or a sum that may fall: `avg` (the default), `min`, `max`, `last` (the mean of the
    /// latest value of each series) or `sum` (these added up). Of a sum that grows: `rate` (a second, the
    /// default) or `sum`. Of a distribution: `avg` (the default), `min`, `max`, `sum`, `count`, `rate`
    /// (of values a second), `median`, or a percentile such as `p95`.
    pub agg: Option<String>,
    /// Attributes to split by, at most four. A key that a series does not have is looked for in its
    /// resource; `service`, `env`, `version`, `host`, `instance` and `scope` are short for what they say.
    #[serde(default)]
    pub split: Vec<String>,
    /// Only series with all of these attributes, as text, at most 16. The keys are those of `split`; `*`
    /// stands for any value.
    #[serde(default)]
    pub filter: BTreeMap<String, String>,
    /// Only of this service.
    pub service: Option<String>,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Width of the time steps: `auto`, or a duration such as `30s`, `5m`, `1h` or `1d`. Null for one
    /// value over the whole range. The range is widened to whole steps, and without steps to whole
    /// ten seconds; `meta.from` and `meta.to` say to what.
    #[serde(default = "auto")]
    #[schema(default = "auto")]
    pub step: Option<String>,
    /// Most groups, at most 100; 10 by default.
    pub top: Option<u32>,
}

fn auto() -> Option<String> {
    Some("auto".to_owned())
}

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MetricKind)]
pub enum Kind {
    /// A value at a moment.
    Gauge,
    /// A value that adds up.
    Sum,
    /// A distribution over buckets with bounds of their own.
    Histogram,
    /// A distribution over buckets whose bounds grow by a constant factor.
    ExponentialHistogram,
}

impl From<MetricKind> for Kind {
    fn from(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Gauge => Self::Gauge,
            MetricKind::Sum => Self::Sum,
            MetricKind::Histogram => Self::Histogram,
            MetricKind::ExponentialHistogram => Self::ExponentialHistogram,
        }
    }
}

/// The word for a temporality: `delta`, `cumulative` or nothing.
fn temporality(of: Temporality) -> &'static str {
    match of {
        Temporality::Unspecified => "",
        Temporality::Delta => "delta",
        Temporality::Cumulative => "cumulative",
    }
}

/// A metric over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricData {
    /// Start of each step, in microseconds since the epoch.
    pub t: Vec<i64>,
    /// What kind of metric it is; null for an unknown one.
    #[schema(required)]
    pub kind: Option<Kind>,
    /// The unit of the metric, by UCUM; empty when not said.
    pub unit: String,
    /// How the values were made: the aggregation.
    pub agg: String,
    /// What the metric means; empty when not said.
    pub description: String,
    /// The groups with the largest totals, the largest first.
    pub series: Vec<MetricSeriesData>,
    /// How many groups there are.
    pub groups: usize,
}

/// The figures of one group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricSeriesData {
    /// The value of each key that was split by; null where there is none.
    pub labels: BTreeMap<String, Option<String>>,
    /// A value for each step; null where there was none.
    pub v: Vec<Option<f64>>,
    /// The value over the whole range; of the latest values of gauges the mean over the steps.
    #[schema(required)]
    pub total: Option<f64>,
    /// How many series it was made of.
    pub n: usize,
}

/// Works a metric out.
///
/// # Errors
/// When a parameter is not usable or the store fails. A metric that is not known has no series.
pub async fn query(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<MetricData>, QueryError> {
    check(request)?;
    let top = bounded("top", request.top.unwrap_or(DEFAULT_TOP), 1, MAX_TOP)?;
    let window = window(store, request, now_us)?;
    let question = MetricSeriesQuery {
        range: window.range,
        service: request.service.clone(),
        name: Some(request.metric.clone()),
        limit: MetricSeriesQuery::MAX_LIMIT,
    };
    let mut found = store.metric_series(&question).await?;
    let mut warnings = Vec::new();
    found.series.retain(|series| passes(series, &request.filter));
    let Some(kind) = latest_kind(&found.series) else { return Ok(nothing(request, &window)) };
    let all = found.series.len();
    found.series.retain(|series| natural(&series.metric) == kind);
    if found.series.len() < all {
        let others = all - found.series.len();
        warnings.push(format!("{others} series of the name are of another kind and left out; filter by scope"));
    }
    let aggregation = Aggregation::parse(request.agg.as_deref(), kind)?;
    let left_out = found.left_out + found.series.len().saturating_sub(MAX_SERIES);
    found.series.truncate(MAX_SERIES);
    let grouped = Grouped::of(&found.series, &request.split);
    let Figures { groups, is_cut } = fold(store, &window, &found.series, &grouped).await?;

    let mut series: Vec<MetricSeriesData> = grouped
        .labels
        .iter()
        .zip(&groups)
        .zip(&grouped.sizes)
        .filter(|((_, steps), _)| !steps.is_empty())
        .map(|((labels, steps), n)| draw(&window, aggregation, &request.split, (labels, steps, *n)))
        .collect();
    let total = |of: &MetricSeriesData| of.total.unwrap_or(f64::NEG_INFINITY);
    series.sort_by(|left, right| total(right).total_cmp(&total(left)).then_with(|| left.labels.cmp(&right.labels)));
    let groups = series.len();
    series.truncate(top as usize);
    let unknown = left_out + grouped.left_out;
    if unknown > 0 {
        warnings.push(format!("{unknown} series are left out; filter, or split by less"));
    }
    if is_cut {
        warnings.push("there are too many points to read all; choose a shorter range or filter".to_owned());
    }
    // Of the metric's descriptions the latest is the one to show.
    let latest = found.series.iter().max_by_key(|series| series.last_seen_ns).expect("there are series of the kind");
    let data = MetricData {
        t: (0..window.steps()).map(|index| window.step_start_ns(index).div_euclid(1_000)).collect(),
        kind: Some(latest.metric.kind.into()),
        unit: latest.metric.unit.clone(),
        agg: aggregation.to_string(),
        description: latest.metric.description.clone(),
        series,
        groups,
    };
    let exact = warnings.is_empty() && !aggregation.is_estimate();
    Ok(Answer { data, meta: Meta { exact, warnings, ..Meta::over(&window) } })
}

fn check(request: &Request) -> Result<(), QueryError> {
    if request.metric.is_empty() {
        return Err(wrong("metric", "is missing; ask /api/v1/metrics/names which there are".to_owned()));
    }
    if request.split.len() > MAX_SPLIT {
        return Err(wrong("split", format!("has more than {MAX_SPLIT} keys")));
    }
    if (1..request.split.len()).any(|at| request.split[..at].contains(&request.split[at])) {
        return Err(wrong("split", "names a key twice".to_owned()));
    }
    if request.filter.len() > MAX_FILTERS {
        return Err(wrong("filter", format!("has more than {MAX_FILTERS} keys")));
    }
    Ok(())
}

fn window(store: &dyn Store, request: &Request, now_us: i64) -> Result<Window, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    match request.step.as_deref() {
        None => Ok(window.on_buckets()),
        Some("auto") => window.in_steps("step", AUTO_POINTS, store.metric_bucket_ns(window.range)),
        Some(step) => window.in_steps_of("step", step),
    }
}

fn nothing(request: &Request, window: &Window) -> Answer<MetricData> {
    let data = MetricData {
        t: (0..window.steps()).map(|index| window.step_start_ns(index).div_euclid(1_000)).collect(),
        kind: None,
        unit: String::new(),
        agg: request.agg.clone().unwrap_or_default(),
        description: String::new(),
        series: Vec::new(),
        groups: 0,
    };
    let warnings = vec![format!("no series of `{}` had points in the range", request.metric)];
    Answer { data, meta: Meta { warnings, ..Meta::over(window) } }
}

/// The kind that the series seen last is read as.
fn latest_kind(series: &[MetricSeries]) -> Option<figure::Natural> {
    series.iter().max_by_key(|series| series.last_seen_ns).map(|series| natural(&series.metric))
}

fn passes(series: &MetricSeries, filter: &BTreeMap<String, String>) -> bool {
    filter.iter().all(|(key, wanted)| label(series, key).is_some_and(|text| wanted == "*" || *wanted == text))
}

/// What tells this process from the others of its service; empty when nothing does.
pub(super) fn instance(resource: &Resource) -> String {
    match resource.instance() {
        "" => {
            let pid = resource.attributes.get("process.pid").map(pitviper_model::Value::to_text).unwrap_or_default();
            format!("{}:{pid}", resource.host())
        }
        instance => instance.to_owned(),
    }
}

/// The value a series has of a key.
fn label(series: &MetricSeries, key: &str) -> Option<String> {
    let resource = &series.resource;
    let own = series.attributes.get(key).or_else(|| resource.attributes.get(key)).map(pitviper_model::Value::to_text);
    let of_key = |key: &str| match key {
        "service" => resource.service().to_owned(),
        "env" => resource.environment().to_owned(),
        "version" => resource.version().to_owned(),
        "host" => resource.host().to_owned(),
        "instance" => instance(resource),
        "scope" => series.scope.name.clone(),
        _ => String::new(),
    };
    own.or_else(|| Some(of_key(key)).filter(|text| !text.is_empty()))
}

/// Series by group.
struct Grouped {
    labels: Vec<Vec<Option<String>>>,
    /// How many series each has.
    sizes: Vec<usize>,
    group_of: BTreeMap<SeriesId, usize>,
    /// How many series are in groups that are not told apart any more.
    left_out: usize,
}

impl Grouped {
    fn of(series: &[MetricSeries], split: &[String]) -> Self {
        let mut known: BTreeMap<Vec<Option<String>>, usize> = BTreeMap::new();
        let mut grouped = Self { labels: Vec::new(), sizes: Vec::new(), group_of: BTreeMap::new(), left_out: 0 };
        for of in series {
            let labels: Vec<Option<String>> = split.iter().map(|key| label(of, key)).collect();
            let group = match known.get(&labels) {
                Some(group) => *group,
                None if grouped.labels.len() == MAX_GROUPS => {
                    grouped.left_out += 1;
                    continue;
                }
                None => {
                    known.insert(labels.clone(), grouped.labels.len());
                    grouped.labels.push(labels);
                    grouped.sizes.push(0);
                    grouped.labels.len() - 1
                }
            };
            grouped.sizes[group] += 1;
            grouped.group_of.insert(of.id, group);
        }
        grouped
    }
}

/// What was read: for each group its steps that have points.
struct Figures {
    groups: Vec<BTreeMap<usize, Fold>>,
    is_cut: bool,
}

async fn fold(
    store: &dyn Store,
    window: &Window,
    series: &[MetricSeries],
    grouped: &Grouped,
) -> Result<Figures, QueryError> {
    let mut figures = Figures { groups: vec![BTreeMap::new(); grouped.labels.len()], is_cut: false };
    let ids: Vec<SeriesId> =
        series.iter().map(|series| series.id).filter(|id| grouped.group_of.contains_key(id)).collect();
    for ids in ids.chunks(MetricPointsQuery::MAX_SERIES) {
        let question = MetricPointsQuery { range: window.range, series: ids.to_vec(), step_ns: window.step_ns };
        let answer = store.metric_points(&question).await?;
        figures.is_cut |= answer.is_cut;
        for step in answer.steps {
            if let Some(index) = window.index_of(step.step_start_ns) {
                figures.groups[grouped.group_of[&step.series]].entry(index).or_default().add(step.value);
            }
        }
    }
    Ok(figures)
}

fn draw(
    window: &Window,
    aggregation: Aggregation,
    split: &[String],
    (labels, steps, n): (&[Option<String>], &BTreeMap<usize, Fold>, usize),
) -> MetricSeriesData {
    let mut v = vec![None; window.steps()];
    let mut whole = Fold::default();
    for (index, fold) in steps {
        // Clocks of senders run ahead of ours now and then.
        let seconds = window.step_seconds(*index).unwrap_or_else(|| window.total_seconds());
        v[*index] = aggregation.of(fold, seconds);
        whole.merge(fold);
    }
    let total = if aggregation.is_of_moments() {
        let known: Vec<f64> = v.iter().copied().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    } else {
        aggregation.of(&whole, window.total_seconds())
    };
    let labels = split.iter().cloned().zip(labels.iter().cloned()).collect();
    MetricSeriesData { labels, v, total, n }
}

fn wrong(parameter: &'static str, message: String) -> QueryError {
    QueryError::Parameter { parameter, message }
}
