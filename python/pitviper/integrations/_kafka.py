"""What the integrations of Kafka's clients share: headers, attributes, and the spans of what was fetched."""

from collections.abc import Iterable
from typing import Any, Optional, cast

from pitviper import _native
from pitviper.integrations import _messaging
from pitviper.integrations._messaging import PRODUCER

#: Longest key that is recorded, in characters.
_MAX_KEY = 256


class Record:
    """A record as all clients can show it."""

    __slots__ = ("context", "key", "offset", "partition", "size", "topic")

    def __init__(self, topic: str, partition: Any, offset: Any, key: Any, value: Any, headers: Any) -> None:
        self.topic = topic
        self.partition = partition
        self.offset = offset
        self.key = key
        self.size: Optional[int] = None if value is None else len(value) if hasattr(value, "__len__") else -1
        self.context = _messaging.extract(headers)


def _key(key: Any) -> Optional[str]:
    if isinstance(key, (bytes, bytearray)):
        try:
            key = key.decode()
        except UnicodeDecodeError:
            return None
    return str(key)[:_MAX_KEY] if isinstance(key, (str, int)) else None


def start_sending(
    topic: str, partition: Any, key: Any, value: Any, client_id: Any, scope: str, current: bool = True
) -> _native.Span:
    """Starts the span of sending one record."""
    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": None if partition is None or partition == -1 else str(partition),
        "messaging.kafka.message.key": _key(key),
        "messaging.client.id": client_id or None,
    }
    if value is None:
        attributes["messaging.kafka.message.tombstone"] = True
    elif isinstance(value, (bytes, bytearray, str)):
        attributes["messaging.message.body.size"] = len(value)
    start = _native.start_as_current_span if current else _native.start_span
    return start(f"send {topic}", PRODUCER, attributes, None, None, None, scope)


def headers_with_context(span: _native.Span, headers: Any) -> Any:
    """A copy of headers, which are pairs or a mapping, with a span's context in the place of any other.
    What is neither is the client's to refuse, and comes back as it is."""
    if isinstance(headers, dict):
        headers = cast("dict[Any, Any]", headers).items()
    elif headers is not None and not isinstance(headers, (list, tuple)):
        return headers
    stale = _native.injected_fields()
    pairs: list[Any] = [pair for pair in cast("Iterable[Any]", headers or ()) if pair[0] not in stale]
    carrier: dict[str, Any] = {}
    _messaging.inject(span, carrier)
    return pairs + [(name, value.encode()) for name, value in carrier.items()]


def _attributes(operation: str, kind: str, record: Record, group: Any, client_id: Any) -> "dict[str, Any]":
    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
        "messaging.kafka.message.key": _key(record.key),
        "messaging.consumer.group.name": group or None,
        "messaging.client.id": client_id or None,
    }
    if record.size is None:
        attributes["messaging.kafka.message.tombstone"] = True
    elif record.size >= 0:
        attributes["messaging.message.body.size"] = record.size
    return attributes


def begin_turn(turn: _messaging.Turn, record: Record, group: Any, client_id: Any, scope: str) -> None:
    """Begins the processing of a record that a loop asked for."""
    attributes = _attributes("process", "process", record, group, client_id)
    turn.begin(f"process {record.topic}", attributes, record.context, scope)


def record_one(operation: str, record: Record, group: Any, client_id: Any, start: int, scope: str) -> None:
    """Records that one record was fetched."""
    attributes = _attributes(operation, "receive", record, group, client_id)
    contexts = [record.context] if record.context else []
    _messaging.received(f"{operation} {record.topic}", attributes, contexts, start, scope)


def record_batch(operation: str, records: "list[Record]", group: Any, client_id: Any, start: int, scope: str) -> None:
    """Records that several records were fetched at once, of one topic or of several."""
    if len(records) == 1:
        record_one(operation, records[0], group, client_id, start, scope)
        return
    topics = {record.topic for record in records}
    topic = records[0].topic if len(topics) == 1 else None
    attributes: dict[str, Any] = {
        "messaging.system": "kafka",
        "messaging.operation.name": operation,
        "messaging.operation.type": "receive",
        "messaging.destination.name": topic,
        "messaging.batch.message_count": len(records),
        "messaging.consumer.group.name": group or None,
        "messaging.client.id": client_id or None,
    }
    contexts = [record.context for record in records if record.context]
    _messaging.received(f"{operation} {topic}" if topic else operation, attributes, contexts, start, scope)
