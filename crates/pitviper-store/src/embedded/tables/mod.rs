//! Questions about tables other than spans and their metrics.
//!
//! Each question reads the hot rows and, of each segment that may have rows for it, the pages that
//! may: `Scan` says which. What the pages hold is then tested row by row.

mod exceptions;
mod libraries;
mod logs;
mod metric_points;
mod newest;
mod page_statistics;
mod profile_snapshots;
mod profiles;
mod sampled;
mod steps;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub(super) use self::exceptions::{exception_groups, exceptions};
pub(super) use self::libraries::libraries;
pub(super) use self::logs::logs;
pub(super) use self::metric_points::{metric_points, metric_series};
use self::page_statistics::{Bounds, rows_within};
pub(super) use self::profiles::{frames, profile, stacks};
pub(super) use self::sampled::{function_names, sampled};
use super::hot::Snapshot;
use super::manifest::Table;
use super::prune::{Lookup, Rows, intersect};
use super::segment::{RowTest, Segment};
use crate::schema::DAY_NS;
use crate::store::{StoreError, TimeRange};

/// Which rows of a table a question is about. What is read may have others beside them.
pub(super) struct Scan<'a> {
    table: Table,
    range: TimeRange,
    service: Option<&'a str>,
    /// What columns have to hold, for leaving out pages.
    bounds: Vec<(&'static str, Bounds<'a>)>,
    pub(super) lookup: Option<Lookup>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(table: Table, range: TimeRange, service: Option<&'a str>) -> Self {
        let mut bounds = vec![(table.description().time_column(), Bounds::Within(range))];
        bounds.extend(service.map(|service| ("service", Bounds::Equal(service.as_bytes()))));
        Self { table, range, service, bounds, lookup: None }
    }

    /// The segments that may have rows, the latest first.
    fn segments(&self, snapshot: &Snapshot) -> Vec<Arc<Segment>> {
        let may_have = |segment: &&Arc<Segment>| self.service.is_none_or(|service| segment.may_hold_service(service));
        let mut segments: Vec<_> = snapshot.segments_in(self.table, self.range).filter(may_have).cloned().collect();
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.row.max_start_ns));
        segments
    }

    /// The rows of a segment on pages that may have what is looked for.
    fn rows(&self, segment: &Segment) -> Result<Rows, StoreError> {
        let open = segment.open()?;
        let whole = 0..segment.row.rows;
        let of_pages = |(column, bounds): &(&str, Bounds<'_>)| rows_within(open.footer(), column, *bounds);
        let mut rows = self.bounds.iter().fold(vec![whole], |rows, bounds| intersect(&rows, &of_pages(bounds)));
        if let Some(found) = self.lookup.as_ref().and_then(|lookup| lookup.rows(&open)) {
            rows = intersect(&rows, &found);
        }
        Ok(rows)
    }

    /// Hands on the batches of a segment, with these columns or all.
    fn read_segment(
        &self,
        segment: &Segment,
        columns: Option<&[&str]>,
        test: Option<RowTest>,
        mut visit: impl FnMut(&RecordBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let rows = self.rows(segment)?;
        if rows.is_empty() {
            return Ok(());
        }
        for batch in segment.reader(columns, Some(rows), test)? {
            visit(&batch.map_err(|error| unreadable(segment, &error))?)?;
        }
        Ok(())
    }

    /// Hands on the batches of all tiers, with at least these columns.
    pub(super) fn read(
        &self,
        snapshot: &Snapshot,
        columns: &[&str],
        mut visit: impl FnMut(&RecordBatch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for batch in snapshot.hot_rows(self.table, self.range) {
            visit(batch)?;
        }
        for segment in self.segments(snapshot) {
            self.read_segment(&segment, Some(columns), None, &mut visit)?;
        }
        Ok(())
    }

    /// Hands on the batches of all tiers, the latest segments first, until it is enough; whether that was all.
    fn read_while(
        &self,
        snapshot: &Snapshot,
        columns: &[&str],
        mut visit: impl FnMut(&RecordBatch) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<bool, StoreError> {
        for batch in snapshot.hot_rows(self.table, self.range) {
            if visit(batch)?.is_break() {
                return Ok(false);
            }
        }
        for segment in self.segments(snapshot) {
            let rows = self.rows(&segment)?;
            if rows.is_empty() {
                continue;
            }
            for batch in segment.reader(Some(columns), Some(rows), None)? {
                if visit(&batch.map_err(|error| unreadable(&segment, &error))?)?.is_break() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

fn unreadable(segment: &Segment, error: &ArrowError) -> StoreError {
    StoreError::Engine(format!("reading {}: {error}", segment.path.display()))
}

/// What one row of a batch has to pass.
type Test<'b> = Box<dyn Fn(usize) -> bool + 'b>;

fn passes(tests: &[Test<'_>], row: usize) -> bool {
    tests.iter().all(|test| test(row))
}

fn column<'b>(batch: &'b RecordBatch, name: &str) -> &'b dyn arrow::array::Array {
    batch.column_by_name(name).expect("callers project the columns that are tested")
}

fn in_range<'b>(batch: &'b RecordBatch, name: &str, range: TimeRange) -> Test<'b> {
    let times = column(batch, name).as_primitive::<Int64Type>().values();
    Box::new(move |row| (range.start_ns..range.end_ns).contains(&times[row]))
}

/// Rows whose text in a dictionary column is this one.
fn has_text<'b>(batch: &'b RecordBatch, name: &str, wanted: &str) -> Test<'b> {
    let dictionary = column(batch, name).as_dictionary::<Int32Type>();
    let is_wanted: Vec<bool> = dictionary.values().as_string::<i32>().iter().map(|text| text == Some(wanted)).collect();
    let keys = dictionary.keys().values();
    Box::new(move |row| is_wanted[keys[row] as usize])
}

/// Rows whose bytes in a column of fixed size are these.
fn has_bytes<'b, const N: usize>(batch: &'b RecordBatch, name: &str, wanted: [u8; N]) -> Test<'b> {
    let column = column(batch, name).as_fixed_size_binary();
    Box::new(move |row| column.value(row) == wanted)
}

/// The whole days of UTC that the range has a moment of.
pub(super) fn days(range: TimeRange) -> TimeRange {
    let floor = |time: i64| time.div_euclid(DAY_NS).saturating_mul(DAY_NS);
    let end_ns = match floor(range.end_ns) {
        floor if floor == range.end_ns => floor,
        floor => floor.saturating_add(DAY_NS),
    };
    TimeRange { start_ns: floor(range.start_ns), end_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_widened_to_the_days_it_touches() {
        let days_of = |start_ns, end_ns| {
            let days = days(TimeRange { start_ns, end_ns });
            (days.start_ns, days.end_ns)
        };
        assert_eq!(days_of(5, 6), (0, DAY_NS));
        assert_eq!(days_of(0, DAY_NS), (0, DAY_NS));
        assert_eq!(days_of(-1, DAY_NS + 1), (-DAY_NS, 2 * DAY_NS));
        assert_eq!(days_of(i64::MIN, i64::MAX), (i64::MIN, i64::MAX));
    }
}
