//! The functions that start spans for integrations and for `pitviper.tracer`.

use std::sync::Arc;

use pitviper_agent::{Parent, SpanOptions};
use pitviper_model::{Attributes, SpanId, SpanKind};
use pyo3::prelude::*;

use crate::pipeline::{self, Asked, Pipeline};
use crate::runtime::agent;
use crate::runtime_context::Suppressed;
use crate::shield::{shield, shield_attached};
use crate::span::{self, Maker, Span};
use crate::span_context::{SpanContext, context_of, given_link, link_to};
use crate::{baggage, context, convert, exception, scope_contexts, scope_services};

/// The span that is current in the calling context, if it is one of ours.
pub(crate) fn current(py: Python<'_>) -> Option<Bound<'_, Span>> {
    let current = context::get(py)?;
    match current.cast_into::<Span>() {
        Ok(span) => Some(span),
        Err(other) => Suppressed::span_of(&other.into_inner())?.cast_into().ok(),
    }
}

/// The context of whatever span is current, whoever made it, or the one that another process handed over.
pub(crate) fn current_context(py: Python<'_>) -> Option<pitviper_agent::SpanContext> {
    with_current_context(py, Clone::clone)
}

/// Reads something of it, without a copy where the span is ours.
pub(crate) fn with_current_context<T>(
    py: Python<'_>,
    read: impl FnOnce(&pitviper_agent::SpanContext) -> T,
) -> Option<T> {
    let current = context::get(py)?;
    if let Ok(span) = current.cast::<Span>() {
        return Some(read(span.get().core_context()));
    }
    let current = if current.is_instance_of::<Suppressed>() { Suppressed::span_of(&current)? } else { current };
    context_of(&current).as_ref().map(read)
}

/// How a span begins, as Python says it.
pub(crate) struct Start<'a, 'py> {
    pub(crate) name: &'a Bound<'py, PyAny>,
    pub(crate) kind: SpanKind,
    pub(crate) start_time: Option<u64>,
    pub(crate) scope: u16,
    pub(crate) attributes: Option<&'a Bound<'py, PyAny>>,
    pub(crate) links: Option<&'a Bound<'py, PyAny>>,
    /// The service that begins with it; by default it is part of its parent's.
    pub(crate) service: Option<&'a Arc<str>>,
}

impl<'a, 'py> Start<'a, 'py> {
    fn links(&self) -> Option<&'a Bound<'py, PyAny>> {
        self.links.filter(|_| !scope_contexts::is_unlinked(self.scope))
    }
}

/// Gives a span what is known at its start.
#[inline]
pub(crate) fn fill(
    span: &mut pitviper_agent::Span,
    attributes: Option<&Bound<'_, PyAny>>,
    links: Option<&Bound<'_, PyAny>>,
) {
    let links = links.filter(|links| !links.is_none());
    if attributes.is_none() && links.is_none() {
        return;
    }
    // A panic in here costs attributes; without a span there would be nothing to return.
    shield((), || {
        if let Some(attributes) = attributes {
            convert::set_attributes(span, attributes);
        }
        if let Some(Ok(links)) = links.map(|links| links.try_iter()) {
            links.flatten().filter_map(|link| given_link(&link)).for_each(|link| span.add_link(link));
        }
    });
}

/// Where a new span belongs.
enum Place<'py> {
    /// A trace of its own.
    Root,
    /// A trace of its own, linked to this span that has ended.
    After(Bound<'py, Span>),
    Below(Bound<'py, Span>),
    BelowContext(pitviper_agent::SpanContext),
    /// The application asked for no instrumentation there.
    Nowhere(Option<pitviper_agent::SpanContext>),
}

impl<'py> Place<'py> {
    #[inline]
    fn find(py: Python<'py>, given: Option<&Bound<'py, PyAny>>, kind: SpanKind) -> Self {
        if let Some(given) = given.filter(|given| !given.is_none()) {
            return Self::of(context_of(given));
        }
        let Some(current) = context::get(py) else { return Self::Root };
        match current.cast_into::<Span>() {
            Ok(span) if span.get().is_suppressed() => Self::Nowhere(Some(span.get().core_context().clone())),
            Ok(span) if !span.get().has_ended() => Self::Below(span),
            // Work that outlived what began it is a trace of its own: a request's trace must not grow for
            // as long as a task lives that it started.
            Ok(span) => Self::After(span),
            Err(other) => Self::find_below_other(&other.into_inner(), kind),
        }
    }

    #[cold]
    fn find_below_other(current: &Bound<'py, PyAny>, kind: SpanKind) -> Self {
        if let Ok(suppressed) = current.cast::<Suppressed>() {
            if suppressed.get().is_worker_loop() && kind != SpanKind::Client {
                return Self::Root;
            }
            return Self::Nowhere(Suppressed::span_of(current).and_then(|span| context_of(&span)));
        }
        // What another process handed over is about the process; a request it serves later is not part of it.
        if current.is_instance_of::<SpanContext>() && matches!(kind, SpanKind::Server | SpanKind::Consumer) {
            return Self::Root;
        }
        Self::of(context_of(current))
    }

    fn of(context: Option<pitviper_agent::SpanContext>) -> Self {
        // Of another process a trace may come without a span, or baggage without a trace.
        let counts = |context: &pitviper_agent::SpanContext| {
            context.is_valid() || context.is_remote && (context.trace_id.is_valid() || context.baggage.is_some())
        };
        context.filter(counts).map_or(Self::Root, Self::BelowContext)
    }

    /// The service that goes on here, when it is not the process's own.
    #[inline]
    fn service(&self) -> Option<Arc<str>> {
        match self {
            Self::Below(span) => span.get().service(span.py()),
            _ => None,
        }
    }

    #[inline]
    fn parent(&self) -> Parent<'_> {
        match self {
            Self::Root | Self::After(_) => Parent::Root,
            Self::Below(span) => Parent::Context(span.get().core_context()),
            Self::BelowContext(context) => Parent::Context(context),
            Self::Nowhere(context) => {
                context.as_ref().filter(|context| context.is_valid()).map_or(Parent::Root, Parent::Context)
            }
        }
    }
}

/// The service of the current span, if a span with this parent is part of it.
pub(crate) fn service_below(py: Python<'_>, parent: Parent<'_>) -> Option<Arc<str>> {
    let Parent::Context(parent) = parent else { return None };
    let current = current(py)?;
    let current = current.get();
    current.service(py).filter(|_| current.core_context().span_id == parent.span_id)
}

/// Starts a span of the agent's own; says in `maker` on whose behalf.
#[inline]
pub(crate) fn start<'py>(
    py: Python<'py>,
    start: &Start<'_, 'py>,
    given: Option<&Bound<'py, PyAny>>,
    maker: &mut Maker,
) -> pitviper_agent::Span {
    let given = given.filter(|given| !scope_contexts::ignores(start.scope, given));
    let place = Place::find(py, given, start.kind);
    let mut changed = None;
    let carried = match &place {
        Place::After(ended) => baggage::after(py, ended.get().core_context()),
        _ => None,
    };
    let parent = match &carried {
        Some(carried) => Parent::Context(carried),
        None if given.is_none_or(|given| given.is_none()) => baggage::below(py, place.parent(), &mut changed),
        None => place.parent(),
    };
    // What the application says of an integration holds wherever its spans are.
    let inherited = match start.service {
        Some(_) => None,
        None => scope_services::of_scope(start.scope).or_else(|| place.service()),
    };
    let options = SpanOptions {
        name: &convert::to_text(start.name),
        kind: start.kind,
        parent,
        start_time_unix_nano: start.start_time,
        scope: start.scope,
        limits: None,
        service: start.service.or(inherited.as_ref()),
    };
    if let Place::Nowhere(_) = place {
        *maker = Maker::Suppressed;
        return unwanted(&options);
    }
    let mut span = match pipeline::own(py) {
        None => {
            let mut span = agent().start(&options);
            if span.is_recording() {
                fill(&mut span, start.attributes, start.links());
            }
            span
        }
        Some(pipeline) => start_in(pipeline, options, start, maker),
    };
    if let Place::After(ended) = &place {
        span.add_link(link_to(ended.get().core_context(), Attributes::default()));
    }
    span
}

