"""Hands OpenTelemetry's classes to the native half, and has its current context be ours."""

import functools
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import say
from pitviper.opentelemetry import readable
from pitviper.opentelemetry._api import SPAN_KEY, baggage, contextvars_context, trace
from pitviper.opentelemetry._api import context as context_api

#: What some libraries look for besides the keys of the API, which have a random part.
_PLAIN_SUPPRESSION_KEY = "suppress_instrumentation"


def _trace_state(header: str) -> Any:
    return trace.TraceState.from_header([header])


def _context_with(parent: Any) -> Any:
    return trace.set_span_in_context(trace.NonRecordingSpan(parent))


def _fail(span: Any, description: str) -> None:
    span.set_status(trace.Status(trace.StatusCode.ERROR, description))


def decorate(block: "_native.SpanBlock", function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with a span around each call, or around each run of its coroutine."""
    code = getattr(function, "__code__", None)
    # inspect.CO_COROUTINE, without importing inspect.
    if code is not None and code.co_flags & 0x80:

        @functools.wraps(function)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            with block.again():
                return await function(*args, **kwargs)

        return coroutine

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with block.again():
            return function(*args, **kwargs)

    return call


class _Faces:
    """What the native half asks for; see ``faces.rs``."""

    span_key = SPAN_KEY
    baggage_key = baggage._BAGGAGE_KEY
    # Older versions of the API have no such key, and nobody can set it there.
    http_suppression_key = getattr(context_api, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation")
    suppression_keys = (context_api._SUPPRESS_INSTRUMENTATION_KEY, _PLAIN_SUPPRESSION_KEY)
    Context = context_api.Context
    get_current_span = staticmethod(trace.get_current_span)
    context_with = staticmethod(_context_with)
    SpanContext = trace.SpanContext
    NonRecordingSpan = trace.NonRecordingSpan
    flags = tuple(trace.TraceFlags(flags) for flags in range(4))
    trace_state = staticmethod(_trace_state)
    no_trace_state = trace.TraceState()
    kinds = (
        trace.SpanKind.INTERNAL,
        trace.SpanKind.SERVER,
        trace.SpanKind.CLIENT,
        trace.SpanKind.PRODUCER,
        trace.SpanKind.CONSUMER,
    )
    read = staticmethod(readable.read)
    decorate = staticmethod(decorate)
    fail = staticmethod(_fail)


def bind() -> None:
    """Makes one context and one kind of span of OpenTelemetry's and ours. Idempotent."""
    _native.bind_opentelemetry(_Faces)
    runtime_interface = contextvars_context.ContextVarsRuntimeContext.__base__
    for abstract, concrete in (
        (trace.Span, _native.Span),
        (trace.Tracer, _native.Tracer),
        (runtime_interface, _native.RuntimeContext),
    ):
        abstract.register(concrete)
    runtime: Any = context_api._RUNTIME_CONTEXT
    if isinstance(runtime, _native.RuntimeContext):
        return
    variable = getattr(runtime, "_current_context", None)
    if type(runtime) is not contextvars_context.ContextVarsRuntimeContext or variable is None:
        say(
            f"OTEL_PYTHON_CONTEXT chose {type(runtime).__name__}: spans of OpenTelemetry's tracers and of "
            "integrations do not nest; unset it"
        )
        return
    span = runtime.get_current().get(SPAN_KEY)
    context_api._RUNTIME_CONTEXT = _native.RuntimeContext(variable)
    if span is not None:
        # A span that was current before stays so.
        _native.activate(span)
