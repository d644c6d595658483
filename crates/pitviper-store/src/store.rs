//! The contract every store keeps.
//!
//! Callers speak in typed requests and typed rows; no Arrow type crosses this door, and no SQL but the
//! statements of users over documented views, so a second store needs no change above it. Each method has a conformance case that all stores pass.

use std::sync::Arc;

use async_trait::async_trait;
use pitviper_model::{
    ExpHistogram, Frame, FrameId, Resource, Scope, Span, SpanId, SpanKind, StackId, StatusCode, TraceId,
};

use crate::filter::Filter;
use crate::questions::aggregate::{Aggregate, Aggregated};
use crate::questions::keys::{Keys, Matched};
use crate::questions::kin::{Families, Family};
use crate::questions::sql::{SqlAnswer, SqlError, SqlQuestion};
use crate::questions::survey::{KnownAttributes, Survey, Surveyed};
use crate::questions::walk::{Telling, Walk, collect};
use crate::questions::{
    ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, FunctionName, FunctionNames, LibrariesAnswer,
    LibrariesQuery, LogsQuery, MetricPointsAnswer, MetricPointsQuery, MetricSeriesAnswer, MetricSeriesQuery, Page,
    ProfileAnswer, ProfileQuery, Sampled, SampledSpans, StoredException, StoredLog,
};
use crate::schema::WriteBatch;
use crate::stages::StageStats;

/// Half-open range of span start times, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeRange {
    /// First nanosecond in the range.
    pub start_ns: i64,
    /// First nanosecond after the range.
    pub end_ns: i64,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start_ns: i64::MIN, end_ns: i64::MAX };
}

/// A write is durable: it survives the loss of the process and of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// The position of the write in the log.
    pub sequence: u64,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is over its memory or disk budget; the same request may succeed later.
    #[error("store is over its {budget} budget, try again in {retry_after_ms} ms")]
    Busy {
        /// Which budget: `memory` or `disk`.
        budget: &'static str,
        /// When to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The store is closing or closed.
    #[error("store is closed")]
    Closed,
    /// A file could not be read or written.
    #[error("{context}: {source}")]
    Io {
        /// What was being done, with the path.
        context: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The manifest could not be read or written.
    #[error("manifest: {0}")]
    Manifest(#[from] rusqlite::Error),
    /// The query engine failed.
    #[error("query engine: {0}")]
    Engine(String),
    /// Another process has the data directory open.
    #[error("data directory {path} is in use by another pitviper-server; stop it or choose another --data-dir")]
    Locked {
        /// The directory.
        path: String,
    },
    /// Something in the data directory is missing or damaged.
    #[error("{what}; run `pitviper-server doctor --data-dir {path}`, which says what is lost and what can be done")]
    Damaged {
        /// What is wrong.
        what: String,
        /// The directory.
        path: String,
    },
    /// The data directory was written by a newer version.
    #[error("data directory has schema version {found}, this server knows up to {known}; upgrade pitviper-server")]
    NewerSchema {
        /// Version found.
        found: u32,
        /// Newest version known.
        known: u32,
    },
}

/// A span as it was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSpan {
    /// The span, with all of its details.
    pub span: Span,
    /// The process that sent it.
    pub resource: Arc<Resource>,
    /// The library that made it.
    pub scope: Arc<Scope>,
}

/// What a waterfall needs of a span.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSpan {
    /// Its id.
    pub span_id: SpanId,
    /// Its parent; [`SpanId::INVALID`] for a root.
    pub parent_span_id: SpanId,
    /// The service that made it.
    pub service: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: SpanKind,
    /// Its status.
    pub status: StatusCode,
    /// Start, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Duration in nanoseconds.
    pub duration_ns: u64,
    /// What it talked to, where known: `db.system.name` for a database call.
    pub db_system: Option<Arc<str>>,
    /// One line of detail: the statement, the URL, the exception; `None` when there is none.
    pub detail: Option<Arc<str>>,
}

/// A trace, or the part of it that fits the limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// Its spans, by start time, no span twice.
    pub spans: Vec<TraceSpan>,
    /// How many spans the store holds of it.
    pub total: usize,
}

/// In which order a search returns its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Latest start first.
    #[default]
    NewestFirst,
    /// Earliest start first.
    OldestFirst,
    /// Longest duration first.
    SlowestFirst,
}

/// Where a page ended; the next one goes on behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The last row's sort value: start in nanoseconds, or duration in nanoseconds.
    pub value: i64,
    /// The last row's trace, which orders rows of equal value.
    pub trace_id: TraceId,
    /// The last row's span, which orders rows of equal value; all zero for traces.
    pub span_id: SpanId,
}

