//! What was measured over time, split by something.

use std::collections::BTreeMap;

use pitviper_store::schema::METRIC_BUCKET_NS;
use pitviper_store::{ProfileDimension, ProfileQuery, Store};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::selection::{Selection, is_snapshot};
use crate::QueryError;
use crate::views::{Answer, Meta};

/// Steps when the caller does not say.
const DEFAULT_BUCKETS: u32 = 120;

/// The shortest step of what was there at a moment, in nanoseconds: profilers tell it once a minute.
const SNAPSHOT_STEP_NS: i64 = 120_000_000_000;

/// Most series; what is left is added up.
pub const MAX_SERIES: usize = 20;

/// What to split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ProfileSplit)]
pub enum Split {
    /// What the thread was doing.
    State,
    /// The thread's name.
    Thread,
    /// The request that was worked on.
    Endpoint,
    /// The service.
    Service,
    /// The service's version.
    Version,
    /// The deployment environment.
    Environment,
    /// The host.
    Host,
    /// The process.
    Instance,
    /// The type of the exception.
    Exception,
    /// The lock.
    Lock,
}

impl From<Split> for ProfileDimension {
    fn from(split: Split) -> Self {
        match split {
            Split::State => Self::State,
            Split::Thread => Self::Thread,
            Split::Endpoint => Self::Endpoint,
            Split::Service => Self::Service,
            Split::Version => Self::Version,
            Split::Environment => Self::Environment,
            Split::Host => Self::Host,
            Split::Instance => Self::Instance,
            Split::Exception => Self::Exception,
            Split::Lock => Self::Lock,
        }
    }
}

/// Which samples, in which steps.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProfileSeriesRequest)]
pub struct SeriesRequest {
    /// Which samples.
    pub selection: Selection,
    /// How many steps at most, 120 by default. The ends of the range are moved outwards to lie on a step,
    /// none of which is shorter than ten seconds, and of what was there at a moment (`inuse_space`) than two
    /// minutes, so that every process tells something in each.
    pub buckets: Option<u32>,
    /// What to split by; one series when missing.
    pub split: Option<Split>,
}

/// What was measured over time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = ProfileSeriesAnswer)]
pub struct SeriesData {
    /// Start of the first step, in microseconds since the epoch.
    pub from_us: i64,
    /// Width of a step, in microseconds.
    pub step_us: i64,
    /// The unit of all values.
    pub unit: String,
    /// The series that have most, at most 20.
    pub series: Vec<ProfileSeries>,
    /// A value for each step of what is in none of them; null when that is nothing.
    #[schema(required)]
    pub other: Option<Vec<i64>>,
}

/// The course of one value.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ProfileSeries {
    /// The value that was split by; empty for none.
    pub key: String,
    /// What was measured in each step.
    pub values: Vec<i64>,
}

/// What was measured over time.
///
/// # Errors
/// When a parameter is not usable or the store fails.
pub async fn series(store: &dyn Store, request: &SeriesRequest, now_us: i64) -> Result<Answer<SeriesData>, QueryError> {
    let window = request.selection.window(now_us)?;
    let least = if is_snapshot(request.selection.kind()) { SNAPSHOT_STEP_NS } else { METRIC_BUCKET_NS };
    let window = window.in_steps("buckets", request.buckets.unwrap_or(DEFAULT_BUCKETS), least)?;
    let mut by_key: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut unit = String::new();
    let (mut is_cut, mut may_repeat) = (false, false);
    let group_by: Vec<ProfileDimension> =
        [ProfileDimension::Unit].into_iter().chain(request.split.map(Into::into)).collect();
    for query in request.selection.queries(store, &window).await? {
        let query = ProfileQuery { by_stack: false, step_ns: window.step_ns, group_by: group_by.clone(), ..query };
        let found = store.profile(&query).await?;
        is_cut |= found.left_out > 0;
        may_repeat |= found.may_repeat;
        for mut row in found.rows {
            unit.clone_from(&row.labels[0]);
            let key = if request.split.is_some() { row.labels.swap_remove(1) } else { String::new() };
            let values = by_key.entry(key).or_insert_with(|| vec![0; window.steps()]);
            if let Some(value) = window.index_of(row.step_start_ns).and_then(|index| values.get_mut(index)) {
                *value = value.saturating_add(row.value);
            }
        }
    }
    let sum = |values: &[i64]| values.iter().fold(0_i64, |sum, value| sum.saturating_add(*value));
    let mut series: Vec<ProfileSeries> =
        by_key.into_iter().map(|(key, values)| ProfileSeries { key, values }).collect();
    series.sort_by_key(|series| std::cmp::Reverse(sum(&series.values)));
    let rest = series.split_off(series.len().min(MAX_SERIES));
    let other = rest.into_iter().map(|series| series.values).reduce(|mut sums, values| {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.saturating_add(value));
        sums
    });
    let mut warnings = Vec::new();
    if is_cut {
        warnings.push("there are too many values to split by; the rarest are left out".to_owned());
    }
    let data = SeriesData {
        from_us: window.range.start_ns / 1_000,
        step_us: window.step_ns.unwrap_or_default() / 1_000,
        unit,
        series,
        other,
    };
    let exact = warnings.is_empty() && !may_repeat;
    Ok(Answer { data, meta: Meta { exact, warnings, ..Meta::over(&window) } })
}