/// Starts a span that a provider's pipeline is to have too.
#[cold]
fn start_in<'py>(
    pipeline: Bound<'py, Pipeline>,
    mut options: SpanOptions<'_>,
    start: &Start<'_, 'py>,
    maker: &mut Maker,
) -> pitviper_agent::Span {
    // One process is one resource, whoever makes its spans.
    if let Some(resource) = pipeline.get().resource() {
        options.scope = agent().scope_of_tracer((*agent().scope_at(options.scope)).clone(), Some(resource));
    }
    let asked = Asked { context: None, name: start.name, attributes: start.attributes, links: start.links() };
    let mut begun = pipeline.get().begin(pipeline.py(), &options, &asked);
    if begun.span.is_recording() {
        fill(&mut begun.span, begun.attributes.as_ref().or(start.attributes), start.links());
    }
    *maker = Maker::Pipeline(pipeline.unbind());
    begun.span
}

/// A span that is not recorded, because the application asked for no instrumentation here.
#[cold]
fn unwanted(options: &SpanOptions<'_>) -> pitviper_agent::Span {
    let trace_id = options.parent.trace().map_or_else(pitviper_agent::trace_id, |parent| parent.trace_id);
    let (trace_state, baggage) = options.parent.passed_on();
    let (span_id, local_root) = (pitviper_agent::span_id(), SpanId::INVALID);
    let (flags, is_remote) = (0, false);
    let context = pitviper_agent::SpanContext { trace_id, span_id, flags, is_remote, trace_state, baggage, local_root };
    agent().begin(options, context, false, false)
}

/// Tells processors, if there are any, of a span that an integration started.
#[cold]
pub(crate) fn tell_start(span: &Bound<'_, Span>) {
    if let Some(pipeline) = span.get().watcher(span.py()) {
        pipeline.get().tell_start(span, None);
    }
}

