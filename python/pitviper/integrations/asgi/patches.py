"""The server span of an ASGI request or websocket (ASGI 3)."""

import functools
from asyncio import CancelledError
from collections.abc import Awaitable, Iterable, MutableMapping
from typing import Any, Callable, Optional, Union

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._server import REQUEST, ServerRequest, client_address
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
        with begin(scope, receive, send, scope_name) as connection:
            return await application(scope, connection.receive, connection.send)

    # The names only: the attributes of an application object are its own.
    return functools.update_wrapper(traced_application, application, updated=())


async def handle(application: Application, scope: Scope, receive: Receive, send: Send, scope_name: str) -> Any:
    """Handles one request or websocket with a server span, unless it has one already."""
    with begin(scope, receive, send, scope_name) as connection:
        return await application(scope, connection.receive, connection.send)


def begin(scope: Scope, receive: Receive, send: Send, scope_name: str) -> "Union[_Untouched, _Response, _WebSocket]":
    """The two sides of a request or websocket as the application is to be given them, and the block in which it
    is to be called. It has a server span, unless there is one already."""
    kind = scope["type"]
    if REQUEST in scope or kind not in ("http", "websocket"):
        return _Untouched(receive, send)
    try:
        request = _start(scope, scope_name)
        return (_WebSocket if kind == "websocket" else _Response)(scope, request, receive, send)
    except Exception as error:
        internal_error(error)
        return _Untouched(receive, send)


def _start(scope: Scope, scope_name: str) -> ServerRequest:
    more = _chosen(scope) if options.reads_more else None
    span, name = _native.start_asgi_request(scope, scope_name, options.query, options.queue_time, more)
    return ServerRequest(span, name, scope.get("root_path", "").rstrip("/"))


def _chosen(scope: Scope) -> "dict[str, object]":
    """What options ask for besides."""
    attributes: dict[str, object] = {}
    if options.trusted_proxies:
        # Each proxy may have added a header of its own.
        forwarded, hops = _values(scope["headers"], b"forwarded")[-1:], _values(scope["headers"], b"x-forwarded-for")
        client = client_address("".join(forwarded), ",".join(hops), options.trusted_proxies)
        if client:
            attributes["client.address"] = client
    for header in options.request_headers:
        values = _values(scope["headers"], header.raw)
        if values:
            attributes[header.attribute] = header.shown(values)
    return attributes


def _values(headers: "Iterable[tuple[bytes, bytes]]", wanted: bytes) -> "list[str]":
    return [value.decode("latin-1") for name, value in headers if name.lower() == wanted]


def _capture_response(request: ServerRequest, message: Message) -> None:
    for header in options.response_headers:
        values = _values(message.get("headers", ()), header.raw)
        if values:
            request.span.set_attribute(header.attribute, header.shown(values))


class _Untouched:
    """Both sides as they are."""

    __slots__ = ("receive", "send")

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive = receive
        self.send = send

    def __enter__(self) -> "_Untouched":
        return self

    def __exit__(self, _type: object, failure: Optional[BaseException], _traceback: object) -> None: ...


class _Traced:
    """A request or websocket whose span is current while the application runs."""

    __slots__ = ("_before", "_request", "_scope", "_send")

    _before: Any
    _request: ServerRequest
    _scope: Any
    _send: Send

    def __enter__(self) -> Any:
        # The scope itself, not a copy: who called the framework may look there for what it wrote.
        self._scope[REQUEST] = self._request
        self._before = _native.activate(self._request.span)
        return self

    def __exit__(self, _type: object, failure: Optional[BaseException], _traceback: object) -> None:
        # The application may keep `send`; that keeps neither the scope nor the context.
        scope, before = self._scope, self._before
        self._scope = self._before = None
        if failure is not None:
            if isinstance(failure, CancelledError):
                self._request.span.add_event("cancelled")
            self._failed(failure)
        scope.pop(REQUEST, None)
        _native.deactivate(before)
        self._finish()

    def _failed(self, failure: BaseException) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError


class _Response(_Traced):
    """A request: its span ends with the last part of the response."""

    __slots__ = ("_ended_at", "_trailers", "receive")

    def __init__(self, scope: Scope, request: ServerRequest, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._request = request
        self._send = send
        self.receive = receive
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
                # Most responses are one message.
                if kind == "http.response.body" and not self._trailers:
                    if not message.get("more_body", False):
                        self._sent()
                elif self._is_last(kind, message):
                    self._sent()
            except Exception as error:
                internal_error(error)

    def _is_last(self, kind: Any, message: Message) -> bool:
        if kind == "http.response.trailers":
            return not message.get("more_trailers", False)
        if self._trailers:
            return False
        if kind == "http.response.zerocopysend":
            return not message.get("more_body", False)
        return kind == "http.response.pathsend"

    def _sent(self) -> None:
        if self._request.status >= 500:
            # The exception that is its cause comes after it: frameworks answer first and raise then.
            self._ended_at = _native.now()
        else:
            self._request.end()

    def _failed(self, failure: BaseException) -> None:
        self._request.escaped(failure)

    def _finish(self) -> None:
        if not self._request.ended:
            self._request.end(self._ended_at)


class _WebSocket(_Traced):
    """Both sides of a websocket."""

    __slots__ = ("_accepted", "_close_code", "_receive", "_received", "_sent")

    def __init__(self, scope: Scope, request: ServerRequest, receive: Receive, send: Send) -> None:
        self._scope = scope
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

    def _failed(self, failure: BaseException) -> None:
        self._request.fail(failure)

    def _finish(self) -> None:
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
