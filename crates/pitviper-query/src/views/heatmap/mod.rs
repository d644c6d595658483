//! The latency heatmap: how many spans were how long, over time.

use pitviper_model::ExpHistogram;
use pitviper_store::Store;
use pitviper_store::questions::aggregate::{Aggregate, GroupField, Keep, Tally};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::aggregate::{Collected, Counted, bounded, collect, condition, cut_by, of_durations, warnings};
use super::{Answer, Meta, Window};
use crate::QueryError;
use crate::time::TimeText;

/// Columns when the caller does not say.
const DEFAULT_WIDTH: u32 = 120;

/// Most columns.
pub const MAX_WIDTH: u32 = 1_000;

/// Rows when the caller does not say.
const DEFAULT_HEIGHT: u32 = 60;

/// Most rows.
pub const MAX_HEIGHT: u32 = 500;

/// Which spans, and how fine.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HeatmapRequest)]
pub struct Request {
    /// Which spans count; all when empty. Of a query that relates spans or judges traces those that it
    /// finds, as far as the bounds of such a search allow: see `meta.bound`.
    #[serde(default)]
    pub query: String,
    /// Start: microseconds, ISO 8601 or `now-15m`; an hour ago by default.
    pub from: Option<TimeText>,
    /// End; now by default.
    pub to: Option<TimeText>,
    /// Most columns, at most 1000; 120 by default, and one more where the range does not begin on one.
    pub width: Option<u32>,
    /// Most rows, at most 500; 60 by default.
    pub height: Option<u32>,
    /// Whether failed spans are counted by cell too, which only the spans can tell.
    #[serde(default)]
    pub errors: bool,
}

/// Spans by start and duration. Cells come column after column, each from the shortest row.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Heatmap {
    /// Start of each column, in microseconds since the epoch.
    pub t: Vec<i64>,
    /// Ends of the rows in nanoseconds, one more than there are rows; all by the same factor apart. A
    /// row holds what is longer than its lower end, up to its upper end. Empty when there is nothing.
    pub y_edges: Vec<f64>,
    /// How many spans each cell holds.
    pub counts: Vec<u64>,
    /// How many of them failed; null when it was not asked for.
    #[schema(required)]
    pub errors: Option<Vec<u64>>,
    /// How many spans of each column failed.
    pub column_errors: Vec<u64>,
    /// Spans of each column that took no time, which no row holds.
    pub zeros: Vec<u64>,
    /// How many spans there are.
    pub total: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The shortest duration in nanoseconds; null when there is none.
    #[schema(required)]
    pub min_ns: Option<f64>,
    /// The longest one.
    #[schema(required)]
    pub max_ns: Option<f64>,
}

/// Counts the cells.
///
/// # Errors
/// [`QueryError::Syntax`] when the query is not in the language; also when a parameter is not usable
/// or the store fails.
pub async fn heatmap(store: &dyn Store, request: &Request, now_us: i64) -> Result<Answer<Heatmap>, QueryError> {
    let width = bounded("width", request.width.unwrap_or(DEFAULT_WIDTH), 1, MAX_WIDTH)?;
    let height = bounded("height", request.height.unwrap_or(DEFAULT_HEIGHT), 1, MAX_HEIGHT)?;
    let window = Window::new(request.from.as_ref(), request.to.as_ref(), now_us)?;
    let window = window.in_steps("width", width, store.metric_bucket_ns(window.range))?;
    let Counted { query, filter, meant } = condition(store, &request.query, &window).await?;
    let group_by = if request.errors { vec![GroupField::Status] } else { Vec::new() };
    let question = Aggregate { keep: Keep::Buckets, group_by, max_groups: 3, ..of_durations(&window, filter) };
    let Collected { figures, source } = collect(store, &window, &question).await?;
    let meta = Meta {
        exact: figures.complete && !query.is_cut(),
        source: Some(source),
        scanned: Some(figures.scanned),
        warnings: warnings(&query, &figures),
        ..Meta::over(&window)
    };
    let meta = cut_by(meta, meant.as_ref());
    let mut columns = vec![Tally::default(); window.steps()];
    let mut failed = vec![Tally::default(); window.steps()];
    for group in &figures.groups {
        let is_failed = group.labels.first().is_some_and(|label| label.as_deref() == Some("error"));
        for (step, tally) in &group.steps {
            let Some(column) = columns.get_mut(*step) else { continue };
            column.merge(tally);
            if is_failed {
                failed[*step].merge(tally);
            }
        }
    }
    Ok(Answer { data: draw(&window, &columns, request.errors.then_some(&failed), height), meta })
}

