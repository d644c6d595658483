//! OpenTelemetry's current context over ours.
//!
//! Its contexts are immutable dictionaries in one context variable, the span among their entries. Our
//! integrations change the span alone, in a variable of its own that Rust reads without Python code. So
//! there are two: OpenTelemetry's holds everything else (baggage, suppression), ours says which span is
//! current, and whoever asks for the context gets one with that span in it.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::once::Once;
use crate::shield::shield;
use crate::span_context::SpanContext;
use crate::{baggage, context, faces};

/// What is current where the application asked for no instrumentation: our integrations see it in the
/// place of a span and record nothing.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct Suppressed {
    span: Option<Py<PyAny>>,
    /// Whether only the calls of a worker's own loop are not wanted.
    worker_loop: bool,
}

impl Suppressed {
    pub(crate) fn is_worker_loop(&self) -> bool {
        self.worker_loop
    }

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
    baggage: Option<Py<PyAny>>,
}

/// Makes the classes that are no part of the module.
pub(crate) fn make_classes(py: Python<'_>) {
    py.get_type::<Suppressed>();
    py.get_type::<ContextToken>();
}

/// The context variable of the [`RuntimeContext`] in place.
static VARIABLE: Once<Py<PyAny>> = Once::new();
/// Whether any context asked for no spans of HTTP clients.
static HTTP_SUPPRESSED: AtomicBool = AtomicBool::new(false);

/// What is current in a worker's loop, to be given to `activate`: calls of clients make no trace of their
/// own there, and everything else is a root as it is without.
#[pyfunction]
pub(crate) fn worker_loop() -> Suppressed {
    Suppressed { span: None, worker_loop: true }
}

/// Whether the application, or an instrumentation further up, asked for no spans of HTTP clients here.
#[pyfunction]
pub(crate) fn http_suppressed(py: Python<'_>) -> bool {
    if !HTTP_SUPPRESSED.load(Ordering::Relaxed) {
        return false;
    }
    shield(false, || {
        VARIABLE
            .get(py)
            .and_then(|variable| context::get_from(variable.bind(py)))
            .is_some_and(|base| faces::get(py).is_some_and(|faces| faces.suppresses_http(&base)))
    })
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
    fn new(py: Python<'_>, variable: Py<PyAny>) -> Self {
        let _ = VARIABLE.set(py, variable.clone_ref(py));
        Self { variable }
    }

    /// Makes a context current; the token undoes it.
    fn attach(&self, context: &Bound<'_, PyAny>) -> PyResult<ContextToken> {
        let py = context.py();
        let faces = faces::get(py).ok_or_else(|| PyTypeError::new_err("opentelemetry.trace is not loaded"))?;
        // Read where it was made: properties of baggage that was current stay with it.
        let held = faces.baggage_in(context);
        let baggage = held.as_ref().and_then(|held| baggage::of_mapping(py, held));
        let token = context::set_in(self.variable.bind(py), context)?;
        let span = faces.span_in(context).ok().flatten();
        let token_of_span = if faces.suppresses(context) {
            let suppressed = Bound::new(py, Suppressed { span: span.map(Bound::unbind), worker_loop: false })?;
            context::set(py, Some(suppressed.as_any()))
        } else {
            context::set(py, span.as_ref())
        };
        if faces.suppresses_http(context) {
            HTTP_SUPPRESSED.store(true, Ordering::Relaxed);
        }
        let is_changed = baggage.is_some() || baggage::is_seen();
        let token_of_baggage = if is_changed { baggage::change(py, baggage) } else { None };
        Ok(ContextToken {
            context: token.unbind(),
            span: token_of_span.map(Bound::unbind),
            baggage: token_of_baggage.map(Bound::unbind),
        })
    }

    /// The current context, with the current span in it.
    fn get_current<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let base = context::get_from(self.variable.bind(py))
            .ok_or_else(|| PyTypeError::new_err("not OpenTelemetry's context variable"))?;
        let Some(faces) = faces::get(py) else { return Ok(base) };
        let overlay = if baggage::is_seen() {
            let current = baggage::current(py);
            let is_same = baggage::is_same(faces.baggage_in(&base).as_ref(), current.as_deref());
            if is_same { None } else { Some(baggage::to_dict(py, current.as_deref())?) }
        } else {
            None
        };
        let Some(current) = context::get_raw(py) else {
            // Nothing of ours was ever current: the span is in the context, if anywhere.
            return match overlay {
                None => Ok(base),
                Some(_) => faces.context_like(&base, faces.span_in(&base)?.as_ref(), overlay),
            };
        };
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
        if same && overlay.is_none() { Ok(base) } else { faces.context_like(&base, current.as_ref(), overlay) }
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
        if let Some(token) = &own.get().baggage {
            baggage::undo(py, token.bind(py))?;
        }
        if let Some(span) = &own.get().span {
            context::try_reset(py, span.bind(py))?;
        }
        context::reset_in(self.variable.bind(py), own.get().context.bind(py))
    }
}
