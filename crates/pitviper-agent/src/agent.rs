//! The agent: settings, sampling, counting, and what happens around a fork.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pitviper_model::{Resource, Scope, Value};

use crate::config::Config;
use crate::propagation::{SAMPLED, SpanContext};
use crate::queue::{Offer, Queue, State};
use crate::span::{Parent, Span, SpanOptions};
use crate::{exporter, id, sampler};

/// Most instrumentation scopes; later ones are reported as the first.
const MAX_SCOPES: usize = 256;

/// What became of spans since the process began (or was forked).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Spans started.
    pub started: u64,
    /// Spans a receiver confirmed.
    pub exported: u64,
    /// Spans the sampler left out.
    pub sampled_out: u64,
    /// Spans dropped because the queue was full.
    pub dropped_queue_full: u64,
    /// Spans dropped because no receiver took them.
    pub dropped_export_failed: u64,
    /// Spans a receiver refused as invalid.
    pub dropped_rejected: u64,
    /// Spans that ended after the shutdown, or that it left no time for.
    pub dropped_shutdown: u64,
    /// Spans that wait or are on their way.
    pub pending: u64,
    /// Attributes whose key or value could not be represented.
    pub invalid_attributes: u64,
    /// Requests that were sent again.
    pub retries: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) started: AtomicU64,
    pub(crate) exported: AtomicU64,
    pub(crate) sampled_out: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) export_failed: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) shutdown: AtomicU64,
    pub(crate) invalid_attributes: AtomicU64,
    pub(crate) retries: AtomicU64,
}

impl Counters {
    fn reset(&self) {
        for counter in [
            &self.started,
            &self.exported,
            &self.sampled_out,
            &self.queue_full,
            &self.export_failed,
            &self.rejected,
            &self.shutdown,
            &self.invalid_attributes,
            &self.retries,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

/// Limits in a form the hot path reads without a lock.
#[derive(Debug, Default)]
pub(crate) struct AtomicLimits {
    pub(crate) attributes: AtomicU32,
    pub(crate) events: AtomicU32,
    pub(crate) links: AtomicU32,
    value_length: AtomicUsize,
}

/// What the exporter thread needs from the host, which this crate cannot do itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Host {
    /// Runs first in the exporter thread: blocks signals, so that the application's threads get them.
    pub(crate) thread_start: fn(),
    /// Shows a warning to whoever reads the process's standard error.
    pub(crate) warn: fn(&str),
}

/// The agent of a process. There is one for the life of the process, so it is never freed.
#[derive(Debug)]
pub struct Agent {
    config: Mutex<Arc<Config>>,
    enabled: AtomicBool,
    parent_based: AtomicBool,
    threshold: AtomicU64,
    pub(crate) limits: AtomicLimits,
    scopes: Mutex<Vec<Arc<Scope>>>,
    instance: Mutex<String>,
    pub(crate) queue: Queue,
    pub(crate) counters: Counters,
    pub(crate) host: Host,
}

/// Every lock of the agent, held by the thread that forks: the child has no other thread that could
/// release one. Whoever adds a lock adds it here.
struct Held {
    queue: MutexGuard<'static, State>,
    instance: MutexGuard<'static, String>,
    _scopes: MutexGuard<'static, Vec<Arc<Scope>>>,
    _config: MutexGuard<'static, Arc<Config>>,
}

thread_local! {
    static FORKING: RefCell<Option<Held>> = const { RefCell::new(None) };
}

impl Agent {
    /// Makes an agent that lives as long as the process. `thread_start` runs first in the exporter
    /// thread, `warn` shows a line to the operator; both must be callable from any thread.
    #[must_use]
    pub fn leak(config: Config, thread_start: fn(), warn: fn(&str)) -> &'static Self {
        let agent = Box::leak(Box::new(Self {
            config: Mutex::new(Arc::new(Config::default())),
            enabled: AtomicBool::new(false),
            parent_based: AtomicBool::new(true),
            threshold: AtomicU64::new(u64::MAX),
            limits: AtomicLimits::default(),
            scopes: Mutex::new(vec![Arc::new(Scope { name: "pitviper".to_owned(), ..Scope::default() })]),
            instance: Mutex::new(new_instance_id()),
            queue: Queue::new(),
            counters: Counters::default(),
            host: Host { thread_start, warn },
        }));
        agent.configure(config);
        agent
    }

    /// Takes new settings; spans already queued go to the new address.
    pub fn configure(&self, config: Config) {
        let limits = config.limits;
        self.limits.attributes.store(limits.attributes, Ordering::Relaxed);
        self.limits.events.store(limits.events, Ordering::Relaxed);
        self.limits.links.store(limits.links, Ordering::Relaxed);
        self.limits.value_length.store(limits.attribute_value_length.unwrap_or(usize::MAX), Ordering::Relaxed);
        self.parent_based.store(config.sampler.parent_based, Ordering::Relaxed);
        self.threshold.store(config.sampler.threshold(), Ordering::Relaxed);
        self.queue.max_spans.store(config.max_queue_spans, Ordering::Relaxed);
        self.queue.max_batch_spans.store(config.max_batch_spans, Ordering::Relaxed);
        self.queue.delay_ms.store(config.schedule_delay_ms, Ordering::Relaxed);
        self.enabled.store(config.enabled, Ordering::Relaxed);
        *lock(&self.config) = Arc::new(config);
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&lock(&self.config))
    }

