//! What can be set. Defaults are OpenTelemetry's unless said otherwise.

use pitviper_model::Attributes;

use crate::propagation::Propagation;
use crate::queue::Signal;
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

/// Bounds on what one span may hold. Lengths are those of a text in characters, of bytes in bytes;
/// `usize::MAX` for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Attributes of a span.
    pub attributes: u32,
    /// Attributes of an event.
    pub event_attributes: u32,
    /// Attributes of a link.
    pub link_attributes: u32,
    /// Length of a value of a span's attribute.
    pub value_length: usize,
    /// Length of a value of an event's or a link's attribute, and of the status's description.
    pub detail_value_length: usize,
    /// Events of a span.
    pub events: u32,
    /// Links of a span.
    pub links: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attributes: 128,
            event_attributes: 128,
            link_attributes: 128,
            value_length: usize::MAX,
            detail_value_length: usize::MAX,
            events: 128,
            links: 128,
        }
    }
}

/// Which temporality sums and histograms are reported with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TemporalityPreference {
    /// All cumulative.
    #[default]
    Cumulative,
    /// Delta, but for what goes up and down.
    Delta,
    /// Delta for what is measured as it happens, cumulative for what is observed.
    LowMemory,
}

impl TemporalityPreference {
    /// The preference of OpenTelemetry's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "cumulative" => Some(Self::Cumulative),
            "delta" => Some(Self::Delta),
            "lowmemory" => Some(Self::LowMemory),
            _ => None,
        }
    }
}

/// Which measurements become exemplars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ExemplarFilter {
    /// None.
    AlwaysOff = 0,
    /// Those made in a sampled span.
    #[default]
    TraceBased = 1,
    /// All.
    AlwaysOn = 2,
}

impl ExemplarFilter {
    pub(crate) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::AlwaysOff,
            2 => Self::AlwaysOn,
            _ => Self::TraceBased,
        }
    }

    /// The filter of OpenTelemetry's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "always_off" => Some(Self::AlwaysOff),
            "trace_based" => Some(Self::TraceBased),
            "always_on" => Some(Self::AlwaysOn),
            _ => None,
        }
    }
}

/// What concerns metrics and logs.
#[derive(Debug, Clone, PartialEq)]
pub struct Signals {
    /// Whether metrics are collected at all.
    pub metrics_enabled: bool,
    /// Whether the agent measures the process it is in.
    pub runtime_metrics: bool,
    /// URL that metrics are posted to, `/v1/metrics` included.
    pub metrics_url: String,
    /// Headers sent with metrics.
    pub metrics_headers: Vec<(String, String)>,
    /// How often metrics are collected, in milliseconds.
    pub metrics_interval_ms: u64,
    /// What sums and histograms count from.
    pub temporality: TemporalityPreference,
    /// Which measurements become exemplars.
    pub exemplars: ExemplarFilter,
    /// Whether log records are taken at all.
    pub logs_enabled: bool,
    /// URL that logs are posted to, `/v1/logs` included.
    pub logs_url: String,
    /// Headers sent with logs.
    pub logs_headers: Vec<(String, String)>,
    /// How long log records may wait for company, in milliseconds.
    pub logs_delay_ms: u64,
    /// Log records that may wait. Beyond it new ones are dropped and counted.
    pub max_queue_logs: usize,
    /// Log records in one request.
    pub max_batch_logs: usize,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            metrics_enabled: false,
            runtime_metrics: false,
            metrics_url: "http://127.0.0.1:4318/v1/metrics".to_owned(),
            metrics_headers: Vec::new(),
            metrics_interval_ms: 10_000,
            temporality: TemporalityPreference::default(),
            exemplars: ExemplarFilter::default(),
            logs_enabled: false,
            logs_url: "http://127.0.0.1:4318/v1/logs".to_owned(),
            logs_headers: Vec::new(),
            logs_delay_ms: 1_000,
            max_queue_logs: 16_384,
            max_batch_logs: 2_048,
        }
    }
}

/// What concerns profiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Profiles {
    /// Whether profiles are taken and sent.
    pub enabled: bool,
    /// URL that profiles are posted to, `/v1/pprof` included.
    pub url: String,
    /// Headers sent with profiles.
    pub headers: Vec<(String, String)>,
    /// How long a profile lasts, in milliseconds.
    pub period_ms: u64,
    /// Resource attributes that profiles have besides the process's, or instead.
    pub attributes: Attributes,
}

impl Default for Profiles {
    fn default() -> Self {
        Self {
            enabled: false,
            url: "http://127.0.0.1:4318/v1/pprof".to_owned(),
            headers: Vec::new(),
            period_ms: 60_000,
            attributes: Attributes::default(),
        }
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
    /// Whether the server is asked, with each export, what it wants to be different.
    pub remote_settings: bool,
    /// After how many milliseconds without an export a server that has told something is asked again: what was
    /// switched off is to be switched on again.
    pub remote_settings_interval_ms: u64,
    /// Metrics and logs.
    pub signals: Signals,
    /// Profiles.
    pub profiles: Profiles,
    /// How contexts are handed to other processes.
    pub propagation: Propagation,
}

impl Config {
    /// URL that a signal is posted to.
    pub(crate) fn url(&self, signal: Signal) -> &str {
        match signal {
            Signal::Spans => &self.traces_url,
            Signal::Logs => &self.signals.logs_url,
            Signal::Metrics => &self.signals.metrics_url,
            Signal::Profiles => &self.profiles.url,
        }
    }

    /// Headers that a signal is sent with.
    pub(crate) fn headers(&self, signal: Signal) -> &[(String, String)] {
        match signal {
            Signal::Spans => &self.headers,
            Signal::Logs => &self.signals.logs_headers,
            Signal::Metrics => &self.signals.metrics_headers,
            Signal::Profiles => &self.profiles.headers,
        }
    }
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
            remote_settings: true,
            remote_settings_interval_ms: 60_000,
            signals: Signals::default(),
            profiles: Profiles::default(),
            propagation: Propagation::default(),
        }
    }
}
