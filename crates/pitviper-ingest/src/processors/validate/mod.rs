//! Which items are fit to keep.

mod points;
mod records;
mod spans;

use pitviper_store::schema::MAX_START_TIME_UNIX_NANO;

pub(crate) use points::fit_points;
pub(crate) use records::fit_records;
pub(crate) use spans::fit_spans;

/// Largest text of an item, all names, attributes and what else hangs on it together, in bytes. Beyond
/// it one item would be a burden on every query that meets it.
const MAX_ITEM_BYTES: usize = 4 * 1024 * 1024;

/// Whether the time, in nanoseconds since the Unix epoch, is one the store can hold.
pub(super) fn is_storable(time_unix_nano: u64) -> bool {
    (1..=MAX_START_TIME_UNIX_NANO).contains(&time_unix_nano)
}
