//! The tables: their columns, and the builders that turn model types into rows.
//!
//! Ingest fills a [`WriteBatch`] through the builders, such as [`SpansBuilder`]; nobody else needs to
//! know the columns. Builders take model types, so a receiver never touches Arrow. What the rest of
//! the store needs to know of a table is in `table`.
//!
//! Invariants:
//! - A span comes back from its row exactly as it went in: attribute types, order and repeated keys.
//! - A row needs nothing but its own segment to be read: resource and scope are columns.

mod columns;
mod exceptions;
mod json;
mod libraries;
mod logs;
mod metric_points;
mod metric_points_read;
mod profiles;
mod resources;
mod row_id;
mod seen;
mod span_metrics;
mod spans;
mod spans_read;
#[cfg(test)]
mod strategies;
mod table;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

pub use exceptions::ExceptionsBuilder;
pub use libraries::LibrariesBuilder;
pub use logs::LogsBuilder;
pub use metric_points::MetricPointsBuilder;
pub use profiles::{ProfilesBuilder, SAMPLES_LABEL};
pub use span_metrics::{SpanMetricKey, SpanMetricsBuilder};
pub use spans::SpansBuilder;

pub(crate) use columns::TypeLetter;
pub(crate) use exceptions::read_exceptions;
pub(crate) use json::{read_hex as read_id, read_value as read_json};
pub(crate) use libraries::read_libraries;
pub(crate) use logs::read_logs;
pub(crate) use metric_points_read::{read_points, read_series};
pub(crate) use profiles::{read_frames, read_stacks};
pub(crate) use resources::resources_of_spans;
pub(crate) use seen::{DAY_NS, HOUR_NS, SeenFold, fold_seen, touches};
pub(crate) use span_metrics::{Counted, SpanMetricsRows, abridge, read_span_metrics};
pub(crate) use spans_read::{SPAN_COLUMNS, WATERFALL_COLUMNS, read_resource, read_scope, read_spans, read_waterfall};
pub(crate) use table::{SameKey, Signal, Stay, TRACE_NUMBER, Table};

/// A value as JSON that loses nothing.
pub(crate) fn write_json(value: &pitviper_model::Value) -> String {
    let mut out = String::new();
    json::write_value(value, &mut out);
    out
}

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

    /// Adds log records.
    #[must_use]
    pub fn with_logs(mut self, logs: LogsBuilder) -> Self {
        if !logs.is_empty() {
            self.set(Table::Logs, logs.finish());
        }
        self
    }

    /// Adds points of metrics.
    #[must_use]
    pub fn with_metric_points(mut self, points: MetricPointsBuilder) -> Self {
        if !points.is_empty() {
            let [series, points] = points.finish();
            self.set(Table::MetricSeries, series);
            self.set(Table::MetricPoints, points);
        }
        self
    }

    /// Adds samples of profiles.
    #[must_use]
    pub fn with_profiles(mut self, profiles: ProfilesBuilder) -> Self {
        if !profiles.is_empty() {
            let [samples, stacks, frames] = profiles.finish();
            self.set(Table::ProfileSamples, samples);
            self.set(Table::Stacks, stacks);
            self.set(Table::Frames, frames);
        }
        self
    }

    /// Adds occurrences of exceptions.
    #[must_use]
    pub fn with_exceptions(mut self, exceptions: ExceptionsBuilder) -> Self {
        if !exceptions.is_empty() {
            self.set(Table::Exceptions, exceptions.finish());
        }
        self
    }

    /// Adds libraries that services run with.
    #[must_use]
    pub fn with_libraries(mut self, libraries: LibrariesBuilder) -> Self {
        if !libraries.is_empty() {
            self.set(Table::Libraries, libraries.finish());
        }
        self
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
