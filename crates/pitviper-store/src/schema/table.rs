//! The tables as data: how each is named, sorted, encoded, put together and let go.
//!
//! The log, the hot tier, flushes, segments and upkeep work for every table from its
//! [`TableDescription`]. A new table is an entry here, a schema beside this file, and its questions.
//!
//! Invariant: the first column of every table is `Int64` and says when a row begins, in nanoseconds
//! since the Unix epoch.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use super::columns::concat_dictionaries;
use super::exceptions::exceptions_schema;
use super::libraries::libraries_schema;
use super::logs::logs_schema;
use super::metric_points::{metric_points_schema, metric_series_schema};
use super::profiles::{frames_schema, profile_samples_schema, stacks_schema};
use super::resources::resources_schema;
use super::seen::{DAY_NS, HOUR_NS};
use super::span_metrics::span_metrics_schema;
use super::spans::spans_schema;

/// The tables of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Table {
    Spans,
    SpanMetrics,
    Logs,
    MetricSeries,
    MetricPoints,
    ProfileSamples,
    Stacks,
    Frames,
    Exceptions,
    Libraries,
    Resources,
}

/// What retention is said for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Spans, and what is known of them: exceptions.
    Spans,
    /// Metrics that were counted from spans, and the inventory, which is small.
    SpanMetrics,
    /// Metrics that were sent as such.
    Metrics,
    Logs,
    Profiles,
}

/// How long a table's segments stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stay {
    /// As long as its signal is kept.
    AsLongAs(Signal),
    /// While the other table has a segment with rows of the same writes, which may point to it.
    With(Table),
}

/// What becomes of rows of one key when rows are put into a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SameKey {
    /// They stay as they are.
    Kept,
    /// Span metrics are added up, in wider buckets the older they are.
    AddedUp,
    /// One stays for each period of this many nanoseconds, with the first and the last moment; the
    /// key is what the table is sorted by, without the time. See `seen`.
    Seen(i64),
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
    pub(crate) stay: Stay,
    /// Whether its oldest segments go when all data together is too large.
    pub(crate) goes_by_size: bool,
    /// Most rows of a merged segment.
    pub(crate) max_rows: u64,
    /// Whether its segments have page indexes, of `trace_id`, and of `attrs` with the `resource`'s.
    pub(crate) indexed: bool,
    /// Whether a segment lists the values of `trace_id` beside it, and its rows hold their numbers in
    /// a column `trace` instead.
    pub(crate) numbers_traces: bool,
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

/// In the file of a segment that numbers traces, the column that stands for `trace_id`.
pub(crate) const TRACE_NUMBER: &str = "trace";

/// Larger segments would not be pruned better, and take long to rewrite.
const MAX_ROWS: u64 = 8_000_000;
/// Of a table whose segments questions hold in memory whole.
const MAX_ROWS_HELD: u64 = 2_000_000;

/// What most tables have in common.
const PLAIN: TableDescription = TableDescription {
    name: "",
    log_number: 0,
    schema: spans_schema,
    order: &[],
    same_key: SameKey::Kept,
    stay: Stay::AsLongAs(Signal::Spans),
    goes_by_size: false,
    max_rows: MAX_ROWS,
    indexed: false,
    numbers_traces: false,
    random: &[],
    unpruned: &[],
    maps: &[],
    rising: &[],
    various: &[],
    split: &[],
};

