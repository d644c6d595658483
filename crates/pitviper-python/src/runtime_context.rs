//! OpenTelemetry's current context over ours.
//!
//! Its contexts are immutable dictionaries in one context variable, the span among their entries. Our
//! integrations change the span alone, in a variable of its own that Rust reads without Python code. So
//! there are two: OpenTelemetry's holds everything else (baggage, suppression), ours says which span is
//! current, and whoever asks for the context gets one with that span in it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::span_context::SpanContext;
use crate::{context, faces};

/// What is current where the application asked for no instrumentation: our integrations see it in the
/// place of a span and record nothing.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct Suppressed {
    span: Option<Py<PyAny>>,
}

impl Suppressed {
    /// The span below it, if the object is one and there is a span.
    pub(crate) fn span_of<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
        let suppressed = object.cast::<Self>().ok()?;
        suppressed.get().span.as_ref().map(|span| span.bind(object.py()).clone())
    }
}

/// What [`RuntimeContext::attach`] returns.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct ContextToken {
    context: Py<PyAny>,
    span: Option<Py<PyAny>>,
}

/// OpenTelemetry's `_RuntimeContext`.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct RuntimeContext {
    /// The context variable that OpenTelemetry's own implementation uses.
    variable: Py<PyAny>,
}

#[pymethods]
impl RuntimeContext {
    #[new]
    fn new(variable: Py<PyAny>) -> Self {
        Self { variable }
    }

    /// Makes a context current; the token undoes it.
    fn attach(&self, context: &Bound<'_, PyAny>) -> PyResult<ContextToken> {
        let py = context.py();
        let token = context::set_in(self.variable.bind(py), context)?;
        let faces = faces::get(py).ok_or_else(|| PyTypeError::new_err("opentelemetry.trace is not loaded"))?;
        let span = faces.span_in(context).ok().flatten();
        let token_of_span = if faces.suppresses(context) {
            let suppressed = Bound::new(py, Suppressed { span: span.map(Bound::unbind) })?;
            context::set(py, Some(suppressed.as_any()))
        } else {
            context::set(py, span.as_ref())
        };
        Ok(ContextToken { context: token.unbind(), span: token_of_span.map(Bound::unbind) })
    }

    /// The current context, with the current span in it.
    fn get_current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let base = context::get_from(self.variable.bind(py))
            .ok_or_else(|| PyTypeError::new_err("not OpenTelemetry's context variable"))?;
        let (Some(faces), Some(current)) = (faces::get(py), context::get_raw(py)) else { return Ok(base) };
        let current = if current.is_instance_of::<Suppressed>() {
            Suppressed::span_of(&current)
        } else if let Ok(handed) = current.cast::<SpanContext>() {
            Some(faces.show_handed(py, &handed.get().0)?)
        } else {
            (!current.is_none()).then_some(current)
        };
        let known = faces.span_in(&base)?;
        let same = match (&known, &current) {
            (None, None) => true,
            (Some(known), Some(current)) => known.is(current),
            _ => false,
        };
        if same { Ok(base) } else { faces.context_like(&base, current.as_ref()) }
    }

    /// Makes current again what was before `attach`. Fails in another context than that.
    fn detach(&self, token: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = token.py();
        let Ok(own) = token.cast::<ContextToken>() else {
            // Attached before this one stood in, when the span was in the context alone.
            let variable = self.variable.bind(py);
            context::reset_in(variable, token)?;
            let base = context::get_from(variable);
            let span = base.and_then(|base| faces::get(py)?.span_in(&base).ok().flatten());
            context::set(py, span.as_ref());
            return Ok(());
        };
        if let Some(span) = &own.get().span {
            context::try_reset(py, span.bind(py))?;
        }
        context::reset_in(self.variable.bind(py), own.get().context.bind(py))
    }
}