    /// The number of the instrumentation scope of this name, for [`SpanOptions::scope`].
    #[must_use]
    pub fn scope(&self, name: &str) -> u16 {
        if name.is_empty() {
            return 0;
        }
        let mut scopes = lock(&self.scopes);
        if let Some(found) = scopes.iter().position(|scope| scope.name == name) {
            return found as u16;
        }
        if scopes.len() >= MAX_SCOPES {
            return 0;
        }
        scopes.push(Arc::new(Scope { name: name.to_owned(), ..Scope::default() }));
        (scopes.len() - 1) as u16
    }

    /// Says which version of the instrumented library stands behind a scope. It goes out with the
    /// batches that are sent from now on.
    pub fn set_scope_version(&self, name: &str, version: &str) {
        let index = usize::from(self.scope(name));
        let mut scopes = lock(&self.scopes);
        if scopes[index].name == name {
            scopes[index] = Arc::new(Scope { name: name.to_owned(), version: version.to_owned(), ..Scope::default() });
        }
    }

    pub(crate) fn scopes(&self) -> Vec<Arc<Scope>> {
        lock(&self.scopes).clone()
    }

    /// The resource all spans of this process share.
    pub(crate) fn resource(&self) -> Resource {
        let mut attributes = self.config().resource.clone();
        attributes.set("service.instance.id", lock(&self.instance).clone());
        attributes.set("process.pid", Value::Int(i64::from(std::process::id())));
        Resource { attributes, dropped_attributes_count: 0 }
    }

    /// Starts a span. It is recorded if the agent is enabled and the sampler keeps its trace.
    #[must_use]
    #[inline]
    pub fn start(&'static self, options: &SpanOptions<'_>) -> Span {
        let (trace_id, trace_state, random) = match options.parent {
            Parent::Root => (id::trace_id(), None, true),
            Parent::Context(parent) => (parent.trace_id, parent.trace_state.clone(), false),
        };
        let threshold = self.threshold.load(Ordering::Relaxed);
        let sampled = match options.parent {
            Parent::Context(parent) if self.parent_based.load(Ordering::Relaxed) => parent.is_sampled(),
            _ => sampler::keeps(threshold, trace_id),
        };
        let recorded = sampled && self.enabled.load(Ordering::Relaxed);
        self.counters.started.fetch_add(1, Ordering::Relaxed);
        if !recorded {
            self.counters.sampled_out.fetch_add(1, Ordering::Relaxed);
        }
        // W3C level 2: the trace id of our own roots is random in all bits.
        const RANDOM: u8 = 2;
        let inherited = match options.parent {
            Parent::Context(parent) => parent.flags & RANDOM,
            Parent::Root => 0,
        };
        let flags = if random { RANDOM } else { inherited } | if recorded { SAMPLED } else { 0 };
        let context = SpanContext { trace_id, span_id: id::span_id(), flags, is_remote: false, trace_state };
        Span::new(self, options, context, recorded)
    }