static SPANS: TableDescription = TableDescription {
    name: "spans",
    log_number: 1,
    schema: spans_schema,
    order: &["service", "name", "start_ns"],
    same_key: SameKey::Kept,
    stay: Stay::AsLongAs(Signal::Spans),
    goes_by_size: true,
    max_rows: MAX_ROWS,
    indexed: true,
    numbers_traces: true,
    random: &["span_id", "parent_span_id"],
    unpruned: &[
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
    stay: Stay::AsLongAs(Signal::SpanMetrics),
    max_rows: MAX_ROWS_HELD,
    split: &["duration_sum_ns", "duration_min_ns", "duration_max_ns"],
    ..PLAIN
};

static LOGS: TableDescription = TableDescription {
    name: "logs",
    log_number: 3,
    schema: logs_schema,
    order: &["service", "severity", "time_ns"],
    stay: Stay::AsLongAs(Signal::Logs),
    goes_by_size: true,
    indexed: true,
    random: &["id", "trace_id", "span_id"],
    unpruned: &["id", "trace_id", "span_id", "body", "body_json", "attr_types", "resource", "scope"],
    maps: &["attrs"],
    rising: &["time_ns"],
    ..PLAIN
};

static METRIC_SERIES: TableDescription = TableDescription {
    name: "metric_series",
    log_number: 4,
    schema: metric_series_schema,
    order: &["service", "name", "series", "first_seen_ns"],
    same_key: SameKey::Seen(DAY_NS),
    stay: Stay::With(Table::MetricPoints),
    unpruned: &["attributes", "resource", "scope"],
    ..PLAIN
};

static METRIC_POINTS: TableDescription = TableDescription {
    name: "metric_points",
    log_number: 5,
    schema: metric_points_schema,
    order: &["service", "name", "series", "time_ns"],
    stay: Stay::AsLongAs(Signal::Metrics),
    unpruned: &["exemplars"],
    rising: &["time_ns"],
    ..PLAIN
};

static PROFILE_SAMPLES: TableDescription = TableDescription {
    name: "profile_samples",
    log_number: 6,
    schema: profile_samples_schema,
    order: &["service", "sample_type", "time_ns"],
    stay: Stay::AsLongAs(Signal::Profiles),
    goes_by_size: true,
    unpruned: &["stack", "trace_id", "span_id", "attr_types", "resource"],
    maps: &["attrs"],
    rising: &["time_ns"],
    ..PLAIN
};

static STACKS: TableDescription = TableDescription {
    name: "stacks",
    log_number: 7,
    schema: stacks_schema,
    order: &["stack", "first_seen_ns"],
    same_key: SameKey::Seen(DAY_NS),
    stay: Stay::With(Table::ProfileSamples),
    unpruned: &["frames"],
    ..PLAIN
};

static FRAMES: TableDescription = TableDescription {
    name: "frames",
    log_number: 8,
    schema: frames_schema,
    order: &["frame", "first_seen_ns"],
    same_key: SameKey::Seen(DAY_NS),
    stay: Stay::With(Table::ProfileSamples),
    unpruned: &["function", "file", "library"],
    ..PLAIN
};

static EXCEPTIONS: TableDescription = TableDescription {
    name: "exceptions",
    log_number: 9,
    schema: exceptions_schema,
    order: &["service", "fingerprint", "time_ns"],
    random: &["id", "trace_id", "span_id"],
    unpruned: &["id", "trace_id", "span_id", "message", "stacktrace", "attr_types", "resource"],
    maps: &["attrs"],
    rising: &["time_ns"],
    ..PLAIN
};

static LIBRARIES: TableDescription = TableDescription {
    name: "libraries",
    log_number: 10,
    schema: libraries_schema,
    order: &["service", "environment", "package", "version", "runtime", "host", "first_seen_ns"],
    same_key: SameKey::Seen(DAY_NS),
    stay: Stay::AsLongAs(Signal::SpanMetrics),
    ..PLAIN
};

static RESOURCES: TableDescription = TableDescription {
    name: "resources",
    log_number: 11,
    schema: resources_schema,
    order: &["service", "resource", "scope", "first_seen_ns"],
    same_key: SameKey::Seen(HOUR_NS),
    stay: Stay::With(Table::Spans),
    unpruned: &["resource", "scope"],
    ..PLAIN
};

impl TableDescription {
    /// The columns with the earliest and the latest moment of a row.
    pub(crate) fn time_columns(&self) -> (usize, usize) {
        match self.same_key {
            SameKey::Seen(_) => (0, 1),
            SameKey::Kept | SameKey::AddedUp => (0, 0),
        }
    }

    /// The column a look-up by time prunes with.
    pub(crate) fn time_column(&self) -> &'static str {
        match self.same_key {
            SameKey::Seen(_) => "first_seen_ns",
            SameKey::Kept | SameKey::AddedUp => self.order[self.order.len() - 1],
        }
    }
}

impl Table {
    /// All tables, in the order in which a write holds them.
    pub(crate) const ALL: [Self; 11] = [
        Self::Spans,
        Self::SpanMetrics,
        Self::Logs,
        Self::MetricSeries,
        Self::MetricPoints,
        Self::ProfileSamples,
        Self::Stacks,
        Self::Frames,
        Self::Exceptions,
        Self::Libraries,
        Self::Resources,
    ];

    pub(crate) fn description(self) -> &'static TableDescription {
        match self {
            Self::Spans => &SPANS,
            Self::SpanMetrics => &SPAN_METRICS,
            Self::Logs => &LOGS,
            Self::MetricSeries => &METRIC_SERIES,
            Self::MetricPoints => &METRIC_POINTS,
            Self::ProfileSamples => &PROFILE_SAMPLES,
            Self::Stacks => &STACKS,
            Self::Frames => &FRAMES,
            Self::Exceptions => &EXCEPTIONS,
            Self::Libraries => &LIBRARIES,
            Self::Resources => &RESOURCES,
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

    /// The columns of a segment's file.
    pub(crate) fn segment_schema(self) -> SchemaRef {
        let schema = self.schema();
        if !self.description().numbers_traces {
            return schema;
        }
        let in_file = |field: &FieldRef| match field.name().as_str() {
            "trace_id" => Arc::new(Field::new(TRACE_NUMBER, DataType::UInt32, false)),
            _ => Arc::clone(field),
        };
        Arc::new(Schema::new(schema.fields().iter().map(in_file).collect::<Vec<_>>()))
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
