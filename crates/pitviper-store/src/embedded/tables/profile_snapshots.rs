//! Values that were there at a moment, such as live memory: of each process its last snapshot counts.

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use rustc_hash::FxHashMap;
use twox_hash::XxHash64;

use super::profiles::{step_start, tests_of_process};
use super::{Scan, Test, column, passes};
use crate::embedded::hot::Snapshot;
use crate::questions::ProfileQuery;
use crate::store::StoreError;

/// A process whose last snapshot is older by more than this than the newest of all is taken to be gone.
const GONE_AFTER_NS: i64 = 300_000_000_000;

/// The columns that say of which process and moment a row is.
pub(super) const COLUMNS: [&str; 2] = ["time_ns", "resource"];

/// When the last snapshot of each process was taken, by the hash of its resource and the step.
#[derive(Debug, Default)]
pub(super) struct LastSnapshots(FxHashMap<(u64, i64), i64>);

impl LastSnapshots {
    /// Looks for them: whatever the process did then, a snapshot of it without that counts as nothing.
    pub(super) fn find(
        scan: &Scan<'_>,
        snapshot: &Snapshot,
        query: &ProfileQuery,
        columns: &[&'static str],
    ) -> Result<Self, StoreError> {
        let mut last: FxHashMap<(u64, i64), i64> = FxHashMap::default();
        scan.read(snapshot, columns, |batch| {
            let tests = tests_of_process(query, batch)?;
            let (times, processes) = processes(batch);
            for row in (0..batch.num_rows()).filter(|row| passes(&tests, *row)) {
                let place = (processes.of(row), step_start(query, times[row]));
                let known = last.entry(place).or_insert(times[row]);
                *known = times[row].max(*known);
            }
            Ok(())
        })?;
        let mut newest: FxHashMap<i64, i64> = FxHashMap::default();
        for ((_, step), time) in &last {
            let known = newest.entry(*step).or_insert(*time);
            *known = (*time).max(*known);
        }
        last.retain(|(_, step), time| newest[step].saturating_sub(*time) <= GONE_AFTER_NS);
        Ok(Self(last))
    }

    /// Rows that are part of such a snapshot.
    pub(super) fn test<'b>(&'b self, query: &'b ProfileQuery, batch: &'b RecordBatch) -> Test<'b> {
        let (times, processes) = processes(batch);
        Box::new(move |row| {
            let time = times[row];
            self.0.get(&(processes.of(row), step_start(query, time))) == Some(&time)
        })
    }
}

/// A hash of each resource of a batch, and which resource each row has.
struct Processes<'b> {
    keys: &'b [i32],
    hashes: Vec<u64>,
}

impl Processes<'_> {
    fn of(&self, row: usize) -> u64 {
        self.hashes[self.keys[row] as usize]
    }
}

fn processes(batch: &RecordBatch) -> (&[i64], Processes<'_>) {
    let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
    let resources = column(batch, "resource").as_dictionary::<Int32Type>();
    let texts = resources.values().as_string::<i32>().iter();
    let hashes = texts.map(|text| XxHash64::oneshot(0, text.unwrap_or_default().as_bytes())).collect();
    (times, Processes { keys: resources.keys().values(), hashes })
}
