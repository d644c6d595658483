//! `Span`, as Python sees it, and the functions that start one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pitviper_agent::{Parent, SpanOptions};
use pitviper_model::{Link, SpanKind, StatusCode};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyTuple};

use crate::runtime::agent;
use crate::shield::shield;
use crate::span_context::SpanContext;
use crate::{context, convert, exception};

/// A span under way. Using it after its end, from several threads, or with values that have no
/// representation does nothing and raises nothing.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct Span {
    span: Mutex<pitviper_agent::Span>,
    /// A copy outside the lock: others need it while the span is being changed.
    context: pitviper_agent::SpanContext,
    /// Whether it made itself current, and what was current before. The lock is held for no longer
    /// than a move.
    displaced: Mutex<Option<Option<Py<PyAny>>>>,
    /// When it ended, if that happened while someone was changing it; who changes it then ends it.
    end_requested: AtomicU64,
}

/// [`Span::end_requested`] of a span nobody asked to end.
const NOT_REQUESTED: u64 = 0;

impl Span {
    pub(crate) fn get_context(&self) -> pitviper_agent::SpanContext {
        self.context.clone()
    }

    fn make(span: pitviper_agent::Span) -> Self {
        let context = span.context().clone();
        Self {
            span: Mutex::new(span),
            context,
            displaced: Mutex::new(None),
            end_requested: AtomicU64::new(NOT_REQUESTED),
        }
    }

