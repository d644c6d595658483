"""aiokafka: spans of sending, fetching and processing records.

The context is sent in the record's headers. The body of an ``async for`` loop over a consumer runs
in a consumer span that continues the sender's trace. Several records that are fetched at once have one
client span, which links their senders. The span of sending ends when the client has taken the record,
with ``send_and_wait`` when the broker has;
what becomes of it later is not in it. Batches that the application builds carry no context.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._loops import loops_option

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.destination.partition.id messaging.kafka.message.key messaging.kafka.message.tombstone "
    "messaging.message.body.size messaging.client.id"
)

INTEGRATION = Integration(
    "aiokafka",
    distribution="aiokafka",
    minimum=(0, 8),
    patches=(
        Patch("aiokafka.producer.producer:AIOKafkaProducer.send", "send"),
        Patch("aiokafka.producer.producer:AIOKafkaProducer.send_and_wait", "send_and_wait"),
        Patch("aiokafka.consumer.consumer:AIOKafkaConsumer.__anext__", "next_record"),
        Patch("aiokafka.consumer.consumer:AIOKafkaConsumer.getone", "getone"),
        Patch("aiokafka.consumer.consumer:AIOKafkaConsumer.getmany", "getmany"),
        Patch("aiokafka.consumer.consumer:AIOKafkaConsumer.stop", "stop"),
    ),
    spans=(
        SpanShape(
            "send {topic}",
            "producer",
            f"{_ALL} error.type",
            "until the client, or with `send_and_wait` the broker, has the record",
        ),
        SpanShape(
            "process {topic}",
            "consumer",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name",
            "one turn of a loop over records",
        ),
        SpanShape(
            "getmany {topic}",
            "client",
            f"{_ALL} messaging.kafka.offset messaging.consumer.group.name messaging.batch.message_count",
            "fetching records",
        ),
    ),
    options=(loops_option("PITVIPER_AIOKAFKA_LOOPS"),),
)
