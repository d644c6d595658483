//! Which metrics there are.

use std::collections::{BTreeMap, BTreeSet};

use pitviper_store::{MetricSeries, MetricSeriesQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Kind, temporality};
use crate::QueryError;
use crate::time::TimeText;
use crate::views::aggregate::bounded;
use crate::views::{Answer, Meta, Window};

/// Most metrics of one answer.
const MAX_NAMES: u32 = 1_000;

/// Most keys and services that are listed of a metric.
const MAX_LISTED: usize = 50;

/// Which metrics.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct NamesRequest {
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default. Every day (UTC) that the range
    /// touches counts whole.
    #[param(value_type = Option<String>)]
    pub from: Option<TimeText>,
    /// End; now by default.
    #[param(value_type = Option<String>)]
    pub to: Option<TimeText>,
    /// Only of this service.
    pub service: Option<String>,
    /// Only those whose name has this text in it.
    pub text: Option<String>,
    /// Most metrics, at most 1000, which is also the default.
    pub limit: Option<u32>,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct MetricName {
    /// Its name.
    pub name: String,
    /// What kind of metric it is; of several, that of the series seen last.
    pub kind: Kind,
    /// What its points count from: `delta`, `cumulative`, or empty.
    #[schema(value_type = String)]
    pub temporality: &'static str,
    /// Whether a sum only grows.
    pub is_monotonic: bool,
    /// The unit, by UCUM; empty when not said.
    pub unit: String,
    /// What it means; empty when not said.
    pub description: String,
    /// How many series it has.
    pub series: usize,
    /// Keys its series are told apart by, the first fifty.
    pub keys: Vec<String>,
    /// Services that report it, the first fifty.
    pub services: Vec<String>,
    /// Its latest point, in microseconds since the epoch.
    pub last_seen_us: i64,
}

/// The metrics that had points, by name.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn names(
    store: &dyn Store,
    request: &NamesRequest,
    now_us: i64,
) -> Result<Answer<Vec<MetricName>>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let limit = bounded("limit", request.limit.unwrap_or(MAX_NAMES), 1, MAX_NAMES)? as usize;
    let question = MetricSeriesQuery {
        range: window.range,
        service: request.service.clone(),
        name: None,
        limit: MetricSeriesQuery::MAX_LIMIT,
    };
    let found = store.metric_series(&question).await?;
    let text = request.text.as_deref().unwrap_or_default();
    let mut by_name: BTreeMap<&str, Vec<&MetricSeries>> = BTreeMap::new();
    for series in found.series.iter().filter(|series| series.metric.name.contains(text)) {
        by_name.entry(&series.metric.name).or_default().push(series);
    }
    let mut warnings = Vec::new();
    if found.left_out > 0 {
        warnings.push(format!("{} series are left out; name a service", found.left_out));
    }
    if by_name.len() > limit {
        warnings.push(format!("{} metrics are left out; look for a part of the name", by_name.len() - limit));
    }
    let meta = Meta { exact: warnings.is_empty(), warnings, ..Meta::over(&window) };
    Ok(Answer { data: by_name.into_iter().take(limit).map(|(name, series)| described(name, &series)).collect(), meta })
}

fn described(name: &str, series: &[&MetricSeries]) -> MetricName {
    let latest = series.iter().max_by_key(|series| series.last_seen_ns).expect("a name has series");
    let mut keys = BTreeSet::new();
    let mut services = BTreeSet::new();
    for of in series {
        for (key, _) in of.attributes.iter() {
            if keys.len() < MAX_LISTED && !keys.contains(key) {
                keys.insert(key.to_owned());
            }
        }
        let service = of.resource.service();
        if services.len() < MAX_LISTED && !services.contains(service) {
            services.insert(service.to_owned());
        }
    }
    MetricName {
        name: name.to_owned(),
        kind: latest.metric.kind.into(),
        temporality: temporality(latest.metric.temporality),
        is_monotonic: latest.metric.is_monotonic,
        unit: latest.metric.unit.clone(),
        description: latest.metric.description.clone(),
        series: series.len(),
        keys: keys.into_iter().collect(),
        services: services.into_iter().collect(),
        last_seen_us: latest.last_seen_ns.div_euclid(1_000),
    }
}
