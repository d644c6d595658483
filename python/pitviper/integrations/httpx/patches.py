"""Wraps the methods through which httpx sends one request, and those that may send several."""

import contextlib
from contextvars import ContextVar
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.httpx"

#: How many requests the call under way has sent, in a list of one.
_sent: "ContextVar[Optional[list[int]]]" = ContextVar("pitviper_httpx_sent", default=None)


def send(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Client._send_handling_auth``: the requests of one call."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _sent.set([0])
        try:
            return original(self, *args, **kwargs)
        finally:
            _sent.reset(token)

    return wrapper


def send_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """``AsyncClient._send_handling_auth``: the requests of one call."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        token = _sent.set([0])
        try:
            return await original(self, *args, **kwargs)
        finally:
            # A coroutine may be closed in another context than it ran in.
            with contextlib.suppress(ValueError):
                _sent.reset(token)

    return wrapper


def send_single_request(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Client._send_single_request``."""

    def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _start(request)
        if span is None:
            return original(self, request, *args, **kwargs)
        try:
            response = original(self, request, *args, **kwargs)
        except BaseException as error:
            _client.failed(span, error)
            raise
        _answered(span, response)
        return response

    return wrapper


def send_single_request_async(original: Callable[..., Any]) -> Callable[..., Any]:
    """``AsyncClient._send_single_request``."""

    async def wrapper(self: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        span = _start(request)
        if span is None:
            return await original(self, request, *args, **kwargs)
        try:
            response = await original(self, request, *args, **kwargs)
        except BaseException as error:
            _client.failed(span, error)
            raise
        _answered(span, response)
        return response

    return wrapper


def _start(request: Any) -> Optional[_native.Span]:
    """The span of a request; None when it is part of a call that has one."""
    try:
        if _native.inside_call():
            return None
        sent = _sent.get()
        resend = 0
        if sent is not None:
            resend = sent[0]
            sent[0] += 1
        url = request.url
        port = url.port or _client.DEFAULT_PORTS.get(url.scheme)
        span = _native.start_http_call(request.method, str(url), _SCOPE, url.host, port, resend)
        _client.inject(request.headers)
        return span
    except Exception as error:
        internal_error(error)
        return None


def _answered(span: _native.Span, response: Any) -> None:
    try:
        version = response.extensions.get("http_version")
        if version:
            span.set_attribute("network.protocol.version", version.decode("ascii").rpartition("/")[2])
        _native.answered_call(span, response.status_code)
    except Exception as error:
        internal_error(error)
    span.end()
