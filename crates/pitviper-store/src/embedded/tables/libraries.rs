//! Libraries by service, over whole days.

use std::collections::BTreeMap;

use pitviper_model::Library;

use super::{Scan, days};
use crate::embedded::hot::Snapshot;
use crate::embedded::manifest::Table;
use crate::questions::{LibrariesAnswer, LibrariesQuery};
use crate::schema::{DAY_NS, read_libraries, touches};
use crate::store::StoreError;

/// The columns of the answer: all.
const COLUMNS: [&str; 8] =
    ["first_seen_ns", "last_seen_ns", "service", "environment", "package", "version", "runtime", "host"];

/// Libraries that were seen on the days of the range.
pub(in crate::embedded) fn libraries(
    snapshot: &Snapshot,
    query: &LibrariesQuery,
) -> Result<LibrariesAnswer, StoreError> {
    let scan = Scan::new(Table::Libraries, days(query.range), query.service.as_deref());
    let mut found: BTreeMap<[String; 6], (u64, u64)> = BTreeMap::new();
    scan.read(snapshot, &COLUMNS, |batch| {
        for one in read_libraries(batch)? {
            let is_wanted = query.service.as_ref().is_none_or(|service| *service == one.service)
                && query.package.as_ref().is_none_or(|package| *package == one.package)
                && touches(query.range, one.first_seen_unix_nano.cast_signed(), DAY_NS);
            if is_wanted {
                let (first, last) = (one.first_seen_unix_nano, one.last_seen_unix_nano);
                let key = [one.service, one.environment, one.package, one.version, one.runtime, one.host];
                let known = found.entry(key).or_insert((first, last));
                *known = (known.0.min(first), known.1.max(last));
            }
        }
        Ok(())
    })?;
    let limit = query.limit.min(LibrariesQuery::MAX_LIMIT);
    let left_out = found.len().saturating_sub(limit);
    let library =
        |([service, environment, package, version, runtime, host], (first, last)): ([String; 6], _)| Library {
            service,
            environment,
            runtime,
            package,
            version,
            host,
            first_seen_unix_nano: first,
            last_seen_unix_nano: last,
        };
    Ok(LibrariesAnswer { libraries: found.into_iter().take(limit).map(library).collect(), left_out })
}
