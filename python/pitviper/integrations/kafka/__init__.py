"""kafka-python: spans of sending, fetching and processing records.

The context is sent in the record's headers. The body of a loop over a consumer runs in a consumer
span that continues the sender's trace. Several records that are fetched at once have one
client span, which links their senders. The span of sending ends when the client has taken the record;
what becomes of it later is not in it. A consumer that is iterated over and left behind has its last
span until it is closed.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._loops import loops_option

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.destination.partition.id messaging.kafka.message.key messaging.kafka.message.tombstone "
    "messaging.message.body.size messaging.client.id"
)

INTEGRATION = Integration(
    "kafka",
    distribution="kafka-python",
    minimum=(2, 0),
    patches=(
        Patch("kafka.producer.kafka:KafkaProducer.send", "send"),
        Patch("kafka.consumer.group:KafkaConsumer.__next__", "next_record"),
        Patch("kafka.consumer.group:KafkaConsumer.poll", "poll"),
        Patch("kafka.consumer.group:KafkaConsumer.close", "close"),
    ),
    spans=(
        SpanShape(
            "send {topic}",
            "producer",
            f"{_ALL} error.type",
            "handing the record to the client",
        ),
        SpanShape(
            "process {topic}",
            "consumer",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name",
            "one turn of a loop over records",
        ),
        SpanShape(
            "poll {topic}",
            "client",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name messaging.batch.message_count",
            "fetching records",
        ),
    ),
    options=(loops_option("PITVIPER_KAFKA_LOOPS"),),
)
