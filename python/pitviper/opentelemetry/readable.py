"""What of a span is shown as objects of Python classes: to processors, exporters and instrumentations."""

import functools
import json
from collections.abc import Mapping
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Any, Optional

from pitviper import _native
from pitviper.opentelemetry._api import trace

Attributes = Mapping[str, Any]


class Event:
    """Something that happened during a span; its time is in nanoseconds since the Unix epoch."""

    __slots__ = ("attributes", "dropped_attributes", "name", "timestamp")

    def __init__(self, name: str, attributes: Attributes, timestamp: int, dropped_attributes: int = 0) -> None:
        self.name = name
        self.attributes = attributes
        self.timestamp = timestamp
        self.dropped_attributes = dropped_attributes

    def __repr__(self) -> str:
        return f"Event(name={self.name!r}, attributes={dict(self.attributes)!r}, timestamp={self.timestamp})"


class InstrumentationScope:
    """Who made a span: a library's name and version."""

    __slots__ = ("attributes", "name", "schema_url", "version")

    def __init__(
        self,
        name: str,
        version: Optional[str] = None,
        schema_url: Optional[str] = None,
        attributes: Optional[Attributes] = None,
    ) -> None:
        self.name = name
        self.version = version
        self.schema_url = schema_url or ""
        self.attributes: Attributes = MappingProxyType(dict(attributes or {}))

    def _key(self) -> "tuple[Any, ...]":
        return self.name, self.version, self.schema_url, tuple(sorted(self.attributes.items(), key=repr))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InstrumentationScope) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.name, self.version, self.schema_url))

    def __repr__(self) -> str:
        return f"InstrumentationScope({self.name}, {self.version}, {self.schema_url}, {dict(self.attributes)})"

    def to_json(self, indent: Optional[int] = 4) -> str:
        """The scope as JSON."""
        parts = {"name": self.name, "version": self.version, "schema_url": self.schema_url}
        return json.dumps({**parts, "attributes": dict(self.attributes)}, indent=indent)


def read(span: "_native.Span", name: str) -> Any:
    """A property of a span by its name."""
    return _READERS[name](span)


def _status(span: "_native.Span") -> Any:
    code, description = span.read_status()
    return trace.Status(trace.StatusCode(code), description or None)


def _events(span: "_native.Span") -> "tuple[Event, ...]":
    return tuple(
        Event(name, MappingProxyType(attributes), time, dropped)
        for name, time, attributes, dropped in span.read_events()
    )


def _links(span: "_native.Span") -> "tuple[Any, ...]":
    return tuple(trace.Link(context, attributes) for context, attributes, _ in span.read_links())


def _resource(span: "_native.Span") -> Any:
    tracer = span.read_maker()[0]
    if tracer is not None:
        return tracer.resource
    from pitviper.opentelemetry import _global

    return _global.own_resource()


def _scope(span: "_native.Span") -> InstrumentationScope:
    tracer, name, version = span.read_maker()
    return tracer.instrumentation_scope if tracer is not None else InstrumentationScope(name, version)


def _iso(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _json_context(context: Any) -> "dict[str, str]":
    return {
        "trace_id": f"0x{trace.format_trace_id(context.trace_id)}",
        "span_id": f"0x{trace.format_span_id(context.span_id)}",
        "trace_state": repr(context.trace_state),
    }


def _to_json(span: "_native.Span", indent: Optional[int] = 4) -> str:
    status = _status(span)
    shown_status = {"status_code": status.status_code.name}
    if status.description:
        shown_status["description"] = status.description
    parent = span.parent
    shown: dict[str, Any] = {
        "name": span.name,
        "context": _json_context(span.context),
        "kind": str(span.kind),
        "parent_id": f"0x{trace.format_span_id(parent.span_id)}" if parent is not None else None,
        "start_time": _iso(span.start_time),
        "end_time": _iso(span.end_time) if span.end_time is not None else None,
        "status": shown_status,
        "attributes": dict(span.attributes),
        "events": [
            {"name": event.name, "timestamp": _iso(event.timestamp), "attributes": dict(event.attributes)}
            for event in _events(span)
        ],
        "links": [
            {"context": _json_context(link.context), "attributes": dict(link.attributes or {})} for link in _links(span)
        ],
        "resource": json.loads(_resource(span).to_json()),
    }
    # Bytes have no form in JSON.
    return json.dumps(shown, indent=indent, default=repr)


def _json_later(span: "_native.Span") -> Any:
    return functools.partial(_to_json, span)


_READERS = {
    "status": _status,
    "events": _events,
    "links": _links,
    "resource": _resource,
    "instrumentation_scope": _scope,
    "to_json": _json_later,
}
