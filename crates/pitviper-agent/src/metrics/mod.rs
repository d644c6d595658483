//! Metrics: instruments add up what is measured, and the exporter thread collects it.
//!
//! A measurement finds its series by its attributes, encoded as they lie on the wire and sorted by key,
//! so that a collection only copies them. There is one lock, taken for one measurement, and by a
//! collection for one instrument at a time.
//!
//! Invariants:
//! - Series and instruments are bounded; what is beyond is counted, and beyond the series of an
//!   instrument still measured, in one series that says so.
//! - A forked child begins at zero: what was measured before belongs to its parent.

mod exponential;
mod series;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pitviper_model::{Metric, MetricKind, Number, Scope, Temporality};
use pitviper_wire::encode::{AttributeList, PointHead, Scalar, append_metric};

pub(crate) use self::exponential::MAX_SCALE;
pub use self::series::TracePoint;
use self::series::{Exemplar, Series};
use crate::agent::Agent;
use crate::config::{ExemplarFilter, TemporalityPreference};
use crate::locks::{hold, lock, try_lock};
use crate::queue::{Batch, Signal, is_forking};
use crate::runtime::Sampler;
use crate::span::now_unix_nano;

/// Most instruments of a process; later ones measure nothing.
const MAX_INSTRUMENTS: usize = 2_000;
/// Most instrumentation scopes of a process; later ones are reported as the first.
const MAX_SCOPES: usize = 256;
/// Most series of an instrument, OpenTelemetry's number. The last is for all that are beyond.
const MAX_SERIES: usize = 2_000;
/// Most bounds of an explicit histogram.
const MAX_BOUNDS: usize = 1_000;
/// Attributes of a series.
pub const MAX_ATTRIBUTES: u32 = 128;
/// Bytes at which a request is closed.
const MAX_BATCH_BYTES: usize = 1024 * 1024;

/// What is measured and how, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstrumentKind {
    /// Adds up what only grows.
    Counter,
    /// Adds up what goes up and down.
    UpDownCounter,
    /// The distribution of values.
    Histogram,
    /// The last value.
    Gauge,
    /// A sum that only grows, observed.
    ObservableCounter,
    /// A sum that goes up and down, observed.
    ObservableUpDownCounter,
    /// A value, observed.
    ObservableGauge,
}

impl InstrumentKind {
    /// The kind of OpenTelemetry's name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "counter" => Self::Counter,
            "up_down_counter" => Self::UpDownCounter,
            "histogram" => Self::Histogram,
            "gauge" => Self::Gauge,
            "observable_counter" => Self::ObservableCounter,
            "observable_up_down_counter" => Self::ObservableUpDownCounter,
            "observable_gauge" => Self::ObservableGauge,
            _ => return None,
        })
    }

    fn is_observed(self) -> bool {
        matches!(self, Self::ObservableCounter | Self::ObservableUpDownCounter | Self::ObservableGauge)
    }

    fn only_grows(self) -> bool {
        matches!(self, Self::Counter | Self::ObservableCounter | Self::Histogram)
    }

    fn temporality(self, preference: TemporalityPreference) -> Temporality {
        match (self, preference) {
            (Self::Gauge | Self::ObservableGauge, _) => Temporality::Unspecified,
            (Self::UpDownCounter | Self::ObservableUpDownCounter, _) => Temporality::Cumulative,
            (_, TemporalityPreference::Cumulative) => Temporality::Cumulative,
            (Self::ObservableCounter, TemporalityPreference::LowMemory) => Temporality::Cumulative,
            _ => Temporality::Delta,
        }
    }
}

/// How measurements become points.
#[derive(Debug, Clone, PartialEq)]
pub enum Aggregation {
    /// Their sum.
    Sum,
    /// The last of them.
    LastValue,
    /// Their distribution over buckets with these upper bounds.
    Histogram {
        /// Growing.
        bounds: Vec<f64>,
    },
    /// Their distribution over buckets as fine as fit in a number of them.
    Exponential {
        /// Buckets on either side of zero.
        max_size: usize,
        /// The finest scale.
        max_scale: i32,
    },
}

