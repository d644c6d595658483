"""What the spans of a provider come from."""

import json
import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Optional

from pitviper import config
from pitviper._guard import say
from pitviper.bootstrap import current_config
from pitviper.resource import resource_attributes

#: Detectors whose findings are among the agent's own attributes anyway.
_BUILT_IN = ("otel", "process", "os", "host", "service_instance")


class Resource:
    """Attributes of the process, or of whatever else spans come from."""

    def __init__(self, attributes: Optional[Mapping[str, Any]] = None, schema_url: Optional[str] = None) -> None:
        self._attributes = MappingProxyType(dict(attributes or {}))
        self._schema_url = schema_url or ""

    @staticmethod
    def create(attributes: Optional[Mapping[str, Any]] = None, schema_url: Optional[str] = None) -> "Resource":
        """The process as the agent knows it, what OTEL_EXPERIMENTAL_RESOURCE_DETECTORS finds, and these
        attributes; each counts more than the one before."""
        found = Resource(resource_attributes(current_config() or config.load(os.environ)))
        return found.merge(_detected()).merge(Resource(attributes, schema_url))

    @staticmethod
    def get_empty() -> "Resource":
        """No attributes."""
        return Resource()

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes."""
        return self._attributes

    @property
    def schema_url(self) -> str:
        """The schema of the attributes; empty when not said."""
        return self._schema_url

    def merge(self, other: "Resource") -> "Resource":
        """Both together; of attributes in both, the other's count."""
        return Resource({**self.attributes, **other.attributes}, other.schema_url or self.schema_url)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Resource) and (self._attributes, self._schema_url) == (
            other._attributes,
            other._schema_url,
        )

    def __hash__(self) -> int:
        return hash((self._schema_url, *sorted(self._attributes)))

    def __repr__(self) -> str:
        return f"Resource({dict(self._attributes)!r})"

    def to_json(self, indent: Optional[int] = 4) -> str:
        """The resource as JSON."""
        shown = {"attributes": dict(self._attributes), "schema_url": self._schema_url}
        return json.dumps(shown, indent=indent, default=repr)


def _detected() -> Resource:
    """What detectors of other distributions find, by their entry points."""
    names = [name.strip() for name in os.environ.get("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "").split(",")]
    found = Resource()
    for name in names:
        if not name or name in _BUILT_IN:
            continue
        try:
            detected = _detector(name).detect()
            found = found.merge(Resource(detected.attributes, getattr(detected, "schema_url", "")))
        except Exception as error:
            say(f"the resource detector {name} fails: {type(error).__name__}: {error}")
    return found


def _detector(name: str) -> Any:
    from importlib.metadata import entry_points

    group = "opentelemetry_resource_detector"
    every: Any = entry_points()
    # Before Python 3.10 a dictionary.
    select: Any = getattr(every, "select", None)
    points: Any = select(group=group) if select is not None else every.get(group, ())
    for point in points:
        if point.name == name:
            return point.load()()
    raise LookupError("no installed distribution has it")
