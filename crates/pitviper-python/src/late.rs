//! What is decided about a span after it began: APIs other than OpenTelemetry's change everything until its end.

use pitviper_model::TraceId;
use pyo3::prelude::*;

use crate::convert;
use crate::shield::shield;
use crate::span::{self, Span};
use crate::span_context::context_of;
use crate::start;

/// Most spans around one that are told of a decision about their trace.
const MAX_AROUND: usize = 64;

/// Gives a span another role: OTLP's number, or OpenTelemetry's enum.
#[pyfunction]
pub(crate) fn set_kind(span: &Bound<'_, Span>, kind: &Bound<'_, PyAny>) {
    span::change(span, |span| span.set_kind(convert::to_kind(kind)));
}

/// Says that a span began at another time, in nanoseconds since the Unix epoch.
#[pyfunction]
pub(crate) fn set_start(span: &Bound<'_, Span>, start_time: u64) {
    span::change(span, |span| span.set_start(start_time));
}

/// Makes a span, and what begins below it from now on, part of another service of this process; with None,
/// of the process's own.
#[pyfunction]
#[pyo3(signature = (span, service))]
pub(crate) fn set_service(span: &Bound<'_, Span>, service: Option<&Bound<'_, PyAny>>) {
    span::change(span, |inner| inner.set_service(convert::to_service(service)));
    span.get().note_move();
}

/// The service that a span is part of; None for the process's own.
#[pyfunction]
pub(crate) fn service_of(span: &Bound<'_, Span>) -> Option<String> {
    shield(None, || span.get().service(span.py()).map(|service| service.to_string()))
}

/// Keeps a span from being sent when it ends.
#[pyfunction]
pub(crate) fn discard(span: &Bound<'_, Span>) {
    span::change(span, pitviper_agent::Span::discard);
}

/// Decides about the trace of a span: a priority of Datadog's, which keeps it from 1 up, and who decided. It
/// holds for this span, for those around it in this process, and for what begins below them; the first
/// decision counts. Of a trace that is not kept, nothing is sent that has not ended.
#[pyfunction]
pub(crate) fn decide(span: &Bound<'_, Span>, priority: i32, decision: &str) {
    shield((), || {
        let trace_id: TraceId = span.get().core_context().trace_id;
        let mut at = span.clone();
        for _ in 0..MAX_AROUND {
            let this = at.get();
            if this.core_context().trace_id != trace_id {
                break;
            }
            this.decide(this.core_context().decided(priority, decision));
            if priority <= 0 {
                span::change(&at, pitviper_agent::Span::discard);
            }
            let Some(Ok(around)) = this.around(at.py()).map(Bound::cast_into::<Span>) else { break };
            at = around;
        }
    });
}

/// Trace and span id, whether the trace is recorded, the priority that Datadog's tracers are told, the trace
/// state, and whether it came from another process.
type Told = (u128, u64, bool, i32, String, bool);

/// What a span, or a context, tells others about its trace; without `span`, what is current.
#[pyfunction]
#[pyo3(signature = (span = None))]
pub(crate) fn told(py: Python<'_>, span: Option<&Bound<'_, PyAny>>) -> Option<Told> {
    let found = shield(None, || match span.filter(|span| !span.is_none()) {
        Some(span) => context_of(span),
        None => start::current_context(py),
    })?;
    let state = found.trace_state.as_deref().unwrap_or_default().to_owned();
    let (trace_id, span_id) = (u128::from_be_bytes(found.trace_id.0), u64::from_be_bytes(found.span_id.0));
    Some((trace_id, span_id, found.is_sampled(), found.priority(), state, found.is_remote))
}
