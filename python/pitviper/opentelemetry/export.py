"""Exporters written in Python, and the processors that feed them.

The agent sends spans to its server without any of this; it is for what else an application does with
them.
"""

import enum
import os
import sys
import threading
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, Optional

from pitviper.opentelemetry._api import context as context_api
from pitviper.opentelemetry.processor import SpanProcessor, failed


class SpanExportResult(enum.Enum):
    """What became of an export."""

    SUCCESS = 0
    FAILURE = 1


class SpanExporter:
    """Takes finished spans somewhere."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        """Takes some spans."""
        raise NotImplementedError

    def shutdown(self) -> None:
        """Takes no more."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Finishes what was begun; whether that was done in time."""
        return True


class ConsoleSpanExporter(SpanExporter):
    """Writes each span as JSON."""

    def __init__(self, out: Any = None) -> None:
        self._out = out

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        out = self._out or sys.stdout
        for span in spans:
            out.write(span.to_json() + "\n")
        out.flush()
        return SpanExportResult.SUCCESS


class InMemorySpanExporter(SpanExporter):
    """Keeps spans, for tests."""

    def __init__(self) -> None:
        self._spans: list[Any] = []
        self._stopped = False

    def export(self, spans: Sequence[Any]) -> SpanExportResult:
        if self._stopped:
            return SpanExportResult.FAILURE
        self._spans.extend(spans)
        return SpanExportResult.SUCCESS

    def get_finished_spans(self) -> "tuple[Any, ...]":
        """The spans so far, in the order in which they ended."""
        return tuple(self._spans)

    def clear(self) -> None:
        """Forgets all spans."""
        self._spans.clear()

    def shutdown(self) -> None:
        self._stopped = True


def _export(exporter: Any, spans: "list[Any]") -> None:
    """Exports without tracing the exporter's own calls."""
    token = context_api.attach(context_api.set_value(context_api._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        exporter.export(spans)
    except Exception as error:
        failed(exporter, error)
    finally:
        context_api.detach(token)


class SimpleSpanProcessor(SpanProcessor):
    """Exports each sampled span as it ends, in the thread that ends it."""

    def __init__(self, span_exporter: Any) -> None:
        self.span_exporter = span_exporter

    def on_end(self, span: Any) -> None:
        if span.context.trace_flags.sampled:
            _export(self.span_exporter, [span])

    def shutdown(self) -> None:
        self.span_exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.span_exporter.force_flush(timeout_millis) is not False


def _number(given: Optional[float], variable: str, default: int) -> int:
    """What was given, or the variable's value if it is a positive number, or the default."""
    if given is not None:
        if given <= 0:
            raise ValueError(f"{variable} must be positive, not {given}")
        return int(given)
    text = os.environ.get(variable, "").strip()
    return int(text) if text.isdigit() and int(text) > 0 else default


class BatchSpanProcessor(SpanProcessor):
    """Exports sampled spans in batches, in a thread of its own that starts with the first span.

    Beyond the queue's size the newest spans are dropped and counted in :attr:`dropped`. A forked child
    begins with an empty queue: what waited is the parent's.

    Args:
        span_exporter: Where spans go.
        max_queue_size: Spans that may wait.
        schedule_delay_millis: How long spans wait for company, in milliseconds.
        max_export_batch_size: Spans of one export.
        export_timeout_millis: How long a shutdown waits, in milliseconds.

    Raises:
        ValueError: A number is not positive, or a batch is larger than the queue.
    """

    def __init__(
        self,
        span_exporter: Any,
        max_queue_size: Optional[int] = None,
        schedule_delay_millis: Optional[float] = None,
        max_export_batch_size: Optional[int] = None,
        export_timeout_millis: Optional[float] = None,
    ) -> None:
        self.span_exporter = span_exporter
        self.max_queue_size = _number(max_queue_size, "OTEL_BSP_MAX_QUEUE_SIZE", 2_048)
        self.max_batch = _number(max_export_batch_size, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)
        self.delay = _number(schedule_delay_millis, "OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1e3
        self.timeout_millis = _number(export_timeout_millis, "OTEL_BSP_EXPORT_TIMEOUT", 30_000)
        if self.max_batch > self.max_queue_size:
            raise ValueError("max_export_batch_size must not be larger than max_queue_size")
        #: Spans that found the queue full.
        self.dropped = 0
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._queue: deque[Any] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._busy = False
        self._hurry = False
        self._thread: Optional[threading.Thread] = None

    def on_end(self, span: Any) -> None:
        if self._closed or not span.context.trace_flags.sampled:
            return
        if self._process != os.getpid():
            self._begin()
        with self._changed:
            if len(self._queue) >= self.max_queue_size:
                self.dropped += 1
                return
            self._queue.append(span)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="pitviper-batch", daemon=True)
                self._thread.start()
            elif len(self._queue) == self.max_batch:
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                due = monotonic() + self.delay
                while not (self._hurry or self._closed or len(self._queue) >= self.max_batch):
                    rest = due - monotonic()
                    if rest <= 0:
                        break
                    self._changed.wait(rest)
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), self.max_batch))]
                self._busy = bool(batch)
                if not batch:
                    self._hurry = False
                    self._changed.notify_all()
                    if self._closed:
                        return
                    continue
            _export(self.span_exporter, batch)

    def force_flush(self, timeout_millis: Optional[int] = None) -> bool:
        until = monotonic() + (timeout_millis or self.timeout_millis) / 1e3
        with self._changed:
            while self._process == os.getpid() and self._thread is not None and (self._queue or self._busy):
                self._hurry = True
                self._changed.notify_all()
                rest = until - monotonic()
                if rest <= 0 or not self._thread.is_alive():
                    return False
                self._changed.wait(min(rest, 0.1))
        return True

    def shutdown(self) -> None:
        self.force_flush()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.span_exporter.shutdown()
