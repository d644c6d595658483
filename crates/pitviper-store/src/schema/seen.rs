//! Tables of things that are seen again and again: one row a thing and period, with its first and its
//! last moment.
//!
//! The first two columns are `first_seen_ns` and `last_seen_ns`. Both lie in one period, also after
//! rows were put together, so that a question about whole periods has one answer wherever rows lie.

use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use rustc_hash::FxHashMap;

use super::table::Table;
use crate::store::TimeRange;

pub(crate) const HOUR_NS: i64 = 3_600 * 1_000_000_000;
pub(crate) const DAY_NS: i64 = 24 * HOUR_NS;

/// The columns every such table begins with.
pub(super) fn seen_fields() -> [Field; 2] {
    ["first_seen_ns", "last_seen_ns"].map(|name| Field::new(name, DataType::Int64, false))
}

/// What was seen in one write.
#[derive(Debug)]
pub(super) struct SeenKeys<K> {
    period_ns: i64,
    places: FxHashMap<(K, i64), usize>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
}

impl<K: Hash + Eq> SeenKeys<K> {
    pub(super) fn new(period_ns: i64) -> Self {
        Self { period_ns, places: FxHashMap::default(), firsts: Vec::new(), lasts: Vec::new() }
    }

    /// Notes that something was seen. True when that makes a new row, of which the caller then adds
    /// the other columns.
    pub(super) fn see(&mut self, key: K, time_ns: i64) -> bool {
        let next = self.firsts.len();
        let place = *self.places.entry((key, time_ns.div_euclid(self.period_ns))).or_insert(next);
        if place == next {
            self.firsts.push(time_ns);
            self.lasts.push(time_ns);
            return true;
        }
        self.firsts[place] = self.firsts[place].min(time_ns);
        self.lasts[place] = self.lasts[place].max(time_ns);
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        self.firsts.is_empty()
    }

    pub(super) fn finish(self) -> [ArrayRef; 2] {
        [self.firsts, self.lasts].map(|times| Arc::new(Int64Array::from(times)) as ArrayRef)
    }
}

/// Puts rows of one thing and period together, of a table in its order.
pub(crate) struct SeenFold {
    table: Table,
    period_ns: i64,
    converter: RowConverter,
    /// The last row so far, which the next one may go on.
    open: Option<Open>,
}

struct Open {
    row: RecordBatch,
    key: OwnedRow,
    first: i64,
    last: i64,
}

impl SeenFold {
    pub(crate) fn new(table: Table, period_ns: i64) -> Result<Self, ArrowError> {
        let schema = table.schema();
        let field = |name: &str| Ok(SortField::new(schema.field_with_name(name)?.data_type().clone()));
        let fields = key_columns(table).iter().map(|name| field(name)).collect::<Result<_, ArrowError>>()?;
        Ok(Self { table, period_ns, converter: RowConverter::new(fields)?, open: None })
    }

    /// Adds rows, and returns those that are complete.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = key_columns(self.table)
            .iter()
            .map(|name| rows.schema_ref().index_of(name).map(|index| Arc::clone(rows.column(index))))
            .collect::<Result<Vec<_>, _>>()?;
        let keys = self.converter.convert_columns(&columns)?;
        let times = |column: usize| rows.column(column).as_primitive::<Int64Type>().values();
        let (firsts, lasts) = (times(0), times(1));
        let mut done = Done::default();
        let before = self.open.take();
        let mut group: Option<(usize, usize, i64, i64)> = None;
        if let Some(open) = &before {
            group = Some((0, 0, open.first, open.last));
        }
        for row in 0..rows.num_rows() {
            if let Some((batch, at, first, last)) = &mut group {
                let is_same_key = match before.as_ref().filter(|_| *batch == 0) {
                    Some(open) => open.key.row() == keys.row(row),
                    None => keys.row(*at) == keys.row(row),
                };
                if is_same_key && first.div_euclid(self.period_ns) == firsts[row].div_euclid(self.period_ns) {
                    *first = (*first).min(firsts[row]);
                    *last = (*last).max(lasts[row]);
                    continue;
                }
                done.push(*batch, *at, *first, *last);
            }
            group = Some((1, row, firsts[row], lasts[row]));
        }
        self.open = match (group, before.as_ref()) {
            (Some((0, _, first, last)), Some(open)) => {
                Some(Open { row: open.row.clone(), key: open.key.clone(), first, last })
            }
            (Some((_, at, first, last)), _) => {
                Some(Open { row: rows.slice(at, 1), key: keys.row(at).owned(), first, last })
            }
            (None, _) => None,
        };
        let empty = RecordBatch::new_empty(self.table.schema());
        done.take(&[before.as_ref().map_or(&empty, |open| &open.row), rows])
    }

    /// The row that is left, if any.
    pub(crate) fn finish(self) -> Result<RecordBatch, ArrowError> {
        match self.open {
            Some(open) => {
                let mut done = Done::default();
                done.push(0, 0, open.first, open.last);
                done.take(&[&open.row])
            }
            None => Ok(RecordBatch::new_empty(self.table.schema())),
        }
    }
}

