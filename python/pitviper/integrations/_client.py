"""The client span of an outgoing HTTP call: one for each request that is sent.

A redirect, a retry or an answer to a challenge is a request of its own, beside the one before, with
``http.request.resend_count``, as OpenTelemetry's conventions say.
"""

from collections.abc import MutableMapping
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._http import hosts_error, masked_url

_CLIENT = 3
_ERROR = 2
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

#: Ids of the spans that were made here and have not ended. A client span of the application's own is
#: not among them: what is called below it gets its span.
_under_way: "set[str]" = set()


def current_call() -> Optional[_native.Span]:
    """The span of the call that a library further up is making just now."""
    if not _under_way:
        return None
    current = _native.current_span()
    return current if current is not None and current.span_id in _under_way and not current.is_ended() else None


def inside_client_span() -> bool:
    """Whether a library further up already traces this call, or the application wants no span of it."""
    return _native.http_suppressed() or current_call() is not None


def described(
    method: str, url: str, host: Optional[str], port: Optional[int], resend: int = 0
) -> "tuple[str, dict[str, object]]":
    """Name and attributes of the span of a call.

    Args:
        method: The method as it is sent.
        url: The whole URL.
        host: The server's name.
        port: Its port, the scheme's default included.
        resend: How many times the call was sent before.
    """
    name = method.upper()
    attributes: dict[str, object] = {"http.request.method": name, "url.full": masked_url(url)}
    if name not in _METHODS:
        name = "HTTP"
        attributes["http.request.method"] = "_OTHER"
        attributes["http.request.method_original"] = method
    if host:
        attributes["server.address"] = host
    if port:
        attributes["server.port"] = port
    if resend:
        attributes["http.request.resend_count"] = resend
    return name, attributes


def start(method: str, url: str, host: Optional[str], port: Optional[int], scope: str, resend: int = 0) -> _native.Span:
    """Starts the span of a call and makes it current; :func:`end` ends it."""
    name, attributes = described(method, url, host, port, resend)
    return begin(name, attributes, scope)


def begin(name: str, attributes: "dict[str, object]", scope: str, kind: int = _CLIENT) -> _native.Span:
    """Starts the span of a call that hides those below it, and makes it current; :func:`end` ends it."""
    span = _native.start_as_current_span(name, kind, attributes, None, None, None, scope)
    _under_way.add(span.span_id)
    return span


def end(span: _native.Span) -> None:
    """Ends the span of a call."""
    _under_way.discard(span.span_id)
    span.end()


def failed(span: _native.Span, error: BaseException) -> None:
    """Ends the span of a call that an exception ended."""
    _under_way.discard(span.span_id)
    span.__exit__(type(error), error, None)


def inject(headers: "MutableMapping[str, Any]") -> None:
    """Adds the trace context to the headers of a call. Without it the call still goes out."""
    try:
        _native.inject_into(headers)
    except Exception as error:
        internal_error(error)


def context_of(span: _native.Span) -> "dict[str, str]":
    """The headers that carry a span which is not the current one."""
    headers: dict[str, str] = {}
    _native.inject_into(headers, span)
    return headers


def answered(span: _native.Span, status: Any) -> None:
    """Notes the status of the response."""
    if not isinstance(status, int):
        return
    span.set_attribute("http.response.status_code", int(status))
    if hosts_error(status):
        span.set_attribute("error.type", str(int(status)))
        span.set_status(_ERROR)