/// A search for spans, or for the traces that contain them.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// When the spans started.
    pub range: TimeRange,
    /// Which spans match.
    pub filter: Filter,
    /// In which order rows come.
    pub order: Order,
    /// How many rows at most.
    pub limit: usize,
    /// Where the page before ended.
    pub after: Option<Cursor>,
}

/// A trace that contains matching spans. Its place in the order is that of its best matching span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceHit {
    /// The trace.
    pub trace_id: TraceId,
    /// Some of the matching spans, at most [`TraceHit::MAX_MATCHED`].
    pub matched: Vec<SpanId>,
    /// How many spans match.
    pub matched_count: u64,
    /// Where a page that ends with this row continues.
    pub cursor: Cursor,
}

impl TraceHit {
    /// How many matching spans a hit names.
    pub const MAX_MATCHED: usize = 3;
}

/// A dimension span metrics can be split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// The service's name.
    Service,
    /// The deployment environment.
    Environment,
    /// The service's version.
    Version,
    /// The span's name.
    Name,
    /// The span's kind.
    Kind,
    /// The narrowest [`SpanScope`] that has the span, by its name.
    Scope,
}

/// Which spans a metric counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SpanScope {
    /// Every span.
    #[default]
    All,
    /// Where work enters a service: server and consumer spans.
    Entry,
    /// Spans without a parent.
    Root,
}

impl SpanScope {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Entry, Self::Root, Self::All];

    /// The first of [`SpanScope::ALL`] that has such a span.
    #[must_use]
    pub fn narrowest(kind: SpanKind, is_root: bool) -> Self {
        match (kind.is_entry(), is_root) {
            (true, _) => Self::Entry,
            (false, true) => Self::Root,
            (false, false) => Self::All,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Root => "root",
            Self::All => "all",
        }
    }
}

/// A question to the pre-aggregated rate, error and duration metrics.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsQuery {
    /// When the spans started. Counted in whole buckets of [`crate::schema::METRIC_BUCKET_NS`]:
    /// both ends are rounded down to a bucket.
    pub range: TimeRange,
    /// Width of the returned time steps in nanoseconds, a multiple of the bucket; `None` for one
    /// step over the whole range. Steps are aligned to `range.start_ns`.
    pub step_ns: Option<i64>,
    /// Only this service.
    pub service: Option<String>,
    /// Only this deployment environment.
    pub environment: Option<String>,
    /// Only spans of this name.
    pub name: Option<String>,
    /// Only spans of this kind.
    pub kind: Option<SpanKind>,
    /// Which spans count.
    pub scope: SpanScope,
    /// Split by these; empty for one series.
    pub group_by: Vec<Dimension>,
}

/// Rate, errors and duration of a set of spans.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Red {
    /// How many spans.
    pub hits: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Sum of their durations, in nanoseconds.
    pub duration_sum_ns: u64,
    /// The shortest duration, in nanoseconds; zero when there are no hits.
    pub duration_min_ns: u64,
    /// The longest duration, in nanoseconds.
    pub duration_max_ns: u64,
    /// Distribution of the durations, in nanoseconds.
    pub durations: ExpHistogram,
}

impl Red {
    /// Adds all that another holds.
    pub fn merge(&mut self, other: &Self) {
        self.duration_min_ns = match (self.hits, other.hits) {
            (_, 0) => self.duration_min_ns,
            (0, _) => other.duration_min_ns,
            _ => self.duration_min_ns.min(other.duration_min_ns),
        };
        self.hits += other.hits;
        self.errors += other.errors;
        self.duration_sum_ns += other.duration_sum_ns;
        self.duration_max_ns = self.duration_max_ns.max(other.duration_max_ns);
        self.durations.merge(&other.durations);
    }
}

/// One series' metrics in one time step.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// Values of the dimensions, in the order of [`MetricsQuery::group_by`].
    pub labels: Vec<String>,
    /// Start of the step, in nanoseconds since the Unix epoch.
    pub step_start_ns: i64,
    /// What was counted.
    pub red: Red,
}

/// A process that sent spans.
#[derive(Debug, Clone, PartialEq)]
pub struct ResourceSeen {
    /// Its resource attributes.
    pub resource: Arc<Resource>,
    /// Start of its earliest span, in nanoseconds since the Unix epoch.
    pub first_seen_ns: i64,
    /// Start of its latest span, in nanoseconds since the Unix epoch.
    pub last_seen_ns: i64,
    /// Attributes of its spans that name the framework, such as the instrumentation scopes seen.
    pub scopes: Vec<Arc<Scope>>,
}

