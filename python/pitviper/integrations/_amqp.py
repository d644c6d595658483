"""Names and attributes of RabbitMQ's messages, by OpenTelemetry's conventions."""

from typing import Any, Optional

#: What RabbitMQ calls the exchange without a name.
_DEFAULT_EXCHANGE = "amq.default"


def destination(exchange: Optional[str], routing_key: Optional[str], queue: Optional[str] = None) -> str:
    """``exchange:routing key``, for a consumer with the queue behind it; what is empty, and a queue
    named as its routing key, is left out."""
    parts = [part for part in (exchange, routing_key) if part]
    if queue and queue != routing_key:
        parts.append(queue)
    return ":".join(parts) or _DEFAULT_EXCHANGE


def attributes(
    operation: str,
    kind: str,
    exchange: Optional[str],
    routing_key: Optional[str],
    server: "tuple[Any, Any]",
    queue: Optional[str] = None,
) -> "dict[str, Any]":
    """The attributes that all spans of RabbitMQ's have.

    Args:
        operation: What the library calls it.
        kind: send, receive or process.
        exchange: Where the message was sent.
        routing_key: The key it was sent with.
        server: Host and port of the broker; what is not known is None.
        queue: Where a consumer has it from.
    """
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination(exchange, routing_key, queue),
        "messaging.rabbitmq.destination.routing_key": routing_key or None,
        "server.address": server[0],
        "server.port": server[1],
    }


def add_properties(own: "dict[str, Any]", properties: Any, body: Any, delivery_tag: Any = None) -> None:
    """Adds what a message's properties and body say."""
    own["messaging.message.id"] = getattr(properties, "message_id", None)
    own["messaging.message.conversation_id"] = getattr(properties, "correlation_id", None)
    own["messaging.rabbitmq.message.delivery_tag"] = delivery_tag
    if isinstance(body, (bytes, bytearray)):
        own["messaging.message.body.size"] = len(body)