    /// The span, unless it is in use: by another thread, or by this one further up the stack (an
    /// attribute whose `__str__` touches the span). Waiting could deadlock, so the call is void.
    fn lock(&self) -> Option<MutexGuard<'_, pitviper_agent::Span>> {
        match self.span.try_lock() {
            Ok(span) => Some(span),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn change(&self, change: impl FnOnce(&mut pitviper_agent::Span)) {
        shield((), || {
            if let Some(mut span) = self.lock() {
                change(&mut span);
                drop(span);
                self.end_if_requested();
            }
        });
    }

    /// Ends the span, now or, if it is in use, as soon as it no longer is.
    fn finish(&self, end_time: Option<u64>) {
        if let Some(mut span) = self.lock() {
            span.end(end_time);
            return;
        }
        self.end_requested.store(end_time.unwrap_or_else(crate::runtime::now).max(1), Ordering::SeqCst);
        // Who held it may have let go before the request was there to be seen.
        self.end_if_requested();
    }

    fn end_if_requested(&self) {
        if self.end_requested.load(Ordering::SeqCst) != NOT_REQUESTED
            && let Some(mut span) = self.lock()
        {
            span.end(Some(self.end_requested.load(Ordering::SeqCst)));
        }
    }

    /// Whether it was recorded and has ended.
    fn has_ended(&self) -> bool {
        self.context.is_sampled()
            && match self.lock() {
                Some(span) => !span.is_recording(),
                None => self.end_requested.load(Ordering::SeqCst) != NOT_REQUESTED,
            }
    }

    fn displaced(&self) -> MutexGuard<'_, Option<Option<Py<PyAny>>>> {
        self.displaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a span current and remembers what was.
fn enter(slf: &Bound<'_, Span>) {
    let before = context::get(slf.py()).map(Bound::unbind);
    let mut displaced = slf.get().displaced();
    if displaced.is_none() {
        *displaced = Some(before);
        drop(displaced);
        context::set(slf.py(), Some(slf.as_any()));
    }
}

/// Ends a span, and makes current again what was, if the span still is.
fn leave(slf: &Bound<'_, Span>, end_time: Option<u64>) {
    let py = slf.py();
    slf.get().finish(end_time);
    let displaced = slf.get().displaced().take();
    if let Some(displaced) = displaced
        && context::get(py).is_some_and(|current| current.is(slf))
    {
        context::set(py, displaced.as_ref().map(|before| before.bind(py)));
    }
}

#[pymethods]
impl Span {
    /// Sets an attribute; the last value of a key counts.
    fn set_attribute(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        self.change(|span| convert::set_attribute(span, key, value));
    }

    /// Sets attributes from a mapping.
    fn set_attributes(&self, attributes: &Bound<'_, PyAny>) {
        self.change(|span| convert::set_attributes(span, attributes));
    }

    /// Adds an event, now or at `timestamp` nanoseconds since the Unix epoch.
    #[pyo3(signature = (name, attributes = None, timestamp = None))]
    fn add_event(
        &self,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) {
        self.change(|span| {
            if span.is_recording() {
                span.add_event(
                    &convert::to_text(name),
                    convert::to_time(timestamp),
                    convert::to_attributes(attributes),
                );
            }
        });
    }

    /// Links another span, given by its context, as a cause.
    #[pyo3(signature = (context, attributes = None))]
    fn add_link(&self, context: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) {
        self.change(|span| {
            if let Some(context) = context_of(context) {
                span.add_link(link(&context, attributes));
            }
        });
    }

    /// Adds an event that describes an exception. The status stays as it is.
    #[pyo3(signature = (exception, attributes = None, timestamp = None, escaped = None))]
    fn record_exception(
        &self,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: Option<&Bound<'_, PyAny>>,
    ) {
        self.change(|span| {
            let escaped = escaped.is_some_and(|flag| flag.is_truthy().unwrap_or(false));
            let time = convert::to_time(timestamp);
            exception::record(span, exception, convert::to_attributes(attributes), time, escaped);
        });
    }

    /// Says whether the operation succeeded: 0 unset, 1 ok, 2 error, or OpenTelemetry's status.
    #[pyo3(signature = (code, description = None))]
    fn set_status(&self, code: &Bound<'_, PyAny>, description: Option<&Bound<'_, PyAny>>) {
        self.change(|span| {
            let (code, own_description) = status_of(code);
            let description = description.map(convert::to_text);
            span.set_status(code, &description.or(own_description.map(Into::into)).unwrap_or_default());
        });
    }

    /// Gives the span another name.
    fn update_name(&self, name: &Bound<'_, PyAny>) {
        self.change(|span| span.update_name(&convert::to_text(name)));
    }

    /// Ends the span, now or at `end_time` nanoseconds since the Unix epoch. Only the first end
    /// counts.
    #[pyo3(signature = (end_time = None))]
    fn end(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) {
        shield((), || leave(slf, convert::to_time(end_time)));
    }

    /// Whether what is set still counts.
    fn is_recording(&self) -> bool {
        self.lock().is_some_and(|span| span.is_recording())
    }

    /// Whether it was recorded and has ended; false for one that the sampler left out.
    fn is_ended(&self) -> bool {
        self.has_ended()
    }

    /// The span's context.
    fn get_span_context(&self) -> SpanContext {
        SpanContext(self.context.clone())
    }

    #[getter]
    fn context(&self) -> SpanContext {
        SpanContext(self.context.clone())
    }

    #[getter]
    fn name(&self) -> String {
        self.lock().map(|span| span.name().to_owned()).unwrap_or_default()
    }

    #[getter]
    fn kind(&self) -> i32 {
        self.lock().map_or(SpanKind::Internal, |span| span.kind()) as i32
    }

    #[getter]
    fn trace_id(&self) -> String {
        self.context.trace_id.to_string()
    }

    #[getter]
    fn span_id(&self) -> String {
        self.context.span_id.to_string()
    }

    fn __enter__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        shield((), || enter(slf));
        slf.clone()
    }

    #[pyo3(signature = (_exc_type, exc, _traceback))]
    fn __exit__(
        slf: &Bound<'_, Self>,
        _exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> bool {
        if !exc.is_none() {
            slf.get().change(|span| exception::leave_with(span, exc));
        }
        shield((), || leave(slf, None));
        false
    }

    fn __repr__(&self) -> String {
        format!("Span(name={:?}, trace_id={}, span_id={})", self.name(), self.context.trace_id, self.context.span_id)
    }
}

fn status_of(code: &Bound<'_, PyAny>) -> (StatusCode, Option<String>) {
    if let Ok(number) = code.extract::<i32>() {
        return (StatusCode::from_otlp(number), None);
    }
    // opentelemetry.trace.Status has status_code and description; StatusCode has value.
    if let Ok(inner) = code.getattr("status_code") {
        let description = code.getattr("description").ok().map(|text| convert::to_text(&text).into_owned());
        return (status_of(&inner).0, description);
    }
    let number = code.getattr("value").and_then(|value| value.extract::<i32>());
    (number.map_or(StatusCode::Unset, StatusCode::from_otlp), None)
}

/// The context of a span, or a context itself; `None` for anything else.
fn context_of(object: &Bound<'_, PyAny>) -> Option<pitviper_agent::SpanContext> {
    if let Ok(span) = object.cast::<Span>() {
        return Some(span.get().context.clone());
    }
    if let Ok(context) = object.cast::<SpanContext>() {
        return Some(context.get().0.clone());
    }
    // OpenTelemetry's own SpanContext.
    let number = |name: &str| object.getattr(name);
    Some(pitviper_agent::SpanContext {
        trace_id: pitviper_model::TraceId(number("trace_id").ok()?.extract::<u128>().ok()?.to_be_bytes()),
        span_id: pitviper_model::SpanId(number("span_id").ok()?.extract::<u64>().ok()?.to_be_bytes()),
        flags: number("trace_flags").and_then(|flags| flags.extract()).unwrap_or(0),
        is_remote: number("is_remote").and_then(|flag| flag.extract()).unwrap_or(false),
        trace_state: None,
    })
}

fn link(context: &pitviper_agent::SpanContext, attributes: Option<&Bound<'_, PyAny>>) -> Link {
    Link {
        trace_id: context.trace_id,
        span_id: context.span_id,
        trace_state: context.trace_state.as_deref().unwrap_or_default().to_owned(),
        attributes: convert::to_attributes(attributes),
        flags: u32::from(context.flags),
        ..Link::default()
    }
}

/// The span that is current in the calling context.
pub(crate) fn current(py: Python<'_>) -> Option<Bound<'_, Span>> {
    context::get(py)?.cast_into::<Span>().ok()
}

/// What a call made in this context takes along: the current span's context, or the one that another
/// process handed over.
pub(crate) fn carried(py: Python<'_>) -> Option<pitviper_agent::SpanContext> {
    let current = context::get(py)?;
    match current.cast::<Span>() {
        Ok(span) => Some(span.get().get_context()),
        Err(_) => Some(current.cast::<SpanContext>().ok()?.get().0.clone()),
    }
}

/// How a span begins, as Python says it.
struct Start<'a, 'py> {
    name: &'a Bound<'py, PyAny>,
    kind: SpanKind,
    parent: Option<&'a Bound<'py, PyAny>>,
    start_time: Option<u64>,
    scope: Option<&'a Bound<'py, PyAny>>,
}

fn start(py: Python<'_>, start: &Start<'_, '_>) -> pitviper_agent::Span {
    let agent = agent();
    let name = convert::to_text(start.name);
    let scope = start.scope.map_or(0, |scope| agent.scope(&convert::to_text(scope)));
    let begin = |parent: Parent<'_>| {
        agent.start(&SpanOptions {
            name: &name,
            kind: start.kind,
            parent,
            start_time_unix_nano: start.start_time,
            scope,
        })
    };
    if let Some(given) = start.parent.filter(|parent| !parent.is_none()).and_then(context_of) {
        return begin(Parent::Context(&given));
    }
    start_below_current(py, start.kind, begin)
}

/// Starts a span below what is current in the calling context, if that can have children.
pub(crate) fn start_below_current(
    py: Python<'_>,
    kind: SpanKind,
    begin: impl Fn(Parent<'_>) -> pitviper_agent::Span,
) -> pitviper_agent::Span {
    let Some(current) = context::get(py) else { return begin(Parent::Root) };
    if let Ok(current) = current.cast::<Span>() {
        let current = current.get();
        if !current.has_ended() {
            return begin(Parent::Context(&current.context));
        }
        // Work that outlived what began it is a trace of its own: a request's trace must not grow for
        // as long as a task lives that it started.
        let mut span = begin(Parent::Root);
        span.add_link(link(&current.context, None));
        return span;
    }
    match current.cast::<SpanContext>() {
        // What another process handed over is about the process; a request it serves later is not part of it.
        Ok(handed) if !matches!(kind, SpanKind::Server | SpanKind::Consumer) => begin(Parent::Context(&handed.get().0)),
        _ => begin(Parent::Root),
    }
}

/// Starts a span that is not current. Without `parent` it is a child of the current span, or linked to
/// it when that has ended.
#[pyfunction]
#[pyo3(signature = (name, kind = None, attributes = None, parent = None, start_time = None, links = None, scope = None))]
#[expect(clippy::too_many_arguments, reason = "the signature is OpenTelemetry's")]
pub(crate) fn start_span<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    kind: Option<&Bound<'py, PyAny>>,
    attributes: Option<&Bound<'py, PyAny>>,
    parent: Option<&Bound<'py, PyAny>>,
    start_time: Option<&Bound<'py, PyAny>>,
    links: Option<&Bound<'py, PyAny>>,
    scope: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Span>> {
    let kind = kind.map_or(SpanKind::Internal, convert::to_kind);
    let mut span = start(py, &Start { name, kind, parent, start_time: convert::to_time(start_time), scope });
    if span.is_recording() {
        // A panic in here costs attributes; without a span there would be nothing to return.
        shield((), || {
            if let Some(attributes) = attributes {
                convert::set_attributes(&mut span, attributes);
            }
            for link in links.and_then(|links| links.try_iter().ok()).into_iter().flatten().flatten() {
                add_given_link(&mut span, &link);
            }
        });
    }
    Bound::new(py, Span::make(span))
}

/// A link given at the start: a context, a (context, attributes) pair, or OpenTelemetry's `Link`.
fn add_given_link(span: &mut pitviper_agent::Span, given: &Bound<'_, PyAny>) {
    let (context, attributes) = match given.cast::<PyTuple>() {
        Ok(pair) => (pair.get_item(0).ok(), pair.get_item(1).ok()),
        Err(_) => match given.getattr("context") {
            Ok(context) => (Some(context), given.getattr("attributes").ok()),
            Err(_) => (Some(given.clone()), None),
        },
    };
    if let Some(context) = context.as_ref().and_then(context_of) {
        span.add_link(link(&context, attributes.as_ref()));
    }
}

/// Starts a span and makes it current until it ends.
#[pyfunction]
#[pyo3(signature = (name, kind = None, attributes = None, parent = None, start_time = None, links = None, scope = None))]
#[expect(clippy::too_many_arguments, reason = "the signature is OpenTelemetry's")]
pub(crate) fn start_as_current_span<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    kind: Option<&Bound<'py, PyAny>>,
    attributes: Option<&Bound<'py, PyAny>>,
    parent: Option<&Bound<'py, PyAny>>,
    start_time: Option<&Bound<'py, PyAny>>,
    links: Option<&Bound<'py, PyAny>>,
    scope: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Span>> {
    let span = start_span(py, name, kind, attributes, parent, start_time, links, scope)?;
    shield((), || enter(&span));
    Ok(span)
}

/// Records a finished child of the current span: what began at `start_time` and ends now. For leaf
/// operations such as one statement, which cost a single call that way.
#[pyfunction]
#[pyo3(signature = (name, kind, start_time, attributes = None, exc = None, scope = None))]
pub(crate) fn finish_leaf(
    py: Python<'_>,
    name: &Bound<'_, PyAny>,
    kind: i32,
    start_time: u64,
    attributes: Option<&Bound<'_, PyAny>>,
    exc: Option<&Bound<'_, PyAny>>,
    scope: Option<&Bound<'_, PyAny>>,
) {
    shield((), || {
        let kind = SpanKind::from_otlp(kind);
        let mut span = start(py, &Start { name, kind, parent: None, start_time: Some(start_time), scope });
        if !span.is_recording() {
            return;
        }
        if let Some(attributes) = attributes {
            convert::set_attributes(&mut span, attributes);
        }
        if let Some(exc) = exc.filter(|exc| !exc.is_none()) {
            exception::leave_with(&mut span, exc);
        }
        span.end(None);
    });
}

/// The span that is current in the calling context, or None.
#[pyfunction]
pub(crate) fn current_span(py: Python<'_>) -> Option<Bound<'_, Span>> {
    shield(None, || current(py))
}

/// Makes a span current without starting or ending anything, or the context of one in another process,
/// or with None nothing; returns what `deactivate` needs.
#[pyfunction]
pub(crate) fn activate<'py>(py: Python<'py>, span: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    shield(None, || context::set(py, Some(span).filter(|span| !span.is_none())))
}

/// Makes current again what was before `activate`, unless it is called in another context than
/// that: a generator or a response body may be closed elsewhere than it was running.
#[pyfunction]
#[pyo3(signature = (token))]
pub(crate) fn deactivate(py: Python<'_>, token: &Bound<'_, PyAny>) {
    shield((), || context::reset(py, token));
}
