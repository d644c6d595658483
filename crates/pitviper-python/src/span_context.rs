//! `SpanContext`, as Python sees it.

use pitviper_model::{SpanId, TraceId};
use pyo3::prelude::*;

use crate::convert::to_text;

/// What a span tells others of itself: its ids, whether the trace is recorded, its trace state.
#[pyclass(frozen, eq, module = "pitviper._native")]
#[derive(Clone, PartialEq)]
pub(crate) struct SpanContext(pub(crate) pitviper_agent::SpanContext);

#[pymethods]
impl SpanContext {
    #[new]
    #[pyo3(signature = (trace_id, span_id, is_remote = false, trace_flags = None, trace_state = None))]
    fn new(
        trace_id: &Bound<'_, PyAny>,
        span_id: &Bound<'_, PyAny>,
        is_remote: bool,
        trace_flags: Option<&Bound<'_, PyAny>>,
        trace_state: Option<&Bound<'_, PyAny>>,
    ) -> Self {
        // A number out of range makes the context invalid, and no exception, as in OpenTelemetry.
        Self(pitviper_agent::SpanContext {
            trace_id: TraceId(trace_id.extract::<u128>().unwrap_or_default().to_be_bytes()),
            span_id: SpanId(span_id.extract::<u64>().unwrap_or_default().to_be_bytes()),
            flags: trace_flags.map_or(1, |flags| flags.extract().unwrap_or_default()),
            is_remote,
            trace_state: trace_state.map(to_text).filter(|state| !state.is_empty()).map(|state| (&*state).into()),
        })
    }

    #[getter]
    fn trace_id(&self) -> u128 {
        u128::from_be_bytes(self.0.trace_id.0)
    }

    #[getter]
    fn span_id(&self) -> u64 {
        u64::from_be_bytes(self.0.span_id.0)
    }

    #[getter]
    fn trace_id_hex(&self) -> String {
        self.0.trace_id.to_string()
    }

    #[getter]
    fn span_id_hex(&self) -> String {
        self.0.span_id.to_string()
    }

    #[getter]
    fn trace_flags(&self) -> u8 {
        self.0.flags
    }

    #[getter]
    fn trace_state(&self) -> &str {
        self.0.trace_state.as_deref().unwrap_or_default()
    }

    #[getter]
    fn is_remote(&self) -> bool {
        self.0.is_remote
    }

    #[getter]
    fn is_valid(&self) -> bool {
        self.0.is_valid()
    }

    fn __repr__(&self) -> String {
        format!(
            "SpanContext(trace_id=0x{}, span_id=0x{}, trace_flags=0x{:02x}, is_remote={})",
            self.0.trace_id,
            self.0.span_id,
            self.0.flags,
            if self.0.is_remote { "True" } else { "False" }
        )
    }
}
