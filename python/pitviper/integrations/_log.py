"""The current trace as loggers write it down."""

from pitviper import _native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

#: What stands where there is no trace, as OpenTelemetry's instrumentation of logging has it.
NONE = "0"

#: What else is done with every record of ``logging``, for names that others gave to the trace.
also: "list[Callable[[Any], None]]" = []
#: Further fields of every event of structlog and loguru.
more: "list[Callable[[], dict[str, Any]]]" = []


def ids() -> "Optional[tuple[str, str, bool]]":
    """Trace id, span id, and whether the trace is recorded; None without a current span."""
    span = _native.current_span()
    if span is None:
        return None
    context = span.context
    # OpenTelemetry's class once its API is loaded, and ours before: what both have.
    return f"{context.trace_id:032x}", f"{context.span_id:016x}", context.trace_flags & 1 == 1


def added() -> "dict[str, Any]":
    """What an event of structlog or loguru is given; nothing without a current span, unless others want more."""
    found = ids()
    fields: dict[str, Any] = {} if found is None else {"trace_id": found[0], "span_id": found[1]}
    for fields_of in more:
        fields.update(fields_of())
    return fields
