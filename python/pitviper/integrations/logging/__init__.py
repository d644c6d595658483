"""logging: the trace and span of each record, and in each line when asked.

Every record has `trace_id` and `span_id`, and the names that OpenTelemetry's instrumentation gives them:
`otelTraceID`, `otelSpanID`, `otelTraceSampled`, `otelServiceName`. Without a span the ids are `0`, so a
format may always name them: `%(trace_id)s`. A record that has such an attribute of its own keeps it.
What is written stays as it is unless an option asks.
"""

from pitviper.instrument import Integration, Patch
from pitviper.settings import Setting, flag

INTEGRATION = Integration(
    "logging",
    patches=(
        Patch("logging:Logger.makeRecord", "make_record"),
        Patch("logging:Formatter.formatMessage", "format_message"),
    ),
    options=(
        Setting(
            "append",
            False,
            flag,
            "PITVIPER_LOGGING_APPEND OTEL_PYTHON_LOG_CORRELATION",
            "Whether ` trace_id=… span_id=…` follows the message in every line that is written within a span.",
        ),
    ),
)
