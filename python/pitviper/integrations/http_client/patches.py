"""Follows a request through the calls that make it up."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.http_client"
_CLIENT = 3
#: Where a connection keeps the span of the request under way. It is not the current one: the calls that
#: make up a request may be made anywhere.
_SPAN = "_pitviper_span"


class _Calls:
    """What is known of all connections."""

    #: Whether any had a span: until then, as where a library above traces all calls, nobody has to look for one.
    were_any = False


def putrequest(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.putrequest``: the request line."""

    # Without names of its own: each argument that is given by name would be compared with all of them.
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        try:
            connection = args[0]
            if _Calls.were_any and getattr(connection, _SPAN, None) is not None:
                _end(connection)
            if not _native.inside_call():
                method = args[1] if len(args) > 1 else kwargs["method"]
                url = args[2] if len(args) > 2 else kwargs["url"]
                _Calls.were_any = True
                setattr(connection, _SPAN, _start(connection, method, url))
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def _start(connection: Any, method: str, url: str) -> _native.Span:
    scheme = "https" if connection.default_port == _client.DEFAULT_PORTS["https"] else "http"
    # Through a proxy the URL says where to.
    host: Any = None
    port: Any = None
    if "://" not in url:
        host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
        shown = f"[{host}]" if ":" in host else host
        url = f"{scheme}://{shown if port == _client.DEFAULT_PORTS[scheme] else f'{shown}:{port}'}{url}"
    name, attributes = _native.describe_call(method, url, host, port)
    return _native.start_span(name, _CLIENT, attributes, None, None, None, _SCOPE)


def _end(connection: Any) -> None:
    """Ends the span of the request that a connection has under way."""
    span: _native.Span = getattr(connection, _SPAN)
    delattr(connection, _SPAN)
    span.end()


def _fail(connection: Any, failure: BaseException) -> None:
    try:
        span: Optional[_native.Span] = getattr(connection, _SPAN, None)
        if span is not None:
            delattr(connection, _SPAN)
            span.__exit__(type(failure), failure, None)
    except Exception as error:
        internal_error(error)


def endheaders(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.endheaders``: connects, and sends the headers and perhaps the body."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span: Optional[_native.Span] = getattr(args[0], _SPAN, None) if _Calls.were_any and args else None
        if span is None:
            return original(*args, **kwargs)
        try:
            _put_context(args[0], span)
        except Exception as error:
            internal_error(error)
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            _fail(args[0], error)
            raise

    return wrapper


def _put_context(connection: Any, span: _native.Span) -> None:
    present = {line.partition(b":")[0].lower() for line in connection._buffer}
    for name, value in _client.context_of(span).items():
        if name.encode() not in present:
            connection.putheader(name, value)


def getresponse(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.getresponse``: reads the headers of the response."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span: Optional[_native.Span] = getattr(args[0], _SPAN, None) if _Calls.were_any and args else None
        if span is None:
            return original(*args, **kwargs)
        # The connection may be closed before this returns: the response keeps the socket.
        delattr(args[0], _SPAN)
        try:
            response = original(*args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        try:
            _native.end_call(span, response.status)
        except Exception as error:
            internal_error(error)
        return response

    return wrapper


def close(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnection.close``: nobody waits for the response any more."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            if _Calls.were_any and args and getattr(args[0], _SPAN, None) is not None:
                _end(args[0])
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper
