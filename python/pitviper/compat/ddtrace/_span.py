"""``Span``, with the attributes and methods that ddtrace 4 gives it.

What is set is kept here until the span finishes, for all of it may change until then; then it becomes what
our span is (:mod:`._mapping`). Our span is there from the start, so that what integrations make is below it.
"""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

import logging
import sys
import traceback
import weakref
from collections.abc import Mapping
from math import isfinite
from types import TracebackType
from typing import Any, Callable, Optional, Union

from pitviper import _native
from pitviper._guard import internal_error

from . import _context
from ._config import config
from ._context import Context
from ._deprecations import removed_attribute
from ._mapping import attributes_of, without_builtins

log = logging.getLogger("ddtrace.trace")

#: The scope of spans that are made through this API.
SCOPE = "ddtrace"
KEEP, DROP = 2, -1
#: Longest value of a tag, in characters, and what is left of a longer one; ddtrace's bounds.
_MAX_VALUE, _KEPT_OF_LONGER = 25_000, 2_500
_MAX_INT = 2**63

#: The spans of this API by the spans that they are faces of, as long as somebody holds them.
_faces: "weakref.WeakValueDictionary[int, Span]" = weakref.WeakValueDictionary()


class Span:
    """A span. Made by ``tracer.trace()`` and ``tracer.start_span()``; one that is made directly is never sent."""

    __slots__ = (
        "__weakref__",
        "_context",
        "_duration_ns",
        "_ended",
        "_error",
        "_inner",
        "_name",
        "_on_finish",
        "_parent",
        "_parent_context",
        "_resource",
        "_service",
        "_start_ns",
        "_tags",
        "_then",
        "_told_below",
        "_type",
    )

    def __init__(
        self,
        name: str,
        service: Optional[str] = None,
        resource: Optional[str] = None,
        span_type: Optional[str] = None,
        trace_id: Optional[int] = None,
        span_id: Optional[int] = None,
        parent_id: Optional[int] = None,
        start: Optional[int] = None,
        context: Optional[Context] = None,
        on_finish: "Optional[list[Callable[[Span], None]]]" = None,
        span_api: str = "datadog",
        links: "Optional[list[Any]]" = None,
    ) -> None:
        parent: Any = None
        if context is not None:
            parent = _context.native_of(context)
        elif trace_id is not None:
            parent = _native.SpanContext(trace_id, parent_id or 0, True, 1, None)
        native = begin(name, parent, service, None if start is None else int(start))
        _native.discard(native)
        self._open(native, name, service, resource, span_type, None, context)
        self._on_finish = on_finish

    def _open(
        self,
        native: _native.Span,
        name: str,
        service: Optional[str],
        resource: Optional[str],
        span_type: Optional[str],
        parent: "Optional[Span]",
        parent_context: Optional[Context],
    ) -> None:
        self._inner = native
        self._name = name
        self._service = service
        self._resource = resource or name
        self._type = span_type
        self._parent = parent
        self._parent_context = parent_context
        self._tags: dict[str, Union[str, float]] = {}
        self._error = 0
        self._start_ns: Optional[int] = None
        self._duration_ns: Optional[int] = None
        self._context: Optional[Context] = None
        self._on_finish: Optional[list[Callable[[Span], None]]] = None
        self._told_below: Optional[set[tuple[Any, Any]]] = None
        #: What is current once it has finished, when that is not what was before.
        self._then: Union[Span, Context, None] = None
        self._ended = False
        _faces[id(native)] = self

    # What it is.

    @property
    def name(self) -> str:
        """The operation."""
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = str(value)

    @property
    def resource(self) -> str:
        """What the operation was about, such as a route or a statement."""
        return self._resource

    @resource.setter
    def resource(self, value: Optional[str]) -> None:
        self._resource = value if isinstance(value, str) else ""

    @property
    def service(self) -> Optional[str]:
        """The service it is part of; by default its parent's."""
        return self._service

    @service.setter
    def service(self, value: Optional[str]) -> None:
        name = value if isinstance(value, str) else None
        self._service = name
        # What begins below it from now on is part of it, whoever makes it.
        _native.set_service(self._inner, config.foreign_service(name))

    @property
    def span_type(self) -> Optional[str]:
        """What kind of operation it is, such as ``web``, ``http`` or ``sql``."""
        return self._type

    @span_type.setter
    def span_type(self, value: Optional[str]) -> None:
        self._type = value if isinstance(value, str) else None

    @property
    def error(self) -> int:
        """1 if it failed."""
        return self._error

    @error.setter
    def error(self, value: int) -> None:
        self._error = 1 if value else 0

    @property
    def trace_id(self) -> int:
        """128 bits."""
        return int(self._inner.trace_id, 16)

    @property
    def span_id(self) -> int:
        """64 bits."""
        return int(self._inner.span_id, 16)

    @property
    def parent_id(self) -> Optional[int]:
        """The id of the span it is part of; None for the root of a trace."""
        if self._parent is not None:
            return self._parent.span_id
        parent = self._inner.parent
        return None if parent is None else parent.span_id

    @property
    def start_ns(self) -> int:
        """When it began, in nanoseconds since the Unix epoch."""
        if self._start_ns is None:
            self._start_ns = self._inner.start_time
        return self._start_ns

    @start_ns.setter
    def start_ns(self, value: int) -> None:
        self._start_ns = int(value)
        _native.set_start(self._inner, self._start_ns)

    @property
    def start(self) -> float:
        """When it began, in seconds since the Unix epoch."""
        return self.start_ns / 1e9

    @start.setter
    def start(self, value: float) -> None:
        self.start_ns = int(value * 1e9)

    @property
    def duration_ns(self) -> Optional[int]:
        """How long it took, in nanoseconds; None while it runs."""
        if self._duration_ns is None and self._ended:
            end = self._inner.end_time
            return None if end is None else end - self.start_ns
        return self._duration_ns

    @duration_ns.setter
    def duration_ns(self, value: Optional[int]) -> None:
        self._duration_ns = value

    @property
    def duration(self) -> Optional[float]:
        """How long it took, in seconds; None while it runs."""
        duration = self.duration_ns
        return None if duration is None else duration / 1e9

    @duration.setter
    def duration(self, value: Optional[float]) -> None:
        self._duration_ns = None if value is None else int(value * 1e9)

    @property
    def finished(self) -> bool:
        """Whether it has finished."""
        return self._ended or self._duration_ns is not None

    @property
    def context(self) -> Context:
        """What it hands on."""
        if self._context is None:
            self._context = _context.of_native(self._inner) or Context()
            self._context._above = self._local_root._parent_context
        return self._context

    @property
    def _local_root(self) -> "Span":
        span = self
        while span._parent is not None:
            span = span._parent
        return span

    def get_span_context(self) -> Any:
        """What OpenTelemetry's API, and ours, take for the span."""
        return self._inner.get_span_context()

    # What is known of it.

    def set_tag(self, key: str, value: Any = None) -> None:
        """Sets a tag. A number is a metric; all else is text.

        ``manual.keep`` and ``manual.drop`` decide about the trace, ``service.name`` is the service.
        """
        try:
            self._set_tag(key, value)
        except Exception as error:
            log.warning("error setting tag %r, ignoring it", key, exc_info=True)
            internal_error(error)

    def _set_tag(self, key: Any, value: Any) -> None:
        if key == "manual.keep" or key == "manual.drop":
            self.context.sampling_priority = KEEP if key == "manual.keep" else DROP
            return
        if isinstance(key, bytes):
            key = key.decode("utf-8", "replace")
        if key == "service.name":
            self.service = value
        elif key == "service.version":
            self._put("version", str(value))
        elif key == "_dd.measured":
            self.set_metric(key, 1 if value is None else value)
            return
        elif key == "network.destination.port" and isinstance(value, str) and value.isdigit():
            value = int(value)
        self._keep(key, value)

    def _keep(self, key: str, value: Any) -> None:
        """Keeps a number that fits, and all else as text."""
        if type(value) is float:
            if not isfinite(value):
                return
        elif type(value) is not int or not -_MAX_INT <= value < _MAX_INT:
            value = value if isinstance(value, str) else str(value)
        self._put(key, value)

    def _put(self, key: str, value: "str | float") -> None:
        self._tags[key] = value

    def get_tag(self, key: str) -> Optional[str]:
        """The text of a tag; None for one that is not set, and for metrics."""
        value = self._tags.get(key)
        return value if isinstance(value, str) else None

    def get_tags(self) -> "dict[str, str]":
        """All tags that are text."""
        return {key: value for key, value in self._tags.items() if isinstance(value, str)}

    def set_tags(self, tags: "Mapping[str, Any]") -> None:
        """Sets tags."""
        for key, value in (tags or {}).items():
            self.set_tag(key, value)

    def remove_tag(self, key: str) -> None:
        """Removes a tag."""
        self._tags.pop(key, None)

    def set_metric(self, key: str, value: Any) -> None:
        """Sets a number; what is none is left out."""
        if key == "_dd.measured":
            value = int(bool(value))
        if not isinstance(value, (int, float)):
            try:
                value = float(value)
            except (ValueError, TypeError):
                log.debug("ignoring not number metric %s:%s", key, value)
                return
        self._keep(key, int(value) if isinstance(value, bool) else value)

    def set_metrics(self, metrics: "Mapping[str, Any]") -> None:
        """Sets numbers."""
        for key, value in (metrics or {}).items():
            self.set_metric(key, value)

    def get_metric(self, key: str) -> Optional[float]:
        """A number; None for what is not set, and for text."""
        value = self._tags.get(key)
        return None if isinstance(value, str) else value

    def get_metrics(self) -> "dict[str, float]":
        """All numbers."""
        return {key: value for key, value in self._tags.items() if not isinstance(value, str)}

    def remove_metric(self, key: str) -> None:
        """Removes a number."""
        self._tags.pop(key, None)

    # What went wrong.

    def set_exc_info(
        self,
        exc_type: "Optional[type[BaseException]]",
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
        limit: Optional[int] = None,
    ) -> None:
        """Marks it as failed with an exception, as ``sys.exc_info()`` gives it."""
        if not (exc_type and exc_val and exc_tb):
            return
        if issubclass(exc_type, SystemExit) and getattr(exc_val, "code", None) == 0:
            return
        self.error = 1
        for key, value in _error_tags(exc_type, exc_val, exc_tb, limit).items():
            self._put(key, value)

    def set_traceback(self, limit: Optional[int] = None) -> None:
        """Marks it as failed with the exception that is being handled; without one, notes the stack."""
        exc_type, exc_val, exc_tb = sys.exc_info()
        if exc_type and exc_val and exc_tb:
            self.set_exc_info(exc_type, exc_val, exc_tb, limit)
            return
        limit = config.traceback_frames if limit is None else limit
        self._put("error.stack", "".join(traceback.format_stack(limit=limit + 1)[:-1]))

    def record_exception(self, exception: BaseException, attributes: "Optional[Mapping[str, Any]]" = None) -> None:
        """Notes an exception as an event, without marking the span as failed."""
        tags = _error_tags(type(exception), exception, exception.__traceback__, None)
        event: dict[str, Any] = {
            "exception.type": without_builtins(tags["error.type"]),
            "exception.message": tags.get("error.message", ""),
            "exception.stacktrace": tags["error.stack"],
        }
        for key, value in (attributes or {}).items():
            if _is_plain(value):
                event[key] = value
            else:
                log.warning("record_exception: attribute %s must be text, a number, a bool or a list of one", key)
        self._inner.add_event("exception", event)

    # What it is connected with.

    def link_span(self, context: Context, attributes: "Optional[Mapping[str, Any]]" = None) -> None:
        """Links another span as a cause."""
        if not context.trace_id or not context.span_id:
            log.warning("invalid span or trace id. trace_id:%s span_id:%s", context.trace_id, context.span_id)
            return
        linked = _context.native_of(context)
        if linked is not None:
            self._inner.add_link(linked, attributes)

    def set_link(
        self,
        trace_id: int,
        span_id: int,
        tracestate: Optional[str] = None,
        flags: Optional[int] = None,
        attributes: "Optional[Mapping[str, Any]]" = None,
    ) -> None:
        """Links another span, given by its ids, as a cause."""
        linked = _native.SpanContext(trace_id, span_id, True, (flags or 0) & 0xFF, tracestate)
        self._inner.add_link(linked, attributes)

    # Its end.

    def finish(self, finish_time: Optional[float] = None) -> None:
        """Ends it, now or at a time in seconds since the Unix epoch. Only the first end counts."""
        if self._ended or self._duration_ns is not None:
            return
        self._ended = True
        try:
            self._settle()
        except Exception as error:
            internal_error(error)
        self._end(None if finish_time is None else int(finish_time * 1e9))

    def _end(self, end_ns: Optional[int]) -> None:
        native = self._inner
        native.end(end_ns)
        end = native.end_time or end_ns or _native.now()
        self._duration_ns = end - self.start_ns
        for callback in self._on_finish or ():
            callback(self)
        from ._provider import let_go

        let_go(self)

    def _is_entry(self) -> bool:
        """Whether it is where its service was entered."""
        return self._parent is None or self._parent.service != self._service

    def _settle(self) -> None:
        """Makes our span what this one is."""
        native, tags = self._inner, self._tags
        if not native.is_recording():
            return
        for key, value in tags.items():
            if isinstance(value, str) and len(value) > _MAX_VALUE:
                tags[key] = value[:_KEPT_OF_LONGER] + "<truncated>..."
        name, kind, attributes = attributes_of(self._name, self._resource, self._type, tags, self._is_entry())
        native.update_name(name or self._service or "")
        if kind != 1:
            _native.set_kind(native, kind)
        if attributes:
            native.set_attributes(attributes)
        if self._error:
            message = str(tags.get("error.message") or tags.get("error.msg") or "")
            native.set_status(2, message)
            self._tell(native, message)

    def _tell(self, native: _native.Span, message: str) -> None:
        """An exception on its way up is noted by every span it passes, and told by the innermost."""
        tags = self._tags
        what = (tags.get("error.type"), tags.get("error.message"))
        if what[0] and (self._told_below is None or what not in self._told_below):
            event = {
                "exception.type": without_builtins(str(what[0])),
                "exception.message": message,
                "exception.stacktrace": str(tags.get("error.stack", "")),
            }
            native.add_event("exception", {key: value for key, value in event.items() if value})
        if self._parent is not None:
            if self._parent._told_below is None:
                self._parent._told_below = set()
            self._parent._told_below.add(what)

    def __enter__(self) -> "Span":
        return self

    def __exit__(
        self,
        exc_type: "Optional[type[BaseException]]",
        exc_val: Optional[BaseException],
        exc_tb: Optional[TracebackType],
    ) -> None:
        if exc_type is not None:
            try:
                self.set_exc_info(exc_type, exc_val, exc_tb)
            except Exception as error:
                internal_error(error)
        self.finish()

    def __getattr__(self, name: str) -> Any:
        raise removed_attribute("Span", name)

    def __str__(self) -> str:
        return f"<Span(id={self.span_id},trace_id={self.trace_id},parent_id={self.parent_id},name={self.name})>"

    def __repr__(self) -> str:
        return (
            f"Span(name='{self.name}', span_id={self.span_id}, parent_id={self.parent_id}, "
            f"trace_id={self.trace_id}, service='{self.service}', resource='{self.resource}', "
            f"type='{self.span_type}', start={self.start_ns}, duration={self.duration_ns}, error={self.error}, "
            f"tags={self.get_tags()}, metrics={self.get_metrics()}, context={self.context})"
        )