/// Rows chosen, with the times they now have.
#[derive(Default)]
struct Done {
    chosen: Vec<(usize, usize)>,
    firsts: Vec<i64>,
    lasts: Vec<i64>,
}

impl Done {
    fn push(&mut self, batch: usize, row: usize, first: i64, last: i64) {
        self.chosen.push((batch, row));
        self.firsts.push(first);
        self.lasts.push(last);
    }

    fn take(self, batches: &[&RecordBatch]) -> Result<RecordBatch, ArrowError> {
        let rows = interleave_record_batch(batches, &self.chosen)?;
        let mut columns = rows.columns().to_vec();
        columns[0] = Arc::new(Int64Array::from(self.firsts));
        columns[1] = Arc::new(Int64Array::from(self.lasts));
        RecordBatch::try_new(rows.schema(), columns)
    }
}

/// The columns that say which thing it is: those the table is sorted by, without the time.
fn key_columns(table: Table) -> &'static [&'static str] {
    let order = table.description().order;
    &order[..order.len() - 1]
}

/// All of a sorted batch at once.
pub(crate) fn fold_seen(table: Table, period_ns: i64, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fold = SeenFold::new(table, period_ns)?;
    let complete = fold.add(rows)?;
    table.concat(&[&complete, &fold.finish()?])
}

/// Whether rows that were seen in this period count for the range: it touches the period.
pub(crate) fn touches(range: TimeRange, first_seen_ns: i64, period_ns: i64) -> bool {
    let period = first_seen_ns.div_euclid(period_ns);
    period >= range.start_ns.div_euclid(period_ns) && period <= (range.end_ns.saturating_sub(1)).div_euclid(period_ns)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pitviper_model::Library;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::libraries::{LibrariesBuilder, read_libraries};

    const PERIOD_NS: i64 = DAY_NS;

    fn rows(seen: &[(u8, i64)]) -> RecordBatch {
        let mut builder = LibrariesBuilder::default();
        for &(name, hour) in seen {
            let time = (hour * HOUR_NS).cast_unsigned();
            let package = name.to_string();
            builder.append(&Library {
                package,
                first_seen_unix_nano: time,
                last_seen_unix_nano: time,
                ..Library::default()
            });
        }
        builder.finish()
    }

    fn read(batches: &[RecordBatch]) -> Vec<(String, i64, i64)> {
        let libraries = batches.iter().flat_map(|batch| read_libraries(batch).unwrap());
        let hour = |time: u64| time.cast_signed() / HOUR_NS;
        libraries.map(|one| (one.package, hour(one.first_seen_unix_nano), hour(one.last_seen_unix_nano))).collect()
    }

    proptest! {
        #[test]
        fn one_row_is_left_of_each_thing_and_period(
            mut seen in vec((0..4u8, 0..100i64), 0..40), cuts in vec(0..40usize, 0..4)
        ) {
            let mut expected: BTreeMap<(String, i64), (i64, i64)> = BTreeMap::new();
            for &(name, hour) in &seen {
                let known = expected.entry((name.to_string(), hour / 24)).or_insert((hour, hour));
                *known = (known.0.min(hour), known.1.max(hour));
            }
            seen.sort_unstable();
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < seen.len()).chain([0, seen.len()]).collect();
            cuts.sort_unstable();
            let mut fold = SeenFold::new(Table::Libraries, PERIOD_NS).unwrap();
            let mut found = Vec::new();
            for cut in cuts.windows(2) {
                // Row by row, so that nothing is put together before.
                for one in &seen[cut[0]..cut[1]] {
                    found.push(fold.add(&rows(&[*one])).unwrap());
                }
                found.push(fold.add(&rows(&seen[cut[1]..cut[1]])).unwrap());
            }
            found.push(fold.finish().unwrap());
            let expected: Vec<_> =
                expected.into_iter().map(|((name, _), (first, last))| (name, first, last)).collect();
            prop_assert_eq!(read(&found), expected);
        }
    }

    #[test]
    fn a_range_touches_the_periods_it_has_a_moment_of() {
        let range = TimeRange { start_ns: DAY_NS + 5, end_ns: 3 * DAY_NS };
        let touched: Vec<i64> = (0..5).filter(|day| touches(range, day * DAY_NS + 1, DAY_NS)).collect();
        assert_eq!(touched, [1, 2]);
        assert!(touches(TimeRange::ALL, 0, DAY_NS));
    }
}
