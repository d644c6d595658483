"""What the integrations of clients share: the context that is sent along, and the end of a call that failed.

A redirect, a retry or an answer to a challenge is a request of its own, beside the one before, with
``http.request.resend_count``, as OpenTelemetry's conventions say. Spans of calls are made natively,
``_native.start_http_call``; they hide the calls that the libraries below make for them.
"""

from collections.abc import MutableMapping
from typing import Any

from pitviper import _native
from pitviper._guard import internal_error

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def failed(span: _native.Span, error: BaseException) -> None:
    """Ends the span of a call that an exception ended."""
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
