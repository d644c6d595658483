//! `Span`, as Python sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use pitviper_model::{Attributes, Event, Link, SpanId, StatusCode};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict, PyMappingProxy, PyString};

use crate::changing::{Changing, is_changing};
use crate::exception::Escaped;
use crate::once::Once;
use crate::pipeline::Pipeline;
use crate::runtime::{agent, has_interpreter_lock};
use crate::shield::shield_attached;
use crate::span_context::{LINK_IS_REMOTE, SpanContext, link_of, show_context};
use crate::tracer::Tracer;
use crate::try_mutex::{TryMutex, TryMutexGuard};
use crate::{context, convert, exception, faces, host};

/// How long a thread waits for another that is changing the same span, where the interpreter has no lock.
const PATIENCE: Duration = Duration::from_millis(20);

/// A span under way. Using it after its end, from several threads, or with values that have no
/// representation does nothing and raises nothing.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct Span {
    span: TryMutex<pitviper_agent::Span>,
    /// A copy outside the lock: others need it while the span is being changed.
    context: pitviper_agent::SpanContext,
    /// The service it is part of, when that is not the process's own. A copy outside the lock, too.
    service: Option<Arc<str>>,
    /// It was made part of another service since it began.
    moved: AtomicBool,
    /// What it tells others since somebody decided about its trace.
    decided: OnceLock<Box<pitviper_agent::SpanContext>>,
    /// The same as OpenTelemetry's class, once someone asked for it.
    shown_context: Once<Py<PyAny>>,
    /// Trace id and span id as loggers write them, once someone asked for them: a span may have many records.
    shown_ids: Once<(Py<PyString>, Py<PyString>)>,
    /// Whether it made itself current, and what was current before. The lock is held for no longer
    /// than a move.
    displaced: TryMutex<Option<Option<Py<PyAny>>>>,
    /// When it ended, if that happened while someone was changing it; who changes it then ends it.
    end_requested: AtomicU64,
    /// It does not record: it has ended, or was never meant to. A copy outside the lock, as every span below
    /// it asks.
    pub(crate) ended: AtomicBool,
    /// It is a client's call that is under way: libraries below, which make the same call, see it and make
    /// no span.
    pub(crate) is_call: AtomicBool,
    maker: Maker,
}

/// Who made a span.
pub(crate) enum Maker {
    /// An integration, or the application through the agent's own API.
    Agent,
    /// The same, while a provider's pipeline gets those spans too.
    Pipeline(Py<Pipeline>),
    /// The same, where the application asked for no instrumentation; what is below it is not wanted either.
    Suppressed,
    /// A tracer of OpenTelemetry's API, which has its own rules for `with`.
    Tracer { tracer: Py<Tracer>, record_exception: bool, set_status_on_exception: bool },
}

/// An event's name, time, attributes, and how many of those were dropped.
type ReadEvent<'py> = (String, u64, Bound<'py, PyDict>, u32);
/// A link's context, attributes, and how many of those were dropped.
type ReadLink<'py> = (Py<PyAny>, Bound<'py, PyDict>, u32);

/// [`Span::end_requested`] of a span nobody asked to end.
const NOT_REQUESTED: u64 = 0;

impl Span {
    #[inline]
    pub(crate) fn make(span: pitviper_agent::Span, maker: Maker) -> Self {
        let context = span.context().clone();
        let service = span.service().cloned();
        let ended = AtomicBool::new(!span.is_recording());
        Self {
            span: TryMutex::new(span),
            context,
            service,
            moved: AtomicBool::new(false),
            decided: OnceLock::new(),
            shown_context: Once::new(),
            shown_ids: Once::new(),
            displaced: TryMutex::new(None),
            end_requested: AtomicU64::new(NOT_REQUESTED),
            ended,
            is_call: AtomicBool::new(false),
            maker,
        }
    }

    #[inline]
    pub(crate) fn core_context(&self) -> &pitviper_agent::SpanContext {
        self.decided.get().map_or(&self.context, |decided| decided)
    }