/// Starts a span that is not current. Without `parent` it is a child of the current span, or linked to
/// it when that has ended. With `service` it begins another service of this process, and what is below it is
/// part of that.
#[pyfunction]
#[pyo3(signature = (
    name, kind = None, attributes = None, parent = None, start_time = None, links = None, scope = None, service = None
))]
#[expect(clippy::too_many_arguments, reason = "the signature is OpenTelemetry's")]
#[inline]
pub(crate) fn start_span<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    kind: Option<&Bound<'py, PyAny>>,
    attributes: Option<&Bound<'py, PyAny>>,
    parent: Option<&Bound<'py, PyAny>>,
    start_time: Option<&Bound<'py, PyAny>>,
    links: Option<&Bound<'py, PyAny>>,
    scope: Option<&Bound<'py, PyAny>>,
    service: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Span>> {
    let service = convert::to_service(service);
    let kind = kind.map_or(SpanKind::Internal, convert::to_kind);
    let scope = scope_of(scope);
    let start_time = convert::to_time(start_time);
    start_object(py, &Start { name, kind, start_time, scope, attributes, links, service: service.as_ref() }, parent)
}

/// Starts a span of the agent's own as an object of Python's.
#[inline]
pub(crate) fn start_object<'py>(
    py: Python<'py>,
    begin: &Start<'_, 'py>,
    parent: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Span>> {
    start_filled(py, begin, parent, |_| {})
}

/// The same; `fill` is called with the span if it is wanted.
#[inline]
pub(crate) fn start_filled<'py>(
    py: Python<'py>,
    begin: &Start<'_, 'py>,
    parent: Option<&Bound<'py, PyAny>>,
    fill: impl FnOnce(&mut pitviper_agent::Span),
) -> PyResult<Bound<'py, Span>> {
    let mut maker = Maker::Agent;
    let mut span = start(py, begin, parent, &mut maker);
    let recorded = span.is_recording();
    if recorded {
        fill(&mut span);
    }
    let is_plain = matches!(maker, Maker::Agent);
    let span = Bound::new(py, Span::make(span, maker))?;
    if recorded && !is_plain {
        tell_start(&span);
    }
    Ok(span)
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
    let span = start_span(py, name, kind, attributes, parent, start_time, links, scope, None)?;
    shield_attached(py, (), || span::enter(&span));
    Ok(span)
}

/// Records a finished child of the current span: what began at `start_time` and ends now. For leaf
/// operations such as one statement, which cost a single call that way.
#[pyfunction]
#[pyo3(signature = (name, kind, start_time, attributes = None, exc = None, scope = None))]
pub(crate) fn finish_leaf<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    kind: i32,
    start_time: u64,
    attributes: Option<&Bound<'py, PyAny>>,
    exc: Option<&Bound<'py, PyAny>>,
    scope: Option<&Bound<'py, PyAny>>,
) {
    shield((), || {
        let kind = SpanKind::from_otlp(kind);
        Leaf { name, kind, start_time, scope: scope_of(scope), attributes, exc }.record(py, |_| {});
    });
}

#[inline]
pub(crate) fn scope_of(scope: Option<&Bound<'_, PyAny>>) -> u16 {
    scope.map_or(0, |scope| agent().scope(&convert::to_text(scope)))
}

/// A span without children that began at a time and ends now.
pub(crate) struct Leaf<'a, 'py> {
    pub(crate) name: &'a Bound<'py, PyAny>,
    pub(crate) kind: SpanKind,
    pub(crate) start_time: u64,
    pub(crate) scope: u16,
    pub(crate) attributes: Option<&'a Bound<'py, PyAny>>,
    pub(crate) exc: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> Leaf<'_, 'py> {
    /// Records it as a child of the current span; `fill` is called if it is wanted.
    #[inline]
    pub(crate) fn record(&self, py: Python<'py>, fill: impl FnOnce(&mut pitviper_agent::Span)) {
        let begin = Start {
            name: self.name,
            kind: self.kind,
            start_time: Some(self.start_time),
            scope: self.scope,
            attributes: self.attributes,
            links: None,
            service: None,
        };
        let mut maker = Maker::Agent;
        let mut span = start(py, &begin, None, &mut maker);
        if !span.is_recording() {
            return;
        }
        fill(&mut span);
        let exc = self.exc.filter(|exc| !exc.is_none());
        if let Maker::Pipeline(_) = maker {
            finish_watched(py, span, maker, exc);
            return;
        }
        if let Some(exc) = exc {
            exception::leave_with(&mut span, exc);
        }
        span.end(None);
    }
}

/// Ends a leaf that processors want to see: that takes an object.
#[cold]
fn finish_watched(py: Python<'_>, span: pitviper_agent::Span, maker: Maker, exc: Option<&Bound<'_, PyAny>>) {
    let Ok(span) = Bound::new(py, Span::make(span, maker)) else { return };
    tell_start(&span);
    if let Some(exc) = exc {
        span::change(&span, |span| exception::leave_with(span, exc));
    }
    span::leave(&span, None);
}

/// The span of ours that is current in the calling context, or None.
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
