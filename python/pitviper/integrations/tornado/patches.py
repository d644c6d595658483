"""Wrappers for Tornado's request handlers."""

from asyncio import CancelledError
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._server import ServerRequest
from pitviper.integrations._server_headers import answered, begin, port_of

_SCOPE = "pitviper.tornado"

#: Attributes of a Tornado request: the route that matched last, and the span's side of it.
_ROUTE = "_pitviper_route"
_REQUEST = "_pitviper_request"

#: The answer to a handshake: a websocket begins with what ends a request.
_SWITCHING_PROTOCOLS = 101

Method = Callable[..., Any]


def match(original: Method) -> Method:
    """``PathMatches.match``; routers ask one after the other, those inside others last."""

    def wrapper(self: Any, request: Any) -> Any:
        found = original(self, request)
        try:
            if found is not None:
                setattr(request, _ROUTE, self.regex.pattern)
        except Exception as error:
            internal_error(error)
        return found

    return wrapper


def execute(original: Method) -> Method:
    """``RequestHandler._execute``: a task for each request."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            found = _begin(self)
        except Exception as error:
            internal_error(error)
            return await original(self, *args, **kwargs)
        before = _native.activate(found.span)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            if isinstance(error, CancelledError):
                found.span.add_event("cancelled")
            found.fail(error)
            raise
        finally:
            _native.deactivate(before)
            # A handler without automatic finish goes on until it calls finish().
            if self._auto_finish or self._finished:
                _end(self)

    return wrapper


def _begin(handler: Any) -> ServerRequest:
    request = handler.request
    address = None
    stream = getattr(request.connection, "stream", None)
    socket = getattr(stream, "socket", None)
    if socket is not None:
        address = socket.getsockname()
    found = begin(
        request.headers,
        request.headers.get_list,
        _SCOPE,
        method=request.method,
        scheme=request.protocol,
        path=request.path,
        query=request.query,
        client=request.remote_ip,
        port=port_of(address),
        version=request.version.partition("/")[2],
    )
    setattr(request, _REQUEST, found)
    route: Optional[str] = getattr(request, _ROUTE, None)
    if route is not None:
        found.matched(route.removeprefix("^").removesuffix("$"))
    found.handled_by(type(handler))
    return found


def _end(handler: Any) -> None:
    try:
        found: Optional[ServerRequest] = getattr(handler.request, _REQUEST, None)
        if found is not None and not found.ended:
            if not found.client_left:
                answered(found, handler.get_status(), handler._headers.get_list)
            found.end()
    except Exception as error:
        internal_error(error)


def finish(original: Method) -> Method:
    """``RequestHandler.finish``: the response is complete."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        if self._status_code != _SWITCHING_PROTOCOLS:
            _end(self)
        return result

    return wrapper


def handle_exception(original: Method) -> Method:
    """``RequestHandler._handle_request_exception``: an exception becomes an answer."""

    def wrapper(self: Any, e: BaseException) -> Any:
        try:
            found: Optional[ServerRequest] = getattr(self.request, _REQUEST, None)
            if found is not None and type(e).__name__ != "Finish":
                stream = getattr(self.request.connection, "stream", None)
                found.client_left = stream is not None and stream.closed()
                found.suspect(e)
        except Exception as error:
            internal_error(error)
        return original(self, e)

    return wrapper
