//! The in-process core of the agent. It knows nothing of Python.
//!
//! [`Agent`] is the one object: it starts [`Span`]s, decides on sampling, queues what is finished
//! and runs the exporter thread. The path of a span: [`Agent::start`] draws ids and asks the
//! [`Sampler`]; attributes are encoded into the span's own buffer as they are set; [`Span::end`]
//! appends the span's bytes to the queue; the exporter wraps, compresses and posts them.
//!
//! Invariants:
//! - No thread before the first finished span, none inherited by a forked child.
//! - Nothing here blocks its caller on the network; [`Agent::flush`] and [`Agent::shutdown`] wait
//!   only as long as they are told.
//! - started = exported + sampled out + dropped(reason) + live + queued, at any moment.
//! - Only futex-based locks of the standard library: others keep global state that a fork tears.

mod agent;
mod config;
mod exporter;
mod id;
mod propagation;
mod queue;
mod sampler;
mod span;
pub mod sql;
mod transport;

pub use agent::{Agent, Stats};
pub use config::{Compression, Config, Limits};
pub use pitviper_wire::encode::Scalar;
pub use propagation::{SpanContext, format_traceparent, parse_trace_context};
pub use sampler::Sampler;
pub use span::{Parent, Span, SpanOptions};
