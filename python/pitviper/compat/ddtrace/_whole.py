"""Whole traces: filters and sampling rules see all spans of a trace in this process before any is sent.

While there are any, the agent's spans go through a pipeline that keeps those that have finished until the last
of their trace has. Who uses neither filters nor such rules pays nothing.
"""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

import atexit
import logging
import os
import threading
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error

from ._face import Face, face
from ._mapping import attribute, attributes_of
from ._rules import Rules, read
from ._span import Span

log = logging.getLogger("ddtrace.trace")

#: Finished spans of one trace that may wait for the rest; then they go on in parts, as in ddtrace.
_MAX_SPANS = 300
#: Traces that may wait at a time; then the oldest goes on as it is.
_MAX_TRACES = 4_096
#: Who decided: a rule of this process.
_BY_RULE = "-3"


class _Trace:
    """The spans of a trace in this process."""

    __slots__ = ("finished", "open", "undecided")

    def __init__(self, undecided: bool) -> None:
        self.open = 0
        self.finished: list[Span] = []
        #: Whether rules decide about it at its end.
        self.undecided = undecided


class _Traces:
    """A processor of the agent's pipelines."""

    def __init__(self) -> None:
        self.filters: list[Any] = []
        self.rules: Optional[Rules] = None
        #: Parts of traces that went on before their trace was whole.
        self.early = 0
        self._lock = threading.Lock()
        self._traces: dict[str, _Trace] = {}

    def forget(self) -> None:
        """What a parent of a fork waits for is its own to send."""
        self._lock = threading.Lock()
        self._traces = {}

    def on_start(self, span: _native.Span, context: object) -> None:
        try:
            self._begin(span)
        except Exception as error:
            internal_error(error)

    def on_ending(self, span: _native.Span) -> None:
        """Nothing: what matters is that it has ended."""

    def on_end(self, span: _native.Span) -> None:
        try:
            self._finish(span)
        except Exception as error:
            internal_error(error)

    def _begin(self, span: _native.Span) -> None:
        oldest: Optional[_Trace] = None
        with self._lock:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                trace = self._traces[span.trace_id] = _Trace(self.rules is not None and span.parent is None)
                if len(self._traces) > _MAX_TRACES:
                    oldest = self._traces.pop(next(iter(self._traces)))
                    self.early += 1
            trace.open += 1
        if oldest is not None:
            self._go_on(oldest.finished)
        if trace.undecided and span.parent is None and self.rules is not None:
            priority = self.rules.decide(face(span), early=True)
            if priority is not None:
                trace.undecided = False
                _native.decide(span, priority, _BY_RULE)

    def _finish(self, span: _native.Span) -> None:
        with self._lock:
            trace = self._traces.get(span.trace_id)
            if trace is None:
                # It went on without this one, or began before there was anybody to wait.
                trace = _Trace(False)
                trace.open = 1
            trace.open -= 1
            trace.finished.append(face(span))
            whole = trace.open <= 0
            if not whole and len(trace.finished) < _MAX_SPANS:
                return
            finished, trace.finished = trace.finished, []
            if whole:
                self._traces.pop(span.trace_id, None)
            else:
                self.early += 1
        self._decide(trace, finished, whole)
        self._go_on(finished)

    def _decide(self, trace: _Trace, finished: "list[Span]", whole: bool) -> None:
        if not trace.undecided or not whole or self.rules is None:
            return
        root = next((span for span in finished if span.parent_id is None), None)
        told = None if root is None else _native.told(root._inner)
        # The application's own word counts more than a rule.
        if root is None or told is None or "t.dm:" in told[4]:
            return
        priority = self.rules.decide(root, early=False)
        if priority is not None:
            for span in finished:
                _native.decide(span._inner, priority, _BY_RULE)

    def _go_on(self, spans: "list[Span]") -> None:
        """Has the filters see a trace, and sends what they leave."""
        if not spans:
            return
        spans.sort(key=lambda span: span.start_ns)
        remaining: Optional[list[Span]] = spans
        for processor in self.filters:
            try:
                remaining = processor.process_trace(remaining)
            except Exception:
                log.error("error applying processor %r to a trace", processor, exc_info=True)
            if not remaining:
                return
        for span in remaining or ():
            _send(span)

    def send_all(self) -> None:
        """Sends what waits; for the end of the process."""
        with self._lock:
            waiting, self._traces = list(self._traces.values()), {}
        for trace in waiting:
            self._go_on(trace.finished)


class _Part:
    """Something with attributes, as spans of OpenTelemetry's SDK have."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def _send(span: Span) -> None:
    """Sends a finished span, with what filters made of it."""
    native = span._inner
    code, message = native.read_status()
    kind: Any = native.kind
    if isinstance(span, Face):
        name = span.resource
        attributes: dict[str, Any] = dict(native.attributes)
        for key, value in span._tags.items():
            pair = attribute(key, value)
            if pair is not None:
                attributes[pair[0]] = pair[1]
        service = _native.service_of(native) if span._service is None else _foreign(span)
    else:
        name, kind, attributes = attributes_of(span.name, span.resource, span.span_type, span._tags, span._is_entry())
        service = _foreign(span)
        if span.error:
            code, message = 2, str(span._tags.get("error.message") or "")
    _, scope, version = native.read_maker()
    events = [_Part(name=what, timestamp=at, attributes=attributes) for what, at, attributes, _ in native.read_events()]
    _native.export_span(
        _Part(
            context=native,
            parent=native.parent,
            name=name,
            kind=kind,
            attributes=attributes,
            start_time=span.start_ns,
            end_time=native.end_time,
            events=events,
            links=[(context, attributes) for context, attributes, _ in native.read_links()],
            status=_Part(status_code=_Part(value=code), description=message),
            instrumentation_scope=_Part(name=scope, version=version, attributes=None),
        ),
        None,
        service,
    )


def _foreign(span: Span) -> Optional[str]:
    from ._config import config

    return config.foreign_service(span.service)


_traces = _Traces()
_watching = False


def watch(filters: "Optional[list[Any]]" = None) -> None:
    """Has filters see whole traces, in place of those before; with none of them, and no rules, nobody does."""
    global _watching
    if filters is not None:
        _traces.filters = list(filters)
    wanted = bool(_traces.filters) or _traces.rules is not None
    if wanted and not _watching:
        pipeline = _native.Pipeline(_traces)
        pipeline.watch()
        # What it gets is sent from here.
        pipeline.close()
        _native.set_own_pipeline(pipeline)
        _register()
    elif _watching and not wanted:
        _native.set_own_pipeline(None)
        _traces.send_all()
    _watching = wanted


def follow_rules() -> None:
    """Follows the sampling rules that the variables hold, if any."""
    _traces.rules = read(os.environ)
    watch()


_registered = False


def _register() -> None:
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_traces.send_all)
        os.register_at_fork(after_in_child=_traces.forget)
