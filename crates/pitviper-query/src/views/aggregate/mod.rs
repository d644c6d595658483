//! Aggregates: any metric of matching spans, split by any fields, over time.
//!
//! The metrics answer when they know all that is asked for: split and filter by service, environment,
//! version, name and kind, of counts and durations. The spans answer everything.

mod collect;
mod figure;

use std::collections::BTreeMap;

use pitviper_model::StatusCode;
use pitviper_store::filter::Filter;
use pitviper_store::questions::aggregate::{Aggregate, Aggregated, Exemplar, Exemplars, Group, Keep, Tally};
use pitviper_store::{Order, Search, Store, TimeRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::collect::Source;
use self::collect::of_group;
pub(in crate::views) use self::collect::{Collected, collect, of_durations};
use self::figure::Metric;
pub use self::figure::Unit;
pub(in crate::views) use self::figure::percentile;
use super::search::{Meant, meant};
use super::{Answer, Meta, Window, facts};
use crate::QueryError;
use crate::search::{Query, group_field};
use crate::time::TimeText;

/// Most steps when the caller leaves their width to us.
const AUTO_POINTS: u32 = 120;

/// Series when the caller does not say.
const DEFAULT_TOP: u32 = 10;

/// Most series of one answer.
pub const MAX_TOP: u32 = 100;

/// Most groups that are told apart.
pub const MAX_GROUPS: usize = 5_000;

/// Most fields to split by.
pub const MAX_SPLIT: usize = Aggregate::MAX_FIELDS;

/// Most exemplars of one series.
pub const MAX_EXEMPLARS: u32 = 10;

/// Exemplars of a series made from spans when the caller does not say.
const DEFAULT_EXEMPLARS: u32 = 3;

/// How far a quantile from a histogram may be off, as a share of it.
pub(super) const HISTOGRAM_ERROR: f64 = 0.011;

/// What to work out, of which spans.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AggregateRequest)]
pub struct Request {
    /// `count`, `rate`, `errors`, `failure_rate`, `duration` (of matching spans), `response_time` (of
    /// matching entry spans), `calls` (how many matching spans a trace has), or the name of a numeric
    /// attribute such as `http.response.body.size`; `@` in front says that it is one.
    pub metric: String,
    /// `avg`, `min`, `max`, `sum`, `count`, `median`, a percentile such as `p95` or `p99.9`, or
    /// `slowest:10%`: the mean of the largest tenth. `avg` by default. The first four metrics have none.
    pub agg: Option<String>,
    /// Fields or attributes to split by, at most four: `service`, `name`, `kind`, `status`, `env`,
    /// `version`, `host`, `http.status`, or the name of an attribute.
    #[serde(default)]
    pub split: Vec<String>,
    /// Which spans count; all when empty. Of a query that relates spans or judges traces those that it
    /// finds, as far as the bounds of such a search allow: see `meta.bound`.
    #[serde(default)]
    pub query: String,
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
    /// Most series, at most 100; 10 by default. What they leave is added up as `other`.
    pub top: Option<u32>,
    /// Most exemplars of each series, at most 10. By default three where they cost nothing, which is
    /// when the answer is made from spans.
    pub exemplars: Option<u32>,
}

fn auto() -> Option<String> {
    Some("auto".to_owned())
}

/// Figures over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AggregateData {
    /// Start of each step, in microseconds since the epoch.
    pub t: Vec<i64>,
    /// What the values are.
    pub unit: Unit,
    /// The groups with the largest totals, the largest first.
    pub series: Vec<AggregateSeries>,
    /// All other groups together; null when there are none.
    #[schema(required)]
    pub other: Option<AggregateSeries>,
    /// How many groups there are.
    pub groups: usize,
    /// Whether there are more groups than could be told apart. Those met last are a part of `other`
    /// and not counted in `groups`.
    pub groups_left_out: bool,
}

