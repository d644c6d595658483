"""The context of a span in another process."""

from opentelemetry import trace

REMOTE = trace.SpanContext(
    0x4BF92F3577B34DA6A3CE929D0E0E4736,
    0x00F067AA0BA902B7,
    True,
    trace.TraceFlags(1),
    trace.TraceState([("vendor", "1")]),
)
