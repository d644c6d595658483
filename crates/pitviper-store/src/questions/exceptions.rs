//! Exceptions: groups of one fingerprint, and the occurrences one by one.

use std::sync::Arc;

use pitviper_model::{ExceptionEvent, Fingerprint, Resource, TraceId};

use super::RowCursor;
use crate::store::TimeRange;

/// A question for groups of exceptions, the latest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ExceptionGroupsQuery {
    /// When they happened.
    pub range: TimeRange,
    /// Only in this service.
    pub service: Option<String>,
    /// How many groups at most; more than [`ExceptionGroupsQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
}

impl ExceptionGroupsQuery {
    /// Most groups of one answer.
    pub const MAX_LIMIT: usize = 1_000;
}

/// Exceptions with one fingerprint.
#[derive(Debug, Clone, PartialEq)]
pub struct ExceptionGroup {
    /// What they have in common.
    pub fingerprint: Fingerprint,
    /// How many there are; what a sender repeated counts once.
    pub count: u64,
    /// When the first happened, in nanoseconds since the Unix epoch.
    pub first_ns: i64,
    /// When the last happened, in nanoseconds since the Unix epoch.
    pub last_ns: i64,
    /// The last one.
    pub sample: StoredException,
}

/// Groups of exceptions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExceptionGroups {
    /// The groups, the latest first.
    pub groups: Vec<ExceptionGroup>,
    /// How many groups the limit left out.
    pub left_out: usize,
    /// Whether there were more occurrences than are held in memory to tell repeated ones apart, so
    /// that counts may have such twice.
    pub is_approximate: bool,
}

/// A question for occurrences, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct ExceptionsQuery {
    /// When they happened.
    pub range: TimeRange,
    /// Only in this service.
    pub service: Option<String>,
    /// Only of this group.
    pub fingerprint: Option<Fingerprint>,
    /// Only in this trace.
    pub trace_id: Option<TraceId>,
    /// How many at most; more than [`ExceptionsQuery::MAX_LIMIT`] counts as that.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<RowCursor>,
}

impl ExceptionsQuery {
    /// Most occurrences of one page.
    pub const MAX_LIMIT: usize = 10_000;
}

/// An occurrence as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredException {
    /// The occurrence, with all of its details.
    pub event: ExceptionEvent,
    /// The process it happened in.
    pub resource: Arc<Resource>,
    /// Where a page that ends with this occurrence continues.
    pub cursor: RowCursor,
}
