//! Exceptions: occurrences, the newest first, and groups of them.

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use pitviper_model::Fingerprint;
use rustc_hash::{FxHashMap, FxHashSet};

use super::newest::Newest;
use super::page_statistics::Bounds;
use super::{Scan, Test, column, has_bytes, has_text, in_range, passes};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::questions::{
    ExceptionGroup, ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, Page, RowCursor, StoredException,
};
use crate::schema::read_exceptions;
use crate::store::{StoreError, TimeRange};

/// Occurrences whose ids are held in memory to tell those that a sender repeated.
const MAX_KNOWN_IDS: usize = 2_000_000;

/// The page of occurrences that the question asks for.
pub(in crate::embedded) fn exceptions(
    snapshot: &Snapshot,
    query: &ExceptionsQuery,
) -> Result<Page<StoredException>, StoreError> {
    let mut scan = Scan::new(Table::Exceptions, query.range, query.service.as_deref());
    scan.bounds.extend(query.fingerprint.iter().map(|fingerprint| ("fingerprint", Bounds::Equal(&fingerprint.0))));
    let is_asked = [
        ("service", query.service.is_some()),
        ("fingerprint", query.fingerprint.is_some()),
        ("trace_id", query.trace_id.is_some()),
    ];
    let columns = is_asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name).collect();
    let newest = Newest { scan, columns, limit: query.limit.min(ExceptionsQuery::MAX_LIMIT), after: query.after };
    newest.read(snapshot, |batch| tests(query, batch), read_exceptions, |row| row.cursor)
}

fn tests<'b>(query: &ExceptionsQuery, batch: &'b RecordBatch) -> Vec<Test<'b>> {
    let mut tests: Vec<Test<'b>> = vec![in_range(batch, "time_ns", query.range)];
    if let Some(service) = &query.service {
        tests.push(has_text(batch, "service", service));
    }
    if let Some(fingerprint) = &query.fingerprint {
        tests.push(has_bytes(batch, "fingerprint", fingerprint.0));
    }
    if let Some(trace_id) = &query.trace_id {
        tests.push(has_bytes(batch, "trace_id", trace_id.0));
    }
    tests
}

/// What is known of a group so far.
struct Group {
    count: u64,
    first_ns: i64,
    /// The last one, and of those of one time the one with the least id, as pages have it.
    last: RowCursor,
}

/// Groups of exceptions, the latest first.
pub(in crate::embedded) fn exception_groups(
    snapshot: &Snapshot,
    query: &ExceptionGroupsQuery,
) -> Result<ExceptionGroups, StoreError> {
    let scan = Scan::new(Table::Exceptions, query.range, query.service.as_deref());
    let mut groups: FxHashMap<Fingerprint, Group> = FxHashMap::default();
    let mut known: FxHashSet<(i64, u64)> = FxHashSet::default();
    let mut is_approximate = false;
    scan.read(snapshot, &["time_ns", "id", "service", "fingerprint"], |batch| {
        let mut tests: Vec<Test<'_>> = vec![in_range(batch, "time_ns", query.range)];
        tests.extend(query.service.as_ref().map(|service| has_text(batch, "service", service)));
        let times = column(batch, "time_ns").as_primitive::<Int64Type>().values();
        let ids = column(batch, "id").as_primitive::<UInt64Type>().values();
        let fingerprints = column(batch, "fingerprint").as_fixed_size_binary();
        for row in (0..batch.num_rows()).filter(|row| passes(&tests, *row)) {
            let at = RowCursor { time_ns: times[row], id: ids[row] };
            let is_new = if known.len() < MAX_KNOWN_IDS {
                known.insert((at.time_ns, at.id))
            } else {
                is_approximate = true;
                !known.contains(&(at.time_ns, at.id))
            };
            if !is_new {
                continue;
            }
            let fingerprint = Fingerprint::from_slice(fingerprints.value(row)).unwrap_or_default();
            let group = groups.entry(fingerprint).or_insert(Group { count: 0, first_ns: at.time_ns, last: at });
            group.count += 1;
            group.first_ns = group.first_ns.min(at.time_ns);
            if (at.time_ns, std::cmp::Reverse(at.id)) > (group.last.time_ns, std::cmp::Reverse(group.last.id)) {
                group.last = at;
            }
        }
        Ok(())
    })?;
    let mut groups: Vec<(Fingerprint, Group)> = groups.into_iter().collect();
    groups.sort_unstable_by_key(|(fingerprint, group)| (std::cmp::Reverse(group.last.time_ns), *fingerprint));
    let limit = query.limit.min(ExceptionGroupsQuery::MAX_LIMIT);
    let left_out = groups.len().saturating_sub(limit);
    groups.truncate(limit);
    let groups = groups.into_iter().map(|(fingerprint, group)| with_sample(snapshot, query, fingerprint, &group));
    Ok(ExceptionGroups { groups: groups.collect::<Result<_, _>>()?, left_out, is_approximate })
}

fn with_sample(
    snapshot: &Snapshot,
    query: &ExceptionGroupsQuery,
    fingerprint: Fingerprint,
    group: &Group,
) -> Result<ExceptionGroup, StoreError> {
    let last_ns = group.last.time_ns;
    let sample = ExceptionsQuery {
        range: TimeRange { start_ns: last_ns, end_ns: last_ns.saturating_add(1) },
        service: query.service.clone(),
        fingerprint: Some(fingerprint),
        trace_id: None,
        limit: 1,
        after: None,
    };
    let sample = exceptions(snapshot, &sample)?.rows.pop();
    let sample = sample.ok_or_else(|| StoreError::Engine("an exception was counted and not found".to_owned()))?;
    Ok(ExceptionGroup { fingerprint, count: group.count, first_ns: group.first_ns, last_ns, sample })
}
