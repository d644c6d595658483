//! What can be set. Defaults are OpenTelemetry's unless said otherwise.

use pitviper_model::Attributes;

use crate::sampler::Sampler;

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Nothing to a loopback address, where bytes cost less than compressing them; gzip elsewhere.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// gzip, which every OTLP receiver understands.
    Gzip,
    /// zstd, which costs a third of gzip where the receiver understands it.
    Zstd,
}

impl Compression {
    /// The compression of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            "gzip" => Some(Self::Gzip),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Bounds on what one span may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span or event.
    pub attributes: u32,
    /// Length of a text value in bytes, cut at a character; `None` for no limit.
    pub attribute_value_length: Option<usize>,
    /// Events of a span.
    pub events: u32,
    /// Links of a span.
    pub links: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attributes: 128, attribute_value_length: None, events: 128, links: 128 }
    }
}

/// Everything the agent is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether spans are recorded at all.
    pub enabled: bool,
    /// URL that requests are posted to, `/v1/traces` included.
    pub traces_url: String,
    /// Headers sent with each request. Their values may be secret and are never printed.
    pub headers: Vec<(String, String)>,
    /// How request bodies are compressed.
    pub compression: Compression,
    /// Resource attributes, without those that change in a forked child
    /// (`service.instance.id`, `process.pid`).
    pub resource: Attributes,
    /// Which traces are kept.
    pub sampler: Sampler,
    /// Bounds on a span.
    pub limits: Limits,
    /// How long finished spans may wait for company, in milliseconds. One second, so that a span
    /// is on the screen about a second after it ended.
    pub schedule_delay_ms: u64,
    /// How long one request may take, in milliseconds.
    pub timeout_ms: u64,
    /// Spans that may wait. Beyond it new ones are dropped and counted.
    pub max_queue_spans: usize,
    /// Spans in one request.
    pub max_batch_spans: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            traces_url: "http://127.0.0.1:4318/v1/traces".to_owned(),
            headers: Vec::new(),
            compression: Compression::default(),
            resource: Attributes::default(),
            sampler: Sampler::default(),
            limits: Limits::default(),
            schedule_delay_ms: 1_000,
            timeout_ms: 10_000,
            max_queue_spans: 16_384,
            max_batch_spans: 2_048,
        }
    }
}
