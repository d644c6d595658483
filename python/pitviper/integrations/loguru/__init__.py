"""loguru: the trace and span of each record.

A record that is logged within a span has `trace_id` and `span_id` in its `extra`, unless the application
put such keys there: `{extra[trace_id]}` in a format, `record.extra` in serialised output. Without a span
it stays as it is.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "loguru",
    distribution="loguru",
    minimum=(0, 6),
    patches=(Patch("loguru._handler:Handler.emit", "emit"),),
)
