//! `Tracer` of OpenTelemetry's API, and the block that makes a span current.

use std::sync::{Mutex, PoisonError};

use pitviper_agent::{Parent, SpanOptions};
use pitviper_model::{Scope, SpanKind};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::once::Once;
use crate::pipeline::{Asked, Pipeline};
use crate::runtime::agent;
use crate::runtime_context::Suppressed;
use crate::shield::shield_attached;
use crate::span::{self, Maker, Span};
use crate::span_context::context_of;
use crate::start::{fill, service_below};
use crate::{baggage, context, convert, faces};

/// Starts spans for one instrumentation scope.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct Tracer {
    pub(crate) pipeline: Py<Pipeline>,
    scope: u16,
    /// The scope and the resource, as spans show them.
    #[pyo3(get)]
    instrumentation_scope: Py<PyAny>,
    #[pyo3(get)]
    resource: Py<PyAny>,
    /// The tracer that took over, when the application set a provider of its own.
    successor: Once<Py<PyAny>>,
}

/// How a span begins, as a caller of the API says it.
struct Arguments<'a, 'py> {
    name: &'a Bound<'py, PyAny>,
    context: Option<&'a Bound<'py, PyAny>>,
    kind: Option<&'a Bound<'py, PyAny>>,
    attributes: Option<&'a Bound<'py, PyAny>>,
    links: Option<&'a Bound<'py, PyAny>>,
    start_time: Option<&'a Bound<'py, PyAny>>,
    record_exception: bool,
    set_status_on_exception: bool,
}

impl<'py> Arguments<'_, 'py> {
    fn as_keywords(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(py);
        for (key, value) in [
            ("context", self.context),
            ("kind", self.kind),
            ("attributes", self.attributes),
            ("links", self.links),
            ("start_time", self.start_time),
        ] {
            if let Some(value) = value {
                keywords.set_item(key, value)?;
            }
        }
        keywords.set_item("record_exception", self.record_exception)?;
        keywords.set_item("set_status_on_exception", self.set_status_on_exception)?;
        Ok(keywords)
    }
}

#[pymethods]
impl Tracer {
    #[new]
    #[pyo3(signature = (pipeline, instrumentation_scope, resource, name, version, attributes = None))]
    fn new(
        pipeline: &Bound<'_, Pipeline>,
        instrumentation_scope: Py<PyAny>,
        resource: Py<PyAny>,
        name: &str,
        version: &str,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> Self {
        let scope = Scope {
            name: name.to_owned(),
            version: version.to_owned(),
            attributes: convert::to_attributes(attributes),
            ..Scope::default()
        };
        Self {
            scope: agent().scope_of_tracer(scope, pipeline.get().resource()),
            pipeline: pipeline.clone().unbind(),
            instrumentation_scope,
            resource,
            successor: Once::new(),
        }
    }

    /// Hands all calls on to another tracer from now on. The first call counts.
    fn succeed(&self, py: Python<'_>, tracer: Py<PyAny>) {
        // Whoever came first stays.
        let _ = self.successor.set(py, tracer);
    }

    /// Starts a span that is not current.
    #[pyo3(signature = (
        name, context = None, kind = None, attributes = None, links = None, start_time = None,
        record_exception = true, set_status_on_exception = true,
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature is OpenTelemetry's")]
    fn start_span<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        context: Option<&Bound<'py, PyAny>>,
        kind: Option<&Bound<'py, PyAny>>,
        attributes: Option<&Bound<'py, PyAny>>,
        links: Option<&Bound<'py, PyAny>>,
        start_time: Option<&Bound<'py, PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments =
            Arguments { name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception };
        start(slf, &arguments)
    }

