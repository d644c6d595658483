"""Wraps the method through which urllib3 sends one request, and the one that may send several."""

import sys
import threading
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.urllib3"
_CLIENT = 3
#: Position of ``retries``: the pool, method, URL, body and headers come first.
_RETRIES_POSITION = 5


class _Sent(threading.local):
    """How many times the call of this thread was sent before."""

    count = 0


_sent = _Sent()


def urlopen(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnectionPool.urlopen``: a call; for each retry and redirect there is another."""
    if "urllib3._base_connection" in sys.modules:
        # From 2.0 on it tells the method below.
        return original

    # Without names of its own: each argument that is given by name would be compared with all of them.
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            if not _native.inside_call():
                retries = args[_RETRIES_POSITION] if len(args) > _RETRIES_POSITION else kwargs.get("retries")
                _sent.count = len(getattr(retries, "history", ()))
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper


def make_request(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnectionPool._make_request``: one attempt. urllib3 passes connection, method and URL by place, and
    headers by name."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            # It may be part of a call that has a span.
            span = None if _native.inside_call() else _start(args, kwargs)
        except Exception as error:
            internal_error(error)
            span = None
        if span is None:
            return original(*args, **kwargs)
        if "headers" in kwargs:
            kwargs["headers"] = _with_context(kwargs["headers"])
        try:
            response = original(*args, **kwargs)
        except BaseException as error:
            _client.failed(span, error)
            raise
        try:
            _native.end_call(span, getattr(response, "status", None))
        except Exception as error:
            internal_error(error)
        return response

    return wrapper


def _start(arguments: "tuple[Any, ...]", named: "dict[str, Any]") -> _native.Span:
    """The span of a request."""
    pool, _, method, url, *_ = arguments
    if "retries" in named:
        resend = len(getattr(named["retries"], "history", ()))
    else:
        resend, _sent.count = _sent.count, 0
    if "://" in url:
        # The pool is that of a proxy.
        return _native.start_http_call(method, url, _SCOPE, resend=resend)
    default = _client.DEFAULT_PORTS.get(pool.scheme)
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    full = f"{pool.scheme}://{host if pool.port in (None, default) else f'{host}:{pool.port}'}{url}"
    return _native.start_http_call(method, full, _SCOPE, pool.host, pool.port or default, resend)


def _with_context(given: Any) -> Any:
    """The headers with the trace context among them; the caller's own stay as they are."""
    try:
        # A copy of the same kind: urllib3's own mapping holds several values of one name apart.
        headers: Any = {} if given is None else given.copy() if hasattr(given, "copy") else dict(given)
        _native.inject_into(headers)
        return headers
    except Exception as error:
        # The call goes out as it was made.
        internal_error(error)
        return given


def prepare_proxy(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPSConnectionPool._prepare_proxy``: connects through a proxy, before there is a request."""

    def wrapper(self: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
        started = _native.now()
        try:
            return original(self, conn, *args, **kwargs)
        except BaseException as error:
            _tunnel_failed(self, started, error)
            raise

    return wrapper


def _tunnel_failed(pool: Any, started: int, failure: BaseException) -> None:
    try:
        if not _native.inside_call():
            attributes: dict[str, object] = {"http.request.method": "CONNECT"}
            if pool.proxy is not None:
                attributes["server.address"], attributes["server.port"] = pool.proxy.host, pool.proxy.port
            _native.finish_leaf("CONNECT", _CLIENT, started, attributes, failure, _SCOPE)
    except Exception as error:
        internal_error(error)