/// The figures of one group.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AggregateSeries {
    /// The value of each field that was split by; null where spans do not have it.
    pub labels: BTreeMap<String, Option<String>>,
    /// A value for each step. Null where nothing was measured; of what is counted, where the step lies
    /// in the future.
    pub v: Vec<Option<f64>>,
    /// The value over the whole range; null when nothing was measured.
    #[schema(required)]
    pub total: Option<f64>,
    /// How many numbers were measured.
    pub n: u64,
    /// Spans that stand for a step, spread over the range: the trace, the start in microseconds since
    /// the epoch, and the number. Of each step the one with the largest number; where spans are
    /// counted, the slowest one.
    #[schema(value_type = Vec<(String, i64, f64)>)]
    pub exemplars: Vec<(String, i64, f64)>,
}

/// Works the figures out.
///
/// # Errors
/// [`QueryError::Syntax`] when the query is not in the language; also when a parameter is not usable
/// or the store fails.
pub async fn aggregate(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<AggregateData>, QueryError> {
    let metric = Metric::parse(&request.metric, request.agg.as_deref())?;
    let top = bounded("top", request.top.unwrap_or(DEFAULT_TOP), 1, MAX_TOP)?;
    let wanted = request.exemplars.map(|wanted| bounded("exemplars", wanted, 0, MAX_EXEMPLARS)).transpose()?;
    if request.split.len() > MAX_SPLIT {
        return Err(wrong("split", format!("has more than {MAX_SPLIT} fields")));
    }
    let mut group_by = Vec::new();
    for field in &request.split {
        let field = group_field(field).ok_or_else(|| {
            wrong("split", format!("`{field}` cannot be split by; write `@{field}` for an attribute"))
        })?;
        if group_by.contains(&field) {
            return Err(wrong("split", "names a field twice".to_owned()));
        }
        group_by.push(field);
    }
    let window = window(store, request, now_us)?;
    let Counted { query, filter, meant } = condition(store, &request.query, &window).await?;
    let exemplars = match (&metric, wanted.unwrap_or(DEFAULT_EXEMPLARS)) {
        (_, 0) => Exemplars::Nothing,
        (Metric::Errors | Metric::FailureRate, _) => Exemplars::GreatestFailed,
        _ => Exemplars::Greatest,
    };
    let question = Aggregate {
        measure: metric.measure(),
        keep: metric.keep(),
        group_by,
        max_groups: MAX_GROUPS,
        exemplars,
        ..of_durations(&window, metric.narrow(filter))
    };
    let Collected { figures, source } = collect(store, &window, &question).await?;
    let draw = Draw { metric: &metric, window: &window, request, exemplars: wanted.unwrap_or(DEFAULT_EXEMPLARS) };
    let groups_left_out = !figures.rest.is_empty();
    let meta = Meta {
        exact: figures.complete && !groups_left_out && !query.is_cut(),
        source: Some(source),
        scanned: Some(figures.scanned),
        relative_error: (question.keep != Keep::Nothing && !figures.values_are_exact).then_some(HISTOGRAM_ERROR),
        warnings: warnings(&query, &figures),
        ..Meta::over(&window)
    };
    let meta = cut_by(meta, meant.as_ref());
    let mut data = draw.data(figures, top as usize);
    if let (Source::Metrics, Some(wanted @ 1..)) = (source, wanted) {
        for (series, group) in &mut data.drawn {
            series.exemplars = look_up(store, &question, group, &window, wanted as usize).await?;
        }
    }
    let data = AggregateData {
        t: (0..window.steps()).map(|index| window.step_start_ns(index).div_euclid(1_000)).collect(),
        unit: metric.unit(),
        series: data.drawn.into_iter().map(|(series, _)| series).collect(),
        other: data.other,
        groups: data.groups,
        groups_left_out,
    };
    Ok(Answer { data, meta })
}

/// Which spans are counted.
pub(super) struct Counted {
    pub(super) query: Query,
    pub(super) filter: Filter,
    /// How far it is known which spans a query means that relates spans or judges traces.
    pub(super) meant: Option<Meant>,
}

/// The condition on spans that a query is, or that the spans are among those which it finds.
pub(super) async fn condition(store: &dyn Store, text: &str, window: &Window) -> Result<Counted, QueryError> {
    let mut query = Query::parse(text)?;
    facts::resolve(store, &mut query, window.range).await?;
    if let Some(filter) = query.filter() {
        return Ok(Counted { query, filter, meant: None });
    }
    let meant = meant(store, &query, window.range).await?;
    Ok(Counted { query, filter: meant.filter.clone(), meant: Some(meant) })
}

/// Says of figures that they are not of all spans, when they are not.
pub(super) fn cut_by(meta: Meta, meant: Option<&Meant>) -> Meta {
    let Some(Meant { bound: Some(bound), until_ns, .. }) = meant else { return meta };
    let mut meta = Meta { exact: false, bound: Some(*bound), ..meta };
    meta.scanned_until_us = until_ns.map(|until| until.div_euclid(1_000));
    let why = match until_ns {
        Some(_) => "which spans the query means is not known for all of the range: older traces are missing",
        None => "of some traces not all spans could be looked at",
    };
    meta.warnings.push(format!("{why}; choose a shorter range or a narrower query"));
    meta
}

/// Remarks on what was left out.
pub(super) fn warnings(query: &Query, figures: &Aggregated) -> Vec<String> {
    let mut warnings = query.warnings();
    if !figures.rest.is_empty() {
        let met = figures.groups.len();
        warnings.push(format!("there are more than {met} groups; those met last are a part of `other`"));
    }
    if !figures.complete {
        warnings.push(
            "too much matches to remember all of it: spans that were sent twice may count twice, and calls of some \
             traces are missing; choose a shorter range or a narrower query"
                .to_owned(),
        );
    }
    warnings
}

fn wrong(parameter: &'static str, message: String) -> QueryError {
    QueryError::Parameter { parameter, message }
}

pub(super) fn bounded(parameter: &'static str, value: u32, least: u32, most: u32) -> Result<u32, QueryError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(wrong(parameter, format!("has to be between {least} and {most}")))
}

fn window(store: &dyn Store, request: &Request, now_us: i64) -> Result<Window, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    match request.step.as_deref() {
        None => Ok(window.on_buckets()),
        Some("auto") => window.in_steps("step", AUTO_POINTS, store.metric_bucket_ns(window.range)),
        Some(step) => window.in_steps_of("step", step),
    }
}