    /// A block, or a decorator of functions, during which a new span is current.
    #[pyo3(signature = (
        name, context = None, kind = None, attributes = None, links = None, start_time = None,
        record_exception = true, set_status_on_exception = true, end_on_exit = true,
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature is OpenTelemetry's")]
    fn start_as_current_span(
        slf: &Bound<'_, Self>,
        name: Py<PyAny>,
        context: Option<Py<PyAny>>,
        kind: Option<Py<PyAny>>,
        attributes: Option<Py<PyAny>>,
        links: Option<Py<PyAny>>,
        start_time: Option<Py<PyAny>>,
        record_exception: bool,
        set_status_on_exception: bool,
        end_on_exit: bool,
    ) -> SpanBlock {
        SpanBlock {
            tracer: slf.clone().unbind(),
            name,
            context,
            kind,
            attributes,
            links,
            start_time,
            record_exception,
            set_status_on_exception,
            end_on_exit,
            entered: Mutex::new(None),
        }
    }
}

fn start<'py>(tracer: &Bound<'py, Tracer>, arguments: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
    let (py, this) = (tracer.py(), tracer.get());
    if let Some(successor) = this.successor.get(py) {
        let keywords = arguments.as_keywords(py)?;
        return successor.bind(py).call_method("start_span", (arguments.name,), Some(&keywords));
    }
    let context = arguments.context.filter(|context| !context.is_none());
    let parent = match context {
        Some(context) => faces::get(py).and_then(|faces| faces.span_in(context).ok().flatten()),
        None => context::get(py),
    };
    let parent = match parent {
        Some(parent) if parent.is_instance_of::<Suppressed>() => Suppressed::span_of(&parent),
        other => other,
    };
    let foreign;
    let parent = match &parent {
        None => Parent::Root,
        Some(parent) => match parent.cast::<Span>() {
            Ok(span) => Parent::Context(span.get().core_context()),
            Err(_) => {
                foreign = context_of(parent).filter(pitviper_agent::SpanContext::is_valid);
                foreign.as_ref().map_or(Parent::Root, Parent::Context)
            }
        },
    };
    let mut changed = None;
    let parent = match (context, faces::get(py)) {
        (None, _) => baggage::below(py, parent, &mut changed),
        (Some(context), Some(faces)) => {
            let held = faces.baggage_in(context).and_then(|held| baggage::of_mapping(py, &held));
            if held.is_some() {
                baggage::note();
            }
            if baggage::is_seen() { baggage::with_baggage(parent, held, &mut changed) } else { parent }
        }
        (Some(_), None) => parent,
    };
    let begun = begin(tracer, arguments, context, parent);
    let recorded = begun.is_recording();
    let (record_exception, set_status_on_exception) = (arguments.record_exception, arguments.set_status_on_exception);
    let maker = Maker::Tracer { tracer: tracer.clone().unbind(), record_exception, set_status_on_exception };
    let span = Bound::new(py, Span::make(begun, maker))?;
    if let Some(pipeline) = span.get().watcher(py).filter(|_| recorded) {
        pipeline.get().tell_start(&span, context);
    }
    Ok(span.into_any())
}

fn begin<'py>(
    tracer: &Bound<'py, Tracer>,
    arguments: &Arguments<'_, 'py>,
    context: Option<&Bound<'py, PyAny>>,
    parent: Parent<'_>,
) -> pitviper_agent::Span {
    let service = service_below(tracer.py(), parent);
    let options = SpanOptions {
        name: &convert::to_text(arguments.name),
        kind: arguments.kind.map_or(SpanKind::Internal, convert::to_kind),
        parent,
        start_time_unix_nano: convert::to_time(arguments.start_time),
        scope: tracer.get().scope,
        limits: None,
        service: service.as_ref(),
    };
    let asked = Asked { context, name: arguments.name, attributes: arguments.attributes, links: arguments.links };
    let mut begun = tracer.get().pipeline.get().begin(tracer.py(), &options, &asked);
    if begun.span.is_recording() {
        fill(&mut begun.span, begun.attributes.as_ref().or(arguments.attributes), arguments.links);
    }
    begun.span
}

