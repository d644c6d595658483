//! Work that goes on elsewhere as part of a span: in a pool's thread, say.
//!
//! Nothing in here calls the work itself: that has to be Python's frame, see [`crate::shield`].

use pitviper_model::SpanKind;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::once::intern;
use crate::runtime::agent;
use crate::shield::shield_attached;
use crate::span::{self, Span};
use crate::start::{Start, start_object};
use crate::{context, exception};

/// The instrumentation scope of spans of work.
const SCOPE: &str = "pitviper.linking";

/// Work whose span had ended when it began: it has one of its own.
#[pyclass(frozen, module = "pitviper._native")]
pub(crate) struct LinkedWork {
    token: Option<Py<PyAny>>,
    span: Py<Span>,
}

/// Makes the class, which is no part of the module.
pub(crate) fn make_class(py: Python<'_>) {
    py.get_type::<LinkedWork>();
}

/// Makes a span current, or the context of one in another process, for as long as a function runs. If the span
/// has ended the function gets a span of its own, linked to it. Returns what [`end_work`] needs.
#[pyfunction]
pub(crate) fn begin_work<'py>(carry: &Bound<'py, PyAny>, function: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let py = carry.py();
    shield_attached(py, None, || {
        let token = context::set(py, Some(carry));
        match carry.cast::<Span>() {
            Ok(span) if span.get().has_ended() => begin_linked(&innermost(function), token),
            _ => token,
        }
    })
}

/// The callable in a partial; partials of partials are one partial.
fn innermost<'py>(function: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
    function.getattr(intern!(function.py(), "func")).unwrap_or_else(|_| function.clone())
}

/// Whether a callable runs something in a context that somebody else sees to: what is current outside of that
/// is not what the work continues.
fn has_context(function: &Bound<'_, PyAny>) -> bool {
    let py = function.py();
    // asyncio.to_thread has a copy of its caller's context run the function.
    let owner = function.getattr(intern!(py, "__self__"));
    let module = function.getattr(intern!(py, "__module__"));
    owner.is_ok_and(|owner| context::is_context(&owner))
        // So does Django, also to close a response whose request has ended.
        || module.is_ok_and(|module| module.extract::<&str>().is_ok_and(|module| module == "asgiref.sync"))
}

#[cold]
fn begin_linked<'py>(function: &Bound<'py, PyAny>, token: Option<Bound<'py, PyAny>>) -> Option<Bound<'py, PyAny>> {
    let py = function.py();
    if has_context(function) {
        return token;
    }
    let begin = || {
        let name = PyString::new(py, &name_of(function)).into_any();
        let attributes = PyDict::new(py);
        attributes.set_item(intern!(py, "code.function.name"), &name)?;
        let begin = Start {
            name: &name,
            kind: SpanKind::Internal,
            start_time: None,
            scope: agent().scope(SCOPE),
            attributes: Some(attributes.as_any()),
            links: None,
            service: None,
        };
        let span = start_object(py, &begin, None)?;
        span::enter(&span);
        let work = LinkedWork { token: token.clone().map(Bound::unbind), span: span.unbind() };
        Bound::new(py, work).map(Bound::into_any)
    };
    begin().ok().or(token)
}

/// `module.function` of a callable.
fn name_of(function: &Bound<'_, PyAny>) -> String {
    let text = |of: &Bound<'_, PyAny>, name| of.getattr(name).ok()?.extract::<String>().ok();
    let py = function.py();
    let qualified = text(function, intern!(py, "__qualname__"))
        .or_else(|| text(&function.get_type(), intern!(py, "__qualname__")))
        .unwrap_or_default();
    let module = text(function, intern!(py, "__module__")).unwrap_or_else(|| "builtins".to_owned());
    format!("{module}.{qualified}")
}

/// Notes the exception that work ended with.
#[pyfunction]
pub(crate) fn fail_work(work: &Bound<'_, PyAny>, exc: &Bound<'_, PyAny>) {
    shield_attached(work.py(), (), || {
        if let Ok(work) = work.cast::<LinkedWork>() {
            span::change(work.get().span.bind(work.py()), |span| exception::leave_with(span, exc));
        }
    });
}

/// Makes current again what was before work began, and ends its span if it has one of its own.
#[pyfunction]
pub(crate) fn end_work(work: &Bound<'_, PyAny>) {
    let py = work.py();
    shield_attached(py, (), || {
        let Ok(linked) = work.cast::<LinkedWork>() else { return context::reset(py, work) };
        span::leave(linked.get().span.bind(py), None);
        if let Some(token) = &linked.get().token {
            context::reset(py, token.bind(py));
        }
    });
}
