//! All services with rate, failures and response times: the home page.

mod facts;

use std::collections::BTreeMap;

use futures::try_join;
use pitviper_model::SpanKind;
use pitviper_store::{Dimension, MetricRow, MetricsQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::facts::Facts;
use super::red::{Counted, Trend, failure_share, kind_of, label, metrics_query, quantile, work};
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Points of a course when the caller does not say.
const DEFAULT_POINTS: u32 = 60;

/// Which services, over which time.
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
    /// How many points a course has, at most 2000; 60 by default.
    pub points: Option<u32>,
}

/// What a service mainly does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// Answers requests.
    Web,
    /// Handles messages.
    Worker,
    /// Keeps data.
    Db,
    /// Is called, and not traced itself.
    External,
    /// Anything else.
    Custom,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it mainly does.
    pub kind: ServiceKind,
    /// Language and its version, such as `python 3.11.7`.
    #[schema(required)]
    pub lang: Option<String>,
    /// Framework and its version, such as `flask 3.1.0`.
    #[schema(required)]
    pub framework: Option<String>,
    /// Deployment environments seen.
    pub env: Vec<String>,
    /// Versions seen.
    pub version: Vec<String>,
    /// How many processes sent spans.
    pub instances: usize,
    /// Requests.
    pub hits: u64,
    /// Failed requests.
    pub errors: u64,
    /// Requests per second.
    pub rps: Trend,
    /// Share of requests that failed, 0 to 1.
    pub err: Trend,
    /// Median response time in nanoseconds.
    pub p50: Trend,
    /// 95th percentile of the response time in nanoseconds.
    pub p95: Trend,
    /// Start of its latest span, in microseconds since the epoch.
    #[schema(required)]
    pub last_seen_us: Option<i64>,
}

/// All services that sent spans in the window, by name.
///
/// Requests are entry spans (server, consumer). A service that has none counts its root spans, and
/// one without those all of its spans.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn services(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<Vec<Service>>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let window =
        window.in_steps("points", request.points.unwrap_or(DEFAULT_POINTS), store.metric_bucket_ns(window.range))?;
    let base = MetricsQuery { environment: request.env.clone(), ..metrics_query(&window) };
    let profile = MetricsQuery {
        step_ns: None,
        group_by: vec![Dimension::Service, Dimension::Kind, Dimension::Environment, Dimension::Version],
        ..base.clone()
    };
    let by_service = MetricsQuery { group_by: vec![Dimension::Service], ..base };
    let (profile_rows, work_rows, resources) =
        try_join!(store.metrics(&profile), work(store, &by_service), store.resources(window.range))?;

    let mut found = found_services(&profile, &profile_rows);
    count(&mut found, &window, &work_rows);
    let facts = Facts::of_services(&resources, request.env.as_deref());
    let data = found.into_iter().map(|(name, found)| found.into_service(name, &facts, &window)).collect();
    Ok(Answer { data, meta: Meta::over(&window) })
}

/// What the metrics say of a service.
#[derive(Debug, Default)]
struct Found {
    kinds: Vec<SpanKind>,
    environments: Vec<String>,
    versions: Vec<String>,
    counted: Option<Counted>,
}

fn found_services(query: &MetricsQuery, rows: &[MetricRow]) -> BTreeMap<String, Found> {
    let mut found: BTreeMap<String, Found> = BTreeMap::new();
    for row in rows {
        let service = found.entry(label(query, row, Dimension::Service).to_owned()).or_default();
        service.kinds.push(kind_of(query, row));
        for (seen, dimension) in
            [(&mut service.environments, Dimension::Environment), (&mut service.versions, Dimension::Version)]
        {
            let text = label(query, row, dimension);
            if let Err(at) = seen.binary_search_by(|known| known.as_str().cmp(text))
                && !text.is_empty()
            {
                seen.insert(at, text.to_owned());
            }
        }
    }
    found
}

/// Counts the rows of each service.
fn count(found: &mut BTreeMap<String, Found>, window: &Window, rows: &[MetricRow]) {
    for row in rows {
        let service = row.labels.first().map_or("", String::as_str);
        if let Some(found) = found.get_mut(service) {
            found.counted.get_or_insert_with(|| Counted::new(window)).add(window, row);
        }
    }
}

impl Found {
    fn into_service(self, name: String, facts: &BTreeMap<&str, Facts>, window: &Window) -> Service {
        let kind = if self.kinds.contains(&SpanKind::Server) {
            ServiceKind::Web
        } else if self.kinds.contains(&SpanKind::Consumer) {
            ServiceKind::Worker
        } else {
            ServiceKind::Custom
        };
        let facts = facts.get(name.as_str());
        let counted = self.counted.unwrap_or_else(|| Counted::new(window));
        Service {
            kind,
            lang: facts.and_then(|facts| facts.language.clone()),
            framework: facts.and_then(|facts| facts.framework.clone()),
            env: self.environments,
            version: self.versions,
            instances: facts.map_or(0, |facts| facts.instances.len()),
            hits: counted.total.hits,
            errors: counted.total.errors,
            rps: counted.rate(window),
            err: counted.trend(failure_share),
            p50: counted.trend(|red| quantile(red, 0.5)),
            p95: counted.trend(|red| quantile(red, 0.95)),
            last_seen_us: facts.map(|facts| facts.last_seen_ns.div_euclid(1_000)),
            name,
        }
    }
}
