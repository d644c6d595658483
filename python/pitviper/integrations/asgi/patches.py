"""The server span of an ASGI request or websocket (ASGI 3)."""

import functools
from asyncio import CancelledError
from collections.abc import Awaitable, Iterable, MutableMapping
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._http import host_and_port, masked_query
from pitviper.integrations._server import (
    REQUEST,
    SERVER,
    ServerRequest,
    client_address,
    method_attributes,
    queue_time_ms,
)
from pitviper.integrations._server_options import options

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[Any]]

_SWITCHING_PROTOCOLS = 101
_FORBIDDEN = 403


def traced(application: Application, scope_name: str = "pitviper.asgi") -> Application:
    """An application that makes a span for each request and websocket the given one handles."""

    async def traced_application(scope: Scope, receive: Receive, send: Send) -> Any:
        return await handle(application, scope, receive, send, scope_name)

    # The names only: the attributes of an application object are its own.
    return functools.update_wrapper(traced_application, application, updated=())


async def handle(application: Application, scope: Scope, receive: Receive, send: Send, scope_name: str) -> Any:
    """Handles one request or websocket with a server span, unless it has one already."""
    kind = scope["type"]
    if REQUEST in scope or kind not in ("http", "websocket"):
        return await application(scope, receive, send)
    try:
        request = _start(scope, kind, scope_name)
        connection: Any = _WebSocket(request, receive, send) if kind == "websocket" else _Response(request, send)
        receive = connection.receive if kind == "websocket" else receive
    except Exception as error:
        internal_error(error)
        return await application(scope, receive, send)
    # The scope itself, not a copy: who called the framework may look there for what it wrote.
    scope[REQUEST] = request
    before = _native.activate(request.span)
    try:
        return await application(scope, receive, connection.send)
    except BaseException as error:
        if isinstance(error, CancelledError):
            request.span.add_event("cancelled")
        if kind == "http":
            request.escaped(error)
        else:
            request.fail(error)
        raise
    finally:
        scope.pop(REQUEST, None)
        _native.deactivate(before)
        connection.finish()


def _start(scope: Scope, kind: str, scope_name: str) -> ServerRequest:
    attributes: dict[str, object] = {}
    if kind == "websocket":
        attributes["http.request.method"] = "GET"
        attributes["network.protocol.name"] = "websocket"
        name = "WEBSOCKET"
    else:
        name = method_attributes(scope["method"], attributes)
    wanted = options.raw_names
    headers: dict[bytes, bytes] = {name: value for name, value in scope["headers"] if name in wanted}
    attributes["url.scheme"] = scope.get("scheme") or ("ws" if kind == "websocket" else "http")
    attributes["url.path"] = scope["path"]
    query = scope.get("query_string")
    if query and options.query:
        # Bytes, as ASGI has it; test clients of frameworks give text.
        attributes["url.query"] = masked_query(query if isinstance(query, str) else query.decode("latin-1"))
    server = scope.get("server") or ("", None)
    host = headers.get(b"host")
    address, port = host_and_port(host.decode("latin-1")) if host else (server[0], None)
    attributes["server.address"] = address
    port = port or server[1]
    if port:
        attributes["server.port"] = port
    client = scope.get("client")
    client = client[0] if client else None
    if options.trusted_proxies:
        forwarded = headers.get(b"forwarded", b"").decode("latin-1")
        # Each proxy may have added a header of its own.
        hops = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
        client = client_address(forwarded, ",".join(hops), options.trusted_proxies) or client
    if client:
        attributes["client.address"] = client
    agent = headers.get(b"user-agent")
    if agent:
        attributes["user_agent.original"] = agent.decode("latin-1")
    version = scope.get("http_version")
    if version:
        attributes["network.protocol.version"] = version
    if options.queue_time:
        queued = headers.get(b"x-request-start") or headers.get(b"x-queue-start")
        waited = queue_time_ms(queued.decode("latin-1"), _native.now()) if queued else None
        if waited is not None:
            attributes["http.server.queue_time_ms"] = waited
    for header in options.request_headers:
        values = _values(scope["headers"], header.raw)
        if values:
            attributes[header.attribute] = header.shown(values)
    return ServerRequest(
        _native.start_span(name, SERVER, attributes, _native.extract(scope["headers"]), None, None, scope_name),
        name,
        scope.get("root_path", "").rstrip("/"),
    )


