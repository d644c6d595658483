"""aio-pika: spans of publishing, getting and consuming messages.

The context is sent in the message's headers. A callback of ``Queue.consume`` runs in a consumer span that
continues the publisher's trace, and so does an ``async with message.process()`` block of a message that
was fetched or iterated over. ``Queue.get`` and each message of an iterator have a client span. Messages
that the application publishes get the headers while they are sent, and have their own again afterwards.
"""

from pitviper.instrument import Integration, Patch, SpanShape

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.rabbitmq.destination.routing_key messaging.message.id messaging.message.conversation_id "
    "messaging.message.body.size server.address server.port"
)

INTEGRATION = Integration(
    "aio_pika",
    distribution="aio-pika",
    minimum=(8, 0),
    patches=(
        Patch("aio_pika.exchange:Exchange.publish", "publish"),
        Patch("aio_pika.queue:Queue.consume", "consume"),
        Patch("aio_pika.queue:Queue.get", "get"),
        Patch("aio_pika.queue:QueueIterator.__anext__", "anext"),
        Patch("aio_pika.message:ProcessContext.__aenter__", "process_enter"),
        Patch("aio_pika.message:ProcessContext.__aexit__", "process_exit"),
    ),
    spans=(
        SpanShape(
            "publish {exchange}:{routing key}",
            "producer",
            f"{_ALL} error.type",
            "sending, with publisher confirms until the broker has the message",
        ),
        SpanShape(
            "process {queue}",
            "consumer",
            f"{_ALL} messaging.rabbitmq.message.delivery_tag error.type",
            "the callback, or the ``process()`` block",
        ),
        SpanShape("get {queue}", "client", f"{_ALL} messaging.rabbitmq.message.delivery_tag", "fetching one message"),
    ),
)
