"""The client span of an outgoing HTTP call."""

from collections.abc import MutableMapping
from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._http import hosts_error, masked_url

_CLIENT = 3
_ERROR = 2

#: Ids of the spans that were made here and have not ended. A client span of the application's own is
#: not among them: what is called below it gets its span.
_under_way: "set[str]" = set()


def inside_client_span() -> bool:
    """Whether a library further up already traces this call."""
    if not _under_way:
        return False
    current = _native.current_span()
    return current is not None and current.span_id in _under_way and current.is_recording()


def start(method: str, url: str, host: Optional[str], port: Optional[int], scope: str) -> _native.Span:
    """Starts the span of a call and makes it current; :func:`end` ends it."""
    attributes: dict[str, object] = {"http.request.method": method, "url.full": masked_url(url)}
    if host:
        attributes["server.address"] = host
    if port:
        attributes["server.port"] = port
    span = _native.start_as_current_span(method, _CLIENT, attributes, None, None, None, scope)
    _under_way.add(span.span_id)
    return span


def end(span: _native.Span) -> None:
    """Ends the span of a call."""
    _under_way.discard(span.span_id)
    span.end()


def inject(headers: "MutableMapping[str, Any]") -> None:
    """Adds the trace context to the headers of a call. Without it the call still goes out."""
    try:
        _native.inject_into(headers)
    except Exception as error:
        internal_error(error)


def answered(span: _native.Span, status: Any) -> None:
    """Notes the status of the response."""
    if not isinstance(status, int):
        return
    span.set_attribute("http.response.status_code", status)
    if hosts_error(status):
        span.set_attribute("error.type", str(status))
        span.set_status(_ERROR)
