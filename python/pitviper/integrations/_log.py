"""The current trace as loggers write it down."""

from typing import Optional

from pitviper import _native

#: What stands where there is no trace, as OpenTelemetry's instrumentation of logging has it.
NONE = "0"


def ids() -> "Optional[tuple[str, str, bool]]":
    """Trace id, span id, and whether the trace is recorded; None without a current span."""
    span = _native.current_span()
    if span is None:
        return None
    context = span.context
    return context.trace_id_hex, context.span_id_hex, context.trace_flags & 1 == 1