/// A span that begins with a `with` block, or with each call of a decorated function, and is current in it.
#[pyclass(frozen, weakref, module = "pitviper._native")]
pub(crate) struct SpanBlock {
    tracer: Py<Tracer>,
    name: Py<PyAny>,
    context: Option<Py<PyAny>>,
    kind: Option<Py<PyAny>>,
    attributes: Option<Py<PyAny>>,
    links: Option<Py<PyAny>>,
    start_time: Option<Py<PyAny>>,
    record_exception: bool,
    set_status_on_exception: bool,
    end_on_exit: bool,
    /// The lock is held for a move.
    entered: Mutex<Option<Entered>>,
}

/// A block that was entered: its span, and what makes current again what was before it.
struct Entered {
    span: Py<PyAny>,
    token: Option<Py<PyAny>>,
}

#[pymethods]
impl SpanBlock {
    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let bind = |argument: &'_ Option<Py<PyAny>>| argument.as_ref().map(|argument| argument.bind(py).clone());
        let (context, kind) = (bind(&self.context), bind(&self.kind));
        let (attributes, links, start_time) = (bind(&self.attributes), bind(&self.links), bind(&self.start_time));
        let arguments = Arguments {
            name: self.name.bind(py),
            context: context.as_ref(),
            kind: kind.as_ref(),
            attributes: attributes.as_ref(),
            links: links.as_ref(),
            start_time: start_time.as_ref(),
            record_exception: self.record_exception,
            set_status_on_exception: self.set_status_on_exception,
        };
        let span = start(self.tracer.bind(py), &arguments)?;
        let token = context::set(py, Some(&span)).map(Bound::unbind);
        *self.entered.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Entered { span: span.clone().unbind(), token });
        Ok(span)
    }

    #[pyo3(signature = (_exc_type, exc, _traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Entered { span, token }) = entered else { return Ok(false) };
        if let Some(token) = &token {
            context::reset(py, token.bind(py));
        }
        let Ok(span) = span.bind(py).cast::<Span>() else {
            return leave_foreign(span.bind(py), exc, self);
        };
        if !exc.is_none() {
            span::note_exception(span, exc, self.record_exception, self.set_status_on_exception);
        }
        if self.end_on_exit {
            shield_attached(py, (), || span::leave(span, None));
        }
        Ok(false)
    }

    /// As a decorator: a new span for each call.
    fn __call__<'py>(slf: &Bound<'py, Self>, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        match faces::get(slf.py()) {
            Some(faces) => faces.decorate(slf, function),
            None => Ok(function.clone()),
        }
    }

    /// Another block of the same kind, for one call.
    fn again(&self, py: Python<'_>) -> Self {
        let copy = |argument: &Option<Py<PyAny>>| argument.as_ref().map(|argument| argument.clone_ref(py));
        Self {
            tracer: self.tracer.clone_ref(py),
            name: self.name.clone_ref(py),
            context: copy(&self.context),
            kind: copy(&self.kind),
            attributes: copy(&self.attributes),
            links: copy(&self.links),
            start_time: copy(&self.start_time),
            record_exception: self.record_exception,
            set_status_on_exception: self.set_status_on_exception,
            end_on_exit: self.end_on_exit,
            entered: Mutex::new(None),
        }
    }
}

/// Leaves the block of a span that a succeeding tracer made.
fn leave_foreign(span: &Bound<'_, PyAny>, exc: &Bound<'_, PyAny>, block: &SpanBlock) -> PyResult<bool> {
    if !exc.is_none() && exc.is_instance_of::<pyo3::exceptions::PyException>() {
        if block.record_exception {
            span.call_method1("record_exception", (exc,))?;
        }
        if block.set_status_on_exception
            && let Some(faces) = faces::get(span.py())
        {
            faces.fail(span, &crate::exception::description(exc))?;
        }
    }
    if block.end_on_exit {
        span.call_method0("end")?;
    }
    Ok(false)
}
