"""The server span of a WSGI request (PEP 3333)."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._http import host_and_port, masked_query

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Where the span of a request lies in its environ.
SPAN = "pitviper.span"
#: The exception that was last recorded for a request, so that it is recorded once.
RECORDED = "pitviper.recorded_exception"

#: Set in the environ of a request that failed with an exception.
FAILED = "pitviper.failed"

_SERVER = 2
_ERROR = 2
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))


def traced(application: Application, scope: str = "pitviper.wsgi") -> Application:
    """An application that makes a span for each request the given one handles."""

    def traced_application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return handle(application, environ, start_response, scope)

    # The names only: the attributes of an application object are its own.
    return functools.update_wrapper(traced_application, application, updated=())


def handle(application: Application, environ: Environ, start_response: StartResponse, scope: str) -> Iterable[bytes]:
    """Handles one request with a server span, unless it has one already."""
    if SPAN in environ:
        return application(environ, start_response)
    try:
        span = _start(environ, scope)
    except Exception as error:
        internal_error(error)
        return application(environ, start_response)
    environ[SPAN] = span

    def traced_start_response(status: str, headers: Any, *exc_info: Any) -> Any:
        code = status[:3]
        if code.isdigit():
            span.set_attribute("http.response.status_code", int(code))
            # An exception says more than the status it became.
            if code >= "500" and FAILED not in environ:
                span.set_attribute("error.type", code)
                span.set_status(_ERROR)
        return start_response(status, headers, *exc_info)

    # Current only while the application runs: a server may have several responses under way in one
    # thread, and some callers never close theirs.
    before = _native.activate(span)
    try:
        body = application(environ, traced_start_response)
    except BaseException as error:
        fail(environ, span, error)
        span.end()
        raise
    finally:
        _native.deactivate(before)
    return _until_sent(body, environ, span)


def _start(environ: Environ, scope: str) -> _native.Span:
    method = environ.get("REQUEST_METHOD", "")
    name = method if method in _METHODS else "HTTP"
    attributes: dict[str, object] = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.scheme": environ.get("wsgi.url_scheme", "http"),
        "url.path": _path(environ),
    }
    if name == "HTTP":
        attributes["http.request.method_original"] = method
    query = environ.get("QUERY_STRING")
    if query:
        attributes["url.query"] = masked_query(query)
    host = environ.get("HTTP_HOST")
    if host:
        address, port = host_and_port(host)
    else:
        address, port = environ.get("SERVER_NAME", ""), None
    attributes["server.address"] = address
    if port is None:
        _, port = host_and_port(f":{environ.get('SERVER_PORT', '')}")
    if port is not None:
        attributes["server.port"] = port
    client = environ.get("REMOTE_ADDR")
    if client:
        attributes["client.address"] = client
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        attributes["user_agent.original"] = agent
    protocol = environ.get("SERVER_PROTOCOL", "")
    if protocol.startswith("HTTP/"):
        attributes["network.protocol.version"] = protocol[5:]
    traceparent = environ.get("HTTP_TRACEPARENT")
    parent = _native.extract(traceparent, environ.get("HTTP_TRACESTATE")) if traceparent else None
    return _native.start_span(name, _SERVER, attributes, parent, None, None, scope)


def _path(environ: Environ) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if path.isascii():
        return path
    # PEP 3333: bytes in the guise of latin-1 text.
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def fail(environ: Environ, span: _native.Span, error: BaseException) -> None:
    """Marks the request as failed with an exception that nobody handled, and records it, unless
    another span of the request has it."""
    if isinstance(error, Exception):
        environ[FAILED] = True
        if environ.get(RECORDED) is not error:
            environ[RECORDED] = error
            span.record_exception(error)
        span.set_attribute("error.type", error_type(error))
        span.set_status(_ERROR, f"{type(error).__name__}: {error}")


def error_type(error: BaseException) -> str:
    """The qualified name of an exception's type, without the module for built-in ones."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _until_sent(body: Iterable[bytes], environ: Environ, span: _native.Span) -> Iterable[bytes]:
    """The body, with the span ending when the server closes it."""
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        # The server recognises its own wrapper and sends the file without reading it here.
        return _end_on_close(body, environ, span)
    return _Body(body, environ, span)


def _end_on_close(body: Any, environ: Environ, span: _native.Span) -> Iterable[bytes]:
    close: Optional[Callable[[], None]] = getattr(body, "close", None)

    def traced_close() -> None:
        try:
            if close is not None:
                close()
        finally:
            _end(environ, span)

    try:
        body.close = traced_close
    except AttributeError:
        _end(environ, span)
    return body


def _end(environ: Environ, span: _native.Span) -> None:
    environ.pop(RECORDED, None)
    span.end()


class _Body:
    """A response body that ends the span of its request when it is closed."""

    __slots__ = ("_body", "_environ", "_iterator", "_span")

    def __init__(self, body: Iterable[bytes], environ: Environ, span: _native.Span) -> None:
        self._body = body
        self._environ = environ
        self._span = span
        self._iterator: Optional[Iterator[bytes]] = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        before = _native.activate(self._span)
        try:
            iterator = self._iterator
            if iterator is None:
                iterator = self._iterator = iter(self._body)
            return next(iterator)
        except StopIteration:
            raise
        except BaseException as error:
            fail(self._environ, self._span, error)
            raise
        finally:
            _native.deactivate(before)

    def close(self) -> None:
        before = _native.activate(self._span)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            fail(self._environ, self._span, error)
            raise
        finally:
            _native.deactivate(before)
            _end(self._environ, self._span)
