"""Wrappers for kafka-python's producer and consumer."""

from typing import Any, Callable

from pitviper import _native
from pitviper.instrument import option
from pitviper.integrations import _kafka, _messaging
from pitviper.integrations._messaging import QUIET
from pitviper.integrations.kafka import INTEGRATION

_SCOPE = "pitviper.kafka"
#: The first version of brokers that knows headers.
_HEADERS_SINCE = (0, 11)

_Call = Callable[..., Any]


def send(original: _Call) -> _Call:
    """``KafkaProducer.send``."""

    def wrapper(
        self: Any, topic: Any, value: Any = None, key: Any = None, headers: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        if QUIET.get():
            return original(self, topic, value, key, headers, *args, **kwargs)
        partition = args[0] if args else kwargs.get("partition")
        client_id = self.config.get("client_id")
        span = _messaging.guarded(_kafka.start_sending, topic, partition, key, value, client_id, _SCOPE)
        if span is None:
            return original(self, topic, value, key, headers, *args, **kwargs)
        try:
            if _knows_headers(self):
                headers = _messaging.guarded(_kafka.headers_with_context, span, headers) or headers
            return original(self, topic, value, key, headers, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def _knows_headers(producer: Any) -> bool:
    version = producer.config.get("api_version")
    return not isinstance(version, tuple) or version >= _HEADERS_SINCE


def _record(record: Any) -> _kafka.Record:
    return _kafka.Record(record.topic, record.partition, record.offset, record.key, record.value, record.headers)


def _identity(consumer: Any) -> "tuple[Any, Any]":
    return consumer.config.get("group_id"), consumer.config.get("client_id")


def next_record(original: _Call) -> _Call:
    """``KafkaConsumer.__next__``."""
    with_turns = option(INTEGRATION, "loops")

    def wrapper(self: Any) -> Any:
        _messaging.end_turn(self)
        start = _native.now()
        record = original(self)
        _messaging.guarded(_note, self, record, start)
        return record

    def _note(consumer: Any, record: Any, start: int) -> None:
        if with_turns:
            _kafka.begin_turn(_messaging.turn_of(consumer), _record(record), *_identity(consumer), _SCOPE)
        else:
            _kafka.record_one("receive", _record(record), *_identity(consumer), start, _SCOPE)

    return wrapper


def poll(original: _Call) -> _Call:
    """``KafkaConsumer.poll``. Iterating calls it as well, and says so by ``update_offsets``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("update_offsets") is False:
            return original(self, *args, **kwargs)
        _messaging.end_turn(self)
        start = _native.now()
        batches = original(self, *args, **kwargs)
        if batches:
            _messaging.guarded(_note_batches, self, batches, start)
        return batches

    return wrapper


def _note_batches(consumer: Any, batches: "dict[Any, list[Any]]", start: int) -> None:
    records = [_record(record) for batch in batches.values() for record in batch]
    _kafka.record_batch("poll", records, *_identity(consumer), start, _SCOPE)


def close(original: _Call) -> _Call:
    """``KafkaConsumer.close``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        return original(self, *args, **kwargs)

    return wrapper
