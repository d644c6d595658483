//! The in-process core of the agent. It knows nothing of Python.
//!
//! [`Agent`] is the one object: it starts [`Span`]s, decides on sampling, queues what is finished
//! and runs the exporter thread. The path of a span: [`Agent::start`] draws ids and asks the
//! [`Sampler`]; attributes are encoded into the span's own buffer as they are set; [`Span::end`]
//! appends the span's bytes to the queue; the exporter wraps, compresses and posts them. Log records
//! take the same way; measurements add up in a registry that the exporter collects from.
//!
//! Invariants:
//! - No thread before the first finished span, none inherited by a forked child.
//! - Nothing here blocks its caller on the network; [`Agent::flush`] and [`Agent::shutdown`] wait
//!   only as long as they are told.
//! - started = exported + sampled out + dropped(reason) + live + queued, at any moment.
//! - Only futex-based locks of the standard library: others keep global state that a fork tears.

mod agent;
mod bounds;
mod config;
mod counters;
mod endpoints;
mod exporter;
mod host;
pub mod http;
mod id;
mod locks;
mod logs;
mod lookup;
mod metrics;
mod origins;
mod profiles;
mod propagation;
mod queue;
mod record;
mod runtime;
mod sampler;
mod scopes;
mod span;
pub mod sql;
mod transport;

pub use agent::Agent;
pub use config::{Compression, Config, ExemplarFilter, Limits, Profiles, Signals, TemporalityPreference};
pub use counters::{Outcomes, Stats};
pub use endpoints::Endpoints;
pub use host::{Host, Usage};
pub use id::{span_id, trace_id};
pub use logs::{LogRecord, MAX_ATTRIBUTES as MAX_LOG_ATTRIBUTES};
pub use metrics::{
    Aggregation, InstrumentId, InstrumentKind, InstrumentOptions, MAX_ATTRIBUTES as MAX_SERIES_ATTRIBUTES, TracePoint,
};
pub use pitviper_wire::encode::{AttributeList, Body, Scalar, SpanEncoder};
pub use profiles::ProfileSource;
pub use propagation::{
    Baggage, Carrier, Field, Format, Member, Propagation, SpanContext, dynatrace_tag, read_dynatrace_tag,
};
pub use runtime::{Distribution, GENERATIONS, GenerationStats, installed_distributions, machine_attributes};
pub use sampler::Sampler;
pub use span::{Parent, Span, SpanOptions};
