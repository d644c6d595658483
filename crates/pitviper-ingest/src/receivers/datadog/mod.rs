//! Datadog: what its clients send to the agent of their host.
//!
//! Source: ddtrace 4.16 and libdatadog, as they were seen to speak; docs/reference/datadog.md says what
//! becomes of what they send. Over TCP and a unix socket by HTTP: spans (`/v0.3/traces` to
//! `/v0.5/traces`), what clients count of their spans (`/v0.6/stats`), what they say of themselves
//! (`/telemetry`), what they are to do (`/v0.7/config`). Over UDP and a unix datagram socket: DogStatsD.
//!
//! Paths of products that are not here (debugger, symbols, events) are taken so that clients go on, and
//! counted; what is at no path of Datadog's agent is refused with 404 and counted.

mod dogstatsd;
mod figures;
mod http;
mod info;
mod multipart;
mod profiles;
mod remote;
mod rest;
mod series;
mod stats;
mod telemetry;
mod traces;

use std::sync::Arc;

pub use dogstatsd::{Packets, receive};
pub use figures::{DatadogFigures, LineCount};
pub use http::router;
pub use remote::{Instruction, Remote, SamplingRule, TagCondition};

use self::figures::Counters;
use self::series::Series;
use crate::accept::Ingest;

/// Largest request body as it comes over the wire, in bytes: clients send 20 MB at most.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Largest request body once decompressed, in bytes.
pub const MAX_DECOMPRESSED_BYTES: usize = 64 * 1024 * 1024;

/// The receivers, with what they share.
#[derive(Debug)]
pub struct Datadog {
    ingest: Arc<Ingest>,
    remote: Arc<Remote>,
    counters: Counters,
    series: Series,
}

impl Datadog {
    /// Receivers into this ingest, whose clients do what `remote` says.
    #[must_use]
    pub fn new(ingest: Arc<Ingest>, remote: Arc<Remote>) -> Arc<Self> {
        Arc::new(Self { ingest, remote, counters: Counters::default(), series: Series::default() })
    }

    /// What came that is neither a span nor a request.
    #[must_use]
    pub fn figures(&self) -> DatadogFigures {
        self.counters.figures(self.series.len())
    }
}
