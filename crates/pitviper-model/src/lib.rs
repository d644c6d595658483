//! The data model every room shares: ids, time, values, spans, resources and outcomes.
//!
//! Nothing here does I/O, knows a wire format or a storage layout. A span that enters through
//! any receiver becomes a [`Span`] before anything else looks at it, so processors are written once.
//!
//! Invariants:
//! - No dependency, no `unsafe`, no async.
//! - Times are nanoseconds since the Unix epoch, durations are nanoseconds.
//! - Ids print as lower-case hex and are never all zero where [`TraceId::is_valid`] was checked.

mod content_hash;
mod durations;
mod exception;
mod histogram;
mod id;
pub mod json;
mod library;
mod log;
mod metric;
mod metric_merge;
mod outcome;
mod profile;
mod resource;
mod span;
mod value;

pub use content_hash::ContentHash;
pub use durations::{DURATION_BOUNDS_NS, DurationCounts, Durations};
pub use exception::ExceptionEvent;
pub use histogram::ExpHistogram;
pub use id::{Fingerprint, FrameId, ParseIdError, SeriesId, SpanId, StackId, TraceId};
pub use library::Library;
pub use log::{LogRecord, ResourceLogs, ScopeLogs};
pub use metric::{
    Exemplar, ExponentialBuckets, ExponentialHistogramPoint, HistogramPoint, Metric, MetricKind, MetricPoint,
    MetricPoints, Number, PointValue, ResourceMetrics, ScopeMetrics, Temporality,
};
pub use outcome::{DropReason, Outcome, RejectReason, Signal};
pub use profile::{Frame, ProfileSample, Stack};
pub use resource::{Resource, Scope};
pub use span::{Event, Link, ResourceSpans, ScopeSpans, Span, SpanKind, Status, StatusCode};
pub use value::{Attributes, Value};
