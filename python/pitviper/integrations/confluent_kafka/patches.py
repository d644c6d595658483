"""Traced subclasses of confluent-kafka's producer and consumer."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.instrument import option
from pitviper.integrations import _kafka, _messaging
from pitviper.integrations._messaging import QUIET
from pitviper.integrations.confluent_kafka import INTEGRATION

_SCOPE = "pitviper.confluent_kafka"
#: Positions behind the topic.
_VALUE, _KEY, _PARTITION, _HEADERS = 0, 1, 2, 6
#: Attribute of a consumer that has no loops: each call runs in some thread of a pool.
_NO_TURNS = "_pitviper_no_turns"

_Call = Callable[..., Any]


def _setting(args: "tuple[Any, ...]", kwargs: "dict[str, Any]", name: str) -> Any:
    """One of the settings a client is made with: a mapping, or keywords with underscores for dots."""
    mapping: Any = args[0] if args else kwargs
    return kwargs.get(name.replace(".", "_")) or mapping.get(name)


def _named_as(base: Any) -> "dict[str, Any]":
    """What makes a subclass look like its base."""
    return {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}


def producer(original: Any) -> Any:
    """``Producer``."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original.__init__(self, *args, **kwargs)
        self._pitviper_client_id = _messaging.guarded(_setting, args, kwargs, "client.id")

    def produce(self: Any, topic: Any, *args: Any, **kwargs: Any) -> Any:
        if QUIET.get():
            return original.produce(self, topic, *args, **kwargs)
        span = _messaging.guarded(_start_producing, self, topic, args, kwargs)
        if span is None:
            return original.produce(self, topic, *args, **kwargs)
        try:
            given: Any = args[_HEADERS] if len(args) > _HEADERS else kwargs.get("headers")
            headers: Any = _messaging.guarded(_kafka.headers_with_context, span, given)
            if headers is not None and len(args) > _HEADERS:
                args = (*args[:_HEADERS], headers, *args[_HEADERS + 1 :])
            elif headers is not None:
                kwargs["headers"] = headers
            return original.produce(self, topic, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return type("Producer", (original,), {**_named_as(original), "__init__": init, "produce": produce})


def _start_producing(
    producer: Any, topic: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]"
) -> Optional[_native.Span]:
    def argument(position: int, name: str) -> Any:
        return args[position] if len(args) > position else kwargs.get(name)

    value, key, partition = argument(_VALUE, "value"), argument(_KEY, "key"), argument(_PARTITION, "partition")
    return _kafka.start_sending(topic, partition, key, value, producer._pitviper_client_id, _SCOPE)


def consumer(original: Any) -> Any:
    """``Consumer``."""
    with_turns = option(INTEGRATION, "loops")

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        original.__init__(self, *args, **kwargs)
        self._pitviper_group = _messaging.guarded(_setting, args, kwargs, "group.id")
        self._pitviper_client_id = _messaging.guarded(_setting, args, kwargs, "client.id")

    def poll(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        start = _native.now()
        message = original.poll(self, *args, **kwargs)
        if message is not None and message.error() is None:
            turns = with_turns and not hasattr(self, _NO_TURNS)
            _messaging.guarded(_note_message, self, message, start, turns)
        return message

    def consume(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        start = _native.now()
        messages = original.consume(self, *args, **kwargs)
        if messages:
            _messaging.guarded(_note_messages, self, messages, start)
        return messages

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        return original.close(self, *args, **kwargs)

    methods = {"__init__": init, "poll": poll, "consume": consume, "close": close}
    return type("Consumer", (original,), {**_named_as(original), **methods})


def _record(message: Any) -> _kafka.Record:
    return _kafka.Record(
        message.topic(), message.partition(), message.offset(), message.key(), message.value(), message.headers()
    )


def _note_message(consumer: Any, message: Any, start: int, turns: bool) -> None:
    record, group, client_id = _record(message), consumer._pitviper_group, consumer._pitviper_client_id
    if turns:
        _kafka.begin_turn(_messaging.turn_of(consumer), record, group, client_id, _SCOPE)
    else:
        _kafka.record_one("poll", record, group, client_id, start, _SCOPE)


def _note_messages(consumer: Any, messages: "list[Any]", start: int) -> None:
    records = [_record(message) for message in messages if message.error() is None]
    if records:
        _kafka.record_batch("consume", records, consumer._pitviper_group, consumer._pitviper_client_id, start, _SCOPE)


def aio_consumer_init(original: _Call) -> _Call:
    """``AIOConsumer``, which calls a consumer's methods in threads of a pool."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        inner = getattr(self, "_consumer", None)
        if inner is not None:
            _messaging.guarded(setattr, inner, _NO_TURNS, True)

    return wrapper
