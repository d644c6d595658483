"""Wrappers for aio-pika's exchanges, queues and messages."""

import inspect
from contextvars import ContextVar
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.integrations import _amqp, _messaging
from pitviper.integrations._messaging import PRODUCER, QUIET

_SCOPE = "pitviper.aio_pika"
#: Attribute of a ``process()`` block that holds its span.
_SPAN = "_pitviper_span"

#: The message whose callback runs here.
_in_callback: "ContextVar[Any]" = ContextVar("pitviper_aio_pika_message", default=None)

_Call = Callable[..., Any]


def _server(entity: Any) -> "tuple[Any, Any]":
    """Host and port of the connection that an exchange, a queue or its channel belongs to."""
    channel = getattr(entity, "channel", entity)
    connection = getattr(channel, "_connection", None)
    url = getattr(connection, "url", None)
    return getattr(url, "host", None), getattr(url, "port", None)


def publish(original: _Call) -> _Call:
    """``Exchange.publish``."""

    async def wrapper(self: Any, message: Any, routing_key: Any, *args: Any, **kwargs: Any) -> Any:
        if QUIET.get():
            return await original(self, message, routing_key, *args, **kwargs)
        span = _messaging.guarded(_start_publishing, self, message, routing_key)
        if span is None:
            return await original(self, message, routing_key, *args, **kwargs)
        try:
            carrying = _messaging.guarded(_Carrying, span, message) or message
            return await original(self, carrying, routing_key, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


class _Carrying:
    """A message with the context among its headers; all else is the message's. One message may be
    published to several exchanges at a time."""

    __slots__ = ("_headers", "_message")

    def __init__(self, span: _native.Span, message: Any) -> None:
        self._message = message
        self._headers = _messaging.with_context(span, message.headers)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._message, name)

    @property
    def headers(self) -> "dict[str, Any]":
        return self._headers

    @property
    def properties(self) -> Any:
        # Made anew by the message each time.
        properties = self._message.properties
        properties.headers = self._headers
        return properties

    def __repr__(self) -> str:
        return repr(self._message)


def _start_publishing(exchange: Any, message: Any, routing_key: Any) -> _native.Span:
    attributes = _amqp.attributes("publish", "send", exchange.name, routing_key, _server(exchange))
    _amqp.add_properties(attributes, message, message.body)
    name = f"publish {attributes['messaging.destination.name']}"
    return _native.start_as_current_span(name, PRODUCER, attributes, None, None, None, _SCOPE)


def consume(original: _Call) -> _Call:
    """``Queue.consume``."""

    async def wrapper(self: Any, callback: Any, *args: Any, **kwargs: Any) -> Any:
        traced = _messaging.guarded(_traced_callback, callback, self) or callback
        return await original(self, traced, *args, **kwargs)

    return wrapper


def _traced_callback(callback: Any, queue: Any) -> Any:
    # An iterator's own puts the message where ``__anext__`` finds it.
    if str(getattr(callback, "__module__", "")).startswith("aio_pika."):
        return callback

    def begin(message: Any) -> Optional[_native.Span]:
        # This runs in a task of its own, which has from the connection what was current when that began.
        _native.activate(None)
        _in_callback.set(message)
        return _messaging.guarded(_start_processing, queue, message)

    async def finish(result: Any, span: _native.Span) -> Any:
        try:
            return await result
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    def traced(message: Any) -> Any:
        span = begin(message)
        if span is None:
            return callback(message)
        try:
            result = callback(message)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        if hasattr(result, "__await__"):
            return finish(result, span)
        span.end()
        return result

    async def traced_coroutine(message: Any) -> Any:
        return await traced(message)

    if inspect.iscoroutinefunction(callback):
        return traced_coroutine
    # aio-pika warns of plain functions, and names them.
    traced.__name__ = getattr(callback, "__name__", "callback")
    traced.__qualname__ = getattr(callback, "__qualname__", "callback")
    return traced


def _describe(operation: str, kind: str, queue: Any, message: Any) -> Any:
    # A queue's name is not known to a message; its consumer was asked for the queue.
    queue_name, server = (queue.name, _server(queue)) if queue is not None else (None, (None, None))
    attributes = _amqp.attributes(operation, kind, message.exchange, message.routing_key, server, queue_name)
    _amqp.add_properties(attributes, message, message.body, message.delivery_tag)
    name = f"{operation} {queue_name or attributes['messaging.destination.name']}"
    return name, attributes, _messaging.extract(message.headers)


def _start_processing(queue: Any, message: Any) -> _native.Span:
    name, attributes, parent = _describe("process", "process", queue, message)
    return _messaging.processing(name, attributes, parent, _SCOPE)


def get(original: _Call) -> _Call:
    """``Queue.get``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        message = await original(self, *args, **kwargs)
        if message is not None:
            _messaging.guarded(_record, "get", self, message, start)
        return message

    return wrapper


def anext(original: _Call) -> _Call:
    """``QueueIterator.__anext__``. The wait for the message is not the message's time."""

    async def wrapper(self: Any) -> Any:
        message = await original(self)
        _messaging.guarded(_record, "receive", getattr(self, "_amqp_queue", None), message, _native.now())
        return message

    return wrapper


def _record(operation: str, queue: Any, message: Any, start: int) -> None:
    name, attributes, context = _describe(operation, "receive", queue, message)
    _messaging.received(name, attributes, [context] if context else [], start, _SCOPE)


def process_enter(original: _Call) -> _Call:
    """The beginning of a ``message.process()`` block. In the message's callback there is a span already."""

    async def wrapper(self: Any) -> Any:
        message = await original(self)
        if _in_callback.get() is not self.message:
            setattr(self, _SPAN, _messaging.guarded(_start_processing, None, self.message))
        return message

    return wrapper


def process_exit(original: _Call) -> _Call:
    """The end of a ``message.process()`` block, which acknowledges or rejects the message."""

    async def wrapper(self: Any, exc_type: Any, exc: Any, traceback: Any) -> Any:
        span: Optional[_native.Span] = getattr(self, _SPAN, None)
        try:
            return await original(self, exc_type, exc, traceback)
        finally:
            if span is not None:
                span.__exit__(exc_type, exc, traceback)

    return wrapper
