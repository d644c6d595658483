//! Log records: which, and in pages.

use std::sync::Arc;

use pitviper_model::{LogRecord, Resource, Scope, TraceId};

use super::RowCursor;
use crate::store::TimeRange;

/// A question for log records, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct LogsQuery {
    /// When they happened or, where that was not said, were seen.
    pub range: TimeRange,
    /// Only of this service.
    pub service: Option<String>,
    /// Only of at least this severity number.
    pub min_severity: Option<u8>,
    /// Only of this trace.
    pub trace_id: Option<TraceId>,
    /// Only those whose body has this text in it, letter by letter.
    pub body_contains: Option<String>,
    /// Only those with all of these attributes, as text; a key that the record does not have is
    /// looked for in its resource.
    pub attributes: Vec<(String, String)>,
    /// How many at most; more than [`LogsQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<RowCursor>,
}

impl LogsQuery {
    /// Most records of one page.
    pub const MAX_LIMIT: usize = 10_000;
}

/// A log record as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredLog {
    /// The record, with all of its details.
    pub record: LogRecord,
    /// The process that sent it.
    pub resource: Arc<Resource>,
    /// The library that wrote it.
    pub scope: Arc<Scope>,
    /// Where a page that ends with this record continues.
    pub cursor: RowCursor,
}
