"""Wraps the one method through which urllib3 sends."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.urllib3"
#: Position of ``headers`` after ``method`` and ``url``: the body comes first.
_HEADERS_POSITION = 1


def urlopen(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnectionPool.urlopen``; it calls itself for each retry and redirect."""

    def wrapper(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        span = _start(self, method, url)
        if span is None:
            return original(self, method, url, *args, **kwargs)
        try:
            args, kwargs = _with_context(self, args, kwargs)
            response = original(self, method, url, *args, **kwargs)
            _client.answered(span, getattr(response, "status", None))
            return response
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            _client.end(span)

    return wrapper


def _start(pool: Any, method: str, url: str) -> Optional[_native.Span]:
    """The span of a call; None when it is part of one that has a span."""
    try:
        if _client.inside_client_span():
            return None
        default = {"http": 80, "https": 443}.get(pool.scheme)
        authority = pool.host if pool.port in (None, default) else f"{pool.host}:{pool.port}"
        full = url if "://" in url else f"{pool.scheme}://{authority}{url}"
        return _client.start(method.upper(), full, pool.host, pool.port or default, _SCOPE)
    except Exception as error:
        internal_error(error)
        return None


def _with_context(
    pool: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> "tuple[tuple[Any, ...], dict[str, Any]]":
    """The arguments with the trace context among the headers; the caller's own stay as they are."""
    try:
        positional = len(args) > _HEADERS_POSITION
        given: Any = args[_HEADERS_POSITION] if positional else kwargs.get("headers")
        # Without headers of the call, urllib3 sends those of the pool.
        given = pool.headers if given is None else given
        # A copy of the same kind: urllib3's own mapping holds several values of one name apart.
        headers: dict[Any, Any] = given.copy() if hasattr(given, "copy") else dict(given)
        _native.inject_into(headers)
    except Exception as error:
        # The call goes out as it was made.
        internal_error(error)
        return args, kwargs
    if positional:
        return (*args[:_HEADERS_POSITION], headers, *args[_HEADERS_POSITION + 1 :]), kwargs
    return args, {**kwargs, "headers": headers}
