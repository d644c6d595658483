"""What applications make spans with."""

from typing import Any

from .._context import Context
from .._deprecations import removed_attribute
from .._filters import TraceFilter
from .._provider import BaseContextProvider
from .._span import Span
from .._tracer import Tracer, tracer

__all__ = ["BaseContextProvider", "Context", "Span", "TraceFilter", "Tracer", "tracer"]


def __getattr__(name: str) -> Any:
    raise removed_attribute("ddtrace.trace", name)
