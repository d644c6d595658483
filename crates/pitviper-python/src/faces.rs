//! OpenTelemetry's own classes: how native objects look to those who use its API.
//!
//! The API is an optional library of the application's. Once it is imported, `pitviper.opentelemetry`
//! hands its classes over, and contexts and kinds of spans are shown as instances of them.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::once::Once;

/// What the API provides.
pub(crate) struct Faces {
    /// The key of the span in a context.
    pub(crate) span_key: Py<PyAny>,
    /// The key of the baggage in a context.
    pub(crate) baggage_key: Py<PyAny>,
    /// The key in a context that asks for no spans of HTTP clients.
    http_suppression_key: Py<PyAny>,
    /// The keys in a context that ask for no instrumentation.
    suppression_keys: Vec<Py<PyAny>>,
    /// The class `Context`.
    context: Py<PyAny>,
    /// `get_current_span(context)`.
    current_span: Py<PyAny>,
    /// A context with a parent, from its span context.
    context_with: Py<PyAny>,
    /// The class `NonRecordingSpan`.
    non_recording: Py<PyAny>,
    span_context: Py<PyAny>,
    /// `TraceFlags` of each value of our two flags.
    flags: Vec<Py<PyAny>>,
    trace_state: Py<PyAny>,
    no_trace_state: Py<PyAny>,
    /// `SpanKind` in the order of OTLP's numbers.
    kinds: Vec<Py<PyAny>>,
    /// `read(span, name)`: what of a span is shown as objects of Python classes.
    read: Py<PyAny>,
    /// `decorate(block, function)`.
    decorate: Py<PyAny>,
    /// `fail(span, description)`: sets the status of a span of somebody else's.
    fail: Py<PyAny>,
}

static FACES: Once<Faces> = Once::new();