/// Makes series of figures.
struct Draw<'a> {
    metric: &'a Metric,
    window: &'a Window,
    request: &'a Request,
    exemplars: u32,
}

/// What was drawn.
struct Drawn {
    /// The series, each with what it was made of.
    drawn: Vec<(AggregateSeries, Group)>,
    other: Option<AggregateSeries>,
    groups: usize,
}

impl Draw<'_> {
    /// The series of the `top` groups, and of all others together.
    fn data(&self, figures: Aggregated, top: usize) -> Drawn {
        let groups = figures.groups.len();
        let mut ranked: Vec<(AggregateSeries, Group)> = Vec::with_capacity(groups);
        for group in figures.groups {
            let labels = self.request.split.iter().cloned().zip(group.labels.iter().cloned()).collect();
            ranked.push((self.series(labels, &group.steps, false), group));
        }
        // By labels before, and the sort keeps the order of what is equal.
        ranked.sort_by(|(left, _), (right, _)| {
            let place = |series: &AggregateSeries| series.total.unwrap_or(f64::NEG_INFINITY);
            place(right).total_cmp(&place(left))
        });
        let rest = ranked.split_off(top.min(ranked.len()));
        let mut other: BTreeMap<usize, Tally> = BTreeMap::new();
        let others = rest.into_iter().flat_map(|(_, group)| group.steps).chain(figures.rest);
        for (step, tally) in others {
            other.entry(step).or_default().merge(&tally);
        }
        let other: Vec<(usize, Tally)> = other.into_iter().collect();
        for (series, group) in &mut ranked {
            series.v = self.values(&group.steps);
            series.exemplars = self.chosen(&group.steps);
        }
        if ranked.is_empty() && self.request.split.is_empty() {
            let group = Group { labels: Vec::new(), steps: Vec::new() };
            ranked.push((self.series(BTreeMap::new(), &[], true), group));
        }
        let other = (!other.is_empty()).then(|| self.series(BTreeMap::new(), &other, true));
        Drawn { drawn: ranked, other, groups }
    }

    /// The total of a group, with its course when that is `whole`.
    fn series(
        &self,
        labels: BTreeMap<String, Option<String>>,
        steps: &[(usize, Tally)],
        whole: bool,
    ) -> AggregateSeries {
        let mut total = Tally::default();
        steps.iter().for_each(|(_, tally)| total.merge(tally));
        AggregateSeries {
            labels,
            v: if whole { self.values(steps) } else { Vec::new() },
            total: self.metric.of(&total, self.window.total_seconds()),
            n: total.count,
            exemplars: if whole { self.chosen(steps) } else { Vec::new() },
        }
    }

    /// The value of each step of the window.
    fn values(&self, steps: &[(usize, Tally)]) -> Vec<Option<f64>> {
        let nothing = Tally::default();
        let mut values: Vec<Option<f64>> = vec![None; self.window.steps()];
        if self.metric.counts() {
            for (index, value) in values.iter_mut().enumerate() {
                *value = self.window.step_seconds(index).and_then(|seconds| self.metric.of(&nothing, seconds));
            }
        }
        for (index, tally) in steps {
            if let Some(value) = values.get_mut(*index) {
                // Clocks of senders run ahead of ours now and then.
                let seconds = self.window.step_seconds(*index).unwrap_or(self.window.total_seconds());
                *value = self.metric.of(tally, seconds);
            }
        }
        values
    }

    fn chosen(&self, steps: &[(usize, Tally)]) -> Vec<(String, i64, f64)> {
        let found: Vec<&Exemplar> = steps.iter().filter_map(|(_, tally)| tally.exemplar.as_ref()).collect();
        let chosen = spread(&found, self.exemplars as usize, |exemplar| exemplar.value);
        chosen.into_iter().map(written).collect()
    }
}

