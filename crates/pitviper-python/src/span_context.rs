//! `SpanContext`, as Python sees it.

use pitviper_model::{SpanId, TraceId};
use pyo3::prelude::*;

/// What a span tells others of itself: its ids, whether the trace is recorded, its trace state.
#[pyclass(frozen, eq, module = "pitviper._native")]
#[derive(Clone, PartialEq)]
pub(crate) struct SpanContext(pub(crate) pitviper_agent::SpanContext);

#[pymethods]
impl SpanContext {
    #[new]
    #[pyo3(signature = (trace_id, span_id, is_remote = false, trace_flags = 1, trace_state = None))]
    fn new(trace_id: u128, span_id: u64, is_remote: bool, trace_flags: u8, trace_state: Option<&str>) -> Self {
        Self(pitviper_agent::SpanContext {
            trace_id: TraceId(trace_id.to_be_bytes()),
            span_id: SpanId(span_id.to_be_bytes()),
            flags: trace_flags,
            is_remote,
            trace_state: trace_state.filter(|state| !state.is_empty()).map(Into::into),
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
