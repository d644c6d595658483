//! The newest rows that pass a test, in pages.
//!
//! First only the columns that are tested are read, of the latest segments first and no further than
//! the page needs; then the rows that were chosen are read whole.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use rustc_hash::FxHashSet;

use super::{Scan, Test, column, passes};
use crate::embedded::hot::Snapshot;
use crate::questions::{Page, RowCursor};
use crate::store::{StoreError, TimeRange};

/// Which rows, and how many.
pub(super) struct Newest<'a> {
    pub(super) scan: Scan<'a>,
    /// The columns that are tested, besides time and id.
    pub(super) columns: Vec<&'static str>,
    pub(super) limit: usize,
    pub(super) after: Option<RowCursor>,
}

/// The newest come first, and rows of one time by their ids.
type Key = (Reverse<i64>, u64);

/// The best keys so far, each with the place it was found at: zero for memory, then the segments.
struct Best {
    keys: BTreeMap<Key, usize>,
    limit: usize,
    after: Option<Key>,
}

impl Best {
    fn is_full(&self) -> bool {
        self.keys.len() >= self.limit
    }

    /// The time that rows have to reach to be among the best.
    fn oldest_ns(&self) -> Option<i64> {
        if self.is_full() { self.keys.last_key_value().map(|((Reverse(time), _), _)| *time) } else { None }
    }

    fn add(&mut self, batch: &RecordBatch, tests: &[Test<'_>], place: usize) {
        let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
        let ids = column(batch, "id").as_primitive::<UInt64Type>().values();
        for row in 0..batch.num_rows() {
            let key = (Reverse(times[row]), ids[row]);
            let is_better = !self.is_full() || self.keys.last_key_value().is_some_and(|(last, _)| key < *last);
            if is_better && self.after.is_none_or(|after| key > after) && passes(tests, row) {
                self.keys.entry(key).or_insert(place);
                if self.keys.len() > self.limit {
                    self.keys.pop_last();
                }
            }
        }
    }
}

impl Newest<'_> {
    /// The page, each row once.
    pub(super) fn read<T>(
        &self,
        snapshot: &Snapshot,
        tests: impl for<'b> Fn(&'b RecordBatch) -> Vec<Test<'b>>,
        read: fn(&RecordBatch) -> Result<Vec<T>, StoreError>,
        cursor: fn(&T) -> RowCursor,
    ) -> Result<Page<T>, StoreError> {
        if self.limit == 0 {
            return Ok(Page::default());
        }
        let after = self.after.map(|after| (Reverse(after.time_ns), after.id));
        // One more tells whether there is another page.
        let mut best = Best { keys: BTreeMap::new(), limit: self.limit + 1, after };
        let scan = &self.scan;
        for batch in snapshot.hot_rows(scan.table, scan.range) {
            best.add(batch, &tests(batch), 0);
        }
        let segments = scan.segments(snapshot);
        let columns: Vec<&str> = ["time_ns", "id"].into_iter().chain(self.columns.iter().copied()).collect();
        for (place, segment) in (1..).zip(&segments) {
            if best.oldest_ns().is_some_and(|oldest| segment.row.max_start_ns < oldest) {
                break;
            }
            scan.read_segment(segment, Some(&columns), None, |batch| {
                best.add(batch, &tests(batch), place);
                Ok(())
            })?;
        }
        let has_more = best.is_full();
        if has_more {
            best.keys.pop_last();
        }
        let mut rows: BTreeMap<Key, T> = BTreeMap::new();
        let mut keep = |batch: &RecordBatch| -> Result<(), StoreError> {
            for row in read(batch)? {
                let of = cursor(&row);
                let key = (Reverse(of.time_ns), of.id);
                if best.keys.contains_key(&key) {
                    rows.entry(key).or_insert(row);
                }
            }
            Ok(())
        };
        for place in 0..=segments.len() {
            let chosen: Vec<Key> =
                best.keys.iter().filter(|(_, found)| **found == place).map(|(key, _)| *key).collect();
            let (Some((Reverse(newest), _)), Some((Reverse(oldest), _))) = (chosen.first(), chosen.last()) else {
                continue;
            };
            let range = TimeRange { start_ns: *oldest, end_ns: newest.saturating_add(1) };
            let ids: Arc<FxHashSet<u64>> = Arc::new(chosen.iter().map(|(_, id)| *id).collect());
            if place == 0 {
                for batch in snapshot.hot_rows(scan.table, range) {
                    let chosen = filter_record_batch(batch, &has_id(column(batch, "id"), &ids));
                    keep(&chosen.map_err(|error| StoreError::Engine(error.to_string()))?)?;
                }
            } else {
                let chosen = Scan::new(scan.table, range, scan.service);
                let test = Box::new(move |batch: RecordBatch| Ok(has_id(batch.column(0).as_ref(), &ids)));
                chosen.read_segment(&segments[place - 1], None, Some((&["id"], test)), &mut keep)?;
            }
        }
        let next = best.keys.last_key_value().filter(|_| has_more);
        let next = next.map(|((Reverse(time_ns), id), _)| RowCursor { time_ns: *time_ns, id: *id });
        Ok(Page { rows: rows.into_values().collect(), next })
    }
}

fn has_id(ids: &dyn arrow::array::Array, wanted: &FxHashSet<u64>) -> BooleanArray {
    ids.as_primitive::<UInt64Type>().values().iter().map(|id| Some(wanted.contains(id))).collect()
}
