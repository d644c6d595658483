"""Follows a call from connection to response, and again for each redirect."""

import contextlib
from contextvars import ContextVar
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.aiohttp_client"


class _Call:
    """What a call of the application has sent so far."""

    __slots__ = ("connecting", "sent", "span")

    def __init__(self) -> None:
        #: Whether there is no connection yet; a proxy answers before the server does.
        self.connecting = False
        self.sent = 0
        self.span: Optional[_native.Span] = None


_call: "ContextVar[Optional[_Call]]" = ContextVar("pitviper_aiohttp_call", default=None)


def request(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ClientSession._request``: a call with all its redirects."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _native.inside_call():
            return await original(self, *args, **kwargs)
        call = _Call()
        token = _call.set(call)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            if call.span is not None:
                _client.failed(call.span, error)
                call.span = None
            raise
        finally:
            if call.span is not None:
                call.span.end()
            # A coroutine may be closed in another context than it ran in.
            with contextlib.suppress(ValueError):
                _call.reset(token)

    return wrapper


def connect(original: Callable[..., Any]) -> Callable[..., Any]:
    """``BaseConnector.connect``: the first step of each request."""

    async def wrapper(self: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
        call = _call.get()
        if call is None:
            return await original(self, req, *args, **kwargs)
        try:
            _begin(call, req)
        except Exception as error:
            internal_error(error)
        call.connecting = True
        try:
            return await original(self, req, *args, **kwargs)
        finally:
            call.connecting = False

    return wrapper


def _begin(call: _Call, request: Any) -> None:
    if call.span is not None:
        # Sent again, and nothing was heard of the request before.
        call.span.set_attribute("error.type", "_OTHER")
        call.span.end()
    url = request.url
    call.span = _native.start_http_call(request.method, str(url), _SCOPE, url.host, url.port, call.sent)
    call.sent += 1
    _client.inject(request.headers)


def start(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ClientResponse.start``: reads the headers of the response."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            result = await original(self, *args, **kwargs)
        except Exception as error:
            # aiohttp sends again what a server that closed the connection may not have read.
            _disconnected(error)
            raise
        try:
            call = _call.get()
            if call is not None and call.span is not None and not call.connecting:
                span, call.span = call.span, None
                _native.answered_call(span, self.status)
                span.end()
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def _disconnected(failure: BaseException) -> None:
    try:
        call = _call.get()
        if call is not None and call.span is not None and not call.connecting:
            span, call.span = call.span, None
            _client.failed(span, failure)
    except Exception as error:
        internal_error(error)
