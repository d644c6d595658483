"""OpenTelemetry's API, an optional library of the application's.

Checkers of types need not have it installed, so its modules have no type here.
"""

from importlib import import_module
from typing import Any

trace: Any = import_module("opentelemetry.trace")
baggage: Any = import_module("opentelemetry.baggage")
context: Any = import_module("opentelemetry.context")
contextvars_context: Any = import_module("opentelemetry.context.contextvars_context")

#: The key of the span in a context.
SPAN_KEY: Any = import_module("opentelemetry.trace.propagation")._SPAN_KEY
