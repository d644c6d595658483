//! Series of metrics, and their points by step.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use pitviper_model::{MetricPoint, SeriesId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::page_statistics::{Bounds, rows_within};
use super::steps::{needs_look_back, steps};
use super::{Scan, Test, column, days, has_text, passes};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::prune::{intersect, union};
use crate::questions::{
    MetricPointsAnswer, MetricPointsQuery, MetricSeries, MetricSeriesAnswer, MetricSeriesQuery, MetricStep,
};
use crate::schema::{read_points, read_series};
use crate::store::{StoreError, TimeRange};

/// Series that had points on the days of the range.
pub(in crate::embedded) fn metric_series(
    snapshot: &Snapshot,
    query: &MetricSeriesQuery,
) -> Result<MetricSeriesAnswer, StoreError> {
    let mut scan = Scan::new(Table::MetricSeries, days(query.range), query.service.as_deref());
    scan.bounds.extend(query.name.iter().map(|name| ("name", Bounds::Equal(name.as_bytes()))));
    let found = series_rows(snapshot, &scan, |batch| {
        let mut tests: Vec<Test<'_>> = Vec::new();
        tests.extend(query.service.as_ref().map(|service| has_text(batch, "service", service)));
        tests.extend(query.name.as_ref().map(|name| has_text(batch, "name", name)));
        tests
    })?;
    let mut series: Vec<MetricSeries> = found.into_values().collect();
    series.sort_by(|left, right| {
        let key = |of: &MetricSeries| (of.resource.service().to_owned(), of.metric.name.clone(), of.id);
        key(left).cmp(&key(right))
    });
    let limit = query.limit.min(MetricSeriesQuery::MAX_LIMIT);
    let left_out = series.len().saturating_sub(limit);
    series.truncate(limit);
    Ok(MetricSeriesAnswer { series, left_out })
}

/// The series of a scan whose rows pass, each once.
fn series_rows(
    snapshot: &Snapshot,
    scan: &Scan<'_>,
    tests: impl for<'b> Fn(&'b RecordBatch) -> Vec<Test<'b>>,
) -> Result<BTreeMap<SeriesId, MetricSeries>, StoreError> {
    let schema = Table::MetricSeries.schema();
    let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let mut found: BTreeMap<SeriesId, MetricSeries> = BTreeMap::new();
    scan.read(snapshot, &columns, |batch| {
        let tests = tests(batch);
        for (row, series) in read_series(batch)?.into_iter().enumerate() {
            let is_on_days = scan.range.start_ns <= series.last_seen_ns && series.first_seen_ns < scan.range.end_ns;
            if !is_on_days || !passes(&tests, row) {
                continue;
            }
            match found.entry(series.id) {
                Entry::Vacant(entry) => {
                    entry.insert(series);
                }
                Entry::Occupied(mut entry) => {
                    let known = entry.get_mut();
                    known.first_seen_ns = known.first_seen_ns.min(series.first_seen_ns);
                    if series.last_seen_ns > known.last_seen_ns {
                        // The latest description is the one to show.
                        *known = MetricSeries { first_seen_ns: known.first_seen_ns, ..series };
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Points of series by step.
pub(in crate::embedded) fn metric_points(
    snapshot: &Snapshot,
    query: &MetricPointsQuery,
) -> Result<MetricPointsAnswer, StoreError> {
    let mut asked: Vec<SeriesId> = Vec::new();
    let mut distinct = FxHashSet::default();
    asked.extend(query.series.iter().filter(|id| distinct.insert(**id)));
    let series_asked = asked.len();
    asked.truncate(MetricPointsQuery::MAX_SERIES);
    let wanted: FxHashSet<SeriesId> = asked.iter().copied().collect();
    let known = series_rows(snapshot, &Scan::new(Table::MetricSeries, days(query.range), None), |batch| {
        let (ids, wanted) = (column(batch, "series").as_fixed_size_binary(), wanted.clone());
        let is_wanted = move |row: usize| SeriesId::from_slice(ids.value(row)).is_some_and(|id| wanted.contains(&id));
        vec![Box::new(is_wanted)]
    })?;
    let look_from_ns = query.range.start_ns.saturating_sub(MetricPointsQuery::LOOK_BACK_NS);
    let looks_back = known.values().any(|series| needs_look_back(&series.metric));
    let start_ns = if looks_back { look_from_ns } else { query.range.start_ns };
    let (mut points, is_cut) = points_of(snapshot, &known, TimeRange { start_ns, ..query.range })?;
    let mut answer = MetricPointsAnswer { steps: Vec::new(), series_left_out: series_asked - known.len(), is_cut };
    for id in asked {
        let (Some(series), Some(mut points)) = (known.get(&id), points.remove(&id)) else { continue };
        points.sort_by_key(|point| (point.time_unix_nano, point.start_time_unix_nano));
        // What a sender repeated counts once.
        points.dedup();
        let steps = steps(&series.metric, &points, query.range, query.step_ns, look_from_ns);
        answer.steps.extend(steps.into_iter().map(|(step_start_ns, value)| MetricStep {
            series: id,
            step_start_ns,
            value,
        }));
    }
    Ok(answer)
}

/// The points of these series in the range, the latest segments first, and whether there were too many.
fn points_of(
    snapshot: &Snapshot,
    series: &BTreeMap<SeriesId, MetricSeries>,
    range: TimeRange,
) -> Result<(FxHashMap<SeriesId, Vec<MetricPoint>>, bool), StoreError> {
    let mut points: FxHashMap<SeriesId, Vec<MetricPoint>> = FxHashMap::default();
    let mut room = MetricPointsQuery::MAX_POINTS;
    let mut keep = |batch: &RecordBatch| -> Result<bool, StoreError> {
        let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
        let ids = column(batch, "series").as_fixed_size_binary();
        let is_wanted = |row: usize| {
            (range.start_ns..range.end_ns).contains(&times[row])
                && SeriesId::from_slice(ids.value(row)).is_some_and(|id| series.contains_key(&id))
        };
        for (id, point) in read_points(batch, is_wanted)? {
            if room == 0 {
                return Ok(false);
            }
            room -= 1;
            points.entry(id).or_default().push(point);
        }
        Ok(true)
    };
    let mut services: Vec<&str> = series.values().map(|series| series.resource.service()).collect();
    services.sort_unstable();
    services.dedup();
    let scan = Scan::new(Table::MetricPoints, range, None);
    let mut is_whole = true;
    for batch in snapshot.hot_rows(Table::MetricPoints, range) {
        is_whole = is_whole && keep(batch)?;
    }
    for segment in scan.segments(snapshot) {
        if !is_whole {
            break;
        }
        if !services.iter().any(|service| segment.may_hold_service(service)) {
            continue;
        }
        let open = segment.open()?;
        let pages = series.keys().flat_map(|id| rows_within(open.footer(), "series", Bounds::Equal(&id.0)));
        let rows = intersect(&scan.rows(&segment)?, &union(pages.collect()));
        for batch in segment.reader(None, Some(rows), None)? {
            is_whole = is_whole && keep(&batch.map_err(|error| StoreError::Engine(error.to_string()))?)?;
        }
    }
    Ok((points, !is_whole))
}
