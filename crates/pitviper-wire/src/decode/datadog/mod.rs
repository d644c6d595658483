//! Reading what Datadog's clients send to their agent, into the model, within bounds.
//!
//! Source: ddtrace 4.16 and libdatadog, as they were seen to speak. A payload is one process's; what its
//! spans say of it once becomes the resource of all.
//!
//! - [`traces`]: spans, versions 0.3 to 0.5 (MessagePack).
//! - [`stats`]: rate, errors and durations a client has counted itself.
//! - [`telemetry`]: what a client says of itself.
//! - [`dogstatsd`]: metrics as lines of text.
//!
//! What a name of Datadog's becomes here is a table ([`names`]), which docs/reference/datadog.md repeats.

mod describe;
pub mod dogstatsd;
mod msgpack;
pub mod names;
mod nested;
mod payload;
mod sketch;
mod spans;
pub mod stats;
pub mod telemetry;

use pitviper_model::{Attributes, ResourceSpans};

pub use msgpack::MsgpackError;
pub use payload::TracesVersion;

use super::Decoded;
use crate::decode::room::{Room, RoomError};

/// Who sent a payload, from the headers of its request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sender {
    /// Language, such as `python`.
    pub language: String,
    /// The language's version.
    pub language_version: String,
    /// What interprets it, such as `CPython`.
    pub interpreter: String,
    /// The client's version.
    pub tracer_version: String,
    /// The container it runs in; empty when not said.
    pub container_id: String,
    /// Whether it counts its spans itself and sends statistics.
    pub computed_stats: bool,
}

impl Sender {
    /// The client's library.
    pub(crate) fn library(&self) -> &'static str {
        match self.language.as_str() {
            "python" | "" => "ddtrace",
            _ => "datadog",
        }
    }

    /// What is known of the process.
    pub(crate) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::default();
        let runtime = self.interpreter.to_ascii_lowercase();
        for (name, value) in [
            ("telemetry.sdk.name", self.library()),
            ("telemetry.sdk.language", &self.language),
            ("telemetry.sdk.version", &self.tracer_version),
            ("process.runtime.name", &runtime),
            ("process.runtime.version", &self.language_version),
            ("container.id", &self.container_id),
        ] {
            if !value.is_empty() {
                attributes.set(name, value);
            }
        }
        attributes
    }
}

/// Spans of a payload.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traces {
    /// Spans that nobody has counted yet.
    pub decoded: Decoded,
    /// Spans that their sender has counted and sends statistics of.
    pub counted: Vec<ResourceSpans>,
    /// Spans that nobody has counted yet, of traces that are not to be kept.
    pub sampled_out: Vec<ResourceSpans>,
    /// How many more spans there are of such traces, which their sender has counted.
    pub discarded: usize,
}

/// A payload of spans is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TracesError {
    /// It is not MessagePack, or another message.
    #[error("not a payload of Datadog spans: {0}")]
    Msgpack(#[from] MsgpackError),
    /// A span of version 0.5 is too short.
    #[error("not a payload of Datadog spans: a span has {found} fields, version 0.5 has 12")]
    Fields {
        /// How many it has.
        found: usize,
    },
    /// There is no room for it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// Reads a payload of spans. It may take `limit` bytes, each step of which `may_grow` grants.
///
/// # Errors
/// When the bytes are not that payload, or take more room than there is.
pub fn traces(
    version: TracesVersion,
    bytes: &[u8],
    sender: &Sender,
    limit: usize,
    mut may_grow: impl FnMut(usize) -> bool,
) -> Result<Traces, TracesError> {
    let mut room = Room::new(limit, &mut may_grow);
    let payload = payload::Payload::read(version, bytes, &mut room)?;
    spans::into_model(&payload, sender, &mut room)
}