def begin(name: str, parent: Any, service: Optional[str], start_ns: Optional[int] = None) -> _native.Span:
    """Starts our span; ``parent`` None is the root of a trace of its own."""
    service = config.foreign_service(service)
    if parent is not None:
        return _native.start_span(name, 1, None, parent, start_ns, None, SCOPE, service)
    token = _native.activate(None)
    try:
        return _native.start_span(name, 1, None, None, start_ns, None, SCOPE, service)
    finally:
        _native.deactivate(token)


def make(
    native: _native.Span,
    name: str,
    service: Optional[str],
    resource: Optional[str],
    span_type: Optional[str],
    parent: Optional[Span],
    parent_context: Optional[Context],
) -> Span:
    """The face of a span that has begun."""
    span = Span.__new__(Span)
    span._open(native, name, service, resource, span_type, parent, parent_context)
    return span


def known(native: _native.Span) -> Optional[Span]:
    """The face of a span, if it has one."""
    return _faces.get(id(native))


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        items: list[Any] = value  # pyright: ignore[reportUnknownVariableType]
        return all(isinstance(item, (str, bool, int, float)) and isinstance(item, type(items[0])) for item in items)
    return isinstance(value, (str, bool, int, float))


def _error_tags(
    exc_type: "type[BaseException]",
    exc_val: BaseException,
    exc_tb: Optional[TracebackType],
    limit: Optional[int],
) -> "dict[str, str]":
    tags = {"error.type": f"{exc_type.__module__}.{exc_type.__name__}"}
    try:
        tags["error.message"] = str(exc_val)
    except Exception:
        # The application's own __str__ failed; the class is what is left to say.
        tags["error.message"] = exc_type.__name__
    frames = abs(config.traceback_frames if limit is None else limit)
    while True:
        try:
            stack = "".join(traceback.format_exception(exc_type, exc_val, exc_tb, limit=-frames))
        except Exception:
            stack = "".join(traceback.format_tb(exc_tb, limit=-frames))
        if len(stack) <= _MAX_VALUE or frames <= 1:
            break
        frames //= 2
    tags["error.stack"] = stack[-_MAX_VALUE:]
    return tags