/// The store's own figures.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreStats {
    /// Spans that queries can see.
    pub spans: u64,
    /// Spans in the hot tier.
    pub hot_spans: u64,
    /// Memory of the hot tier, in bytes.
    pub hot_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of the segment files.
    pub segment_bytes: u64,
    /// Bytes of the write-ahead log.
    pub wal_bytes: u64,
    /// Sequence number of the last durable write.
    pub durable_sequence: u64,
    /// Write-ahead log syncs since start.
    pub wal_syncs: u64,
    /// Flushes from the hot tier to segments since start.
    pub flushes: u64,
    /// Flushes that failed since start and will be tried again.
    pub flush_failures: u64,
    /// Writes refused because a budget was used up, since start.
    pub busy_rejections: u64,
    /// Frames found damaged at the end of the log when it was opened, and cut off.
    pub wal_frames_truncated: u64,
    /// Merges of segments since start.
    pub merges: u64,
    /// Rows rewritten by merges since start.
    pub merged_rows: u64,
    /// Merges and removals that failed since start and will be tried again.
    pub upkeep_failures: u64,
    /// Spans let go because of their age, ever: restarts do not forget them. A span that was sent
    /// twice was stored twice, and is counted so.
    pub spans_expired_by_age: u64,
    /// Spans let go because all data together grew too large, ever.
    pub spans_expired_by_size: u64,
    /// What the queues and stages are doing.
    pub stages: StageStats,
    /// What became of spans that are some days old.
    pub thinning: ThinStats,
    /// Each table by itself.
    pub tables: Vec<TableStats>,
}

/// What thinning left of spans that are some days old. Counts are since start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ThinStats {
    /// Start of the latest span of the segments that were thinned: traces up to then are a sample. `None`
    /// when nothing is thinned.
    pub sampled_through_ns: Option<i64>,
    /// Spans let go.
    pub spans_thinned: u64,
    /// Times a day was left whole because deciding on it would have taken too much memory.
    pub left_whole: u64,
    /// What was kept, by reason; a trace has one, the most telling.
    pub kept: [KeptStats; 6],
}

/// What thinning kept for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptStats {
    /// `error`, `rule`, `slow`, `rare`, `crossing` (it has spans outside of what was thinned) or `share`.
    pub reason: &'static str,
    /// Spans of such traces.
    pub spans: u64,
    /// Such traces.
    pub traces: u64,
}

/// Figures of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TableStats {
    /// The table's name.
    pub name: &'static str,
    /// Rows that queries can see.
    pub rows: u64,
    /// Rows in the hot tier.
    pub hot_rows: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of the segment files and their indexes.
    pub segment_bytes: u64,
    /// Rows let go since start because of their age, or because nothing pointed to them any more.
    pub expired_by_age: u64,
    /// Rows let go since start because all data together grew too large.
    pub expired_by_size: u64,
}

