//! The store: what ingest writes and query reads.
//!
//! [`schema`] is the contract between the two; [`Store`] is the door. [`embedded`] keeps everything
//! in one directory: a write-ahead log synced before a write is acknowledged, a hot tier in memory
//! that queries see at once, sorted Parquet segments, and a SQLite manifest that says which segments
//! count. [`conformance`] is the suite every store passes.
//!
//! Invariants:
//! - An acknowledged write survives `kill -9` and loss of power, and is seen exactly once.
//! - The manifest and the log sequence it covers change in one SQLite transaction: one truth.
//! - No Arrow and no DataFusion type leaves this crate. One question is a statement of SQL; all others
//!   are typed.

pub mod conformance;
pub mod embedded;
mod file_writer;
pub mod filter;
mod lane;
pub mod questions;
mod record_file;
pub mod schema;
mod span_file;
mod stages;
mod store;

pub use lane::{Lane, Place, Places};
pub use questions::{
    ExceptionGroup, ExceptionGroups, ExceptionGroupsQuery, ExceptionsQuery, FunctionName, FunctionNames,
    LibrariesAnswer, LibrariesQuery, LogsQuery, MetricPointsAnswer, MetricPointsQuery, MetricSeries,
    MetricSeriesAnswer, MetricSeriesQuery, MetricStep, Page, ProfileAnswer, ProfileDimension, ProfileQuery, ProfileRow,
    RowCursor, Sampled, SampledSpans, StepValue, StoredException, StoredLog,
};
pub use record_file::{FileRecord, RecordFileReader, RecordFileWriter};
pub use span_file::{SpanFileReader, SpanFileWriter};
pub use stages::{StageStats, TurnStats};
pub use store::{
    Ack, Cursor, Dimension, KeptStats, MetricRow, MetricsQuery, Order, Red, ResourceSeen, Search, SpanScope, Store,
    StoreError, StoreStats, StoredSpan, TableStats, ThinStats, TimeRange, Trace, TraceHit, TraceSpan,
};
