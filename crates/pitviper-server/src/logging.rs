//! The log: on stderr, for people or for programs. Beside it, the server's own traces when asked for.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::config::LogFormat;
use crate::self_trace::{self, SelfTrace};

/// Starts logging.
pub(crate) fn start(format: LogFormat, level: &str, self_trace: Option<SelfTrace>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .with_context(|| format!("--log-level {level}: use error, warn, info, debug or trace"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    let own = self_trace.map(|layer| layer.with_filter(filter_fn(|metadata| metadata.target() == self_trace::TARGET)));
    let started = tracing_subscriber::registry().with(lines.with_filter(filter)).with(own).try_init();
    started.map_err(|error| anyhow::anyhow!("logging cannot start: {error}"))
}
