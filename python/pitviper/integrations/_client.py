"""The client span of an outgoing HTTP call."""

from typing import Optional

from pitviper import _native
from pitviper.integrations._http import hosts_error, masked_url

_CLIENT = 3
_ERROR = 2


def inside_client_span() -> bool:
    """Whether a library further up already traces this call."""
    current = _native.current_span()
    return current is not None and current.kind == _CLIENT and current.is_recording()


def start(method: str, url: str, host: Optional[str], port: Optional[int], scope: str) -> _native.Span:
    """Starts the span of a call and makes it current."""
    attributes: dict[str, object] = {"http.request.method": method, "url.full": masked_url(url)}
    if host:
        attributes["server.address"] = host
    if port:
        attributes["server.port"] = port
    return _native.start_as_current_span(method, _CLIENT, attributes, None, None, None, scope)


def answered(span: _native.Span, status: Optional[int]) -> None:
    """Notes the status of the response."""
    if status is None:
        return
    span.set_attribute("http.response.status_code", status)
    if hosts_error(status):
        span.set_attribute("error.type", str(status))
        span.set_status(_ERROR)
