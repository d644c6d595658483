//! Which processes sent spans, and through which libraries: whole hours from the table of resources,
//! what a range cuts off an hour from the spans.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use rustc_hash::{FxHashMap, FxHashSet};

use super::hot::Snapshot;
use super::manifest::Table;
use crate::schema::{HOUR_NS, read_resource, read_scope};
use crate::store::{ResourceSeen, StoreError, TimeRange};

/// The columns [`Summary::add`] reads.
const COLUMNS: [&str; 3] = ["start_ns", "resource", "scope"];

/// First and last start of the spans of each resource and scope, as the columns' texts.
#[derive(Debug, Default, Clone)]
pub(super) struct Summary(FxHashMap<(String, String), (i64, i64)>);

impl Summary {
    /// Counts the rows of a batch that start in the range.
    pub(super) fn add(&mut self, batch: &RecordBatch, range: TimeRange) {
        let column = |name: &str| batch.column_by_name(name).expect("callers project the columns that are read");
        let starts = column("start_ns").as_primitive::<Int64Type>().values();
        let resources = column("resource").as_dictionary::<Int32Type>();
        let scopes = column("scope").as_dictionary::<Int32Type>();
        let mut by_key: FxHashMap<(i32, i32), (i64, i64)> = FxHashMap::default();
        let keys = resources.keys().values().iter().zip(scopes.keys().values());
        for (&start, (&resource, &scope)) in starts.iter().zip(keys) {
            if (range.start_ns..range.end_ns).contains(&start) {
                let seen = by_key.entry((resource, scope)).or_insert((start, start));
                *seen = (seen.0.min(start), seen.1.max(start));
            }
        }
        let (resources, scopes) = (resources.values().as_string::<i32>(), scopes.values().as_string::<i32>());
        for ((resource, scope), seen) in by_key {
            let key = (resources.value(resource as usize).to_owned(), scopes.value(scope as usize).to_owned());
            self.see(key, seen);
        }
    }

    fn see(&mut self, key: (String, String), (first, last): (i64, i64)) {
        match self.0.entry(key) {
            Entry::Occupied(mut entry) => {
                let seen = entry.get_mut();
                *seen = (seen.0.min(first), seen.1.max(last));
            }
            Entry::Vacant(entry) => {
                entry.insert((first, last));
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        for (key, seen) in &other.0 {
            self.see(key.clone(), *seen);
        }
    }
}

/// Resources with spans in the range, latest first.
pub(super) fn resources(snapshot: &Snapshot, range: TimeRange) -> Result<Vec<ResourceSeen>, StoreError> {
    let mut summary = Summary::default();
    for batch in snapshot.hot_rows(Table::Spans, range) {
        summary.add(batch, range);
    }
    // Segments of spans that were flushed before there was a table of resources have none in it.
    let tabled = snapshot.segments.iter().filter(|segment| segment.row.table == Table::Resources);
    let tabled_from = tabled.map(|segment| segment.row.min_sequence).min().unwrap_or(u64::MAX);
    let cut_hours = add_hours(snapshot, range, &mut summary)?;
    for segment in snapshot.segments_in(Table::Spans, range) {
        let is_tabled = segment.row.min_sequence >= tabled_from;
        if is_tabled && !cut_hours.iter().any(|hour| segment.overlaps(*hour)) {
            continue;
        }
        if segment.is_within(range) {
            summary.merge(&*segment.resource_summary(&COLUMNS)?);
        } else {
            for batch in segment.read(&COLUMNS)? {
                summary.add(&batch, range);
            }
        }
    }
    assemble(&summary)
}

/// Adds what the table of resources says of whole hours. Returns the parts of the range in whose hours
/// something was seen both inside and outside of it: there only the spans know when.
fn add_hours(snapshot: &Snapshot, range: TimeRange, summary: &mut Summary) -> Result<Vec<TimeRange>, StoreError> {
    let mut cut: Vec<TimeRange> = Vec::new();
    for segment in snapshot.segments_in(Table::Resources, range) {
        for batch in segment.read(&["first_seen_ns", "last_seen_ns", "resource", "scope"])? {
            let column = |name: &str| batch.column_by_name(name).expect("the columns were asked for");
            let times = |name: &str| column(name).as_primitive::<Int64Type>().values();
            let (firsts, lasts) = (times("first_seen_ns"), times("last_seen_ns"));
            let text = |name: &str, row: usize| {
                let dictionary = column(name).as_dictionary::<Int32Type>();
                dictionary.values().as_string::<i32>().value(dictionary.keys().value(row) as usize).to_owned()
            };
            for (row, (&first, &last)) in firsts.iter().zip(lasts.iter()).enumerate() {
                if last < range.start_ns || first >= range.end_ns {
                    continue;
                }
                if first >= range.start_ns && last < range.end_ns {
                    summary.see((text("resource", row), text("scope", row)), (first, last));
                    continue;
                }
                let hour = first.div_euclid(HOUR_NS).saturating_mul(HOUR_NS);
                let part = TimeRange {
                    start_ns: hour.max(range.start_ns),
                    end_ns: hour.saturating_add(HOUR_NS).min(range.end_ns),
                };
                if !cut.contains(&part) {
                    cut.push(part);
                }
            }
        }
    }
    Ok(cut)
}

fn assemble(summary: &Summary) -> Result<Vec<ResourceSeen>, StoreError> {
    let mut by_resource: FxHashMap<&str, ResourceSeen> = FxHashMap::default();
    let mut scopes_seen: FxHashSet<(&str, &str)> = FxHashSet::default();
    for ((resource, scope), &(first, last)) in &summary.0 {
        let seen = match by_resource.entry(resource) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(ResourceSeen {
                resource: Arc::new(read_resource(resource)?),
                first_seen_ns: first,
                last_seen_ns: last,
                scopes: Vec::new(),
            }),
        };
        seen.first_seen_ns = seen.first_seen_ns.min(first);
        seen.last_seen_ns = seen.last_seen_ns.max(last);
        if scopes_seen.insert((resource, scope)) {
            seen.scopes.push(Arc::new(read_scope(scope)?));
        }
    }
    let mut found: Vec<ResourceSeen> = by_resource.into_values().collect();
    for seen in &mut found {
        seen.scopes.sort_by(|left, right| (&left.name, &left.version).cmp(&(&right.name, &right.version)));
    }
    found.sort_by(|left, right| {
        (right.last_seen_ns, left.resource.service()).cmp(&(left.last_seen_ns, right.resource.service()))
    });
    Ok(found)
}
