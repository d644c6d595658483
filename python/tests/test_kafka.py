"""Kafka's three clients, with librdkafka's mock cluster as the broker."""

import asyncio
import time

import pytest
from sink import tree

from pitviper import _native, tracer

#: The newest that the stand-in serves; kafka-python asks real brokers.
VERSION = (2, 1)
#: kafka-python's consumers ask about topics this often. Now and then the stand-in's first answer about a new topic
#: names no partition, and the next question would be asked after five minutes.
REFRESH_MS = 1_000
#: Seconds a consumer needs to join its group and get a record.
_PATIENCE = 60


@pytest.fixture
def topic(request):
    return request.node.name.replace("[", "-").replace("]", "")


def without_ids(span):
    volatile = ("messaging.client.id", "messaging.destination.partition.id", "messaging.kafka.offset")
    return {key: value for key, value in span.attributes.items() if key not in volatile}


def process(topic, *children):
    return [f"producer send {topic}", [f"consumer process {topic}", *children]]


@pytest.fixture
def kafka_python(agent, kafka_servers):
    import kafka

    clients = []

    def make(kind, *topics, **settings):
        if kind == "producer":
            client = kafka.KafkaProducer(bootstrap_servers=kafka_servers, api_version=VERSION, **settings)
        else:
            client = kafka.KafkaConsumer(
                *topics,
                bootstrap_servers=kafka_servers,
                api_version=VERSION,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                metadata_max_age_ms=REFRESH_MS,
                **settings,
            )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


def test_kafka_python_loops(agent, kafka_python, topic):
    producer = kafka_python("producer", client_id="here")
    headers = [("own", b"1"), ("traceparent", b"stale")]
    with tracer.start_as_current_span("request"):
        producer.send(topic, b"one", key=b"k", headers=headers).get(timeout=_PATIENCE)
        producer.send(topic, b"two", partition=0).get(timeout=_PATIENCE)
    assert headers == [("own", b"1"), ("traceparent", b"stale")]
    consumer = kafka_python("consumer", topic, group_id=topic, consumer_timeout_ms=_PATIENCE * 1000)
    seen = []
    for record in consumer:
        with tracer.start_as_current_span("work"):
            seen.append(record.value)
        if len(seen) == 2:
            break
    assert _native.current_span() is not None
    consumer.close()
    assert _native.current_span() is None
    spans = agent()
    assert tree(spans) == [["internal request", process(topic, ["internal work"]), process(topic, ["internal work"])]]
    common = {"messaging.system": "kafka", "messaging.destination.name": topic, "messaging.message.body.size": 3}
    first = next(span for span in spans if span.kind == "producer")
    assert first.attributes["messaging.client.id"] == "here"
    assert without_ids(first) == {
        **common,
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.kafka.message.key": "k",
    }
    processed = next(span for span in spans if span.kind == "consumer" and span.parent == first.span_id)
    assert processed.attributes["messaging.kafka.offset"] == 0
    assert without_ids(processed) == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.kafka.message.key": "k",
        "messaging.consumer.group.name": topic,
    }


def test_kafka_python_batches(agent, kafka_python, topic):
    producer = kafka_python("producer")
    for _ in range(3):
        producer.send(topic, b"x", partition=0)
    producer.flush(_PATIENCE)
    consumer = kafka_python("consumer", topic)
    with tracer.start_as_current_span("batch"):
        until = time.monotonic() + _PATIENCE
        count = 0
        while count < 3 and time.monotonic() < until:
            count += sum(map(len, consumer.poll(timeout_ms=500).values()))
    spans = agent()
    senders = {span.span_id for span in spans if span.kind == "producer"}
    polls = [span for span in spans if span.kind == "client"]
    assert {link for span in polls for link in span.links} == senders and len(senders) == 3
    assert tree(spans)[3:] == [["internal batch", *([f"client poll {topic}"] for _ in polls)]]


def test_kafka_python_refusals_are_the_applications(agent, kafka_python, topic):
    producer = kafka_python("producer")
    with pytest.raises(TypeError, match="headers"):
        producer.send(topic, b"x", headers={"no": "list"})
    with pytest.raises(ValueError, match="key or value"):
        producer.send(topic)
    assert [(span.status, span.attributes["error.type"]) for span in agent()] == [
        ("error", "TypeError"),
        ("error", "ValueError"),
    ]


def test_without_loops(run, sink, kafka_servers, topic):
    source = f"""
import kafka
from pitviper import _native
broker = dict(bootstrap_servers={kafka_servers!r}, api_version={VERSION})
kafka.KafkaProducer(**broker).send({topic!r}, b"x").get(timeout=20)
for record in kafka.KafkaConsumer({topic!r}, auto_offset_reset="earliest", metadata_max_age_ms={REFRESH_MS}, **broker):
    print(_native.current_span())
    break
"""
    done = run(source, PITVIPER_KAFKA_LOOPS="false")
    assert done.stdout == "None\n", done.stderr
    assert tree(sink.wait_for(2)) == [[f"producer send {topic}", [f"client receive {topic}"]]]


def test_a_loop_that_was_left_ends_with_the_process(run, sink, kafka_servers, topic):
    source = f"""
import kafka
broker = dict(bootstrap_servers={kafka_servers!r}, api_version={VERSION})
kafka.KafkaProducer(**broker).send({topic!r}, b"x").get(timeout=20)
consumer = kafka.KafkaConsumer({topic!r}, auto_offset_reset="earliest", metadata_max_age_ms={REFRESH_MS}, **broker)
for record in consumer:
    break
"""
    assert run(source).returncode == 0
    assert tree(sink.wait_for(2)) == [process(topic)]