/// Holds telemetry and answers questions about it.
///
/// All methods may be called from many tasks at once. What [`Store::append`] acknowledged is seen by
/// every query that begins afterwards, exactly once, also while it moves between tiers.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes all of the batch or nothing, and returns when it is durable.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when a budget is used up, and then nothing was kept.
    async fn append(&self, batch: WriteBatch) -> Result<Ack, StoreError>;

    /// The spans of one trace, whatever their time; an unknown trace is an empty one.
    /// Over `limit` the spans nearest to the root's start are kept and `total` says how many there are.
    async fn trace(&self, trace_id: TraceId, limit: usize) -> Result<Trace, StoreError>;

    /// Spans of one trace with all of their details, by start time; all when `span_ids` is empty.
    /// Skips `offset` spans, returns at most `limit`.
    async fn trace_details(
        &self,
        trace_id: TraceId,
        span_ids: &[SpanId],
        offset: usize,
        limit: usize,
    ) -> Result<Vec<StoredSpan>, StoreError>;

    /// Spans that match, in the order asked for, as soon as it is certain that none comes before them.
    fn walk_spans(&self, walk: &Walk) -> Telling<StoredSpan>;

    /// Traces with at least one span that matches, likewise.
    fn walk_traces(&self, walk: &Walk) -> Telling<TraceHit>;

    /// All that [`Store::walk_spans`] tells.
    async fn search_spans(&self, search: &Search) -> Result<Vec<StoredSpan>, StoreError> {
        collect(self.walk_spans(&Walk::whole(search))).await
    }

    /// All that [`Store::walk_traces`] tells.
    async fn search_traces(&self, search: &Search) -> Result<Vec<TraceHit>, StoreError> {
        collect(self.walk_traces(&Walk::whole(search))).await
    }

    /// Spans of several traces at once, for summaries; unknown traces are missing from the answer.
    /// Of each at most `limit_per_trace` spans, as in [`Store::trace`].
    async fn traces(&self, trace_ids: &[TraceId], limit_per_trace: usize) -> Result<Vec<(TraceId, Trace)>, StoreError>;

    /// Rate, errors and durations; rows only for steps in which something was counted.
    async fn metrics(&self, query: &MetricsQuery) -> Result<Vec<MetricRow>, StoreError>;

    /// The width, in nanoseconds, of the widest buckets in which metrics of the range are kept. Steps
    /// that are multiples of it are exact.
    fn metric_bucket_ns(&self, range: TimeRange) -> i64;

    /// Figures of matching spans, by group and time step.
    async fn aggregate(&self, question: &Aggregate) -> Result<Aggregated, StoreError>;

    /// Where a condition holds: the keys of all matching spans, up to a bound.
    async fn keys(&self, question: &Keys) -> Result<Matched, StoreError>;

    /// How the spans of traces hang together, in the order asked for; unknown traces are missing. `None`
    /// when several traces have more spans than the question allows.
    async fn families(&self, question: &Families) -> Result<Option<Vec<(TraceId, Family)>>, StoreError>;

    /// Which fields the newest matching spans have, and which values.
    async fn survey(&self, question: &Survey) -> Result<Surveyed, StoreError>;

    /// Which attributes there are in and around the range, rare ones too. What was written in the last
    /// minute may be missing.
    async fn known_attributes(&self, range: TimeRange) -> Result<KnownAttributes, StoreError>;

    /// Answers a read-only statement over the views of [`crate::questions::sql::VIEWS`].
    ///
    /// # Errors
    /// [`SqlError::Statement`] when the statement is not valid or not allowed, and what a limit says.
    async fn sql(&self, question: &SqlQuestion) -> Result<SqlAnswer, SqlError>;

    /// Processes that sent spans in the range.
    async fn resources(&self, range: TimeRange) -> Result<Vec<ResourceSeen>, StoreError>;

    /// Log records that match, the newest first, each once.
    async fn logs(&self, query: &LogsQuery) -> Result<Page<StoredLog>, StoreError>;

    /// The series of metrics.
    async fn metric_series(&self, query: &MetricSeriesQuery) -> Result<MetricSeriesAnswer, StoreError>;

    /// Points of series by step.
    async fn metric_points(&self, query: &MetricPointsQuery) -> Result<MetricPointsAnswer, StoreError>;

    /// Samples of profiles, added up by stack. One that a sender repeats counts once.
    async fn profile(&self, query: &ProfileQuery) -> Result<ProfileAnswer, StoreError>;

    /// The frames of these stacks, the innermost first; those that were not seen on the days of the
    /// range may be missing.
    async fn stacks(&self, range: TimeRange, ids: &[StackId]) -> Result<Vec<(StackId, Vec<FrameId>)>, StoreError>;

    /// These frames; those that were not seen on the days of the range may be missing.
    async fn frames(&self, range: TimeRange, ids: &[FrameId]) -> Result<Vec<(FrameId, Frame)>, StoreError>;

    /// Which spans samples of profiles were taken in.
    async fn sampled_spans(&self, question: &SampledSpans) -> Result<Sampled, StoreError>;

    /// Names of functions that samples have in their stacks, in order.
    async fn function_names(&self, question: &FunctionNames) -> Result<Vec<FunctionName>, StoreError>;

    /// Exceptions by fingerprint.
    async fn exception_groups(&self, query: &ExceptionGroupsQuery) -> Result<ExceptionGroups, StoreError>;

    /// Occurrences of exceptions, the newest first, each once.
    async fn exceptions(&self, query: &ExceptionsQuery) -> Result<Page<StoredException>, StoreError>;

    /// Which packages services run with.
    async fn libraries(&self, query: &LibrariesQuery) -> Result<LibrariesAnswer, StoreError>;

    /// Moves everything acknowledged so far into segments.
    async fn flush(&self) -> Result<(), StoreError>;

    /// Puts what is stored together as well as can be; no answer changes.
    async fn compact(&self) -> Result<(), StoreError>;

    /// Refuses further writes, flushes and releases the data directory.
    async fn close(&self) -> Result<(), StoreError>;

    /// The store's own figures, cheap enough for every scrape.
    fn stats(&self) -> StoreStats;
}