fn written(exemplar: &Exemplar) -> (String, i64, f64) {
    (exemplar.trace_id.to_string(), exemplar.start_ns.div_euclid(1_000), exemplar.value)
}

/// At most so many of the items, spread evenly: of each part the one with the largest value.
fn spread<T: Copy>(items: &[T], most: usize, value: impl Fn(T) -> f64) -> Vec<T> {
    if items.is_empty() || most == 0 {
        return Vec::new();
    }
    let part = items.len().div_ceil(most);
    let largest = |part: &[T]| part.iter().copied().max_by(|left, right| value(*left).total_cmp(&value(*right)));
    items.chunks(part).filter_map(largest).collect()
}

/// Exemplars of a group whose figures are from the metrics: the slowest span of some steps.
async fn look_up(
    store: &dyn Store,
    question: &Aggregate,
    group: &Group,
    window: &Window,
    wanted: usize,
) -> Result<Vec<(String, i64, f64)>, QueryError> {
    let failed = question.exemplars == Exemplars::GreatestFailed;
    let steps: Vec<&(usize, Tally)> = group.steps.iter().filter(|(_, tally)| !failed || tally.errors > 0).collect();
    let mut conditions = vec![question.filter.clone()];
    conditions.extend(of_group(&question.group_by, &group.labels));
    if failed {
        conditions.push(Filter::Status(StatusCode::Error));
    }
    let filter = Filter::And(conditions);
    let mut found = Vec::new();
    for (step, _) in spread(&steps, wanted, |(_, tally)| tally.max) {
        let start_ns = window.step_start_ns(*step);
        let end_ns = window.step_ns.map_or(window.range.end_ns, |step| start_ns.saturating_add(step));
        let range = TimeRange { start_ns, end_ns };
        let search = Search { range, filter: filter.clone(), order: Order::SlowestFirst, limit: 1, after: None };
        found.extend(store.search_spans(&search).await?.into_iter().map(|stored| {
            let span = stored.span;
            let start_us = (span.start_time_unix_nano / 1_000) as i64;
            (span.trace_id.to_string(), start_us, span.duration_nano() as f64)
        }));
    }
    Ok(found)
}
