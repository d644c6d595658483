//! The tables as data: how each is named, sorted, encoded, put together and let go.
//!
//! The log, the hot tier, flushes, segments and upkeep work for every table from its
//! [`TableDescription`]. A new table is an entry here, a schema beside this file, and its questions.
//!
//! Invariant: the first column of every table is `Int64` and says when a row begins, in nanoseconds
//! since the Unix epoch.

use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::concat_dictionaries;
use super::span_metrics::span_metrics_schema;
use super::spans::spans_schema;

/// The tables of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    Spans,
    SpanMetrics,
}

/// Whose retention a table falls under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Spans,
    SpanMetrics,
}

/// What becomes of rows of one key when rows are put into a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameKey {
    /// They stay as they are.
    Kept,
    /// Span metrics are added up, in wider buckets the older they are.
    AddedUp,
}

/// What the store needs to know of a table.
#[derive(Debug)]
pub(crate) struct TableDescription {
    /// In the manifest and in file names.
    pub(crate) name: &'static str,
    /// In the log; never used for another table.
    pub(crate) log_number: u8,
    pub(crate) schema: fn() -> SchemaRef,
    /// The columns its segments are sorted by.
    pub(crate) order: &'static [&'static str],
    pub(crate) same_key: SameKey,
    pub(crate) signal: Signal,
    /// Whether its oldest segments go when all data together is too large.
    pub(crate) goes_by_size: bool,
    /// Most rows of a merged segment.
    pub(crate) max_rows: u64,
    /// Whether its segments have page indexes, of `trace_id`, and of `attrs` with the `resource`'s.
    pub(crate) indexed: bool,
    /// Columns that hold distinct bytes in every row: no dictionary, and nothing for zstd to find.
    pub(crate) random: &'static [&'static str],
    /// Columns nobody prunes by statistics. An index finds trace ids.
    pub(crate) unpruned: &'static [&'static str],
    /// Maps, which nobody prunes by statistics either.
    pub(crate) maps: &'static [&'static str],
    /// Times that grow from row to row, nearly.
    pub(crate) rising: &'static [&'static str],
    /// Numbers with so many values that a dictionary only costs.
    pub(crate) various: &'static [&'static str],
    /// The same, where the high bytes are alike: they are laid apart from the low ones.
    pub(crate) split: &'static [&'static str],
}

/// Larger segments would not be pruned better, and take long to rewrite.
const MAX_ROWS: u64 = 8_000_000;
/// Of a table whose segments questions hold in memory whole.
const MAX_ROWS_HELD: u64 = 2_000_000;

static SPANS: TableDescription = TableDescription {
    name: "spans",
    log_number: 1,
    schema: spans_schema,
    order: &["service", "name", "start_ns"],
    same_key: SameKey::Kept,
    signal: Signal::Spans,
    goes_by_size: true,
    max_rows: MAX_ROWS,
    indexed: true,
    random: &["trace_id", "span_id", "parent_span_id"],
    unpruned: &[
        "trace_id",
        "span_id",
        "parent_span_id",
        "detail",
        "events",
        "links",
        "trace_state",
        "attr_types",
        "resource",
        "scope",
    ],
    maps: &["attrs", "attrs_num"],
    rising: &["start_ns"],
    various: &["duration_ns"],
    split: &[],
};

static SPAN_METRICS: TableDescription = TableDescription {
    name: "span_metrics",
    log_number: 2,
    schema: span_metrics_schema,
    order: &["service", "name", "bucket_start_ns"],
    same_key: SameKey::AddedUp,
    signal: Signal::SpanMetrics,
    goes_by_size: false,
    max_rows: MAX_ROWS_HELD,
    indexed: false,
    random: &[],
    unpruned: &[],
    maps: &[],
    rising: &[],
    various: &[],
    split: &["duration_sum_ns", "duration_min_ns", "duration_max_ns"],
};

impl Table {
    /// All tables, in the order in which a write holds them.
    pub(crate) const ALL: [Self; 2] = [Self::Spans, Self::SpanMetrics];

    pub(crate) fn description(self) -> &'static TableDescription {
        match self {
            Self::Spans => &SPANS,
            Self::SpanMetrics => &SPAN_METRICS,
        }
    }

    /// The table's name in the manifest and in file names.
    pub(crate) fn as_str(self) -> &'static str {
        self.description().name
    }

    /// The table of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.as_str() == name)
    }

    /// The table of this number in the log.
    pub(crate) fn of_log_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.description().log_number == number)
    }

    /// The columns.
    pub(crate) fn schema(self) -> SchemaRef {
        (self.description().schema)()
    }

    /// Puts rows of the table together, in order. Dictionaries are merged, so that a text is kept
    /// once however many batches repeat it.
    pub(crate) fn concat(self, batches: &[&RecordBatch]) -> Result<RecordBatch, ArrowError> {
        let schema = self.schema();
        let column = |index: usize| -> Result<ArrayRef, ArrowError> {
            match schema.field(index).data_type() {
                DataType::Dictionary(..) => Ok(concat_dictionaries(batches, index)),
                _ => concat(&batches.iter().map(|batch| batch.column(index).as_ref()).collect::<Vec<_>>()),
            }
        };
        let columns = (0..schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(schema, columns)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn descriptions_name_columns_that_are_there() {
        for table in Table::ALL {
            let (schema, about) = (table.schema(), table.description());
            let lists =
                [about.order, about.random, about.unpruned, about.maps, about.rising, about.various, about.split];
            for column in lists.concat() {
                assert!(schema.field_with_name(column).is_ok(), "{table:?} has no column {column}");
            }
            assert_eq!(schema.field(0).data_type(), &DataType::Int64, "{table:?}");
            for field in schema.fields() {
                let is_map = matches!(field.data_type(), DataType::Map(..));
                assert_eq!(is_map, about.maps.contains(&field.name().as_str()), "{table:?} {}", field.name());
            }
        }
    }

    #[test]
    fn names_and_numbers_are_each_one_tables() {
        let names: BTreeSet<&str> = Table::ALL.into_iter().map(Table::as_str).collect();
        let numbers: BTreeSet<u8> = Table::ALL.into_iter().map(|table| table.description().log_number).collect();
        assert_eq!((names.len(), numbers.len()), (Table::ALL.len(), Table::ALL.len()));
        for table in Table::ALL {
            assert_eq!(Table::parse(table.as_str()), Some(table));
            assert_eq!(Table::of_log_number(table.description().log_number), Some(table));
        }
        assert!(Table::ALL.is_sorted());
    }
}
