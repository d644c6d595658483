"""``TraceFilter``: what an application subclasses to change traces, or to leave them out."""

import abc
from typing import Optional

from ._span import Span


class TraceFilter(abc.ABC):
    """Gets all spans of a trace in this process once the last has finished; see ``Tracer.configure``."""

    @abc.abstractmethod
    def process_trace(self, trace: "list[Span]") -> "Optional[list[Span]]":
        """The spans that go on; None to leave the trace out."""
