//! What the agent measures of the process it is in: CPU, memory, threads, garbage collection, and how
//! long Python kept work waiting.
//!
//! The exporter thread reads `/proc` and the control group when it collects metrics, and needs no lock
//! of the interpreter for it. What only the interpreter knows is told here as it happens.

mod cgroup;
mod identity;
mod libraries;
mod machine;
mod outcomes;
mod process;
mod sampler;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pitviper_model::{Number, Scope};
use pitviper_wire::encode::{AttributeList, Scalar};

pub(crate) use self::identity::Identity;
pub use self::libraries::{Distribution, installed_distributions};
pub use self::machine::machine_attributes;
pub(crate) use self::sampler::Sampler;
use crate::agent::Agent;
use crate::config::ExemplarFilter;
use crate::metrics::{
    Aggregation, InstrumentId, InstrumentKind, InstrumentOptions, MAX_ATTRIBUTES, MAX_SCALE, Registry,
};

/// Generations the garbage collector of CPython has.
pub const GENERATIONS: usize = 3;
/// Buckets of a distribution of times: enough for a resolution of 5 % from a microsecond to ten seconds.
const MAX_BUCKETS: usize = 160;

/// The instrumentation scope of all that is measured here.
pub(crate) fn scope() -> Scope {
    Scope { name: "pitviper.runtime".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Scope::default() }
}

/// What happened to one generation of objects since the process began, or was forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GenerationStats {
    /// How often it was collected.
    pub collections: u64,
    /// Objects that were freed.
    pub collected: u64,
    /// Objects that could not be freed.
    pub uncollectable: u64,
}

#[derive(Debug, Default)]
struct Generation {
    collections: AtomicU64,
    collected: AtomicU64,
    uncollectable: AtomicU64,
}

/// What is told to the agent of the process it is in.
#[derive(Debug)]
pub(crate) struct Runtime {
    enabled: AtomicBool,
    generations: [Generation; GENERATIONS],
    /// Zero of `gc_began_ns` and `began_ns`.
    clock: Instant,
    /// When the agent came into this process.
    began_ns: AtomicU64,
    /// When the collection under way began; zero when none is.
    gc_began_ns: AtomicU64,
    gc_pause: InstrumentId,
    event_loop_lag: InstrumentId,
    gil_wait: InstrumentId,
}

impl Runtime {
    pub(crate) fn new(registry: &Registry) -> Self {
        let scope = scope();
        let times = |name: &str, description: &str| {
            registry.instrument(&InstrumentOptions {
                scope: &scope,
                name,
                unit: "s",
                description,
                kind: InstrumentKind::Histogram,
                aggregation: Aggregation::Exponential { max_size: MAX_BUCKETS, max_scale: MAX_SCALE },
                attribute_keys: None,
            })
        };
        Self {
            enabled: AtomicBool::new(false),
            generations: Default::default(),
            clock: Instant::now(),
            began_ns: AtomicU64::new(0),
            gc_began_ns: AtomicU64::new(0),
            gc_pause: times("pitviper.python.gc.pause", "How long garbage collections stopped the interpreter"),
            event_loop_lag: times(
                "pitviper.python.event_loop.lag",
                "How late an event loop ran a timer, sampled once a second while the loop runs",
            ),
            gil_wait: times(
                "pitviper.python.gil.wait",
                "How long a thread that wanted to run Python waited for the interpreter lock, sampled once a second",
            ),
        }
    }

    pub(crate) fn configure(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// The garbage collector's figures, by generation.
    pub(crate) fn generations(&self) -> [GenerationStats; GENERATIONS] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.generations.each_ref().map(|generation| GenerationStats {
            collections: read(&generation.collections),
            collected: read(&generation.collected),
            uncollectable: read(&generation.uncollectable),
        })
    }

    /// How long the agent has been in this process.
    pub(crate) fn age(&self) -> Duration {
        self.clock.elapsed().saturating_sub(Duration::from_nanos(self.began_ns.load(Ordering::Relaxed)))
    }

    pub(crate) fn reset_in_child(&self) {
        self.began_ns.store(self.clock.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.gc_began_ns.store(0, Ordering::Relaxed);
        self.seed(&[GenerationStats::default(); GENERATIONS]);
    }

    fn seed(&self, stats: &[GenerationStats; GENERATIONS]) {
        for (generation, stats) in self.generations.iter().zip(stats) {
            generation.collections.store(stats.collections, Ordering::Relaxed);
            generation.collected.store(stats.collected, Ordering::Relaxed);
            generation.uncollectable.store(stats.uncollectable, Ordering::Relaxed);
        }
    }
}

impl Agent {
    /// Whether the agent measures the process it is in.
    #[must_use]
    pub fn measures_runtime(&self) -> bool {
        self.runtime.is_enabled()
    }

    /// Says what the garbage collector had done before it was watched.
    pub fn seed_gc(&self, stats: &[GenerationStats; GENERATIONS]) {
        self.runtime.seed(stats);
    }

    /// A garbage collection begins.
    pub fn gc_began(&self) {
        let now = self.runtime.clock.elapsed().as_nanos() as u64;
        self.runtime.gc_began_ns.store(now.max(1), Ordering::Relaxed);
    }

    /// A garbage collection ended. Called while the interpreter may be anywhere, even in a thread that
    /// is about to fork: it never waits. How long it took, if its beginning was seen.
    pub fn gc_ended(&self, generation: usize, collected: u64, uncollectable: u64) -> Option<Duration> {
        let now = self.runtime.clock.elapsed().as_nanos() as u64;
        let began = self.runtime.gc_began_ns.swap(0, Ordering::Relaxed);
        let pause = (began > 0).then(|| Duration::from_nanos(now.saturating_sub(began)));
        let counters = self.runtime.generations.get(generation)?;
        counters.collections.fetch_add(1, Ordering::Relaxed);
        counters.collected.fetch_add(collected, Ordering::Relaxed);
        counters.uncollectable.fetch_add(uncollectable, Ordering::Relaxed);
        if let Some(pause) = pause {
            let mut attributes = AttributeList::default();
            attributes.set("cpython.gc.generation", Scalar::Int(generation as i64), MAX_ATTRIBUTES);
            self.sample(self.runtime.gc_pause, pause, attributes);
        }
        pause
    }

    /// An event loop ran a timer that much too late.
    pub fn event_loop_lagged(&self, lag: Duration) {
        self.sample(self.runtime.event_loop_lag, lag, AttributeList::default());
    }

    /// A thread waited that long for the interpreter lock.
    pub fn gil_waited(&self, wait: Duration) {
        self.sample(self.runtime.gil_wait, wait, AttributeList::default());
    }

    /// Neither starts the exporter, which is for what the application does, nor waits for a lock.
    fn sample(&self, instrument: InstrumentId, time: Duration, mut attributes: AttributeList) {
        if self.runtime.is_enabled() {
            let value = Number::Double(time.as_secs_f64());
            self.registry.record(instrument, value, &mut attributes, ExemplarFilter::AlwaysOff, None, false);
        }
    }
}
