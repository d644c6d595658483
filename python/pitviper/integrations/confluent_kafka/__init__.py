"""confluent-kafka: spans of sending, fetching and processing records.

The context is sent in the record's headers. What an application does between one ``Consumer.poll``
and the next runs in a consumer span that continues the sender's trace. Several records that are fetched
at once have one client span, which links their senders. The span of sending ends when the client has
taken the record; what becomes of it later is not in it. ``AIOProducer`` cannot send headers.

``Producer`` and ``Consumer`` are subclasses of the library's, which are written in C; serializing and
asynchronous clients are made of them.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._loops import loops_option

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.destination.partition.id messaging.kafka.message.key messaging.kafka.message.tombstone "
    "messaging.message.body.size messaging.client.id"
)

INTEGRATION = Integration(
    "confluent_kafka",
    distribution="confluent-kafka",
    minimum=(1, 6),
    patches=(
        Patch("confluent_kafka.cimpl:Producer", "producer"),
        Patch("confluent_kafka.cimpl:Consumer", "consumer"),
        # For applications that were there before us.
        Patch("confluent_kafka:Producer", "producer"),
        Patch("confluent_kafka:Consumer", "consumer"),
        Patch("confluent_kafka.aio._AIOConsumer:AIOConsumer.__init__", "aio_consumer_init", optional=True),
    ),
    spans=(
        SpanShape("send {topic}", "producer", f"{_ALL} error.type", "handing the record to the client"),
        SpanShape(
            "process {topic}",
            "consumer",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name",
            "one turn of a loop over records",
        ),
        SpanShape(
            "consume {topic}",
            "client",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name messaging.batch.message_count",
            "fetching records",
        ),
    ),
    options=(loops_option("PITVIPER_CONFLUENT_KAFKA_LOOPS"),),
)
