//! The agent: settings, sampling, counting, and what happens around a fork.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use pitviper_model::{Attributes, Resource, SpanId, TraceId, Value};
use pitviper_wire::encode::Scalar;

use crate::bounds::AtomicLimits;
use crate::config::{Config, Signals};
use crate::counters::Counters;
use crate::endpoints::{Endpoints, Roots};
use crate::host::Host;
use crate::locks::{hold, lock, wait_with};
use crate::origins::Origin;
use crate::profiles::ProfileUpload;
use crate::propagation::{self, AtomicFormats, Baggage, Carrier, Field, Losses, RANDOM, SAMPLED, SpanContext};
use crate::queue::{Offer, Queue, SIGNALS, Signal, State, Until, is_forking, set_forking};
use crate::runtime::{Identity, Runtime};
use crate::sampler::Sampler;
use crate::scopes::Scopes;
use crate::span::{Parent, Span, SpanOptions};
use crate::{exporter, id, metrics, sampler};

/// For so long after the agent's or the process's start a log record does not start the exporter thread by
/// itself: servers log while they start, and then fork their workers.
const LOGS_ALONE_AFTER: Duration = Duration::from_secs(10);

/// The agent of a process. There is one for the life of the process, so it is never freed.
#[derive(Debug)]
pub struct Agent {
    config: Mutex<Arc<Config>>,
    enabled: AtomicBool,
    /// Settings are asked for, also where no span is recorded.
    asks: AtomicBool,
    parent_based: AtomicBool,
    threshold: AtomicU64,
    pub(crate) limits: AtomicLimits,
    /// The formats in which contexts are read and written.
    extract_formats: AtomicFormats,
    inject_formats: AtomicFormats,
    /// Spans get members of baggage as attributes.
    describes_baggage: AtomicBool,
    origins: Mutex<Vec<Origin>>,
    instance: Mutex<Identity>,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) host: Host,
    /// Scopes of log records; spans have their own.
    pub(crate) log_scopes: Scopes,
    pub(crate) registry: metrics::Registry,
    pub(crate) runtime: Runtime,
    pub(crate) profiles: ProfileUpload,
    pub(crate) endpoints: Endpoints,
    /// Somebody reads observable instruments, and asks for a collection each time.
    pub(crate) observed: AtomicBool,
    pub(crate) metrics_enabled: AtomicBool,
    pub(crate) logs_enabled: AtomicBool,
    /// The [`ExemplarFilter`](crate::ExemplarFilter) as a number.
    pub(crate) exemplars: AtomicU8,
}

/// Every lock of the agent, held by the thread that forks: the child has no other thread that could
/// release one. Whoever adds a lock adds it here.
struct Held {
    queue: MutexGuard<'static, State>,
    instance: MutexGuard<'static, Identity>,
    metrics: MutexGuard<'static, metrics::State>,
    _log_scopes: MutexGuard<'static, crate::scopes::State>,
    _endpoints: MutexGuard<'static, Roots>,
    origins: MutexGuard<'static, Vec<Origin>>,
    config: MutexGuard<'static, Arc<Config>>,
}

thread_local! {
    // Boxed, as a library's variables of this kind have little room where they are found fast.
    static FORKING: RefCell<Option<Box<Held>>> = const { RefCell::new(None) };
}

/// Works with what a lock protects. While the calling thread forks it holds the lock itself, and other hooks of
/// that fork may make spans.
#[inline]
fn with_lock<G: Send, T>(
    mutex: &Mutex<G>,
    held: impl FnOnce(&mut Held) -> &mut G,
    work: impl FnOnce(&mut G) -> T,
) -> T {
    if is_forking() {
        return FORKING.with(|slot| match &mut *slot.borrow_mut() {
            Some(all) => work(held(all)),
            None => work(&mut lock(mutex)),
        });
    }
    work(&mut lock(mutex))
}

