"""Wraps the one method through which requests sends."""

from typing import Any, Callable, Optional
from urllib.parse import urlsplit

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.requests"
_DEFAULT_PORTS = {"http": 80, "https": 443}


def send(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Session.send``; it calls itself for each redirect."""

    def wrapper(self: Any, request: Any, **kwargs: Any) -> Any:
        span = _start(request)
        if span is None:
            return original(self, request, **kwargs)
        try:
            _client.inject(request.headers)
            response = original(self, request, **kwargs)
            _client.answered(span, getattr(response, "status_code", None))
            redirects = len(getattr(response, "history", None) or ())
            if redirects:
                span.set_attribute("http.request.resend_count", redirects)
            return response
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            _client.end(span)

    return wrapper


def _start(request: Any) -> Optional[_native.Span]:
    """The span of a call; None when it is part of one that has a span."""
    try:
        if _client.inside_client_span():
            # A redirect is sent with headers of its own.
            _client.inject(request.headers)
            return None
        url = request.url or ""
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
        return _client.start((request.method or "GET").upper(), url, parts.hostname, port, _SCOPE)
    except Exception as error:
        internal_error(error)
        return None
