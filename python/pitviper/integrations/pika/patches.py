"""Wrappers for pika's channels."""

import copy
from collections.abc import Iterator
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.integrations import _amqp, _messaging
from pitviper.integrations._messaging import PRODUCER, QUIET

_SCOPE = "pitviper.pika"

_Call = Callable[..., Any]


def _server(channel: Any) -> "tuple[Any, Any]":
    connection = getattr(channel, "connection", None)
    # A blocking connection has the one that does the work inside.
    parameters = getattr(getattr(connection, "_impl", connection), "params", None)
    return getattr(parameters, "host", None), getattr(parameters, "port", None)


def basic_publish(original: _Call) -> _Call:
    """``basic_publish`` of both channels; the blocking one calls the other."""

    def wrapper(
        self: Any, exchange: Any, routing_key: Any, body: Any, properties: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if QUIET.get():
            return original(self, exchange, routing_key, body, properties, *args, **kwargs)
        span = _messaging.guarded(_start_publishing, self, exchange, routing_key, body, properties)
        if span is None:
            return original(self, exchange, routing_key, body, properties, *args, **kwargs)
        token = QUIET.set(True)
        try:
            carrying = _messaging.guarded(_with_context, span, properties) or properties
            return original(self, exchange, routing_key, body, carrying, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return wrapper


def _start_publishing(channel: Any, exchange: Any, routing_key: Any, body: Any, properties: Any) -> _native.Span:
    attributes = _amqp.attributes("publish", "send", exchange, routing_key, _server(channel))
    _amqp.add_properties(attributes, properties, body.encode() if isinstance(body, str) else body)
    name = f"publish {attributes['messaging.destination.name']}"
    return _native.start_as_current_span(name, PRODUCER, attributes, None, None, None, _SCOPE)


def _with_context(span: _native.Span, properties: Any) -> Any:
    if properties is None:
        from pika.spec import BasicProperties

        carrying = BasicProperties()
    else:
        carrying = copy.copy(properties)
    carrying.headers = _messaging.with_context(span, carrying.headers)
    return carrying


def basic_consume(original: _Call) -> _Call:
    """``basic_consume`` of both channels."""
    return _with_traced_callback(original, "on_message_callback")


def basic_get(original: _Call) -> _Call:
    """``Channel.basic_get``, which hands the message to a callback."""
    return _with_traced_callback(original, "callback")


def _with_traced_callback(original: _Call, argument: str) -> _Call:
    def wrapper(self: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (_traced_callback(args[0], queue), *args[1:])
        elif argument in kwargs:
            kwargs[argument] = _traced_callback(kwargs[argument], queue)
        return original(self, queue, *args, **kwargs)

    return wrapper


def _traced_callback(callback: Any, queue: Any) -> Any:
    # The blocking channel hands its own callbacks to the other, and calls the application's itself.
    if not callable(callback) or str(getattr(callback, "__module__", "")).startswith("pika."):
        return callback

    def traced(channel: Any, method: Any, properties: Any, body: Any) -> Any:
        span = _messaging.guarded(_start_processing, channel, queue, method, properties, body)
        if span is None:
            return callback(channel, method, properties, body)
        try:
            return callback(channel, method, properties, body)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return traced


def _describe(operation: str, kind: str, channel: Any, queue: Any, method: Any, properties: Any, body: Any) -> Any:
    attributes = _amqp.attributes(operation, kind, method.exchange, method.routing_key, _server(channel), queue)
    _amqp.add_properties(attributes, properties, body, method.delivery_tag)
    # The exchange and the key may be of many kinds; a span is named by the queue that was asked for.
    name = f"{operation} {queue or attributes['messaging.destination.name']}"
    return name, attributes, _messaging.extract(getattr(properties, "headers", None))


def _start_processing(channel: Any, queue: Any, method: Any, properties: Any, body: Any) -> Optional[_native.Span]:
    if method is None:
        return None
    name, attributes, parent = _describe("process", "process", channel, queue, method, properties, body)
    return _messaging.processing(name, attributes, parent, _SCOPE)


def blocking_get(original: _Call) -> _Call:
    """``BlockingChannel.basic_get``, which returns the message."""

    def wrapper(self: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        message = original(self, queue, *args, **kwargs)
        if message[0] is not None and not QUIET.get():
            _messaging.guarded(_record_get, self, queue, message, start)
        return message

    return wrapper


def _record_get(channel: Any, queue: Any, message: Any, start: int) -> None:
    name, attributes, context = _describe("get", "receive", channel, queue, *message)
    _messaging.received(name, attributes, [context] if context else [], start, _SCOPE)


def consume(original: _Call) -> _Call:
    """``BlockingChannel.consume``: a generator of messages."""

    def wrapper(self: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        messages = original(self, queue, *args, **kwargs)
        return messages if QUIET.get() else _each(self, queue, messages)

    return wrapper


def _each(channel: Any, queue: Any, messages: "Iterator[Any]") -> "Iterator[Any]":
    span: Optional[_native.Span] = None
    try:
        for message in messages:
            span = _messaging.guarded(_start_processing, channel, queue, *message)
            yield message
            if span is not None:
                span.end()
                span = None
    finally:
        # The loop was left: the generator is closed as soon as nobody holds it.
        if span is not None:
            span.end()
        close = getattr(messages, "close", None)
        if close is not None:
            close()