fn draw(window: &Window, columns: &[Tally], failed: Option<&Vec<Tally>>, height: u32) -> Heatmap {
    let rows = Rows::of(columns, height);
    let mut whole = Tally::default();
    columns.iter().for_each(|column| whole.merge(column));
    let cells =
        |columns: &[Tally]| columns.iter().flat_map(|column| rows.count(column.distribution.histogram())).collect();
    Heatmap {
        t: (0..window.steps()).map(|index| window.step_start_ns(index).div_euclid(1_000)).collect(),
        y_edges: rows.edges(),
        counts: cells(columns),
        errors: failed.map(|failed| cells(failed)),
        column_errors: columns.iter().map(|column| column.errors).collect(),
        zeros: columns.iter().map(|column| column.distribution.histogram().zeros()).collect(),
        total: whole.count,
        failed: whole.errors,
        min_ns: (whole.count > 0).then_some(whole.min),
        max_ns: (whole.count > 0).then_some(whole.max),
    }
}

/// The buckets of durations are counted from minus one (a nanosecond) to 2047 (all that 64 bits hold);
/// moved up by this none is below zero, and rows of a power of two begin where they began before.
const FIRST_BUCKET: i32 = 2_048;

/// Rows of several neighbouring buckets each.
struct Rows {
    /// Buckets of a row, a power of two, so that rows of different answers have ends in common.
    buckets: i32,
    /// The first row, counted from that of [`FIRST_BUCKET`].
    first: i32,
    count: usize,
}

impl Rows {
    /// The finest rows that all columns fit in.
    fn of(columns: &[Tally], height: u32) -> Self {
        let buckets = || columns.iter().flat_map(|column| column.distribution.histogram().buckets());
        let low = buckets().map(|(index, _)| place(*index)).min();
        let high = buckets().map(|(index, _)| place(*index)).max();
        let (Some(low), Some(high)) = (low, high) else { return Self { buckets: 1, first: 0, count: 0 } };
        let mut width = 1;
        loop {
            let (first, last) = (low / width, high / width);
            if last - first < height.cast_signed() {
                return Self { buckets: width, first, count: (last - first + 1).unsigned_abs() as usize };
            }
            // Ends at the latest when one row holds everything.
            width *= 2;
        }
    }

    fn count(&self, histogram: &ExpHistogram) -> Vec<u64> {
        let mut counts = vec![0; self.count];
        for &(index, count) in histogram.buckets() {
            let row = place(index) / self.buckets - self.first;
            if let Some(cell) = usize::try_from(row).ok().and_then(|row| counts.get_mut(row)) {
                *cell += count;
            }
        }
        counts
    }

    fn edges(&self) -> Vec<f64> {
        if self.count == 0 {
            return Vec::new();
        }
        let edge = |row: usize| {
            let bucket = (self.first + i32::try_from(row).unwrap_or(i32::MAX)) * self.buckets - FIRST_BUCKET;
            // The lower end of a bucket is the upper end of the one before.
            ExpHistogram::bucket_upper_bound(i16::try_from(bucket - 1).unwrap_or(i16::MAX))
        };
        (0..=self.count).map(edge).collect()
    }
}

fn place(bucket: i16) -> i32 {
    i32::from(bucket) + FIRST_BUCKET
}

#[cfg(test)]
mod tests {
    use pitviper_store::questions::Distribution;

    use super::*;

    fn column(durations: &[u64]) -> Tally {
        let mut histogram = ExpHistogram::default();
        durations.iter().for_each(|duration| histogram.record(*duration));
        Tally {
            count: durations.len() as u64,
            distribution: Distribution::from_histogram(histogram),
            ..Tally::default()
        }
    }

    #[test]
    fn rows_hold_what_lies_between_their_ends() {
        let columns = [column(&[1, 1_000, 5_000_000]), column(&[]), column(&[0, 70_000, 2_000_000_000])];
        for height in [1, 2, 7, 60, 500] {
            let rows = Rows::of(&columns, height);
            let edges = rows.edges();
            assert!(rows.count <= height as usize && edges.len() == rows.count + 1, "{height}");
            assert!(edges.windows(2).all(|ends| ends[0] < ends[1]));
            for duration in [1_u64, 1_000, 5_000_000, 70_000, 2_000_000_000] {
                let counts = rows.count(column(&[duration]).distribution.histogram());
                let row = counts.iter().position(|count| *count == 1).unwrap();
                let value = duration as f64;
                assert!(
                    value > edges[row] * 0.999_999 && value <= edges[row + 1] * 1.000_001,
                    "{duration} at {height}"
                );
            }
            let all: u64 = columns.iter().flat_map(|column| rows.count(column.distribution.histogram())).sum();
            assert_eq!(all, 5);
        }
        assert_eq!(Rows::of(&[column(&[0])], 60).edges(), Vec::<f64>::new());
    }
}
