"""Wraps the one method through which urllib3 sends."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.urllib3"
#: Position of ``headers`` after ``method`` and ``url``: the body comes first.
_HEADERS_POSITION = 1


def urlopen(original: Callable[..., Any]) -> Callable[..., Any]:
    """``HTTPConnectionPool.urlopen``; it calls itself for each retry and redirect."""

    def wrapper(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        try:
            if _client.inside_client_span():
                return original(self, method, url, *args, **kwargs)
            default = {"http": 80, "https": 443}.get(self.scheme)
            authority = self.host if self.port in (None, default) else f"{self.host}:{self.port}"
            full = url if "://" in url else f"{self.scheme}://{authority}{url}"
            span = _client.start(method.upper(), full, self.host, self.port or default, _SCOPE)
            args, kwargs = _with_context(self, args, kwargs)
        except Exception as error:
            internal_error(error)
            return original(self, method, url, *args, **kwargs)
        try:
            response = original(self, method, url, *args, **kwargs)
            _client.answered(span, getattr(response, "status", None))
            return response
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def _with_context(
    pool: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> "tuple[tuple[Any, ...], dict[str, Any]]":
    """The arguments with the trace context among the headers; the caller's own stay as they are."""
    positional = len(args) > _HEADERS_POSITION
    given = args[_HEADERS_POSITION] if positional else kwargs.get("headers")
    # Without headers of the call, urllib3 sends those of the pool.
    headers = dict(pool.headers if given is None else given)
    _native.inject_into(headers)
    if positional:
        return (*args[:_HEADERS_POSITION], headers, *args[_HEADERS_POSITION + 1 :]), kwargs
    return args, {**kwargs, "headers": headers}
