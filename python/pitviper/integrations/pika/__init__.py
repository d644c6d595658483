"""pika: spans of publishing, getting and consuming messages, with blocking and asynchronous connections.

The context is sent in the message's headers. A callback of ``basic_consume`` runs in a consumer span that
continues the publisher's trace; so does the body of a loop over ``BlockingChannel.consume``, up to the
next message or the end of the loop. ``basic_get`` has a span when there was a message. Properties that
the application passes are not changed: those with the context are a copy.
"""

from pitviper.instrument import Integration, Patch, SpanShape

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.rabbitmq.destination.routing_key messaging.message.id messaging.message.conversation_id "
    "messaging.message.body.size server.address server.port"
)

INTEGRATION = Integration(
    "pika",
    distribution="pika",
    minimum=(1, 0),
    patches=(
        Patch("pika.channel:Channel.basic_publish", "basic_publish"),
        Patch("pika.channel:Channel.basic_consume", "basic_consume"),
        Patch("pika.channel:Channel.basic_get", "basic_get"),
        Patch("pika.adapters.blocking_connection:BlockingChannel.basic_publish", "basic_publish"),
        Patch("pika.adapters.blocking_connection:BlockingChannel.basic_consume", "basic_consume"),
        Patch("pika.adapters.blocking_connection:BlockingChannel.basic_get", "blocking_get"),
        Patch("pika.adapters.blocking_connection:BlockingChannel.consume", "consume"),
    ),
    spans=(
        SpanShape(
            "publish {exchange}:{routing key}",
            "producer",
            f"{_ALL} error.type",
            "handing the message to the connection; with delivery confirmation, until the broker has it",
        ),
        SpanShape(
            "process {queue}",
            "consumer",
            f"{_ALL} messaging.rabbitmq.message.delivery_tag error.type",
            "the callback, or one turn of the loop",
        ),
        SpanShape("get {queue}", "client", f"{_ALL} messaging.rabbitmq.message.delivery_tag", "fetching one message"),
    ),
)
