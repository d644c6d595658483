"""kombu: spans of publishing and consuming messages, over whatever transport.

What a library above kombu sends is that library's: Celery's tasks, results, events and control messages
have no span here. A consumer's callbacks run in a consumer span that continues the publisher's trace;
``SimpleQueue.get`` has a client span.
"""

from pitviper.instrument import Integration, Patch, SpanShape

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.message.id messaging.message.conversation_id server.address server.port"
)

INTEGRATION = Integration(
    "kombu",
    distribution="kombu",
    minimum=(4, 2),
    patches=(
        Patch("kombu.messaging:Producer.publish", "publish"),
        Patch("kombu.messaging:Consumer.receive", "receive"),
        Patch("kombu.messaging:Consumer.__init__", "consumer_init"),
        Patch("kombu.simple:SimpleBase.get", "simple_get"),
        Patch("kombu.pidbox:Mailbox._publish", "quietly"),
        Patch("kombu.pidbox:Mailbox._publish_reply", "quietly"),
    ),
    spans=(
        SpanShape("publish {exchange}:{routing key}", "producer", f"{_ALL} error.type", "handing over the message"),
        SpanShape("process {destination}", "consumer", f"{_ALL} error.type", "the consumer's callbacks"),
        SpanShape("get {queue}", "client", _ALL, "the wait for one message"),
    ),
)