    /// Says what it tells others from now on; the first word about a trace counts.
    pub(crate) fn decide(&self, context: pitviper_agent::SpanContext) {
        let _ = self.decided.set(Box::new(context));
    }

    #[inline]
    pub(crate) fn service(&self, py: Python<'_>) -> Option<Arc<str>> {
        if self.moved.load(Ordering::Acquire) {
            return self.peek(py, |span| span.service().cloned());
        }
        self.service.clone()
    }

    /// Says that its service is another one than at its start.
    pub(crate) fn note_move(&self) {
        self.moved.store(true, Ordering::Release);
    }

    /// Its trace id and its span id as text.
    pub(crate) fn shown_ids<'py>(&self, py: Python<'py>) -> (Bound<'py, PyString>, Bound<'py, PyString>) {
        let (trace_id, span_id) = self.shown_ids.get_or_init(py, || {
            let show = |id: &dyn std::fmt::Display| PyString::new(py, &id.to_string()).unbind();
            (show(&self.context.trace_id), show(&self.context.span_id))
        });
        (trace_id.bind(py).clone(), span_id.bind(py).clone())
    }

    pub(crate) fn is_suppressed(&self) -> bool {
        matches!(self.maker, Maker::Suppressed)
    }

    /// The span, unless it is in use: by another thread, or by this one further up the stack (an
    /// attribute whose `__str__` touches the span). Waiting could deadlock, so the call is void.
    #[inline]
    pub(crate) fn lock<'a, 'py: 'a>(&'a self, py: Python<'py>) -> Option<TryMutexGuard<'a, pitviper_agent::Span>> {
        self.span.try_lock(py).or_else(|| self.lock_soon(py))
    }

    /// With an interpreter lock, whoever uses the span runs Python code meanwhile, and that may take any
    /// time. Without, other threads use it at the same time as a matter of course, each for a moment.
    #[cold]
    fn lock_soon<'a, 'py: 'a>(&'a self, py: Python<'py>) -> Option<TryMutexGuard<'a, pitviper_agent::Span>> {
        if has_interpreter_lock() || is_changing() {
            return None;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            host::wait(&mut || {
                while self.span.is_taken() && Instant::now() < until {
                    std::thread::yield_now();
                }
            });
            if let Some(span) = self.span.try_lock(py) {
                return Some(span);
            }
        }
        None
    }

    /// Reads the span; the default when it is in use.
    pub(crate) fn peek<T: Default>(&self, py: Python<'_>, read: impl FnOnce(&pitviper_agent::Span) -> T) -> T {
        self.lock(py).map(|span| read(&span)).unwrap_or_default()
    }

    /// The pipeline whose processors are to hear of this span.
    #[inline]
    pub(crate) fn watcher<'a, 'py>(&'a self, py: Python<'py>) -> Option<&'a Bound<'py, Pipeline>> {
        let pipeline = match &self.maker {
            Maker::Agent | Maker::Suppressed => return None,
            Maker::Pipeline(pipeline) => pipeline.bind(py),
            Maker::Tracer { tracer, .. } => tracer.get().pipeline.bind(py),
        };
        pipeline.get().is_watched().then_some(pipeline)
    }

    /// Whether it was recorded and has ended.
    #[inline]
    pub(crate) fn has_ended(&self) -> bool {
        self.context.is_sampled() && self.ended.load(Ordering::SeqCst)
    }

    /// What was current before it, if it made itself current.
    pub(crate) fn around<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        Some(self.displaced(py).as_ref()?.as_ref()?.bind(py).clone())
    }

    #[inline]
    fn displaced<'a, 'py: 'a>(&'a self, py: Python<'py>) -> TryMutexGuard<'a, Option<Option<Py<PyAny>>>> {
        loop {
            if let Some(displaced) = self.displaced.try_lock(py) {
                return displaced;
            }
            std::thread::yield_now();
        }
    }
}

#[inline]
pub(crate) fn change(slf: &Bound<'_, Span>, change: impl FnOnce(&mut pitviper_agent::Span)) {
    shield_attached(slf.py(), (), || {
        if let Some(mut span) = slf.get().lock(slf.py()) {
            let changing = Changing::begin();
            change(&mut span);
            drop(changing);
            drop(span);
            end_if_requested(slf);
        }
    });
}

