"""The provider that ``opentelemetry.trace`` hands out, and what happens when an application sets one.

Ours is put in its place without using up the one time that the API lets an application set a provider. If
it does, ours steps back: tracers handed out before pass their calls on, and spans of the SDK's are sent
to our server as well, by a processor added to its provider.
"""

import functools
import os
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import exit_timeout_ms
from pitviper.opentelemetry._api import trace
from pitviper.opentelemetry.provider import TracerProvider
from pitviper.opentelemetry.resource import Resource

#: Our name among the entry points of tracer providers.
ENTRY_POINT = "pitviper"

_default: Optional[TracerProvider] = None
#: The provider that counts, ours or the application's.
_adopted: Any = None


def tracer_provider() -> TracerProvider:
    """The agent's own tracer provider. Starts the agent if it does not run yet."""
    global _default
    if _default is None:
        from pitviper import bootstrap

        if not bootstrap.is_started():
            bootstrap.init()
        # The agent's own exit handler comes last, so this one need not.
        _default = TracerProvider(shutdown_on_exit=False)
        _default.become_global()
    return _default


def own_resource() -> Resource:
    """The resource of spans that integrations make."""
    if isinstance(_adopted, TracerProvider):
        return _adopted.resource
    return tracer_provider().resource


def install() -> None:
    """Has ``opentelemetry.trace`` hand out our provider, and watches for one of the application's."""
    original = trace._set_tracer_provider
    if getattr(original, "__wrapped__", None) is not None:
        return

    @functools.wraps(original)
    def set_tracer_provider(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        try:
            _adopt(trace._TRACER_PROVIDER)
        except Exception as error:
            internal_error(error)

    trace._set_tracer_provider = set_tracer_provider
    present = trace._TRACER_PROVIDER
    if present is not None:
        _adopt(present)
    elif os.environ.get("OTEL_PYTHON_TRACER_PROVIDER", ENTRY_POINT) == ENTRY_POINT:
        # Another name there is the application's choice, and is loaded when it asks for a tracer.
        trace._TRACER_PROVIDER = tracer_provider()


def _adopt(provider: Any) -> None:
    """Goes along with the provider that the application set."""
    global _adopted
    if provider is None or provider is _adopted or provider is _default:
        return
    _adopted = provider
    if _default is not None:
        _default.give_way(provider)
    if isinstance(provider, TracerProvider):
        provider.become_global()
    elif hasattr(provider, "add_span_processor"):
        provider.add_span_processor(ForeignSpanProcessor())


class ForeignSpanProcessor:
    """Sends the spans of somebody else's provider to our server, beside wherever else they go."""

    def __init__(self) -> None:
        # By identity, with the resource itself, so that the identity stays its own.
        self._resources: dict[int, tuple[Any, Optional[dict[str, Any]]]] = {}

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Nothing to do."""

    def _on_ending(self, span: Any) -> None:
        """Nothing to do."""

    def on_end(self, span: Any) -> None:
        """Sends a span."""
        try:
            _native.export_span(span, self._attributes(span.resource))
        except Exception as error:
            internal_error(error)

    def _attributes(self, resource: Any) -> "Optional[dict[str, Any]]":
        known = self._resources.get(id(resource))
        if known is None:
            if len(self._resources) >= _MAX_RESOURCES:
                self._resources.clear()
            known = self._resources[id(resource)] = (resource, _both(resource))
        return known[1]

    def shutdown(self) -> None:
        """Sends what waits; the agent itself goes on."""
        _native.flush_once(exit_timeout_ms())

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Sends what waits; whether that was done in time."""
        return _native.flush(timeout_millis)


#: Resources of one provider that are remembered; it has one, and another after a fork.
_MAX_RESOURCES = 16
#: What the SDK says of itself or by default, and the agent knows better.
_NOT_TAKEN = ("telemetry.sdk.", "service.instance.id", "process.pid")


def _both(resource: Any) -> "Optional[dict[str, Any]]":
    """The agent's resource with what the SDK's says beyond it; None when that is nothing. So a process is one
    service, whoever makes its spans."""
    own = own_resource().attributes
    more = {
        key: value
        for key, value in resource.attributes.items()
        if not key.startswith(_NOT_TAKEN)
        and not (key == "service.name" and str(value).startswith("unknown_service"))
        and own.get(key) != value
    }
    return {**own, **more} if more else None
