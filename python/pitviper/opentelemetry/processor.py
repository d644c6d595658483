"""Span processors: code of the application's that hears of every span as it starts and ends.

They cost what they do, so there are none unless the application adds one. A processor that fails is
named once on standard error, and never fails the application.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import Any

from pitviper._guard import say

#: Processors whose failure was shown.
_failed: "set[type]" = set()


def failed(whose: object, error: BaseException) -> None:
    """Shows a failure of code the application added, once for each class."""
    if type(whose) not in _failed:
        _failed.add(type(whose))
        say(f"{type(whose).__qualname__} fails: {type(error).__name__}: {error}")


class SpanProcessor:
    """Hears of spans. Called in the thread that starts or ends the span, so it must not take long."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """A span began; it can still be changed."""

    def _on_ending(self, span: Any) -> None:
        """A span is about to end; it can still be changed."""

    def on_end(self, span: Any) -> None:
        """A span ended; it can be read."""

    def shutdown(self) -> None:
        """The provider shuts down."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Finishes what was begun; whether that was done in time."""
        return True


class SynchronousMultiSpanProcessor(SpanProcessor):
    """Passes on to several processors, one after the other, in the order they were added."""

    def __init__(self) -> None:
        self._span_processors: tuple[Any, ...] = ()

    def add_span_processor(self, span_processor: Any) -> None:
        """Adds one. Spans that are under way reach it when they end."""
        self._span_processors = (*self._span_processors, span_processor)

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        for processor in self._span_processors:
            try:
                processor.on_start(span, parent_context=parent_context)
            except Exception as error:
                failed(processor, error)

    def _on_ending(self, span: Any) -> None:
        for processor in self._span_processors:
            ending = getattr(processor, "_on_ending", None)
            try:
                if ending is not None:
                    ending(span)
            except Exception as error:
                failed(processor, error)

    def on_end(self, span: Any) -> None:
        for processor in self._span_processors:
            try:
                processor.on_end(span)
            except Exception as error:
                failed(processor, error)

    def shutdown(self) -> None:
        for processor in self._span_processors:
            try:
                processor.shutdown()
            except Exception as error:
                failed(processor, error)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        until = monotonic() + timeout_millis / 1e3
        for processor in self._span_processors:
            rest = int((until - monotonic()) * 1e3)
            try:
                if rest <= 0 or processor.force_flush(rest) is False:
                    return False
            except Exception as error:
                failed(processor, error)
                return False
        return True


class ConcurrentMultiSpanProcessor(SynchronousMultiSpanProcessor):
    """Passes on to several processors; when they flush or shut down, to all at a time.

    Spans are passed on one after the other: handing each to another thread and waiting for it, as the
    SDK does, costs more than processors do.
    """

    def __init__(self, num_threads: int = 2) -> None:
        super().__init__()
        self._num_threads = num_threads

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        until = monotonic() + timeout_millis / 1e3
        pool = ThreadPoolExecutor(self._num_threads)
        flushes: list[Future[bool]] = [
            pool.submit(processor.force_flush, timeout_millis) for processor in self._span_processors
        ]
        try:
            return all(flush.result(max(until - monotonic(), 0)) is not False for flush in flushes)
        except Exception as error:
            failed(self, error)
            return False
        finally:
            pool.shutdown(wait=False)


class Gate:
    """What the native half calls: an active processor, whosever it is, behind a guard."""

    __slots__ = ("_active",)

    def __init__(self, active: Any) -> None:
        self._active = active

    def on_start(self, span: Any, parent_context: Any) -> None:
        """A span began."""
        try:
            self._active.on_start(span, parent_context=parent_context)
        except Exception as error:
            failed(self._active, error)

    def on_ending(self, span: Any) -> None:
        """A span is about to end."""
        try:
            # Processors made for an older SDK have no such method.
            ending = getattr(self._active, "_on_ending", None)
            if ending is not None:
                ending(span)
        except Exception as error:
            failed(self._active, error)

    def on_end(self, span: Any) -> None:
        """A span ended."""
        try:
            self._active.on_end(span)
        except Exception as error:
            failed(self._active, error)