/// Ends the span, now or, if it is in use, as soon as it no longer is.
#[inline]
fn finish(slf: &Bound<'_, Span>, end_time: Option<u64>) {
    let this = slf.get();
    let watcher = this.watcher(slf.py()).filter(|_| this.is_recording());
    if let Some(pipeline) = watcher {
        pipeline.get().tell("on_ending", slf);
    }
    let Some(mut span) = this.lock(slf.py()) else {
        this.end_requested.store(end_time.unwrap_or_else(crate::runtime::now).max(1), Ordering::SeqCst);
        this.ended.store(true, Ordering::SeqCst);
        // Who held it may have let go before the request was there to be seen.
        end_if_requested(slf);
        return;
    };
    let ended = span.end(end_time);
    this.ended.store(true, Ordering::SeqCst);
    drop(span);
    if let Some(pipeline) = watcher.filter(|_| ended) {
        pipeline.get().tell("on_end", slf);
    }
}

#[inline]
fn end_if_requested(slf: &Bound<'_, Span>) {
    let requested = slf.get().end_requested.load(Ordering::SeqCst);
    if requested != NOT_REQUESTED {
        end_as_requested(slf, requested);
    }
}

#[cold]
fn end_as_requested(slf: &Bound<'_, Span>, requested: u64) {
    let this = slf.get();
    let Some(mut span) = this.lock(slf.py()) else { return };
    let ended = span.end(Some(requested));
    drop(span);
    if let Some(pipeline) = this.watcher(slf.py()).filter(|_| ended) {
        pipeline.get().tell("on_end", slf);
    }
}

/// Makes a span current and remembers what was.
pub(crate) fn enter(slf: &Bound<'_, Span>) {
    let mut displaced = slf.get().displaced(slf.py());
    // `with` of a span that was started as the current one.
    if displaced.is_some() {
        return;
    }
    *displaced = Some(context::get(slf.py()).map(Bound::unbind));
    drop(displaced);
    context::set(slf.py(), Some(slf.as_any()));
}

/// Ends a span, and makes current again what was, if the span still is.
pub(crate) fn leave(slf: &Bound<'_, Span>, end_time: Option<u64>) {
    let py = slf.py();
    slf.get().is_call.store(false, Ordering::Relaxed);
    finish(slf, end_time);
    let displaced = slf.get().displaced(slf.py()).take();
    if let Some(displaced) = displaced
        && context::get(py).is_some_and(|current| current.is(slf))
    {
        context::set(py, displaced.as_ref().map(|before| before.bind(py)));
    }
}

/// Notes an exception that left the block of a span.
pub(crate) fn note_exception(slf: &Bound<'_, Span>, exc: &Bound<'_, PyAny>, record: bool, set_status: bool) {
    if exc.is_instance_of::<PyException>() {
        change(slf, |span| {
            if record {
                exception::record(span, exc, Attributes::default(), None, Escaped::Said(false));
            }
            if set_status {
                span.set_status(StatusCode::Error, &exception::description(exc));
            }
        });
    }
}

#[pymethods]
impl Span {
    /// Sets an attribute; the last value of a key counts.
    fn set_attribute(slf: &Bound<'_, Self>, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) {
        change(slf, |span| convert::set_attribute(span, key, value));
    }

    /// Sets attributes from a mapping.
    fn set_attributes(slf: &Bound<'_, Self>, attributes: &Bound<'_, PyAny>) {
        change(slf, |span| convert::set_attributes(span, attributes));
    }

