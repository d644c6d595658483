"""The server span of a WSGI request (PEP 3333)."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Callable, Optional, cast

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._http import host_and_port, masked_query, queue_time_ms
from pitviper.integrations._propagation import ENVIRON
from pitviper.integrations._server import (
    REQUEST,
    SERVER,
    ServerRequest,
    client_address,
    method_attributes,
    request_of,
)
from pitviper.integrations._server_options import options

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def traced(application: Application, scope: str = "pitviper.wsgi") -> Application:
    """An application that makes a span for each request the given one handles."""

    def traced_application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return handle(application, environ, start_response, scope)

    # The names only: the attributes of an application object are its own.
    return functools.update_wrapper(traced_application, application, updated=())


def handle(application: Application, environ: Environ, start_response: StartResponse, scope: str) -> Iterable[bytes]:
    """Handles one request with a server span, unless it has one already."""
    if request_of(environ) is not None:
        return application(environ, start_response)
    try:
        request = environ[REQUEST] = _start(environ, scope)
    except Exception as error:
        internal_error(error)
        return application(environ, start_response)

    def traced_start_response(status: str, headers: Any, *exc_info: Any) -> Any:
        try:
            code = status[:3]
            if code.isdigit():
                request.answered(int(code))
            if options.response_headers:
                _capture_response(request.span, headers)
        except Exception as error:
            internal_error(error)
        return start_response(status, headers, *exc_info)

    # Current only while the application runs: a server may have several responses under way in one
    # thread, and some callers never close theirs.
    before = _native.activate(request.span)
    try:
        body = application(environ, traced_start_response)
    except BaseException as error:
        request.escaped(error)
        request.end()
        raise
    finally:
        _native.deactivate(before)
    return _until_sent(body, environ, request)


def _start(environ: Environ, scope: str) -> ServerRequest:
    attributes: dict[str, object] = {}
    name = method_attributes(environ.get("REQUEST_METHOD", ""), attributes)
    attributes["url.scheme"] = environ.get("wsgi.url_scheme", "http")
    attributes["url.path"] = _path(environ)
    query = environ.get("QUERY_STRING")
    if query and options.query:
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
    if options.trusted_proxies:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        client = client_address(environ.get("HTTP_FORWARDED", ""), forwarded_for, options.trusted_proxies) or client
    if client:
        attributes["client.address"] = client
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        attributes["user_agent.original"] = agent
    protocol = environ.get("SERVER_PROTOCOL", "")
    if protocol.startswith("HTTP/"):
        attributes["network.protocol.version"] = protocol[5:]
    if options.queue_time:
        queued = environ.get("HTTP_X_REQUEST_START") or environ.get("HTTP_X_QUEUE_START")
        waited = queue_time_ms(queued, _native.now()) if queued else None
        if waited is not None:
            attributes["http.server.queue_time_ms"] = waited
    for header in options.request_headers:
        value = environ.get(header.environ_key)
        if value is not None:
            attributes[header.attribute] = header.shown([value])
    span = _native.start_span(name, SERVER, attributes, _native.extract(environ, ENVIRON), None, None, scope)
    return ServerRequest(span, name, environ.get("SCRIPT_NAME", ""))


def _path(environ: Environ) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if path.isascii():
        return path
    # PEP 3333: bytes in the guise of latin-1 text.
    return path.encode("latin-1", "replace").decode("utf-8", "replace")


def _capture_response(span: _native.Span, headers: "list[tuple[str, str]]") -> None:
    for header in options.response_headers:
        values = [value for name, value in headers if name.lower() == header.name]
        if values:
            span.set_attribute(header.attribute, header.shown(values))


def _until_sent(body: Iterable[bytes], environ: Environ, request: ServerRequest) -> Iterable[bytes]:
    """The body, with the span ending when the server closes it."""
    try:
        return _watched(body, environ, request)
    except Exception as error:
        internal_error(error)
        request.end()
        return body


def _watched(body: Iterable[bytes], environ: Environ, request: ServerRequest) -> Iterable[bytes]:
    file_wrapper = environ.get("wsgi.file_wrapper")
    if isinstance(file_wrapper, type) and isinstance(body, file_wrapper):
        # The server recognises its own wrapper and sends the file without reading it here.
        return _end_on_close(body, request)
    closers = getattr(body, "_resource_closers", None)
    if isinstance(closers, list):
        # A response of Django's. Its handler is called not only by servers, so the very object is handed on
        # when it is whole; it calls these when it is closed.
        if getattr(body, "streaming", True):
            return _Response(body, request)
        cast("list[Callable[[], None]]", closers).append(request.end)
        return body
    return _SizedBody(body, request) if isinstance(body, (list, tuple)) else _Body(body, request)


def _end_on_close(body: Any, request: ServerRequest) -> Iterable[bytes]:
    close: Optional[Callable[[], None]] = getattr(body, "close", None)

    def traced_close() -> None:
        try:
            if close is not None:
                close()
        finally:
            request.end()

    try:
        body.close = traced_close
    except AttributeError:
        request.end()
    return body


class _Body:
    """A response body that ends the span of its request when it is closed."""

    __slots__ = ("_body", "_iterator", "_request")

    def __init__(self, body: Iterable[bytes], request: ServerRequest) -> None:
        self._body = body
        self._request = request
        self._iterator: Optional[Iterator[bytes]] = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        before = _native.activate(self._request.span)
        try:
            iterator = self._iterator
            if iterator is None:
                iterator = self._iterator = iter(self._body)
            return next(iterator)
        except StopIteration:
            raise
        except BaseException as error:
            self._request.fail(error)
            raise
        finally:
            _native.deactivate(before)

    def close(self) -> None:
        before = _native.activate(self._request.span)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            self._request.fail(error)
            raise
        finally:
            _native.deactivate(before)
            self._request.end()


class _SizedBody(_Body):
    """A body whose parts can be counted: of a single one, servers take the length for that of the response."""

    __slots__ = ()

    def __len__(self) -> int:
        return len(cast("list[bytes]", self._body))


class _Response(_Body):
    """A body that is more than that: a response object that can be looked at."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
