"""The propagator that ``opentelemetry.propagate`` hands out, and what happens when an application sets one.

Ours reads and writes natively what the settings name. If the application sets another, our integrations
use that one as well.
"""

import functools
from importlib import import_module
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import ensure_configured
from pitviper.integrations._propagation import ENVIRON, VARIABLES
from pitviper.opentelemetry._api import baggage, trace
from pitviper.opentelemetry._api import context as context_api

_propagate: Any = import_module("opentelemetry.propagate")
_composite: Any = import_module("opentelemetry.propagators.composite")
_textmap: Any = import_module("opentelemetry.propagators.textmap")


class Propagator(_textmap.TextMapPropagator):
    """Reads and writes contexts in the formats of the settings."""

    def __init__(self) -> None:
        # The API makes one that OTEL_PROPAGATORS names where the agent does not run.
        ensure_configured()

    def extract(self, carrier: Any, context: Any = None, getter: Any = _textmap.default_getter) -> Any:
        """A context like the given one, with what the carrier holds."""
        if context is None:
            context = context_api.Context()
        try:
            headers: dict[str, str] = {}
            for name in _native.context_fields():
                values = getter.get(carrier, name)
                if values:
                    headers[name] = values if isinstance(values, str) else ",".join(values)
            found = _native.extract_natively(headers)
            if found is None:
                return context
            if found.is_valid:
                context = trace.set_span_in_context(trace.NonRecordingSpan(_shown(found)), context)
            for key, value in found.baggage.items():
                context = baggage.set_baggage(key, value, context)
        except Exception as error:
            internal_error(error)
        return context

    def inject(self, carrier: Any, context: Any = None, setter: Any = _textmap.default_setter) -> None:
        """Writes a context, or the current one, into a carrier."""
        headers: dict[str, str] = {}
        try:
            if context is None:
                _native.inject_natively(headers)
            else:
                _native.inject_natively(headers, trace.get_current_span(context), baggage.get_all(context))
        except Exception as error:
            internal_error(error)
        for name, value in headers.items():
            setter.set(carrier, name, value)

    @property
    def fields(self) -> "set[str]":
        """The names of what :meth:`inject` may write."""
        return set(_native.injected_fields(True))


def _shown(context: "_native.SpanContext") -> Any:
    state = trace.TraceState.from_header([context.trace_state]) if context.trace_state else None
    flags = trace.TraceFlags(context.trace_flags)
    return trace.SpanContext(context.trace_id, context.span_id, True, flags, state)


class _Chosen:
    """A propagator of the application's, for the native half."""

    def __init__(self, propagator: Any) -> None:
        self._propagator = propagator

    @property
    def fields(self) -> "list[str]":
        return sorted(self._propagator.fields)

    def extract(self, carrier: Any, names: int) -> "Optional[_native.SpanContext]":
        context = self._propagator.extract(_headers(carrier, names), context=context_api.Context())
        span = trace.get_current_span(context)
        return _native.read_context(span.get_span_context(), baggage.get_all(context))

    def inject(self, headers: Any, span: Any, names: int, replace: bool) -> None:
        context = context_api.get_current()
        if span is not None:
            context = trace.set_span_in_context(span, context)
        written: dict[str, str] = {}
        self._propagator.inject(written, context=context)
        if replace:
            for name in self.fields:
                headers.pop(_written(name, names), None)
        for name, value in written.items():
            headers[_written(name, names)] = value


def _written(name: str, names: int) -> str:
    return name.replace("-", "_").upper() if names == VARIABLES else name


def _headers(carrier: Any, names: int) -> "dict[str, str]":
    """A carrier as headers in lower case."""
    pairs = carrier.items() if hasattr(carrier, "items") else carrier
    found: dict[str, str] = {}
    for name, value in pairs:
        name, value = _text(name), _text(value)
        if names == ENVIRON:
            if not name.startswith("HTTP_"):
                continue
            name = name[len("HTTP_") :]
        if names in (ENVIRON, VARIABLES):
            name = name.replace("_", "-")
        found[name.lower()] = value
    return found


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def install() -> None:
    """Has ``opentelemetry.propagate`` hand out our propagator, and watches for one of the application's."""
    original = _propagate.set_global_textmap
    if getattr(original, "__wrapped__", None) is not None:
        return

    @functools.wraps(original)
    def set_global_textmap(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        try:
            _adopt(_propagate.get_global_textmap())
        except Exception as error:
            internal_error(error)

    _propagate.set_global_textmap = set_global_textmap
    present = _propagate.get_global_textmap()
    if type(present) is _composite.CompositePropagator:
        # The one that the API made of OTEL_PROPAGATORS, as we do.
        original(Propagator())
    else:
        _adopt(present)


def _adopt(propagator: Any) -> None:
    """Goes along with the propagator that the application set."""
    _native.set_foreign_propagator(None if isinstance(propagator, Propagator) else _Chosen(propagator))
