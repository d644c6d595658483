//! Counts of what became of spans, log records, metric points and profiles.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::agent::Agent;
use crate::queue::{SIGNALS, Signal};

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
    /// Spans that ended in a thread that was about to fork.
    pub dropped_forking: u64,
    /// Spans that wait or are on their way.
    pub pending: u64,
    /// Attributes whose key or value could not be represented.
    pub invalid_attributes: u64,
    /// Fields of other processes that could not be read as the context they should be.
    pub invalid_context_fields: u64,
    /// Members of baggage that were none, or beyond the bounds.
    pub dropped_baggage: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// What became of log records.
    pub logs: Outcomes,
    /// What became of metric points.
    pub metrics: Outcomes,
    /// What became of profiles.
    pub profiles: Outcomes,
    /// Measurements that could not be taken: negative where values only grow, or no number.
    pub invalid_measurements: u64,
    /// Measurements beyond the bound of an instrument's series; they are in its last one.
    pub overflowed_measurements: u64,
    /// Instruments beyond their bound, which measure nothing.
    pub refused_instruments: u64,
}

impl Agent {
    /// What became of the items of each signal so far, in the order of [`Signal::ALL`].
    pub(crate) fn outcomes(&self) -> [Outcomes; SIGNALS] {
        let pending = self.queue.pending();
        Signal::ALL.map(|signal| self.counters.of(signal).outcomes(pending[signal as usize]))
    }

    /// What became of spans, logs, metrics and profiles so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let [spans, logs, metrics, profiles] = self.outcomes();
        Stats {
            started: read(&self.counters.started),
            exported: spans.exported,
            sampled_out: read(&self.counters.sampled_out),
            dropped_queue_full: spans.dropped_queue_full,
            dropped_export_failed: spans.dropped_export_failed,
            dropped_rejected: spans.dropped_rejected,
            dropped_shutdown: spans.dropped_shutdown,
            dropped_forking: spans.dropped_forking,
            pending: spans.pending,
            invalid_attributes: read(&self.counters.invalid_attributes),
            invalid_context_fields: read(&self.counters.invalid_context_fields),
            dropped_baggage: read(&self.counters.dropped_baggage),
            retries: read(&self.counters.retries),
            logs,
            metrics,
            profiles,
            invalid_measurements: read(&self.registry.invalid),
            overflowed_measurements: read(&self.registry.overflowed),
            refused_instruments: read(&self.registry.refused_instruments),
        }
    }
}

/// What became of the items of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcomes {
    /// A receiver confirmed them.
    pub exported: u64,
    /// The queue was full.
    pub dropped_queue_full: u64,
    /// No receiver took them.
    pub dropped_export_failed: u64,
    /// A receiver refused them as invalid.
    pub dropped_rejected: u64,
    /// They came after the shutdown, or it left no time for them.
    pub dropped_shutdown: u64,
    /// They came in a thread that was about to fork.
    pub dropped_forking: u64,
    /// They wait or are on their way.
    pub pending: u64,
}

#[derive(Debug, Default)]
pub(crate) struct SignalCounters {
    pub(crate) exported: AtomicU64,
    pub(crate) queue_full: AtomicU64,
    pub(crate) export_failed: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) shutdown: AtomicU64,
    pub(crate) forking: AtomicU64,
}

impl SignalCounters {
    pub(crate) fn outcomes(&self, pending: usize) -> Outcomes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Outcomes {
            exported: read(&self.exported),
            dropped_queue_full: read(&self.queue_full),
            dropped_export_failed: read(&self.export_failed),
            dropped_rejected: read(&self.rejected),
            dropped_shutdown: read(&self.shutdown),
            dropped_forking: read(&self.forking),
            pending: pending as u64,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) started: AtomicU64,
    pub(crate) sampled_out: AtomicU64,
    pub(crate) invalid_attributes: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) invalid_context_fields: AtomicU64,
    pub(crate) dropped_baggage: AtomicU64,
    signals: [SignalCounters; SIGNALS],
}

impl Counters {
    /// Those of one signal.
    pub(crate) fn of(&self, signal: Signal) -> &SignalCounters {
        &self.signals[signal as usize]
    }

    pub(crate) fn reset(&self) {
        for counter in [
            &self.started,
            &self.sampled_out,
            &self.invalid_attributes,
            &self.retries,
            &self.invalid_context_fields,
            &self.dropped_baggage,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        for signal in &self.signals {
            for counter in [
                &signal.exported,
                &signal.queue_full,
                &signal.export_failed,
                &signal.rejected,
                &signal.shutdown,
                &signal.forking,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
    }
}