def confluent_consumer(kafka_servers, topic, kind="Consumer", **settings):
    import confluent_kafka

    consumer = getattr(confluent_kafka, kind)({"bootstrap.servers": kafka_servers, "group.id": topic, **settings})
    # Joining a group takes seconds; one test of another client does that.
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    return consumer


def poll(consumer):
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            return message
    raise AssertionError("no message came")


def test_confluent_kafka(agent, kafka_servers, topic):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": kafka_servers, "client.id": "here"})
    assert type(producer).__name__ == "Producer" and isinstance(producer, confluent_kafka.Producer)
    delivered = []
    with tracer.start_as_current_span("request"):
        for headers in (None, {"own": b"1"}, [("own", b"1")]):
            producer.produce(
                topic, b"one", "k", headers=headers, partition=0, on_delivery=lambda *_: delivered.append(1)
            )
    assert producer.flush(_PATIENCE) == 0 and len(delivered) == 3
    consumer = confluent_consumer(kafka_servers, topic)
    for number in range(3):
        message = poll(consumer)
        assert dict(message.headers()).get("own") == (b"1" if number else None)
        with tracer.start_as_current_span("work"):
            pass
    assert consumer.poll(0) is None
    assert _native.current_span() is None
    consumer.close()
    spans = agent()
    assert tree(spans) == [["internal request", *[process(topic, ["internal work"])] * 3]]
    consumed = [span for span in spans if span.kind == "consumer"]
    assert [span.attributes["messaging.kafka.offset"] for span in consumed] == [0, 1, 2]
    assert consumed[0].attributes["messaging.consumer.group.name"] == topic
    assert next(s for s in spans if s.kind == "producer").attributes["messaging.client.id"] == "here"


def test_confluent_kafka_batches_and_errors(agent, kafka_servers, topic):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": kafka_servers})
    producer.produce(topic, None, key="gone", partition=0)
    producer.produce(topic, b"x", partition=0)
    producer.flush(_PATIENCE)
    with pytest.raises(TypeError):
        producer.produce(topic, object())
    consumer = confluent_consumer(kafka_servers, topic)
    found = []
    with tracer.start_as_current_span("batch"):
        until = time.monotonic() + _PATIENCE
        while len(found) < 2 and time.monotonic() < until:
            found += consumer.consume(10, 0.5)
    consumer.close()
    spans = agent()
    sent = [span for span in spans if span.kind == "producer"]
    assert [span.status for span in sent] == ["unset", "unset", "error"]
    assert sent[0].attributes["messaging.kafka.message.tombstone"] is True
    fetched = [span for span in spans if span.kind == "client"]
    assert {link for span in fetched for link in span.links} == {span.span_id for span in sent[:2]}


def test_confluent_kafka_serializing(agent, kafka_servers, topic):
    import confluent_kafka
    from confluent_kafka.serialization import StringDeserializer, StringSerializer

    serializer = {"value.serializer": StringSerializer("utf_8")}
    producer = confluent_kafka.SerializingProducer({"bootstrap.servers": kafka_servers, **serializer})
    producer.produce(topic, value="text", partition=0)
    producer.flush(_PATIENCE)
    deserializer = {"value.deserializer": StringDeserializer("utf_8")}
    consumer = confluent_consumer(kafka_servers, topic, "DeserializingConsumer", **deserializer)
    assert poll(consumer).value() == "text"
    consumer.close()
    assert tree(agent()) == [process(topic)]


def test_aiokafka(agent, kafka_servers, topic):
    import aiokafka

    async def main():
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_servers, client_id="here")
        await producer.start()
        with tracer.start_as_current_span("request"):
            await producer.send_and_wait(topic, b"1", partition=0, headers=[("own", b"1")])
            await (await producer.send(topic, b"2", partition=0))
            await producer.send_and_wait(topic, b"3", partition=0)
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=kafka_servers, group_id=topic, auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        consumer.assign([aiokafka.TopicPartition(topic, 0)])

        with tracer.start_as_current_span("single"):
            assert (await asyncio.wait_for(consumer.getone(), _PATIENCE)).value == b"1"
        async for record in consumer:
            with tracer.start_as_current_span(f"work {record.value.decode()}"):
                await asyncio.sleep(0.01)
            if record.value == b"3":
                break
        await consumer.stop()
        await producer.stop()

    asyncio.run(main())
    spans = agent()
    assert tree(spans) == [
        [
            "internal request",
            [f"producer send {topic}"],
            process(topic, ["internal work 2"]),
            process(topic, ["internal work 3"]),
        ],
        ["internal single", [f"client getone {topic}"]],
    ]
    got = next(span for span in spans if span.kind == "client")
    assert got.links == [next(span for span in spans if span.kind == "producer").span_id]
    assert got.attributes["messaging.consumer.group.name"] == topic


def test_aiokafka_batches(agent, kafka_servers, topic):
    import aiokafka

    async def main():
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=kafka_servers) as producer:
            await asyncio.gather(*(producer.send_and_wait(topic, b"x", partition=0) for _ in range(3)))
        async with aiokafka.AIOKafkaConsumer(
            topic, bootstrap_servers=kafka_servers, auto_offset_reset="earliest"
        ) as consumer:
            count = 0
            while count < 3:
                batches = await consumer.getmany(timeout_ms=500)
                count += sum(map(len, batches.values()))

    asyncio.run(main())
    spans = agent()
    senders = {span.span_id for span in spans if span.kind == "producer"}
    fetched = [span for span in spans if span.kind == "client"]
    assert len(senders) == 3
    assert {link for span in fetched for link in span.links} | {span.parent for span in fetched} >= senders
