//! What became of the agent's own spans and log records, as metrics: the server then shows what was left out
//! before anything reached it.
//!
//! Names: OpenTelemetry's semantic conventions for SDKs (`otel.sdk.*`). What is lost has an `error.type`.

use std::sync::atomic::Ordering;

use pitviper_model::Number;
use pitviper_wire::encode::{AttributeList, Scalar};

use super::scope;
use crate::agent::Agent;
use crate::counters::Outcomes;
use crate::metrics::{Aggregation, InstrumentId, InstrumentKind, InstrumentOptions, Registry};
use crate::queue::Signal;

/// The items of a signal: what happened to them before they were sent, and when.
struct OfSignal {
    processed: InstrumentId,
    exported: InstrumentId,
}

/// Tells what became of spans and log records.
pub(super) struct OutcomeMetrics {
    started: InstrumentId,
    spans: OfSignal,
    logs: OfSignal,
}

impl OutcomeMetrics {
    pub(super) fn new(registry: &Registry) -> Self {
        let scope = scope();
        let counter = |name: &str, unit: &str, description: &str| {
            registry.instrument(&InstrumentOptions {
                scope: &scope,
                name,
                unit,
                description,
                kind: InstrumentKind::ObservableCounter,
                aggregation: Aggregation::Sum,
                attribute_keys: None,
            })
        };
        Self {
            started: counter("otel.sdk.span.started", "{span}", "Spans that were started, by what the sampler decided"),
            spans: OfSignal {
                processed: counter(
                    "otel.sdk.processor.span.processed",
                    "{span}",
                    "Spans that ended; lost ones say why",
                ),
                exported: counter(
                    "otel.sdk.exporter.span.exported",
                    "{span}",
                    "Spans that a receiver was asked to take; lost ones say why",
                ),
            },
            logs: OfSignal {
                processed: counter(
                    "otel.sdk.processor.log.processed",
                    "{log_record}",
                    "Log records that were made; lost ones say why",
                ),
                exported: counter(
                    "otel.sdk.exporter.log.exported",
                    "{log_record}",
                    "Log records that a receiver was asked to take; lost ones say why",
                ),
            },
        }
    }

    /// Counters of this process begin here.
    pub(super) fn counters(&self) -> [InstrumentId; 5] {
        [self.started, self.spans.processed, self.spans.exported, self.logs.processed, self.logs.exported]
    }

    pub(super) fn observe(&self, agent: &Agent) {
        let started = agent.counters.started.load(Ordering::Relaxed);
        let sampled_out = agent.counters.sampled_out.load(Ordering::Relaxed);
        let decided = |result: &str, count: u64| point("otel.span.sampling_result", Some(result), count);
        let sampled = decided("RECORD_AND_SAMPLE", started.saturating_sub(sampled_out));
        let left_out = (sampled_out > 0).then(|| decided("DROP", sampled_out));
        agent.registry.observe(self.started, std::iter::once(sampled).chain(left_out).collect());
        let outcomes = agent.outcomes();
        observe_signal(agent, &self.spans, outcomes[Signal::Spans as usize]);
        // A process without log records says nothing of them.
        let logs = outcomes[Signal::Logs as usize];
        if logs != Outcomes::default() {
            observe_signal(agent, &self.logs, logs);
        }
    }
}

fn observe_signal(agent: &Agent, own: &OfSignal, outcomes: Outcomes) {
    let Outcomes {
        exported,
        dropped_queue_full,
        dropped_export_failed,
        dropped_rejected,
        dropped_shutdown,
        dropped_forking,
        pending,
    } = outcomes;
    let accepted = exported + dropped_export_failed + dropped_rejected + pending;
    agent.registry.observe(
        own.processed,
        points(
            accepted,
            [("queue_full", dropped_queue_full), ("shutdown", dropped_shutdown), ("forking", dropped_forking)],
        ),
    );
    agent.registry.observe(
        own.exported,
        points(exported, [("export_failed", dropped_export_failed), ("rejected", dropped_rejected)]),
    );
}

/// What went well, and of what was lost the reasons that occurred.
fn points<const N: usize>(well: u64, lost: [(&str, u64); N]) -> Vec<(Number, AttributeList)> {
    let lost = lost.into_iter().filter(|(_, count)| *count > 0);
    std::iter::once(point("error.type", None, well))
        .chain(lost.map(|(reason, count)| point("error.type", Some(reason), count)))
        .collect()
}

fn point(key: &str, value: Option<&str>, count: u64) -> (Number, AttributeList) {
    let mut attributes = AttributeList::default();
    if let Some(value) = value {
        attributes.set(key, Scalar::Str(value), 1);
    }
    (Number::Int(i64::try_from(count).unwrap_or(i64::MAX)), attributes)
}
