"""logging: every record that the application's loggers let through is sent to the server as well, with the
trace and span it was written in. Makes no spans.

No handler is added: with a handler at the root logger ``logging.basicConfig()`` would do nothing. Level
``PITVIPER_LOGS_LEVEL`` (``info``) and above are sent; ``PITVIPER_LOGS_ENABLED=false`` sends none. The logger's
name is the instrumentation scope; what ``extra=`` gives becomes attributes, an exception
``exception.type``, ``exception.message`` and ``exception.stacktrace``, the place ``code.file.path``,
``code.function.name`` and ``code.line.number``.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "log_export",
    patches=(Patch("logging:Logger.callHandlers", "call_handlers"),),
)
