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

use arrow::record_batch::RecordBatch;

pub use span_metrics::{SpanMetricKey, SpanMetricsBuilder};
pub use spans::SpansBuilder;

pub(crate) use span_metrics::{SpanMetricsRows, read_span_metrics, span_metrics_schema};
pub(crate) use spans::{concat_spans, spans_schema};
pub(crate) use spans_read::{SPAN_COLUMNS, WATERFALL_COLUMNS, read_resource, read_scope, read_spans, read_waterfall};

/// Version of the tables and of the files' layout. A data directory of a newer version is refused.
pub const SCHEMA_VERSION: u32 = 2;

/// Width of a span metrics bucket, in nanoseconds.
pub const METRIC_BUCKET_NS: i64 = 10_000_000_000;

/// Latest start time the store can hold, in nanoseconds since the Unix epoch (the year 2262).
/// Later ones are stored as this one, so a receiver rejects them before.
pub const MAX_START_TIME_UNIX_NANO: u64 = i64::MAX as u64 - 1;

/// What one request to the server wants kept. All of it becomes durable, or none.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    pub(crate) spans: Option<RecordBatch>,
    pub(crate) span_metrics: Option<RecordBatch>,
}

impl WriteBatch {
    /// Closes the builders into one write.
    #[must_use]
    pub fn new(spans: SpansBuilder, span_metrics: SpanMetricsBuilder) -> Self {
        Self {
            spans: (!spans.is_empty()).then(|| spans.finish()),
            span_metrics: (!span_metrics.is_empty()).then(|| span_metrics.finish()),
        }
    }

    /// How many spans it holds.
    #[must_use]
    pub fn span_count(&self) -> usize {
        self.spans.as_ref().map_or(0, RecordBatch::num_rows)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_none() && self.span_metrics.is_none()
    }
}
