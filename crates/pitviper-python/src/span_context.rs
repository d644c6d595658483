//! `SpanContext`, as Python sees it.

use pitviper_model::{Attributes, Link, SpanId, TraceId};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::convert::{to_attributes, to_text};
use crate::faces;
use crate::span::Span;

/// OTLP's flags of a link: whether the other span is known to be remote, and whether it is.
const LINK_HAS_IS_REMOTE: u32 = 0x100;
pub(crate) const LINK_IS_REMOTE: u32 = 0x200;

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
            baggage: None,
            local_root: SpanId::INVALID,
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

    /// The baggage that came with it, as a dictionary.
    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        crate::baggage::to_dict(py, self.0.baggage.as_deref())
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

/// The context of a span of anybody's, or a context itself; `None` for anything else.
pub(crate) fn context_of(object: &Bound<'_, PyAny>) -> Option<pitviper_agent::SpanContext> {
    if let Ok(span) = object.cast::<Span>() {
        return Some(span.get().core_context().clone());
    }
    if let Ok(context) = object.cast::<SpanContext>() {
        return Some(context.get().0.clone());
    }
    // OpenTelemetry's SpanContext is a tuple; its spans have one.
    if object.is_instance_of::<PyTuple>() {
        return foreign(object);
    }
    match object.call_method0("get_span_context") {
        Ok(context) => match context.cast::<SpanContext>() {
            Ok(context) => Some(context.get().0.clone()),
            Err(_) => foreign(&context),
        },
        Err(_) => foreign(object),
    }
}

fn foreign(context: &Bound<'_, PyAny>) -> Option<pitviper_agent::SpanContext> {
    let part = |name: &str| context.getattr(name);
    let state = part("trace_state").and_then(|state| state.call_method0("to_header"));
    let state = state.ok().map(|state| to_text(&state).into_owned());
    Some(pitviper_agent::SpanContext {
        trace_id: TraceId(part("trace_id").ok()?.extract::<u128>().ok()?.to_be_bytes()),
        span_id: SpanId(part("span_id").ok()?.extract::<u64>().ok()?.to_be_bytes()),
        flags: part("trace_flags").and_then(|flags| flags.extract()).unwrap_or(0),
        is_remote: part("is_remote").and_then(|flag| flag.extract()).unwrap_or(false),
        trace_state: state.filter(|state| !state.is_empty()).map(Into::into),
        baggage: None,
        local_root: SpanId::INVALID,
    })
}

/// A link to a span, given by its context; `None` when there is nothing to link to or to say.
pub(crate) fn link_of(context: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) -> Option<Link> {
    let context = context_of(context)?;
    let attributes = to_attributes(attributes);
    if !context.is_valid() && attributes.0.is_empty() && context.trace_state.is_none() {
        return None;
    }
    Some(link_to(&context, attributes))
}

/// A link to the span of a context.
pub(crate) fn link_to(context: &pitviper_agent::SpanContext, attributes: Attributes) -> Link {
    let remote = if context.is_remote { LINK_IS_REMOTE } else { 0 };
    Link {
        trace_id: context.trace_id,
        span_id: context.span_id,
        trace_state: context.trace_state.as_deref().unwrap_or_default().to_owned(),
        attributes,
        flags: u32::from(context.flags) | LINK_HAS_IS_REMOTE | remote,
        ..Link::default()
    }
}

/// A link given at the start: a context, a (context, attributes) pair, or OpenTelemetry's `Link`.
pub(crate) fn given_link(given: &Bound<'_, PyAny>) -> Option<Link> {
    if let Ok(pair) = given.cast_exact::<PyTuple>() {
        return link_of(&pair.get_item(0).ok()?, pair.get_item(1).ok().as_ref());
    }
    if given.is_instance_of::<Span>() || given.is_instance_of::<SpanContext>() {
        return link_of(given, None);
    }
    match given.getattr("context") {
        Ok(context) => link_of(&context, given.getattr("attributes").ok().as_ref()),
        Err(_) => link_of(given, None),
    }
}

/// A span context as OpenTelemetry's class, or as our own while that is not loaded.
pub(crate) fn show_context(py: Python<'_>, context: pitviper_agent::SpanContext) -> PyResult<Py<PyAny>> {
    match faces::get(py) {
        Some(faces) => faces.show_context(py, &context).map(Bound::unbind),
        None => Ok(Bound::new(py, SpanContext(context))?.into_any().unbind()),
    }
}
