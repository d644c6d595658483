"""``HTTPPropagator``: contexts in the headers of requests, in the formats that are configured."""

from collections.abc import Mapping, MutableMapping
from typing import Any, Union

from pitviper import _native

from .. import _context
from .._context import Context
from .._span import Span

#: Headers that say whether a trace is kept, besides Datadog's own.
_SAY_WHETHER = frozenset(("traceparent", "b3", "x-b3-sampled", "x-b3-flags", "x-dynatrace"))


class HTTPPropagator:
    """Reads and writes ``traceparent``, ``x-datadog-*`` and what else the settings name."""

    @staticmethod
    def inject(context: "Union[Context, Span]", headers: "MutableMapping[str, str]", *unknown: Any) -> None:
        """Writes what the called process is to know.

        Args:
            context: A span, or its context.
            headers: Where to write.

        Raises:
            TypeError: There is a third argument, as older versions took.
        """
        if unknown:
            raise TypeError("HTTPPropagator.inject() takes a context and headers: non_active_span was removed in 4.0")
        if isinstance(context, Span):
            context = context.context
        given = _context.native_of(context)
        if given is None:
            baggage = context.get_all_baggage_items()
            if not baggage:
                return
            _native.inject_natively(headers, None, baggage)
            return
        baggage = context.get_all_baggage_items()
        if baggage and not isinstance(given, _native.Span):
            _native.inject_natively(headers, given, baggage)
            return
        _native.inject_into(headers, given)

    @staticmethod
    def extract(headers: "Mapping[str, str]") -> Context:
        """Reads what the calling process handed over; an empty context when that is nothing.

        Names may be in any case, and as WSGI has them (``HTTP_X_DATADOG_TRACE_ID``).
        """
        if not headers:
            return Context()
        normalized: dict[str, str] = {}
        for name, value in headers.items():
            key = str(name).lower().replace("_", "-")
            normalized[key[5:] if key.startswith("http-") else key] = value
        found = _native.extract(normalized)
        if found is None:
            return Context()
        # Where nobody has said whether the trace is kept, what the agent would do is its own matter.
        is_said = bool(_SAY_WHETHER.intersection(normalized))
        return _context.of_native(found, is_said) or Context()
