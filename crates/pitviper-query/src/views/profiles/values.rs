//! What there is to choose from: types of samples, services, endpoints and so on.

use std::collections::BTreeMap;

use pitviper_store::{ProfileDimension, ProfileQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::selection::{DEFAULT_TYPE, SNAPSHOTS, is_snapshot};
use crate::QueryError;
use crate::time::TimeText;
use crate::views::{Answer, Meta, Window};

/// Most values of a list.
const MAX_VALUES: usize = 500;

/// What the lists are of, in the order of [`ProfileValues`]'s.
const LISTS: [ProfileDimension; 10] = [
    ProfileDimension::Service,
    ProfileDimension::Endpoint,
    ProfileDimension::Thread,
    ProfileDimension::State,
    ProfileDimension::Version,
    ProfileDimension::Environment,
    ProfileDimension::Host,
    ProfileDimension::Instance,
    ProfileDimension::Exception,
    ProfileDimension::Lock,
];

/// Which samples.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileValuesRequest)]
pub struct ValuesRequest {
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Types, and all lists but services, only of this service.
    pub service: Option<String>,
    /// What the lists are of; by default `cpu`, or if there is none what has most samples.
    #[serde(rename = "type")]
    pub sample_type: Option<String>,
}

/// What there is to choose from, what has most first; values that are empty are not there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct ProfileValues {
    /// The types of samples.
    pub types: Vec<ProfileType>,
    /// The type that the lists are of; null when there are no samples.
    #[serde(rename = "type")]
    #[schema(required)]
    pub sample_type: Option<String>,
    /// Services.
    pub services: Vec<ProfileValue>,
    /// Requests that were worked on.
    pub endpoints: Vec<ProfileValue>,
    /// Names of threads.
    pub threads: Vec<ProfileValue>,
    /// What threads were doing.
    pub states: Vec<ProfileValue>,
    /// Versions of the services.
    pub versions: Vec<ProfileValue>,
    /// Deployment environments.
    pub environments: Vec<ProfileValue>,
    /// Hosts.
    pub hosts: Vec<ProfileValue>,
    /// Processes.
    pub instances: Vec<ProfileValue>,
    /// Types of exceptions.
    pub exceptions: Vec<ProfileValue>,
    /// Locks.
    pub locks: Vec<ProfileValue>,
}

/// A type of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProfileType {
    /// Its name, such as `cpu`.
    #[serde(rename = "type")]
    pub name: String,
    /// The unit of its values.
    pub unit: String,
    /// The sum of its values.
    pub value: i64,
    /// How many samples.
    pub samples: u64,
}

/// A value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProfileValue {
    /// The value.
    pub value: String,
    /// The sum of what was measured.
    pub total: i64,
    /// How many samples.
    pub samples: u64,
}

/// What was measured.
type Sum = (i64, u64);

fn add(sum: &mut Sum, value: i64, samples: u64) {
    *sum = (sum.0.saturating_add(value), sum.1 + samples);
}

/// What there is to choose from.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn values(
    store: &dyn Store,
    request: &ValuesRequest,
    now_us: i64,
) -> Result<Answer<ProfileValues>, QueryError> {
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let mut group_by = vec![ProfileDimension::SampleType, ProfileDimension::Unit];
    group_by.extend(LISTS);
    let query = ProfileQuery { by_stack: false, group_by, ..ProfileQuery::all(window.range) };
    let mut found = store.profile(&query).await?;
    found.rows.retain(|row| !is_snapshot(&row.labels[0]));
    for kind in SNAPSHOTS {
        let of_moment = ProfileQuery { sample_type: Some(kind.to_owned()), snapshots: true, ..query.clone() };
        found.rows.extend(store.profile(&of_moment).await?.rows);
    }
    let is_of_service = |labels: &[String]| request.service.as_ref().is_none_or(|service| labels[2] == *service);
    let mut types: BTreeMap<(&str, &str), Sum> = BTreeMap::new();
    for row in found.rows.iter().filter(|row| is_of_service(&row.labels)) {
        add(types.entry((&row.labels[0], &row.labels[1])).or_default(), row.value, row.samples);
    }
    let most = types.iter().max_by_key(|(_, (_, samples))| *samples).map(|((name, _), _)| *name);
    let default = if types.keys().any(|(name, _)| *name == DEFAULT_TYPE) { Some(DEFAULT_TYPE) } else { most };
    let chosen = request.sample_type.as_deref().or(default).map(str::to_owned);
    let mut lists: [BTreeMap<&str, Sum>; LISTS.len()] = Default::default();
    for row in found.rows.iter().filter(|row| Some(&row.labels[0]) == chosen.as_ref()) {
        let wanted = if is_of_service(&row.labels) { LISTS.len() } else { 1 };
        for (list, value) in lists.iter_mut().zip(&row.labels[2..]).take(wanted).filter(|(_, value)| !value.is_empty())
        {
            add(list.entry(value).or_default(), row.value, row.samples);
        }
    }
    let mut warnings = Vec::new();
    if found.left_out > 0 {
        warnings.push("there are too many combinations to count all; choose a shorter range".to_owned());
    }
    let mut told = lists.map(|list| told(list, &mut warnings)).into_iter();
    let mut next = || told.next().unwrap_or_default();
    let mut types: Vec<ProfileType> = types
        .into_iter()
        .map(|((name, unit), (value, samples))| ProfileType {
            name: name.to_owned(),
            unit: unit.to_owned(),
            value,
            samples,
        })
        .collect();
    types.sort_by_key(|of| std::cmp::Reverse(of.samples));
    let data = ProfileValues {
        types,
        sample_type: chosen,
        services: next(),
        endpoints: next(),
        threads: next(),
        states: next(),
        versions: next(),
        environments: next(),
        hosts: next(),
        instances: next(),
        exceptions: next(),
        locks: next(),
    };
    let exact = warnings.is_empty() && !found.may_repeat;
    Ok(Answer { data, meta: Meta { exact, warnings, ..Meta::over(&window) } })
}

/// The values of a list that have most.
fn told(list: BTreeMap<&str, Sum>, warnings: &mut Vec<String>) -> Vec<ProfileValue> {
    let value = |(value, (total, samples)): (&str, Sum)| ProfileValue { value: value.to_owned(), total, samples };
    let mut values: Vec<ProfileValue> = list.into_iter().map(value).collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.total));
    if values.len() > MAX_VALUES {
        warnings.push(format!("{} values of a list are left out", values.len() - MAX_VALUES));
        values.truncate(MAX_VALUES);
    }
    values
}
