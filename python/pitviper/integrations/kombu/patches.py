"""Wrappers for kombu's producers and consumers."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _amqp, _messaging
from pitviper.integrations._messaging import PRODUCER, QUIET

_SCOPE = "pitviper.kombu"
#: Position of ``headers`` behind the body and ``routing_key``, and of ``exchange``.
_HEADERS_POSITION, _EXCHANGE_POSITION = 7, 9
#: Position of ``on_message`` behind the channel.
_ON_MESSAGE_POSITION = 5
#: What OpenTelemetry calls the systems behind kombu's transports, where the names differ.
_SYSTEMS = {"amqp": "rabbitmq", "SQS": "aws_sqs", "azureservicebus": "servicebus", "confluentkafka": "kafka"}

quietly = _messaging.quietly

_Call = Callable[..., Any]


def _connection_of(entity: Any) -> Any:
    """The connection of a producer or consumer, without opening one."""
    own = getattr(entity, "__connection__", None)
    if own is not None:
        return own
    channel: Any = getattr(entity, "_channel", None) or entity.__dict__.get("channel")
    # A promise of a channel is a function.
    return None if callable(channel) else getattr(getattr(channel, "connection", None), "client", None)


def _attributes(
    operation: str, kind: str, connection: Any, exchange: Any, routing_key: Any, properties: Any, queue: Any = None
) -> "dict[str, Any]":
    driver = getattr(getattr(connection, "transport", None), "driver_type", None) or "amqp"
    properties = properties or {}
    return {
        "messaging.system": _SYSTEMS.get(driver, driver),
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": _amqp.destination(exchange, routing_key, queue),
        "messaging.message.id": properties.get("message_id"),
        "messaging.message.conversation_id": properties.get("correlation_id"),
        "server.address": getattr(connection, "hostname", None),
        "server.port": getattr(connection, "port", None),
    }


def publish(original: _Call) -> _Call:
    """``Producer.publish``."""

    def wrapper(self: Any, body: Any, routing_key: Any = None, *args: Any, **kwargs: Any) -> Any:
        if QUIET.get():
            return original(self, body, routing_key, *args, **kwargs)
        span = _messaging.guarded(_start_publishing, self, routing_key, args, kwargs)
        if span is None:
            return original(self, body, routing_key, *args, **kwargs)
        token = QUIET.set(True)
        try:
            try:
                positional = len(args) > _HEADERS_POSITION
                given = args[_HEADERS_POSITION] if positional else kwargs.get("headers")
                headers = _messaging.with_context(span, given)
                if positional:
                    args = (*args[:_HEADERS_POSITION], headers, *args[_HEADERS_POSITION + 1 :])
                else:
                    kwargs["headers"] = headers
            except Exception as error:
                internal_error(error)
            return original(self, body, routing_key, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return wrapper


def _start_publishing(
    producer: Any, routing_key: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> _native.Span:
    exchange = args[_EXCHANGE_POSITION] if len(args) > _EXCHANGE_POSITION else kwargs.get("exchange")
    exchange = exchange or producer.exchange
    exchange = getattr(exchange, "name", exchange)
    key = producer.routing_key if routing_key is None else routing_key
    attributes = _attributes("publish", "send", _connection_of(producer), exchange, key, kwargs)
    name = f"publish {attributes['messaging.destination.name']}"
    return _native.start_as_current_span(name, PRODUCER, attributes, None, None, None, _SCOPE)


def _is_internal(callback: Any) -> bool:
    """Whether a callback is Celery's or kombu's own, and not what an application does with a message."""
    return str(getattr(callback, "__module__", "")).startswith(("celery.", "kombu."))


def _queue_of(consumer: Any) -> Optional[str]:
    """The queue's name, when the consumer has just one."""
    queues = getattr(consumer, "queues", None) or ()
    return queues[0].name if len(queues) == 1 else None


def _start_processing(consumer: Any, message: Any) -> _native.Span:
    info: dict[str, Any] = message.delivery_info or {}
    exchange, key = info.get("exchange"), info.get("routing_key")
    connection = _connection_of(consumer)
    queue = _queue_of(consumer)
    attributes = _attributes("process", "process", connection, exchange, key, message.properties, queue)
    name = f"process {queue or attributes['messaging.destination.name']}"
    return _messaging.processing(name, attributes, _messaging.extract(message.headers), _SCOPE)


def _process(consumer: Any, message: Any, call: "Callable[[], Any]") -> Any:
    span = _messaging.guarded(_start_processing, consumer, message)
    if span is None:
        return call()
    try:
        return call()
    except BaseException as error:
        span.__exit__(type(error), error, None)
        raise
    finally:
        span.end()


def receive(original: _Call) -> _Call:
    """``Consumer.receive``: calls the callbacks."""

    def wrapper(self: Any, body: Any, message: Any) -> Any:
        callbacks = self.callbacks
        if not callbacks or all(map(_is_internal, callbacks)):
            return original(self, body, message)
        return _process(self, message, lambda: original(self, body, message))

    return wrapper


def consumer_init(original: _Call) -> _Call:
    """``Consumer``: a callback for messages that are not decoded, given at the start, is called directly."""

    def wrapper(self: Any, channel: Any, *args: Any, **kwargs: Any) -> None:
        try:
            if len(args) > _ON_MESSAGE_POSITION:
                traced = _traced_on_message(self, args[_ON_MESSAGE_POSITION])
                args = (*args[:_ON_MESSAGE_POSITION], traced, *args[_ON_MESSAGE_POSITION + 1 :])
            elif "on_message" in kwargs:
                kwargs["on_message"] = _traced_on_message(self, kwargs["on_message"])
        except Exception as error:
            internal_error(error)
        original(self, channel, *args, **kwargs)

    return wrapper


def _traced_on_message(consumer: Any, callback: Any) -> Any:
    if not callable(callback) or _is_internal(callback):
        return callback

    def traced(message: Any) -> Any:
        return _process(consumer, message, lambda: callback(message))

    return traced


def simple_get(original: _Call) -> _Call:
    """``SimpleQueue.get``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        message = original(self, *args, **kwargs)
        _messaging.guarded(_record_get, self, message, start)
        return message

    return wrapper


def _record_get(simple: Any, message: Any, start: int) -> None:
    info: dict[str, Any] = message.delivery_info or {}
    queue = simple.queue.name
    exchange, key = info.get("exchange"), info.get("routing_key")
    connection = _connection_of(simple.consumer)
    attributes = _attributes("get", "receive", connection, exchange, key, message.properties, queue)
    context = _messaging.extract(message.headers)
    _messaging.received(f"get {queue}", attributes, [context] if context else [], start, _SCOPE)
