"""Follows a request through the calls that make it up."""

from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.http_client"
_CLIENT = 3
#: Where a connection keeps the span of the request under way. It is not the current one: the calls that
#: make up a request may be made anywhere.
_SPAN = "_pitviper_span"


def putrequest(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.putrequest``: the request line."""

    def wrapper(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        result = original(self, method, url, *args, **kwargs)
        try:
            _end(self)
            if not _client.inside_client_span():
                self.__dict__[_SPAN] = _start(self, method, url)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def _start(connection: Any, method: str, url: str) -> _native.Span:
    scheme = "https" if connection.default_port == _client.DEFAULT_PORTS["https"] else "http"
    if "://" in url:
        # Through a proxy.
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _client.DEFAULT_PORTS.get(parts.scheme)
    else:
        host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
        shown = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{shown if port == _client.DEFAULT_PORTS[scheme] else f'{shown}:{port}'}{url}"
    name, attributes = _client.described(method, url, host, port)
    return _native.start_span(name, _CLIENT, attributes, None, None, None, _SCOPE)


def _end(connection: Any) -> None:
    span: Optional[_native.Span] = connection.__dict__.pop(_SPAN, None)
    if span is not None:
        span.end()


def _fail(connection: Any, failure: BaseException) -> None:
    try:
        span: Optional[_native.Span] = connection.__dict__.pop(_SPAN, None)
        if span is not None:
            span.__exit__(type(failure), failure, None)
    except Exception as error:
        internal_error(error)


def endheaders(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.endheaders``: connects, and sends the headers and perhaps the body."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            span: Optional[_native.Span] = self.__dict__.get(_SPAN)
            if span is not None:
                _put_context(self, span)
        except Exception as error:
            internal_error(error)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            _fail(self, error)
            raise

    return wrapper


def _put_context(connection: Any, span: _native.Span) -> None:
    present = {line.partition(b":")[0].lower() for line in connection._buffer}
    for name, value in _client.context_of(span).items():
        if name.encode() not in present:
            connection.putheader(name, value)


def getresponse(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.getresponse``: reads the headers of the response."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        # The connection may be closed before this returns: the response keeps the socket.
        span: Optional[_native.Span] = self.__dict__.pop(_SPAN, None)
        try:
            response = original(self, *args, **kwargs)
        except BaseException as error:
            if span is not None:
                span.__exit__(type(error), error, None)
            raise
        if span is not None:
            try:
                _client.answered(span, response.status)
                span.end()
            except Exception as error:
                internal_error(error)
        return response

    return wrapper


def close(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.close``: nobody waits for the response any more."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _end(self)
        except Exception as error:
            internal_error(error)
        return original(self, *args, **kwargs)

    return wrapper
