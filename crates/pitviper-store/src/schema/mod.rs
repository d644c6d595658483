//! The tables: their columns, and the builders that turn model types into rows.
//!
//! Ingest fills a [`WriteBatch`] through [`SpansBuilder`] and [`SpanMetricsBuilder`]; nobody else
//! needs to know the columns. Both builders take model types, so a receiver never touches Arrow.
//!
//! Invariants:
//! - A span comes back from its row exactly as it went in: attribute types, order and repeated keys.
//! - A row needs nothing but its own segment to be read: resource and scope are columns.

mod columns;
mod json;
mod span_metrics;
mod spans;
mod spans_read;
mod table;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use span_metrics::{SpanMetricKey, SpanMetricsBuilder};
pub use spans::SpansBuilder;

pub(crate) use columns::TypeLetter;
pub(crate) use span_metrics::{SpanMetricsRows, read_span_metrics};
pub(crate) use spans_read::{WATERFALL_COLUMNS, read_resource, read_scope, read_spans, read_waterfall};
pub(crate) use table::{SameKey, Signal, TRACE_NUMBER, Table};

/// Version of the tables and of the files' layout. A data directory of a newer version is refused.
pub const SCHEMA_VERSION: u32 = 3;

/// Width of a span metrics bucket, in nanoseconds.
pub const METRIC_BUCKET_NS: i64 = 10_000_000_000;

/// Latest start time the store can hold, in nanoseconds since the Unix epoch (the year 2262).
/// Later ones are stored as this one, so a receiver rejects them before.
pub const MAX_START_TIME_UNIX_NANO: u64 = i64::MAX as u64 - 1;

/// What one request to the server wants kept. All of it becomes durable, or none.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// The rows of each table that has any, by table.
    rows: Vec<(Table, RecordBatch)>,
}

impl WriteBatch {
    /// Closes the builders into one write.
    #[must_use]
    pub fn new(spans: SpansBuilder, span_metrics: SpanMetricsBuilder) -> Self {
        let mut write = Self::default();
        if !spans.is_empty() {
            write.set(Table::Spans, spans.finish());
        }
        if !span_metrics.is_empty() {
            write.set(Table::SpanMetrics, span_metrics.finish());
        }
        write
    }

    /// How many spans it holds.
    #[must_use]
    pub fn span_count(&self) -> usize {
        self.get(Table::Spans).map_or(0, RecordBatch::num_rows)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of a table, if it has any.
    pub(crate) fn get(&self, table: Table) -> Option<&RecordBatch> {
        self.rows.iter().find(|(of, _)| *of == table).map(|(_, rows)| rows)
    }

    /// The tables it has rows of, with the rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Table, &RecordBatch)> {
        self.rows.iter().map(|(table, rows)| (*table, rows))
    }

    /// Puts rows in the place of a table's.
    pub(crate) fn set(&mut self, table: Table, rows: RecordBatch) {
        let place = self.rows.partition_point(|(of, _)| *of < table);
        match self.rows.get_mut(place) {
            Some((of, known)) if *of == table => *known = rows,
            _ => self.rows.insert(place, (table, rows)),
        }
    }

    /// How many rows there are of the table that has most.
    pub(crate) fn longest(&self) -> usize {
        self.rows.iter().map(|(_, rows)| rows.num_rows()).max().unwrap_or_default()
    }

    /// Puts writes together, in order.
    pub(crate) fn concat<'a>(writes: impl Iterator<Item = &'a Self> + Clone) -> Result<Self, ArrowError> {
        let mut all = Self::default();
        for table in Table::ALL {
            let rows: Vec<&RecordBatch> = writes.clone().filter_map(|write| write.get(table)).collect();
            if !rows.is_empty() {
                all.set(table, table.concat(&rows)?);
            }
        }
        Ok(all)
    }
}
