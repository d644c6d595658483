//! The tables: their columns, and the builders that turn model types into rows.
//!
//! Ingest fills a [`WriteBatch`] through [`SpansBuilder`] and [`SpanMetricsBuilder`]; nobody else
//! needs to know the columns. Both builders take model types, so a receiver never touches Arrow.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use pitviper_model::{Resource, Scope, Span, SpanKind};

use crate::store::Red;

/// Width of a span metrics bucket, in nanoseconds.
pub const METRIC_BUCKET_NS: i64 = 10_000_000_000;

/// What one request to the server wants kept. All of it becomes durable, or none.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    pub(crate) spans: Option<RecordBatch>,
    pub(crate) span_metrics: Option<RecordBatch>,
}
