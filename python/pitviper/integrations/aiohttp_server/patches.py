"""Wrappers for aiohttp's request handling."""

from asyncio import CancelledError
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._server import REQUEST, ServerRequest
from pitviper.integrations._server_headers import answered, begin, port_of

_SCOPE = "pitviper.aiohttp_server"

Method = Callable[..., Any]


def handle_request(original: Method) -> Method:
    """``RequestHandler._handle_request``: from the request's head to the end of the response."""

    async def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            found = _begin(request)
        except Exception as error:
            internal_error(error)
            return await original(self, request, *args, **kwargs)
        before = _native.activate(found.span)
        try:
            result = await original(self, request, *args, **kwargs)
            _answered(found, result)
            return result
        except BaseException as error:
            if isinstance(error, CancelledError):
                found.span.add_event("cancelled")
            found.fail(error)
            raise
        finally:
            _native.deactivate(before)
            found.end()

    return wrapper


def _begin(request: Any) -> ServerRequest:
    transport = request.transport
    address = transport.get_extra_info("sockname") if transport is not None else None
    version = request.version
    found = begin(
        request.headers,
        lambda name: request.headers.getall(name, []),
        _SCOPE,
        method=request.method,
        scheme=request.scheme,
        path=request.rel_url.path,
        query=request.rel_url.raw_query_string,
        client=request.remote,
        port=port_of(address),
        version=f"{version.major}.{version.minor}",
    )
    # Not through the request as a mapping: that warns about keys that are text.
    request._state[REQUEST] = found
    return found


def _answered(found: ServerRequest, result: Any) -> None:
    try:
        # The response, and whether the connection was lost.
        response: Any = result[0]
        status: Any = getattr(response, "status", None)
        if isinstance(status, int) and not found.client_left:
            answered(found, status, lambda name: response.headers.getall(name, []))
    except Exception as error:
        internal_error(error)


def handle_error(original: Method) -> Method:
    """``RequestHandler.handle_error``: an exception becomes an answer."""

    def wrapper(self: Any, request: Any, status: int = 500, exc: Any = None, *args: Any, **kwargs: Any) -> Any:
        try:
            found = _request_of(request)
            if found is not None and exc is not None:
                transport = request.transport
                found.client_left = transport is None or transport.is_closing()
                found.suspect(exc)
        except Exception as error:
            internal_error(error)
        return original(self, request, status, exc, *args, **kwargs)

    return wrapper


def resolve(original: Method) -> Method:
    """``UrlDispatcher.resolve``: finds the handler; that of a sub-application below its own."""

    async def wrapper(self: Any, request: Any) -> Any:
        match = await original(self, request)
        try:
            found = _request_of(request)
            resource = match.route.resource
            if found is not None and resource is not None and not found.route:
                found.matched(resource.canonical or "/")
                found.handled_by(match.handler)
        except Exception as error:
            internal_error(error)
        return match

    return wrapper


def _request_of(request: Any) -> Optional[ServerRequest]:
    return None if request is None else request._state.get(REQUEST)