def _values(headers: "Iterable[tuple[bytes, bytes]]", wanted: bytes) -> "list[str]":
    return [value.decode("latin-1") for name, value in headers if name.lower() == wanted]


def _capture_response(request: ServerRequest, message: Message) -> None:
    for header in options.response_headers:
        values = _values(message.get("headers", ()), header.raw)
        if values:
            request.span.set_attribute(header.attribute, header.shown(values))


class _Response:
    """The sending side of a request: its span ends with the last part of the response."""

    __slots__ = ("_ended_at", "_request", "_send", "_trailers")

    def __init__(self, request: ServerRequest, send: Send) -> None:
        self._request = request
        self._send = send
        self._trailers = False
        self._ended_at: Optional[int] = None

    async def send(self, message: Message) -> None:
        kind = None
        try:
            kind = message["type"]
            if kind == "http.response.start":
                self._request.answered(message["status"])
                self._trailers = message.get("trailers", False)
                if options.response_headers:
                    _capture_response(self._request, message)
        except Exception as error:
            internal_error(error)
        try:
            await self._send(message)
        except OSError:
            # ASGI 2.4: the client went away.
            self._request.client_left = True
            raise
        if kind != "http.response.start":
            try:
                if self._is_last(kind, message):
                    self._sent()
            except Exception as error:
                internal_error(error)

    def _is_last(self, kind: Any, message: Message) -> bool:
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        if self._trailers:
            return False
        if kind in ("http.response.body", "http.response.zerocopysend"):
            return not message.get("more_body", False)
        return kind == "http.response.pathsend"

    def _sent(self) -> None:
        if self._request.status >= 500:
            # The exception that is its cause comes after it: frameworks answer first and raise then.
            self._ended_at = _native.now()
        else:
            self._request.end()

    def finish(self) -> None:
        """The application returned."""
        self._request.end(self._ended_at)


class _WebSocket:
    """Both sides of a websocket."""

    __slots__ = ("_accepted", "_close_code", "_receive", "_received", "_request", "_send", "_sent")

    def __init__(self, request: ServerRequest, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._accepted = False
        self._close_code: Optional[int] = None
        self._received = 0
        self._sent = 0

    async def receive(self) -> Message:
        message = await self._receive()
        kind = message.get("type")
        if kind == "websocket.receive":
            self._received += 1
        elif kind == "websocket.disconnect":
            self._close_code = message.get("code")
        return message

    async def send(self, message: Message) -> None:
        try:
            self._note(message)
        except Exception as error:
            internal_error(error)
        try:
            await self._send(message)
        except OSError:
            # ASGI 2.4: the client went away.
            self._request.client_left = True
            raise

    def _note(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.send":
            self._sent += 1
        elif kind == "websocket.accept":
            self._accepted = True
            self._request.answered(_SWITCHING_PROTOCOLS)
            if options.response_headers:
                _capture_response(self._request, message)
        elif kind == "websocket.close":
            if self._accepted:
                self._close_code = message.get("code", 1000)
            else:
                self._request.answered(_FORBIDDEN)
        elif kind == "websocket.http.response.start":
            self._request.answered(message["status"])

    def finish(self) -> None:
        """The application returned."""
        try:
            attributes: dict[str, object] = {
                "websocket.messages_received": self._received,
                "websocket.messages_sent": self._sent,
            }
            if self._close_code is not None:
                attributes["websocket.close_code"] = self._close_code
            self._request.span.set_attributes(attributes)
        except Exception as error:
            internal_error(error)
        self._request.end()
