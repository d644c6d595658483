"""structlog: the trace and span of each event.

An event that is logged within a span has `trace_id` and `span_id` before the first processor sees it,
unless the application gave it such keys. Without a span it stays as it is.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "structlog",
    distribution="structlog",
    minimum=(20, 1),
    patches=(Patch("structlog._base:BoundLoggerBase._process_event", "process_event"),),
)