/// How an instrument is made.
#[derive(Debug, Clone, PartialEq)]
pub struct InstrumentOptions<'a> {
    /// The library that measures.
    pub scope: &'a Scope,
    /// Its name.
    pub name: &'a str,
    /// The unit of its values, by UCUM.
    pub unit: &'a str,
    /// What it means.
    pub description: &'a str,
    /// What is measured.
    pub kind: InstrumentKind,
    /// How measurements become points.
    pub aggregation: Aggregation,
    /// The attributes that tell series apart; `None` for all.
    pub attribute_keys: Option<&'a [String]>,
}

/// The number of an instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstrumentId(pub u32);

impl InstrumentId {
    /// An instrument that measures nothing.
    pub const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
struct Instrument {
    scope: usize,
    metric: Metric,
    kind: InstrumentKind,
    aggregation: Aggregation,
    attribute_keys: Option<Vec<String>>,
    /// Since when its cumulative points count.
    start: u64,
    /// When its delta points were collected last.
    collected: u64,
    series: HashMap<Box<[u8]>, Series>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    scopes: Vec<Arc<Scope>>,
    instruments: Vec<Instrument>,
}

/// All instruments of a process.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
    /// Measurements that could not be taken: negative where values only grow, or no number.
    pub(crate) invalid: AtomicU64,
    /// Measurements that went to the series for all that are beyond.
    pub(crate) overflowed: AtomicU64,
    /// Instruments beyond the bound.
    pub(crate) refused_instruments: AtomicU64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Takes the lock for as long as the guard lives: across a fork.
    pub(crate) fn hold(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }

    /// The instrument of these options; the same one for the same options.
    pub(crate) fn instrument(&self, options: &InstrumentOptions<'_>) -> InstrumentId {
        if is_forking() {
            return InstrumentId::NONE;
        }
        let mut state = self.lock();
        let scope = state.scope(options.scope);
        let found = state.instruments.iter().position(|instrument| instrument.is(scope, options));
        if let Some(found) = found {
            return InstrumentId(found as u32);
        }
        if state.instruments.len() >= MAX_INSTRUMENTS {
            self.refused_instruments.fetch_add(1, Ordering::Relaxed);
            return InstrumentId::NONE;
        }
        state.instruments.push(Instrument::new(scope, options));
        InstrumentId((state.instruments.len() - 1) as u32)
    }

    /// Says since when an observed instrument counts, in nanoseconds since the Unix epoch.
    pub(crate) fn set_start(&self, id: InstrumentId, start_unix_nano: u64) {
        if let Some(instrument) = self.lock().instruments.get_mut(id.0 as usize) {
            instrument.start = start_unix_nano;
            instrument.collected = instrument.collected.min(start_unix_nano);
        }
    }

