//! Log records that match, the newest first.

use arrow::array::{Array as _, AsArray};
use arrow::datatypes::{Int32Type, UInt8Type};
use arrow::record_batch::RecordBatch;
use memchr::memmem::Finder;

use super::newest::Newest;
use super::page_statistics::Bounds;
use super::{Scan, Test, column, has_bytes, has_text, in_range};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::embedded::prune::Lookup;
use crate::filter::{Filter, TextField, TextMatch};
use crate::questions::{LogsQuery, Page, StoredLog};
use crate::schema::{read_logs, read_resource};
use crate::store::StoreError;

/// The page of log records that the question asks for.
pub(in crate::embedded) fn logs(snapshot: &Snapshot, query: &LogsQuery) -> Result<Page<StoredLog>, StoreError> {
    let mut scan = Scan::new(Table::Logs, query.range, query.service.as_deref());
    scan.bounds.extend(query.min_severity.map(|least| ("severity", Bounds::AtLeast(least))));
    scan.lookup = Lookup::of(&indexed(query));
    let mut columns = Vec::new();
    let is_asked = [
        ("service", query.service.is_some()),
        ("severity", query.min_severity.is_some()),
        ("trace_id", query.trace_id.is_some()),
        ("body", query.body_contains.is_some()),
        ("attrs", !query.attributes.is_empty()),
        ("resource", !query.attributes.is_empty()),
    ];
    columns.extend(is_asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(name, _)| name));
    let newest = Newest { scan, columns, limit: query.limit.min(LogsQuery::MAX_LIMIT), after: query.after };
    newest.read(snapshot, |batch| tests(query, batch), read_logs, |log| log.cursor)
}

/// What the page indexes can help with.
fn indexed(query: &LogsQuery) -> Filter {
    let trace = query.trace_id.map(Filter::Trace);
    let equals = |(key, text): &(String, String)| {
        Filter::Text(TextField::Attribute(key.clone()), TextMatch::Equals(text.clone()))
    };
    Filter::And(trace.into_iter().chain(query.attributes.iter().map(equals)).collect())
}

/// In the order of what they cost.
fn tests<'b>(query: &LogsQuery, batch: &'b RecordBatch) -> Vec<Test<'b>> {
    let mut tests: Vec<Test<'b>> = vec![in_range(batch, "time_ns", query.range)];
    if let Some(service) = &query.service {
        tests.push(has_text(batch, "service", service));
    }
    if let Some(least) = query.min_severity {
        let severities = column(batch, "severity").as_primitive::<UInt8Type>().values();
        tests.push(Box::new(move |row| severities[row] >= least));
    }
    if let Some(trace_id) = &query.trace_id {
        tests.push(has_bytes(batch, "trace_id", trace_id.0));
    }
    for (key, text) in &query.attributes {
        tests.push(has_attribute(batch, key, text));
    }
    if let Some(text) = &query.body_contains {
        let finder = Finder::new(text.as_bytes()).into_owned();
        let bodies = column(batch, "body").as_string::<i32>();
        tests.push(Box::new(move |row| bodies.is_valid(row) && finder.find(bodies.value(row).as_bytes()).is_some()));
    }
    tests
}

/// Rows with this attribute; where they have none of this key, those whose resource has it.
fn has_attribute<'b>(batch: &'b RecordBatch, key: &str, wanted: &str) -> Test<'b> {
    let map = column(batch, "attrs").as_map();
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let offsets = map.value_offsets();
    let resources = column(batch, "resource").as_dictionary::<Int32Type>();
    let has_resource: Vec<bool> = resources
        .values()
        .as_string::<i32>()
        .iter()
        .map(|text| {
            let attributes = text.and_then(|text| read_resource(text).ok()).unwrap_or_default().attributes;
            attributes.get(key).is_some_and(|value| value.to_text() == wanted)
        })
        .collect();
    let resource_keys = resources.keys().values();
    let (key, wanted) = (key.to_owned(), wanted.to_owned());
    Box::new(move |row| {
        // Of a key that is repeated, the last one counts.
        let mut own = (offsets[row] as usize..offsets[row + 1] as usize).rev();
        match own.find(|at| keys.value(*at) == key) {
            Some(at) => values.value(at) == wanted,
            None => has_resource[resource_keys[row] as usize],
        }
    })
}
