"""Wrappers for aiokafka's producer and consumer."""

from typing import Any, Callable

from pitviper import _native
from pitviper.instrument import option
from pitviper.integrations import _kafka, _messaging
from pitviper.integrations._messaging import QUIET
from pitviper.integrations.aiokafka import INTEGRATION

_SCOPE = "pitviper.aiokafka"

_Call = Callable[..., Any]


def _sender(original: _Call) -> _Call:
    async def wrapper(
        self: Any,
        topic: Any,
        value: Any = None,
        key: Any = None,
        partition: Any = None,
        timestamp_ms: Any = None,
        headers: Any = None,
    ) -> Any:
        if QUIET.get():
            return await original(self, topic, value, key, partition, timestamp_ms, headers)
        client_id = getattr(getattr(self, "client", None), "_client_id", None)
        span = _messaging.guarded(_kafka.start_sending, topic, partition, key, value, client_id, _SCOPE)
        if span is None:
            return await original(self, topic, value, key, partition, timestamp_ms, headers)
        token = QUIET.set(True)
        try:
            headers = _messaging.guarded(_kafka.headers_with_context, span, headers) or headers
            return await original(self, topic, value, key, partition, timestamp_ms, headers)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return wrapper


#: ``AIOKafkaProducer.send``.
send = _sender
#: ``AIOKafkaProducer.send_and_wait``, which calls the other.
send_and_wait = _sender


def _record(record: Any) -> _kafka.Record:
    return _kafka.Record(record.topic, record.partition, record.offset, record.key, record.value, record.headers)


def _identity(consumer: Any) -> "tuple[Any, Any]":
    return getattr(consumer, "_group_id", None), getattr(getattr(consumer, "_client", None), "_client_id", None)


def next_record(original: _Call) -> _Call:
    """``AIOKafkaConsumer.__anext__``, which calls ``getone``."""
    with_turns = option(INTEGRATION, "loops")

    async def wrapper(self: Any) -> Any:
        if not with_turns:
            return await original(self)
        _messaging.end_turn(self)
        token = QUIET.set(True)
        try:
            record = await original(self)
        finally:
            QUIET.reset(token)
        _messaging.guarded(_begin, self, record)
        return record

    return wrapper


def _begin(consumer: Any, record: Any) -> None:
    _kafka.begin_turn(_messaging.turn_of(consumer), _record(record), *_identity(consumer), _SCOPE)


def getone(original: _Call) -> _Call:
    """``AIOKafkaConsumer.getone``."""

    async def wrapper(self: Any, *partitions: Any) -> Any:
        if QUIET.get():
            return await original(self, *partitions)
        _messaging.end_turn(self)
        start = _native.now()
        record = await original(self, *partitions)
        _messaging.guarded(_note_one, self, record, start)
        return record

    return wrapper


def _note_one(consumer: Any, record: Any, start: int) -> None:
    _kafka.record_one("getone", _record(record), *_identity(consumer), start, _SCOPE)


def getmany(original: _Call) -> _Call:
    """``AIOKafkaConsumer.getmany``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        start = _native.now()
        batches = await original(self, *args, **kwargs)
        if batches:
            _messaging.guarded(_note_batches, self, batches, start)
        return batches

    return wrapper


def _note_batches(consumer: Any, batches: "dict[Any, list[Any]]", start: int) -> None:
    records = [_record(record) for batch in batches.values() for record in batch]
    if records:
        _kafka.record_batch("getmany", records, *_identity(consumer), start, _SCOPE)


def stop(original: _Call) -> _Call:
    """``AIOKafkaConsumer.stop``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.end_turn(self)
        return await original(self, *args, **kwargs)

    return wrapper