    #[inline]
    pub(crate) fn finish(&'static self, scope: u16, encode: impl FnOnce(&mut Vec<u8>)) {
        match self.queue.offer(usize::from(scope), encode) {
            Offer::Queued => {}
            Offer::QueuedFirst => exporter::start(self),
            Offer::Full => {
                self.counters.queue_full.fetch_add(1, Ordering::Relaxed);
            }
            Offer::Closing => {
                self.counters.shutdown.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn count_invalid_attribute(&self) {
        self.counters.invalid_attributes.fetch_add(1, Ordering::Relaxed);
    }

    /// Cuts all texts and bytes in the value to the value length limit, when there is one.
    pub(crate) fn shorten(&self, value: &mut Value) {
        let limit = self.limits.value_length.load(Ordering::Relaxed);
        if limit < usize::MAX {
            shorten(value, limit);
        }
    }

    /// The text, cut to the value length limit at a character.
    #[inline]
    pub(crate) fn cut<'t>(&self, text: &'t str) -> &'t str {
        let limit = self.limits.value_length.load(Ordering::Relaxed);
        if text.len() <= limit { text } else { &text[..text.floor_char_boundary(limit)] }
    }

    /// Sends all that waits; whether a receiver settled it within `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.queue.flush(timeout, false)
    }

    /// Takes no more spans, sends what waits, and counts as dropped what `timeout` left no time
    /// for; whether everything was sent.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        let sent = self.queue.flush(timeout, true);
        let left = self.queue.discard() as u64;
        self.counters.shutdown.fetch_add(left, Ordering::Relaxed);
        sent
    }

    /// What became of spans so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            started: read(&self.counters.started),
            exported: read(&self.counters.exported),
            sampled_out: read(&self.counters.sampled_out),
            dropped_queue_full: read(&self.counters.queue_full),
            dropped_export_failed: read(&self.counters.export_failed),
            dropped_rejected: read(&self.counters.rejected),
            dropped_shutdown: read(&self.counters.shutdown),
            pending: self.queue.pending() as u64,
            invalid_attributes: read(&self.counters.invalid_attributes),
            retries: read(&self.counters.retries),
        }
    }

    /// To be called in the thread that is about to fork. Until [`Agent::after_fork_in_parent`] or
    /// [`Agent::after_fork_in_child`], spans that end in other threads wait.
    pub fn before_fork(&'static self) {
        // No code of ours holds two of these at a time, so their order is free. The queue comes
        // last: it is the one that busy threads wait for.
        let config = lock(&self.config);
        let scopes = lock(&self.scopes);
        let instance = lock(&self.instance);
        let held = Held { queue: self.queue.hold(), instance, _scopes: scopes, _config: config };
        FORKING.with(|slot| *slot.borrow_mut() = Some(held));
    }

    /// To be called after a fork in the parent.
    pub fn after_fork_in_parent(&self) {
        FORKING.with(|slot| slot.borrow_mut().take());
    }

    /// To be called after a fork in the child: what waits belongs to the parent, which sends it;
    /// the child is another instance with its own ids and, from its first span, its own exporter.
    pub fn after_fork_in_child(&self) {
        id::next_generation();
        self.counters.reset();
        FORKING.with(|slot| {
            if let Some(mut held) = slot.borrow_mut().take() {
                held.queue.reset_in_child();
                *held.instance = new_instance_id();
            }
        });
    }
}

fn shorten(value: &mut Value, limit: usize) {
    match value {
        Value::String(text) => text.truncate(text.floor_char_boundary(limit)),
        Value::Bytes(bytes) => bytes.truncate(limit),
        Value::Array(items) => items.iter_mut().for_each(|item| shorten(item, limit)),
        Value::Map(pairs) => pairs.0.iter_mut().for_each(|(_, item)| shorten(item, limit)),
        Value::Bool(_) | Value::Int(_) | Value::Double(_) => {}
    }
}

/// A random UUID (version 4), as `service.instance.id` asks for.
fn new_instance_id() -> String {
    let mut bits = u128::from(id::random_u64()) << 64 | u128::from(id::random_u64());
    bits = bits & !(0xf << 76) | 0x4 << 76;
    bits = bits & !(0x3 << 62) | 0x2 << 62;
    let hex = format!("{bits:032x}");
    let mut out = String::with_capacity(36);
    for (index, range) in [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().enumerate() {
        let dash = if index > 0 { "-" } else { "" };
        let _ = write!(out, "{dash}{}", &hex[range]);
    }
    out
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