    /// Adds an event, now or at `timestamp` nanoseconds since the Unix epoch.
    #[pyo3(signature = (name, attributes = None, timestamp = None))]
    fn add_event(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
    ) {
        change(slf, |span| {
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
    fn add_link(slf: &Bound<'_, Self>, context: &Bound<'_, PyAny>, attributes: Option<&Bound<'_, PyAny>>) {
        change(slf, |span| {
            if let Some(link) = link_of(context, attributes) {
                span.add_link(link);
            }
        });
    }

    /// Adds an event that describes an exception. The status stays as it is.
    #[pyo3(signature = (exception, attributes = None, timestamp = None, escaped = None))]
    fn record_exception(
        slf: &Bound<'_, Self>,
        exception: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
        timestamp: Option<&Bound<'_, PyAny>>,
        escaped: Option<&Bound<'_, PyAny>>,
    ) {
        let by_tracer = matches!(slf.get().maker, Maker::Tracer { .. });
        change(slf, |span| {
            let escaped = escaped.is_some_and(|flag| flag.is_truthy().unwrap_or(false));
            let escaped = if by_tracer { Escaped::Said(escaped) } else { Escaped::Shown(escaped) };
            let time = convert::to_time(timestamp);
            exception::record(span, exception, convert::to_attributes(attributes), time, escaped);
        });
    }

    /// Says whether the operation succeeded: 0 unset, 1 ok, 2 error, or OpenTelemetry's status.
    #[pyo3(signature = (code, description = None))]
    fn set_status(slf: &Bound<'_, Self>, code: &Bound<'_, PyAny>, description: Option<&Bound<'_, PyAny>>) {
        change(slf, |span| {
            let (code, own_description) = convert::status_of(code);
            let description =
                own_description.unwrap_or_else(|| description.map(convert::to_text).unwrap_or_default().into());
            span.set_status(code, &description);
        });
    }

    /// Gives the span another name.
    fn update_name(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) {
        change(slf, |span| span.update_name(&convert::to_text(name)));
    }

    /// Ends the span, now or at `end_time` nanoseconds since the Unix epoch. Only the first end
    /// counts.
    #[pyo3(signature = (end_time = None))]
    fn end(slf: &Bound<'_, Self>, end_time: Option<&Bound<'_, PyAny>>) {
        shield_attached(slf.py(), (), || leave(slf, convert::to_time(end_time)));
    }

    /// Whether what is set still counts.
    fn is_recording(&self) -> bool {
        !self.ended.load(Ordering::SeqCst)
    }

    /// Whether it was recorded and has ended; false for one that the sampler left out.
    fn is_ended(&self) -> bool {
        self.has_ended()
    }

    /// The span's context: OpenTelemetry's class once its API is loaded, before that our own.
    fn get_span_context(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let Some(faces) = faces::get(py) else {
            return Ok(Bound::new(py, SpanContext(this.core_context().clone()))?.into_any().unbind());
        };
        let shown =
            this.shown_context.get_or_try_init(py, || faces.show_context(py, &this.context).map(Bound::unbind))?;
        Ok(shown.clone_ref(py))
    }

    #[getter]
    fn context(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::get_span_context(slf)
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> String {
        self.peek(py, |span| span.name().to_owned())
    }

    /// OTLP's number, or OpenTelemetry's enum once its API is loaded.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let number = self.peek(py, |span| span.kind()) as i32;
        match faces::get(py).and_then(|faces| faces.show_kind(py, number)) {
            Some(kind) => Ok(kind),
            None => Ok(number.into_pyobject(py)?.into_any().unbind()),
        }
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
        // OpenTelemetry's `with span` ends the span, and makes nothing current.
        if !matches!(slf.get().maker, Maker::Tracer { .. }) {
            shield_attached(slf.py(), (), || enter(slf));
        }
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
            match slf.get().maker {
                Maker::Tracer { record_exception, set_status_on_exception, .. } => change(slf, |span| {
                    if record_exception {
                        exception::record(span, exc, Attributes::default(), None, Escaped::Said(true));
                    }
                    if set_status_on_exception {
                        span.set_status(StatusCode::Error, &exception::description(exc));
                    }
                }),
                _ => change(slf, |span| exception::leave_with(span, exc)),
            }
        }
        shield_attached(slf.py(), (), || leave(slf, None));
        false
    }

    // What is there to read, for processors, exporters and instrumentations.

    /// The attributes so far.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyMappingProxy>> {
        let attributes =
            self.peek(py, |span| span.content().map(|content| content.attributes.read()).unwrap_or_default());
        let dict = convert::to_dict(py, &attributes)?;
        Ok(PyMappingProxy::new(py, dict.as_mapping()))
    }

    /// When it began, in nanoseconds since the Unix epoch.
    #[getter]
    fn start_time(&self, py: Python<'_>) -> u64 {
        self.peek(py, pitviper_agent::Span::start_time_unix_nano)
    }

    /// When it ended, in nanoseconds since the Unix epoch; None while it runs.
    #[getter]
    fn end_time(&self, py: Python<'_>) -> Option<u64> {
        self.peek(py, pitviper_agent::Span::end_time_unix_nano)
    }

    #[getter]
    fn dropped_attributes(&self, py: Python<'_>) -> u32 {
        self.peek(py, |span| span.content().map_or(0, |content| content.dropped().0))
    }

    #[getter]
    fn dropped_events(&self, py: Python<'_>) -> u32 {
        self.peek(py, |span| span.content().map_or(0, |content| content.dropped().1))
    }

    #[getter]
    fn dropped_links(&self, py: Python<'_>) -> u32 {
        self.peek(py, |span| span.content().map_or(0, |content| content.dropped().2))
    }

    /// The context of its parent; None for a root.
    #[getter]
    fn parent(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let Some(parent) = self.peek(py, pitviper_agent::Span::parent) else { return Ok(None) };
        show_context(py, parent).map(Some)
    }

    #[getter]
    fn status<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "status")
    }

    #[getter]
    fn events<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "events")
    }

    #[getter]
    fn links<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "links")
    }

    #[getter]
    fn resource<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "resource")
    }

    #[getter]
    fn instrumentation_scope<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "instrumentation_scope")
    }

    #[getter]
    fn instrumentation_info<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "instrumentation_scope")
    }

    /// A function that gives the span as JSON, in the layout of OpenTelemetry's SDK.
    #[getter]
    fn to_json<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        faces::read(slf, "to_json")
    }

    /// The status as its code and description, for `pitviper.opentelemetry`.
    fn read_status(&self, py: Python<'_>) -> (u8, String) {
        self.peek(py, |span| (span.status().0 as u8, span.status().1.to_owned()))
    }

    /// The events as tuples of name, time, attributes and how many of those were dropped.
    fn read_events<'py>(&self, py: Python<'py>) -> PyResult<Vec<ReadEvent<'py>>> {
        let events = self.peek(py, |span| span.content().map(|content| content.read_events()).unwrap_or_default());
        let show = |event: Event| {
            let attributes = convert::to_dict(py, &event.attributes)?;
            Ok((event.name, event.time_unix_nano, attributes, event.dropped_attributes_count))
        };
        events.into_iter().map(show).collect()
    }

    /// The links as tuples of context, attributes and how many of those were dropped.
    fn read_links<'py>(&self, py: Python<'py>) -> PyResult<Vec<ReadLink<'py>>> {
        let links = self.peek(py, |span| span.content().map(|content| content.read_links()).unwrap_or_default());
        let show = |link: Link| {
            let context = pitviper_agent::SpanContext {
                trace_id: link.trace_id,
                span_id: link.span_id,
                flags: link.flags as u8,
                is_remote: link.flags & LINK_IS_REMOTE != 0,
                trace_state: (!link.trace_state.is_empty()).then(|| link.trace_state.as_str().into()),
                baggage: None,
                local_root: SpanId::INVALID,
            };
            Ok((show_context(py, context)?, convert::to_dict(py, &link.attributes)?, link.dropped_attributes_count))
        };
        links.into_iter().map(show).collect()
    }

    /// The tracer that made it, or None; and the name and version of its scope.
    fn read_maker(&self, py: Python<'_>) -> (Option<Py<Tracer>>, String, String) {
        let tracer = match &self.maker {
            Maker::Tracer { tracer, .. } => Some(tracer.clone_ref(py)),
            _ => None,
        };
        let scope = agent().scope_at(self.peek(py, pitviper_agent::Span::scope));
        (tracer, scope.name.clone(), scope.version.clone())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Span(name={:?}, trace_id={}, span_id={})", self.name(py), self.context.trace_id, self.context.span_id)
    }
}
