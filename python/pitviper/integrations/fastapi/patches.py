"""Wrappers for FastAPI's routes and endpoints."""

import sys
from contextvars import Token
from typing import Any, Callable, Optional
from weakref import WeakKeyDictionary

from pitviper._guard import internal_error
from pitviper.integrations._calls import begin, failed
from pitviper.integrations._server import REQUEST, ServerRequest
from pitviper.integrations.fastapi import telemetry

_SCOPE = "pitviper.fastapi"

Method = Callable[..., Any]


def route_handle(original: Method) -> Method:
    """``APIRoute.handle``: the route is found."""

    async def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> None:
        token: Optional[Token[Optional[ServerRequest]]] = None
        try:
            request: Optional[ServerRequest] = scope.get(REQUEST)
            if request is not None:
                # One route can be included by several routers; then its path is the inclusion's.
                own: dict[str, Any] = scope.get("fastapi") or {}
                included: Any = own.get("effective_route_context")
                route: Any = self if included is None or included.original_route is not self else included
                request.matched(request.prefix + route.path_format)
                token = telemetry.current_request.set(request)
        except Exception as error:
            internal_error(error)
        try:
            await original(self, scope, receive, send)
        finally:
            if token is not None:
                telemetry.leave(token)

    return wrapper


def run_endpoint_function(original: Method) -> Method:
    """``run_endpoint_function``: awaits the endpoint, or calls it in a thread."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        dependant = kwargs.get("dependant")
        span = begin(dependant.call, _SCOPE) if dependant is not None else None
        if span is None:
            return await original(*args, **kwargs)
        try:
            return await original(*args, **kwargs)
        except BaseException as error:
            failed(span, error, telemetry.current_request.get())
            raise
        finally:
            span.end()

    return wrapper


enabled = telemetry.enabled
exception = telemetry.exception
outermost = telemetry.outermost


def validation_failed(original: Method) -> Method:
    """``_validation_failed``: parameters or a body that do not fit."""

    def wrapper(exc: Any) -> None:
        original(exc)
        try:
            telemetry.validation_failed(telemetry.current_request.get(), exc)
        except Exception as error:
            internal_error(error)

    return wrapper


def native_telemetry(original: Method) -> Method:
    """``NativeTelemetry.__call__`` of newer versions: a span of its own, if a provider is set."""
    without_tracing: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def suitable(self: Any) -> Any:
        api = sys.modules.get("opentelemetry.trace")
        provider: Any = self.config["tracer_provider"] or (api and api.get_tracer_provider())
        if not self.config["tracing"] or not type(provider).__module__.startswith("pitviper"):
            return self
        found = without_tracing.get(self)
        if found is None:
            found = without_tracing[self] = type(self)({**self.config, "tracing": False})
        return found

    async def wrapper(self: Any, **kwargs: Any) -> None:
        try:
            self = suitable(self)
        except Exception as error:
            internal_error(error)
        await original(self, **kwargs)

    return wrapper
