"""Wrappers for Starlette's routing, endpoints and background tasks."""

import functools
from typing import Any, Callable, Optional

from pitviper._guard import internal_error
from pitviper._native import current_span
from pitviper.integrations._calls import begin, failed, traced_function
from pitviper.integrations._server import REQUEST, ServerRequest
from pitviper.integrations.asgi.patches import begin as begin_connection

_SCOPE = "pitviper.starlette"

Method = Callable[..., Any]


def call(original: Method) -> Method:
    """``Starlette.__call__``: the ASGI entry, outside of all middleware."""

    async def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> None:
        with begin_connection(scope, receive, send, _SCOPE) as connection:
            await original(self, scope, connection.receive, connection.send)

    return wrapper


def route_handle(original: Method) -> Method:
    """``Route.handle`` and ``WebSocketRoute.handle``: the route is found."""

    def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> Any:
        try:
            request: Optional[ServerRequest] = scope.get(REQUEST)
            if request is not None:
                request.matched(request.prefix + self.path_format)
        except Exception as error:
            internal_error(error)
        # The coroutine itself: nobody waits for two.
        return original(self, scope, receive, send)

    return wrapper


def mount_handle(original: Method) -> Method:
    """``Mount.handle``: an application, or further routes, below a path."""

    async def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> None:
        try:
            request: Optional[ServerRequest] = scope.get(REQUEST)
            if request is not None:
                # ``path_format`` ends with the rest of the path, which is the mounted application's.
                request.matched(request.prefix + self.path_format)
                request.prefix += self.path_format.rpartition("/")[0]
        except Exception as error:
            internal_error(error)
        await original(self, scope, receive, send)

    return wrapper


def request_response(original: Method) -> Method:
    """``request_response``, which makes an ASGI application of an endpoint."""

    def wrapper(func: Any) -> Any:
        try:
            # FastAPI's own handlers call endpoints further down, where the integration ``fastapi`` is.
            if getattr(func, "__module__", "") != "fastapi.routing":
                func = _traced_endpoint(func)
        except Exception as error:
            internal_error(error)
        return original(func)

    return wrapper


def _traced_endpoint(function: Any) -> Any:
    """An endpoint with a span; it takes a Starlette request first."""
    return functools.update_wrapper(traced_function(function, _SCOPE, _request_of), function)


def _request_of(args: "tuple[Any, ...]") -> Optional[ServerRequest]:
    scope = getattr(args[0], "scope", None) if args else None
    return scope.get(REQUEST) if scope is not None else None


def dispatch(original: Method) -> Method:
    """``HTTPEndpoint.dispatch``: calls the method of a class-based endpoint, an object for each request."""

    async def wrapper(self: Any) -> None:
        method = ""
        try:
            method = self.scope["method"].lower()
            if method == "head" and not hasattr(self, "head"):
                method = "get"
            handler = getattr(self, method, None) if method in _METHODS else None
            if handler is not None:
                setattr(self, method, _traced_endpoint(handler))
        except Exception as error:
            internal_error(error)
        try:
            await original(self)
        finally:
            # It refers to the object, which would otherwise wait for the garbage collector.
            self.__dict__.pop(method, None)

    return wrapper


#: What an ``HTTPEndpoint`` looks for.
_METHODS = frozenset(("get", "head", "post", "put", "patch", "delete", "options", "query"))


def background(original: Method) -> Method:
    """``BackgroundTask.__call__``: after the response was sent."""

    async def wrapper(self: Any) -> None:
        # Its request may have ended or, inside of middleware, not quite: it is part of its trace anyway.
        span = begin(self.func, _SCOPE, "background ", current_span())
        if span is None:
            await original(self)
            return
        try:
            await original(self)
        except BaseException as error:
            failed(span, error, None, _never)
            raise
        finally:
            span.end()

    return wrapper


def _never(_: BaseException) -> bool:
    """There is nobody left to answer."""
    return False