    /// Takes one measurement; whether it counts. `wait` is false where the lock may be held by this
    /// very thread; a measurement is lost then when it is held.
    pub(crate) fn record(
        &self,
        id: InstrumentId,
        value: Number,
        attributes: &mut AttributeList,
        filter: ExemplarFilter,
        trace: Option<TracePoint>,
        wait: bool,
    ) -> bool {
        if is_forking() {
            return false;
        }
        attributes.sort();
        let state = if wait { Some(self.lock()) } else { try_lock(&self.state) };
        let Some(mut state) = state else { return false };
        let Some(instrument) = state.instruments.get_mut(id.0 as usize) else { return false };
        if !instrument.accepts(value) {
            self.invalid.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let trace = match filter {
            ExemplarFilter::AlwaysOff => None,
            ExemplarFilter::TraceBased => trace.filter(|trace| trace.sampled),
            ExemplarFilter::AlwaysOn => Some(trace.unwrap_or(TracePoint::NONE)),
        };
        let split = instrument.attribute_keys.as_ref().map(|keys| attributes.split(keys));
        let (kept, filtered) = match &split {
            Some((kept, filtered)) => (kept.as_bytes(), filtered.as_bytes()),
            None => (attributes.as_bytes(), &[][..]),
        };
        let (series, beyond) = instrument.series(kept);
        series.0.add(series.1, value);
        if let Some(trace) = trace {
            let exemplar = Exemplar { time_unix_nano: now_unix_nano(), value, trace, filtered: filtered.to_vec() };
            series.0.offer_exemplar(exemplar);
        }
        if beyond {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Takes what an observable instrument is now: all its series at once.
    pub(crate) fn observe(&self, id: InstrumentId, observations: Vec<(Number, AttributeList)>) {
        if is_forking() {
            return;
        }
        let mut state = self.lock();
        let Some(instrument) = state.instruments.get_mut(id.0 as usize) else { return };
        if !instrument.kind.is_observed() {
            return;
        }
        // What was observed before and is not any more is gone. An observed sum that comes back later
        // begins anew, as its source did.
        for series in instrument.series.values_mut() {
            series.touched = false;
        }
        for (value, mut attributes) in observations {
            if !instrument.accepts(value) {
                self.invalid.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            attributes.sort();
            if let Some(keys) = &instrument.attribute_keys {
                attributes = attributes.split(keys).0;
            }
            let ((series, aggregation), beyond) = instrument.series(attributes.as_bytes());
            // Observations that a view or the bound brings together add up, where that means something.
            if series.touched && *aggregation == Aggregation::Sum {
                series.add(aggregation, value);
            } else if matches!(aggregation, Aggregation::Sum | Aggregation::LastValue) {
                series.set(value);
            } else {
                series.add(aggregation, value);
            }
            if beyond {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
            }
        }
        if matches!(instrument.aggregation, Aggregation::Sum | Aggregation::LastValue) {
            instrument.series.retain(|_, series| series.touched);
        }
    }

    /// Writes the points of all series, in batches by scope.
    pub(crate) fn collect(&self, preference: TemporalityPreference) -> Vec<Batch> {
        let now = now_unix_nano();
        let mut batches = Vec::new();
        let mut batch = Batch::default();
        let mut points = Vec::new();
        for index in 0.. {
            points.clear();
            let mut state = self.lock();
            let Some(instrument) = state.instruments.get_mut(index) else { break };
            let count = instrument.append_points(&mut points, preference, now);
            if count == 0 {
                continue;
            }
            if batch.scopes.len() <= instrument.scope {
                batch.scopes.resize_with(instrument.scope + 1, Vec::new);
            }
            let buffer = &mut batch.scopes[instrument.scope];
            let before = buffer.len();
            append_metric(buffer, &instrument.metric, &points);
            batch.bytes += buffer.len() - before;
            batch.items += count;
            drop(state);
            if batch.bytes >= MAX_BATCH_BYTES {
                batches.push(std::mem::take(&mut batch));
            }
        }
        if batch.items > 0 {
            batches.push(batch);
        }
        batches
    }

    pub(crate) fn scopes(&self) -> Vec<Arc<Scope>> {
        self.lock().scopes.clone()
    }

    pub(crate) fn reset_in_child(&self, state: &mut State) {
        let now = now_unix_nano();
        for instrument in &mut state.instruments {
            instrument.series.clear();
            instrument.start = now;
            instrument.collected = now;
        }
        for counter in [&self.invalid, &self.overflowed, &self.refused_instruments] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Agent {
    /// The instrument of these options; the same one for the same options.
    #[must_use]
    pub fn instrument(&self, options: &InstrumentOptions<'_>) -> InstrumentId {
        self.registry.instrument(options)
    }

    /// Takes one measurement; whether it counts. `trace` is where it was made, and is asked for only if
    /// measurements become exemplars.
    #[inline]
    pub fn record(
        &'static self,
        id: InstrumentId,
        value: Number,
        attributes: &mut AttributeList,
        trace: impl FnOnce() -> Option<TracePoint>,
    ) -> bool {
        if !self.metrics_enabled.load(Ordering::Relaxed) {
            return false;
        }
        let filter = ExemplarFilter::from_number(self.exemplars.load(Ordering::Relaxed));
        let trace = if filter == ExemplarFilter::AlwaysOff { None } else { trace() };
        let counts = self.registry.record(id, value, attributes, filter, trace, true);
        self.need_exporter();
        counts
    }

    /// Takes what an observable instrument is now: all its series at once. Does not start the exporter.
    pub fn observe(&self, id: InstrumentId, observations: Vec<(Number, AttributeList)>) {
        if self.metrics_enabled.load(Ordering::Relaxed) {
            self.registry.observe(id, observations);
        }
    }

    /// Says whether somebody reads observable instruments, and asks for a collection each time.
    pub fn set_observed(&self, observed: bool) {
        self.observed.store(observed, Ordering::Relaxed);
    }

    /// Has metrics collected and sent now. It does not wait for it.
    pub fn collect_now(&self) {
        self.queue.collect_now();
    }

    /// Puts the points of all series into the queue.
    pub(crate) fn collect_metrics(&self, sampler: &mut Option<Sampler>) {
        if self.measures_runtime() {
            sampler.get_or_insert_with(|| Sampler::new(self)).observe(self);
        }
        for batch in self.registry.collect(self.config().signals.temporality) {
            let points = batch.items as u64;
            if !self.queue.offer_batch(Signal::Metrics, batch) {
                self.counters.of(Signal::Metrics).queue_full.fetch_add(points, Ordering::Relaxed);
            }
        }
    }
}

impl State {
    fn scope(&mut self, scope: &Scope) -> usize {
        if let Some(found) = self.scopes.iter().position(|known| **known == *scope) {
            return found;
        }
        if self.scopes.len() >= MAX_SCOPES {
            return 0;
        }
        self.scopes.push(Arc::new(scope.clone()));
        self.scopes.len() - 1
    }
}

impl Instrument {
    fn new(scope: usize, options: &InstrumentOptions<'_>) -> Self {
        let kind = match options.aggregation {
            Aggregation::Sum => MetricKind::Sum,
            Aggregation::LastValue => MetricKind::Gauge,
            Aggregation::Histogram { .. } => MetricKind::Histogram,
            Aggregation::Exponential { .. } => MetricKind::ExponentialHistogram,
        };
        let mut aggregation = options.aggregation.clone();
        if let Aggregation::Histogram { bounds } = &mut aggregation {
            bounds.truncate(MAX_BOUNDS);
        }
        let now = now_unix_nano();
        Self {
            scope,
            metric: Metric {
                name: options.name.to_owned(),
                unit: options.unit.to_owned(),
                description: options.description.to_owned(),
                kind,
                temporality: Temporality::Unspecified,
                is_monotonic: options.kind.only_grows(),
            },
            kind: options.kind,
            aggregation,
            attribute_keys: options.attribute_keys.map(<[String]>::to_vec),
            start: now,
            collected: now,
            series: HashMap::new(),
        }
    }

    fn is(&self, scope: usize, options: &InstrumentOptions<'_>) -> bool {
        self.scope == scope
            && self.kind == options.kind
            && self.metric.name == options.name
            && self.metric.unit == options.unit
            && self.metric.description == options.description
            && self.aggregation == options.aggregation
            && self.attribute_keys.as_deref() == options.attribute_keys
    }

    fn accepts(&self, value: Number) -> bool {
        let number = value.as_f64();
        number.is_finite() && (number >= 0.0 || !self.kind.only_grows())
    }

    /// The series of these attributes with how it adds up, and whether it is the one for all that are
    /// beyond the bound.
    fn series(&mut self, attributes: &[u8]) -> ((&mut Series, &Aggregation), bool) {
        let beyond = self.series.len() >= MAX_SERIES - 1 && !self.series.contains_key(attributes);
        let overflow;
        let key = if beyond {
            let mut list = AttributeList::default();
            list.set("otel.metric.overflow", Scalar::Bool(true), 1);
            overflow = list;
            overflow.as_bytes()
        } else {
            attributes
        };
        if !self.series.contains_key(key) {
            self.series.insert(key.into(), Series::new(&self.aggregation));
        }
        let series = self.series.get_mut(key).expect("it was just looked up or put there");
        ((series, &self.aggregation), beyond)
    }

    /// Writes the points of its series; how many there are.
    fn append_points(&mut self, out: &mut Vec<u8>, preference: TemporalityPreference, now: u64) -> usize {
        let temporality = self.kind.temporality(preference);
        let is_delta = temporality == Temporality::Delta;
        // A gauge's points say nothing of the time before them.
        self.metric.temporality = match self.aggregation {
            Aggregation::LastValue => Temporality::Unspecified,
            _ if temporality == Temporality::Unspecified => Temporality::Cumulative,
            _ => temporality,
        };
        let start = match self.metric.temporality {
            Temporality::Unspecified => 0,
            Temporality::Delta => self.collected,
            Temporality::Cumulative => self.start,
        };
        let mut count = 0;
        for (attributes, series) in &mut self.series {
            if !series.touched && (is_delta || self.kind.is_observed()) {
                continue;
            }
            let head = PointHead { attributes, start_time_unix_nano: start, time_unix_nano: now };
            series.append(out, &head, is_delta && self.kind.is_observed());
            count += 1;
        }
        if is_delta {
            self.collected = now;
            if !self.kind.is_observed() {
                self.series.clear();
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry_with(kind: InstrumentKind, aggregation: Aggregation) -> (Registry, InstrumentId) {
        let registry = Registry::default();
        let scope = Scope::default();
        let options = InstrumentOptions {
            scope: &scope,
            name: "m",
            unit: "1",
            description: "",
            kind,
            aggregation,
            attribute_keys: None,
        };
        let id = registry.instrument(&options);
        assert_eq!(registry.instrument(&options), id, "the same options are the same instrument");
        (registry, id)
    }

    fn record(registry: &Registry, id: InstrumentId, value: i64, attribute: i64) -> bool {
        let mut attributes = AttributeList::default();
        attributes.set("a", Scalar::Int(attribute), 10);
        registry.record(id, Number::Int(value), &mut attributes, ExemplarFilter::AlwaysOff, None, true)
    }

    #[test]
    fn series_are_bounded_and_the_rest_is_measured_together() {
        let (registry, id) = registry_with(InstrumentKind::Counter, Aggregation::Sum);
        for number in 0..3_000 {
            assert!(record(&registry, id, 1, number));
        }
        let batches = registry.collect(TemporalityPreference::Cumulative);
        assert_eq!(batches.iter().map(|batch| batch.items).sum::<usize>(), MAX_SERIES);
        assert_eq!(registry.overflowed.load(Ordering::Relaxed), 1_001);
    }

    #[test]
    fn delta_lets_go_of_what_it_reported() {
        let (registry, id) = registry_with(InstrumentKind::Counter, Aggregation::Sum);
        record(&registry, id, 1, 1);
        assert_eq!(registry.collect(TemporalityPreference::Delta)[0].items, 1);
        assert!(registry.collect(TemporalityPreference::Delta).is_empty());
        record(&registry, id, 1, 1);
        assert_eq!(registry.collect(TemporalityPreference::Cumulative)[0].items, 1);
        assert_eq!(registry.collect(TemporalityPreference::Cumulative)[0].items, 1);
    }

    #[test]
    fn what_cannot_be_is_refused_and_counted() {
        let (registry, id) = registry_with(InstrumentKind::Counter, Aggregation::Sum);
        assert!(!record(&registry, id, -1, 0));
        assert!(!record(&registry, InstrumentId::NONE, 1, 0));
        assert_eq!(registry.invalid.load(Ordering::Relaxed), 1);
        assert!(registry.collect(TemporalityPreference::Cumulative).is_empty());
    }

    #[test]
    fn observations_replace_each_other() {
        let (registry, id) = registry_with(InstrumentKind::ObservableGauge, Aggregation::LastValue);
        let list = |attribute| {
            let mut list = AttributeList::default();
            list.set("a", Scalar::Int(attribute), 10);
            list
        };
        registry.observe(id, vec![(Number::Int(1), list(1)), (Number::Int(2), list(2))]);
        assert_eq!(registry.collect(TemporalityPreference::Cumulative)[0].items, 2);
        assert!(registry.collect(TemporalityPreference::Cumulative).is_empty(), "nothing was observed since");
        registry.observe(id, vec![(Number::Int(3), list(2))]);
        assert_eq!(registry.collect(TemporalityPreference::Cumulative)[0].items, 1);
    }
}