/// The API's classes, once they are known.
#[inline]
pub(crate) fn get(py: Python<'_>) -> Option<&'static Faces> {
    FACES.get(py)
}

/// Takes the API's classes, as attributes of `faces`. The first call counts.
#[pyfunction]
pub(crate) fn bind_opentelemetry(faces: &Bound<'_, PyAny>) -> PyResult<()> {
    let part = |name: &str| faces.getattr(name).map(Bound::unbind);
    FACES.get_or_try_init(faces.py(), || {
        PyResult::Ok(Faces {
            span_key: part("span_key")?,
            baggage_key: part("baggage_key")?,
            http_suppression_key: part("http_suppression_key")?,
            suppression_keys: faces.getattr("suppression_keys")?.extract()?,
            context: part("Context")?,
            current_span: part("get_current_span")?,
            context_with: part("context_with")?,
            non_recording: part("NonRecordingSpan")?,
            span_context: part("SpanContext")?,
            flags: faces.getattr("flags")?.extract()?,
            trace_state: part("trace_state")?,
            no_trace_state: part("no_trace_state")?,
            kinds: faces.getattr("kinds")?.extract()?,
            read: part("read")?,
            decorate: part("decorate")?,
            fail: part("fail")?,
        })
    })?;
    Ok(())
}

impl Faces {
    /// The span context as OpenTelemetry's class.
    pub(crate) fn show_context<'py>(
        &self,
        py: Python<'py>,
        context: &pitviper_agent::SpanContext,
    ) -> PyResult<Bound<'py, PyAny>> {
        let state = match context.trace_state.as_deref() {
            Some(state) => self.trace_state.bind(py).call1((state,))?,
            None => self.no_trace_state.bind(py).clone(),
        };
        let flags = &self.flags[usize::from(context.flags) & (self.flags.len() - 1)];
        let ids = (u128::from_be_bytes(context.trace_id.0), u64::from_be_bytes(context.span_id.0));
        self.span_context.bind(py).call1((ids.0, ids.1, context.is_remote, flags, state))
    }

    /// The span kind as OpenTelemetry's enum; `number` is OTLP's.
    pub(crate) fn show_kind(&self, py: Python<'_>, number: i32) -> Option<Py<PyAny>> {
        self.kinds.get(usize::try_from(number - 1).ok()?).map(|kind| kind.clone_ref(py))
    }

    /// OTLP's number of a member of the enum.
    pub(crate) fn kind_number(&self, kind: &Bound<'_, PyAny>) -> Option<i32> {
        self.kinds.iter().position(|member| member.is(kind)).map(|index| index as i32 + 1)
    }

    /// The span in a context, or None.
    pub(crate) fn span_in<'py>(&self, context: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match context.cast::<PyDict>() {
            Ok(context) => context.get_item(&self.span_key),
            Err(_) => self.current_span.bind(context.py()).call1((context,)).map(Some),
        }
    }

    /// Whether a context asks for no instrumentation.
    pub(crate) fn suppresses(&self, context: &Bound<'_, PyAny>) -> bool {
        let Ok(context) = context.cast::<PyDict>() else { return false };
        // Most contexts hold a span and nothing else.
        context.len() > 0
            && self
                .suppression_keys
                .iter()
                .any(|key| context.get_item(key).ok().flatten().is_some_and(|value| value.is_truthy().unwrap_or(false)))
    }

    /// Whether a context asks for no spans of HTTP clients.
    pub(crate) fn suppresses_http(&self, context: &Bound<'_, PyAny>) -> bool {
        let Ok(context) = context.cast::<PyDict>() else { return false };
        context.len() > 0
            && context
                .get_item(&self.http_suppression_key)
                .ok()
                .flatten()
                .is_some_and(|value| value.is_truthy().unwrap_or(false))
    }

    /// The baggage in a context, a dictionary, if there is any.
    pub(crate) fn baggage_in<'py>(&self, context: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        context.cast::<PyDict>().ok()?.get_item(&self.baggage_key).ok().flatten()
    }

    /// A context like `base`, but with this span, or none, and this baggage, unless it is to stay.
    pub(crate) fn context_like<'py>(
        &self,
        base: &Bound<'py, PyAny>,
        span: Option<&Bound<'py, PyAny>>,
        baggage: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let context = self.context.bind(base.py()).call1((base,))?;
        // The class refuses changes; nobody else has seen this one yet.
        let entries = context.cast::<PyDict>().map_err(PyErr::from)?;
        match span {
            Some(span) => entries.set_item(&self.span_key, span)?,
            None if entries.contains(&self.span_key)? => entries.del_item(&self.span_key)?,
            None => {}
        }
        if let Some(baggage) = baggage {
            entries.set_item(&self.baggage_key, baggage)?;
        }
        Ok(context)
    }

    /// A context whose span has this context: how samplers written in Python get to know a parent.
    pub(crate) fn context_with_parent<'py>(
        &self,
        py: Python<'py>,
        parent: &pitviper_agent::SpanContext,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.context_with.bind(py).call1((self.show_context(py, parent)?,))
    }

    /// Marks a span of somebody else's as failed.
    pub(crate) fn fail(&self, span: &Bound<'_, PyAny>, description: &str) -> PyResult<()> {
        self.fail.bind(span.py()).call1((span, description)).map(drop)
    }

    /// A span of another process, of which there is nothing but its context.
    pub(crate) fn show_handed<'py>(
        &self,
        py: Python<'py>,
        context: &pitviper_agent::SpanContext,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.non_recording.bind(py).call1((self.show_context(py, context)?,))
    }

    /// A function with a block around each call.
    pub(crate) fn decorate<'py>(
        &self,
        block: &Bound<'py, PyAny>,
        function: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.decorate.bind(block.py()).call1((block, function))
    }
}

/// A property of a span that is shown as an object of a Python class.
pub(crate) fn read<'py>(span: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = span.py();
    let Some(faces) = get(py) else {
        return Err(PyAttributeError::new_err(format!("{name}: import opentelemetry.trace first")));
    };
    faces.read.bind(py).call1((span, name))
}
