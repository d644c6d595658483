"""The faces of spans that others made: what ``tracer.current_span()`` is in a view that an integration traces.

Such a span is our own kind already; what is set through this API is set on it at once, by the names that it
has here.
"""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

from typing import Any, Optional, Union

from pitviper import _native

from . import _mapping
from ._config import config
from ._span import Span, known

#: Operations by the kind of a span, for those who look for ddtrace's names.
_OPERATIONS = {2: "request", 3: "request", 4: "publish", 5: "process"}
#: What the scopes of our integrations begin with.
_INTEGRATIONS = "pitviper."
_TYPES = {2: "web", 5: "worker"}
_ERROR = 2


class Face(Span):
    """Another's span, as this API shows it."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """The operation, such as ``flask.request``."""
        _, scope, _ = self._inner.read_maker()
        if not scope.startswith(_INTEGRATIONS):
            return self._inner.name
        library = scope[len(_INTEGRATIONS) :]
        kind = int(getattr(self._inner.kind, "value", self._inner.kind))
        if "db.system.name" in self._inner.attributes:
            return f"{library}.query"
        return f"{library}.{_OPERATIONS[kind]}" if kind in _OPERATIONS else self._inner.name

    @name.setter
    def name(self, value: str) -> None:
        self._inner.set_attribute("operation.name", str(value))

    @property
    def resource(self) -> str:
        """Our name of the span: the route, the statement's summary."""
        return self._resource or self._inner.name

    @resource.setter
    def resource(self, value: Optional[str]) -> None:
        self._inner.update_name(value if isinstance(value, str) else "")
        if self.finished:
            # For a filter, which gets spans that have ended.
            self._resource = value if isinstance(value, str) else ""

    @property
    def service(self) -> Optional[str]:
        """The service it is part of."""
        return self._service or _native.service_of(self._inner) or config.service

    @service.setter
    def service(self, value: Optional[str]) -> None:
        if self.finished:
            self._service = value if isinstance(value, str) else None
        _native.set_service(self._inner, config.foreign_service(value if isinstance(value, str) else None))

    @property
    def span_type(self) -> Optional[str]:
        """What kind of operation it is, such as ``web``, ``http`` or ``sql``."""
        attributes = self._inner.attributes
        if "span.type" in attributes:
            return str(attributes["span.type"])
        kind = int(getattr(self._inner.kind, "value", self._inner.kind))
        if kind == _mapping.CLIENT:
            return "http" if "http.request.method" in attributes else "sql" if "db.query.text" in attributes else None
        return _TYPES.get(kind)

    @span_type.setter
    def span_type(self, value: Optional[str]) -> None:
        self._inner.set_attribute("span.type", value)

    @property
    def error(self) -> int:
        """1 if it failed."""
        return int(self._inner.read_status()[0] == _ERROR)

    @error.setter
    def error(self, value: int) -> None:
        if value:
            self._inner.set_status(_ERROR, str(self._tags.get("error.message", "")))

    @property
    def duration_ns(self) -> Optional[int]:
        """How long it took, in nanoseconds; None while it runs."""
        end = self._inner.end_time
        return None if end is None else end - self.start_ns

    @duration_ns.setter
    def duration_ns(self, value: Optional[int]) -> None:
        pass

    @property
    def duration(self) -> Optional[float]:
        """How long it took, in seconds; None while it runs."""
        duration = self.duration_ns
        return None if duration is None else duration / 1e9

    @duration.setter
    def duration(self, value: Optional[float]) -> None:
        pass

    @property
    def finished(self) -> bool:
        """Whether it has finished."""
        return self._inner.end_time is not None

    def get_tag(self, key: str) -> Optional[str]:
        """The text of a tag, by Datadog's name or ours; numbers as text, for that is what ddtrace has."""
        found: Any = self._tags.get(key)
        if found is None:
            renamed = _mapping.RENAMED.get(key)
            found = self._inner.attributes.get(renamed[0] if renamed else key)
        return None if found is None else str(found)

    def get_tags(self) -> "dict[str, str]":
        """All tags that are text."""
        found = {key: value for key, value in self._inner.attributes.items() if isinstance(value, str)}
        return {**found, **super().get_tags()}

    def get_metric(self, key: str) -> Optional[float]:
        """A number; None for what is not set, and for text."""
        found: Any = self._tags.get(key)
        if found is None:
            found = self._inner.attributes.get(key)
        return found if isinstance(found, (int, float)) else None

    def get_metrics(self) -> "dict[str, float]":
        """All numbers."""
        found = {key: value for key, value in self._inner.attributes.items() if isinstance(value, (int, float))}
        return {**found, **super().get_metrics()}

    def _put(self, key: str, value: "Union[str, float]") -> None:
        self._tags[key] = value
        if key == "error.message":
            self._inner.set_status(_ERROR, str(value))
            return
        pair = _mapping.attribute(key, value)
        if pair is not None:
            self._inner.set_attribute(*pair)
        if key == "span.kind":
            _native.set_kind(self._inner, _mapping.kind_of(value, None, False))

    def set_exc_info(self, exc_type: Any, exc_val: Any, exc_tb: Any, limit: Optional[int] = None) -> None:
        """Marks it as failed with an exception, as ``sys.exc_info()`` gives it."""
        if exc_type and exc_val and exc_tb:
            super().set_exc_info(exc_type, exc_val, exc_tb, limit)
            self._inner.record_exception(exc_val)

    def finish(self, finish_time: Optional[float] = None) -> None:
        """Ends it, now or at a time in seconds since the Unix epoch."""
        self._inner.end(None if finish_time is None else int(finish_time * 1e9))


def face(native: _native.Span) -> Span:
    """The span of this API that stands for one of ours."""
    found = known(native)
    if found is None:
        found = Face.__new__(Face)
        found._open(native, "", None, None, None, None, None)
    return found