impl Agent {
    /// Makes an agent that lives as long as the process.
    #[must_use]
    pub fn leak(config: Config, host: Host) -> &'static Self {
        wait_with(host.wait);
        let registry = metrics::Registry::default();
        let agent = Box::leak(Box::new(Self {
            config: Mutex::new(Arc::new(Config::default())),
            enabled: AtomicBool::new(false),
            asks: AtomicBool::new(false),
            parent_based: AtomicBool::new(true),
            threshold: AtomicU64::new(u64::MAX),
            limits: AtomicLimits::default(),
            extract_formats: AtomicFormats::default(),
            inject_formats: AtomicFormats::default(),
            describes_baggage: AtomicBool::new(false),
            origins: Mutex::new(vec![Origin::named("pitviper", "")]),
            instance: Mutex::default(),
            queue: Queue::new(),
            counters: Counters::default(),
            host,
            log_scopes: Scopes::default(),
            runtime: Runtime::new(&registry),
            profiles: ProfileUpload::default(),
            endpoints: Endpoints::default(),
            registry,
            observed: AtomicBool::new(false),
            metrics_enabled: AtomicBool::new(false),
            logs_enabled: AtomicBool::new(false),
            exemplars: AtomicU8::new(0),
        }));
        agent.configure(config);
        agent
    }

    /// Takes new settings but for those of [`Agent::configure_signals`] and [`Agent::configure_profiles`];
    /// spans already queued go to the new address.
    pub fn configure(&self, mut config: Config) {
        self.limits.store(config.limits);
        self.extract_formats.store(&config.propagation.extract);
        self.inject_formats.store(&config.propagation.inject);
        self.describes_baggage.store(!config.propagation.baggage_attributes.is_empty(), Ordering::Relaxed);
        self.parent_based.store(config.sampler.parent_based, Ordering::Relaxed);
        self.threshold.store(config.sampler.threshold(), Ordering::Relaxed);
        self.bound(Signal::Spans, config.max_queue_spans, config.max_batch_spans, config.schedule_delay_ms);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        self.asks.store(config.enabled && config.remote_settings, Ordering::Relaxed);
        self.with_config(|current| {
            config.signals = current.signals.clone();
            config.profiles = current.profiles.clone();
            *current = Arc::new(config);
        });
        self.queue.follow_settings();
    }

    /// Takes new settings of metrics and logs.
    pub fn configure_signals(&self, signals: Signals) {
        self.bound(Signal::Logs, signals.max_queue_logs, signals.max_batch_logs, signals.logs_delay_ms);
        self.metrics_enabled.store(signals.metrics_enabled, Ordering::Relaxed);
        self.logs_enabled.store(signals.logs_enabled, Ordering::Relaxed);
        self.exemplars.store(signals.exemplars as u8, Ordering::Relaxed);
        self.runtime.configure(signals.metrics_enabled && signals.runtime_metrics);
        self.with_config(|current| *current = Arc::new(Config { signals, ..Config::clone(current) }));
        self.queue.follow_settings();
    }

    fn bound(&self, signal: Signal, max_items: usize, max_batch: usize, delay_ms: u64) {
        self.queue.max_items[signal as usize].store(max_items, Ordering::Relaxed);
        self.queue.max_batch[signal as usize].store(max_batch, Ordering::Relaxed);
        self.queue.delay_ms[signal as usize].store(delay_ms, Ordering::Relaxed);
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.with_config(|config| Arc::clone(config))
    }

    /// The resource that telemetry goes out with: the process's, or one that was given in its stead; of
    /// the process's service, or of another that runs within it.
    pub(crate) fn resource(&self, given: Option<&Attributes>, service: Option<&str>) -> Resource {
        let mut attributes = given.cloned().unwrap_or_else(|| self.config().resource.clone());
        if let Some(service) = service {
            attributes.set("service.name", service.to_owned());
        }
        let named = given.and_then(|given| given.get("service.instance.id")).cloned();
        lock(&self.instance).describe(&mut attributes);
        // What the application calls its instance stays.
        if let Some(named) = named {
            attributes.set("service.instance.id", named);
        }
        Resource { attributes, ..Resource::default() }
    }

    /// Says what this process is to the server it works for: `kind` is such as `gunicorn`, `name` the
    /// worker's number or name. It goes out with what is sent from now on, and a forked child begins
    /// without.
    pub fn set_worker(&self, kind: &str, name: &str) {
        if !is_forking() {
            lock(&self.instance).worker = Some((kind.to_owned(), name.to_owned()));
        }
    }

    #[inline]
    pub(crate) fn with_origins<T>(&self, work: impl FnOnce(&mut Vec<Origin>) -> T) -> T {
        with_lock(&self.origins, |held| &mut held.origins, work)
    }

    pub(crate) fn with_config<T>(&self, work: impl FnOnce(&mut Arc<Config>) -> T) -> T {
        with_lock(&self.config, |held| &mut held.config, work)
    }

    /// Starts a span. It is recorded if the agent is enabled and the sampler keeps its trace.
    #[must_use]
    #[inline]
    pub fn start(&'static self, options: &SpanOptions<'_>) -> Span {
        let (trace_id, random) = match options.parent.trace() {
            None => (id::trace_id(), true),
            Some(parent) => (parent.trace_id, parent.flags & RANDOM != 0),
        };
        let (trace_state, baggage) = options.parent.passed_on();
        let recorded = self.samples(None, options.parent, trace_id) && self.enabled.load(Ordering::Relaxed);
        let flags = if random { RANDOM } else { 0 } | if recorded { SAMPLED } else { 0 };
        let (span_id, is_remote, local_root) = (id::span_id(), false, SpanId::INVALID);
        let context = SpanContext { trace_id, span_id, flags, is_remote, trace_state, baggage, local_root };
        self.begin(options, context, recorded, recorded)
    }

    /// Starts a span about which everything has been decided: its ids, whether it is recorded, and
    /// whether it is exported when it ends.
    #[must_use]
    #[inline]
    pub fn begin(
        &'static self,
        options: &SpanOptions<'_>,
        context: SpanContext,
        recorded: bool,
        exported: bool,
    ) -> Span {
        self.counters.started.fetch_add(1, Ordering::Relaxed);
        if !exported {
            self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
        }
        let scope = match options.service {
            Some(service) if recorded => self.scope_in_service(options.scope, Some(service)),
            _ => options.scope,
        };
        let mut span = Span::new(self, options, scope, context, recorded, exported);
        if recorded
            && self.describes_baggage.load(Ordering::Relaxed)
            && let Some(baggage) = span.context().baggage.clone()
        {
            self.describe_baggage(&mut span, &baggage);
        }
        span
    }

    /// Gives a span the chosen members of baggage as attributes.
    #[cold]
    fn describe_baggage(&self, span: &mut Span, baggage: &Baggage) {
        let config = self.config();
        let wanted = &config.propagation.baggage_attributes;
        for member in baggage.members() {
            if wanted.iter().any(|key| *key == member.key || key == "*") {
                span.set_attribute(&format!("baggage.{}", member.key), Scalar::Str(&member.value));
            }
        }
    }

    /// Whether a sampler, by default the agent's, keeps a trace.
    #[must_use]
    #[inline]
    pub fn samples(&self, sampler: Option<Sampler>, parent: Parent<'_>, trace_id: TraceId) -> bool {
        let (parent_based, threshold) = match sampler {
            Some(sampler) => (sampler.parent_based, sampler.threshold()),
            None => (self.parent_based.load(Ordering::Relaxed), self.threshold.load(Ordering::Relaxed)),
        };
        match parent.trace() {
            Some(parent) if parent_based => parent.is_sampled(),
            _ => sampler::keeps(threshold, trace_id),
        }
    }

    /// Reads what another process handed over, in the formats of the settings; `None` when that is nothing.
    #[inline]
    pub fn extract<C: Carrier>(&self, carrier: &C) -> Option<SpanContext> {
        let mut losses = Losses::default();
        let keeps = |trace_id| self.samples(None, Parent::Root, trace_id);
        let found = propagation::extract(self.extract_formats.load(), carrier, &mut losses, keeps);
        if losses != Losses::default() {
            self.counters.invalid_context_fields.fetch_add(losses.invalid, Ordering::Relaxed);
            self.count_dropped_baggage(losses.baggage);
        }
        found
    }

    /// Writes what another process is to know, in the formats of the settings.
    #[inline]
    pub fn inject(&self, context: &SpanContext, put: impl FnMut(Field, &str)) {
        propagation::inject(self.inject_formats.load(), context, put);
    }

    /// The fields that [`Agent::inject`] may write.
    pub fn injected_fields(&self) -> impl Iterator<Item = Field> {
        self.inject_formats.load().flat_map(|format| format.fields().iter().copied())
    }

    /// Counts members of baggage that had no room.
    pub fn count_dropped_baggage(&self, members: u64) {
        self.counters.dropped_baggage.fetch_add(members, Ordering::Relaxed);
    }

    /// What requests are called here, for the samples of a profiler.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// What the agent was given to do what it cannot.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Whether spans are exported at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn finish(&'static self, scope: u16, encode: impl FnOnce(&mut Vec<u8>)) {
        self.offer(Signal::Spans, usize::from(scope), encode);
    }

    #[inline]
    pub(crate) fn offer(&'static self, signal: Signal, scope: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        let counters = self.counters.of(signal);
        let starts = signal != Signal::Logs || self.queue.has_exporter() || self.is_settled();
        let dropped = match self.queue.offer(signal, scope, starts, encode) {
            Offer::Queued => return,
            Offer::QueuedFirst => {
                exporter::start(self);
                return;
            }
            Offer::Full => &counters.queue_full,
            Offer::Closing => &counters.shutdown,
            Offer::Forking => &counters.forking,
        };
        dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the process is old enough for a log record alone to start the exporter.
    fn is_settled(&self) -> bool {
        self.runtime.age() >= LOGS_ALONE_AFTER
    }

    /// Starts the exporter for what does not lie in the queue until it is collected.
    #[inline]
    pub(crate) fn need_exporter(&'static self) {
        if self.queue.needs_exporter() {
            exporter::start(self);
        }
    }

    /// A span has ended that is not recorded. Where none is, the server may still want it otherwise.
    #[inline]
    pub(crate) fn unrecorded(&'static self) {
        if self.asks.load(Ordering::Relaxed) {
            self.need_exporter();
        }
    }

    pub(crate) fn count_invalid_attribute(&self) {
        self.counters.invalid_attributes.fetch_add(1, Ordering::Relaxed);
    }

    /// Collects metrics, takes a profile and sends all that waits; whether a receiver settled it within `timeout`.
    pub fn flush(&'static self, timeout: Duration) -> bool {
        self.flush_until(timeout, Until::Settled)
    }

    /// As [`Agent::flush`] for a process that is about to end: it does not wait for a receiver that could not
    /// be reached.
    pub fn flush_once(&'static self, timeout: Duration) -> bool {
        self.flush_until(timeout, Until::Tried)
    }

    fn flush_until(&'static self, timeout: Duration, until: Until) -> bool {
        let collects = self.collects();
        self.start_for_waiting(collects) && self.queue.flush(timeout, until, collects)
    }

    /// The signals that are to be collected before all is sent.
    fn collects(&self) -> [bool; SIGNALS] {
        let mut collects = [false; SIGNALS];
        collects[Signal::Metrics as usize] = self.metrics_enabled.load(Ordering::Relaxed);
        collects[Signal::Profiles as usize] = self.has_profile();
        collects
    }

    /// Takes no more spans, sends what waits, and counts as dropped what `timeout` left no time
    /// for; whether everything was sent.
    pub fn shutdown(&'static self, timeout: Duration) -> bool {
        self.close(timeout, self.collects())
    }

    /// As [`Agent::shutdown`] after a flush that collected metrics and a profile: that is not done again.
    pub fn shutdown_flushed(&'static self, timeout: Duration) -> bool {
        self.close(timeout, [false; SIGNALS])
    }

    fn close(&'static self, timeout: Duration, collect: [bool; SIGNALS]) -> bool {
        // Without a thread nobody would send what is waited for.
        let timeout = if self.start_for_waiting(collect) { timeout } else { Duration::ZERO };
        let sent = self.queue.flush(timeout, Until::Closed, collect);
        for (signal, left) in Signal::ALL.into_iter().zip(self.queue.discard()) {
            self.counters.of(signal).shutdown.fetch_add(left as u64, Ordering::Relaxed);
        }
        sent
    }

    /// For the handler of a signal that ends the process, whatever was interrupted: has what waits sent. Call
    /// it again, after a pause, until it says that there is nothing more to wait for.
    #[must_use]
    pub fn send_last(&self) -> bool {
        self.queue.end_exporter()
    }

    /// Whether somebody sends what waits. Metrics that nobody has begun to send are not worth a thread at the
    /// end; a profile is.
    fn start_for_waiting(&'static self, collects: [bool; SIGNALS]) -> bool {
        !self.queue.waits_for_exporter(collects[Signal::Profiles as usize]) || exporter::start(self)
    }

    /// To be called by the thread that is about to fork, last of all. Until [`Agent::after_fork_in_parent`]
    /// or [`Agent::after_fork_in_child`], spans that end in other threads wait.
    pub fn before_fork(&'static self) {
        // No code of ours holds two of these at a time, so their order is free. The queue comes
        // last: it is the one that busy threads wait for.
        let config = hold(&self.config);
        let origins = hold(&self.origins);
        let instance = hold(&self.instance);
        let metrics = self.registry.hold();
        let log_scopes = self.log_scopes.hold();
        let endpoints = self.endpoints.hold();
        let queue = self.queue.hold();
        let (_log_scopes, _endpoints) = (log_scopes, endpoints);
        let held = Held { queue, instance, metrics, _log_scopes, _endpoints, origins, config };
        FORKING.with(|slot| *slot.borrow_mut() = Some(Box::new(held)));
        set_forking(true);
    }

    /// To be called after a fork in the parent.
    pub fn after_fork_in_parent(&self) {
        FORKING.with(|slot| slot.borrow_mut().take());
        set_forking(false);
    }

    /// To be called after a fork in the child: what waits belongs to the parent, which sends it;
    /// the child is another instance with its own ids and, from its first span, its own exporter.
    pub fn after_fork_in_child(&self) {
        id::next_generation();
        self.counters.reset();
        self.runtime.reset_in_child();
        FORKING.with(|slot| {
            if let Some(mut held) = slot.borrow_mut().take() {
                self.queue.reset_in_child(&mut held.queue);
                self.registry.reset_in_child(&mut held.metrics);
                *held.instance = Identity::default();
            }
        });
        set_forking(false);
    }
}

/// The text, cut to a length in characters.
#[inline]
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    // As many bytes are at least as many characters.
    if text.len() <= limit {
        return text;
    }
    text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
}

/// Cuts all texts and bytes in the value to a length.
pub(crate) fn shorten(value: &mut Value, limit: usize) {
    if limit == usize::MAX {
        return;
    }
    match value {
        Value::String(text) => text.truncate(cut(text, limit).len()),
        Value::Bytes(bytes) => bytes.truncate(limit),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, limit)),
        Value::Map(pairs) => pairs.0.iter_mut().for_each(|(_, item)| shorten(item, limit)),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => {}
    }
}
