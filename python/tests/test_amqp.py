"""pika, aio-pika and kombu with a real RabbitMQ."""

import asyncio
import socket
import threading

import aio_pika
import kombu
import oneagent
import pika
import pytest
from oneagent.common import DYNATRACE_MESSAGE_PROPERTY_NAME, MessagingDestinationType, MessagingVendor
from oneagent.sdk import Channel, ChannelType
from sink import tree

from pitviper import _native, tracer

URL = "amqp://guest:guest@127.0.0.1:{}/%2F"


@pytest.fixture
def queue(request):
    return f"queue-{request.node.name}"


@pytest.fixture
def channel(agent, rabbitmq_port, queue):
    connection = pika.BlockingConnection(pika.URLParameters(URL.format(rabbitmq_port)))
    channel = connection.channel()
    channel.queue_declare(queue)
    yield channel
    if channel.is_open:
        channel.queue_delete(queue)
    connection.close()


def describe(span):
    """A span without what differs from run to run."""
    return {key: value for key, value in span.attributes.items() if key not in ("server.port",)}


def test_pika_callbacks(agent, channel, queue):
    seen = []

    def work(channel, method, properties, body):
        seen.append(_native.current_span())
        with tracer.start_as_current_span("work"):
            channel.basic_ack(method.delivery_tag)
        if body == b"bad":
            channel.stop_consuming()
            raise ValueError("not eatable")

    properties = pika.BasicProperties(message_id="m1", correlation_id="c1", headers={"own": "1"})
    with tracer.start_as_current_span("request"):
        channel.basic_publish("", queue, b"good", properties)
        channel.basic_publish("", queue, "bad")
    assert properties.headers == {"own": "1"}
    channel.basic_consume(queue, work)
    with pytest.raises(ValueError, match="not eatable"):
        channel.start_consuming()
    spans = agent()
    published = ["consumer process " + queue, ["internal work"]]
    assert tree(spans) == [
        ["internal request", [f"producer publish {queue}", published], [f"producer publish {queue}", published]]
    ]
    first, second = (span for span in spans if span.kind == "consumer")
    assert (first.status, second.status, second.attributes["error.type"]) == ("unset", "error", "ValueError")
    common = {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": queue,
        "messaging.rabbitmq.destination.routing_key": queue,
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "c1",
        "messaging.message.body.size": 4,
        "server.address": "127.0.0.1",
    }
    assert describe(first) == {
        **common,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.rabbitmq.message.delivery_tag": 1,
    }
    producer = next(span for span in spans if span.kind == "producer")
    assert describe(producer) == {
        **common,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
    }


def test_pika_loops_and_gets(agent, channel, queue):
    assert channel.basic_get(queue) == (None, None, None)
    channel.confirm_delivery()
    for number in range(4):
        channel.basic_publish("", queue, str(number).encode())
    for method, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=5):
        assert method is not None
        with tracer.start_as_current_span(f"turn {body.decode()}"):
            pass
        if body == b"2":
            break
    assert _native.current_span() is None
    channel.cancel()
    channel.basic_publish("", queue, b"last")
    assert channel.basic_get(queue, auto_ack=True)[2] in (b"3", b"last")
    roots = tree(agent())
    loop = [[f"producer publish {queue}", [f"consumer process {queue}", [f"internal turn {n}"]]] for n in range(3)]
    assert roots[:3] == loop
    assert [f"client get {queue}"] in [child for root in roots[3:] for child in root[1:]]


@pytest.mark.parametrize(("kind", "given"), [("string", "str_tag"), ("byte", "byte_tag")])
def test_a_tag_of_dynatrace_travels_in_a_message(agent, channel, queue, kind, given):
    """Applications that send Dynatrace's tag themselves, in a header, are one trace as before."""
    oneagent.initialize()
    sdk = oneagent.get_sdk()
    system = sdk.create_messaging_system_info(
        MessagingVendor.RABBIT_MQ, queue, MessagingDestinationType.QUEUE, Channel(ChannelType.TCP_IP, "127.0.0.1")
    )
    with system:
        with sdk.trace_custom_service("order", "Frontend"), sdk.trace_outgoing_message(system) as sending:
            tag = getattr(sending, f"outgoing_dynatrace_{kind}_tag")
            headers = {DYNATRACE_MESSAGE_PROPERTY_NAME: tag}
            # The transport's own context does not get in the way.
            channel.basic_publish("", queue, b"book", pika.BasicProperties(headers=headers))
        for _, properties, _ in channel.consume(queue, auto_ack=True, inactivity_timeout=10):
            assert properties is not None, "the message comes"
            received = properties.headers[DYNATRACE_MESSAGE_PROPERTY_NAME]
            assert received == tag and DYNATRACE_MESSAGE_PROPERTY_NAME == "dtdTraceTagInfo"
            break
        channel.cancel()
        # Elsewhere, where nothing is current.
        with sdk.trace_incoming_message_process(system, **{given: received}):
            pass
    oneagent.shutdown()
    spans = agent()
    assert len({span.trace_id for span in spans}) == 1
    ids = {span.span_id: span for span in spans}
    processed = [span for span in spans if span.kind == "consumer" and span.scope != "pitviper.pika"]
    assert [ids[span.parent].name for span in processed] == [f"send {queue}"]


def test_pika_without_a_route(agent, channel):
    channel.confirm_delivery()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "nowhere", b"", mandatory=True)
    (span,) = agent()
    assert (span.status, span.attributes["error.type"]) == ("error", "pika.exceptions.UnroutableError")


def test_pika_without_blocking(agent, rabbitmq_port, queue):
    seen = []

    def consumed(channel, method, properties, body):
        seen.append(body)
        if len(seen) == 2:
            channel.connection.close()

    def declared(channel):
        channel.basic_consume(queue, on_message_callback=consumed, auto_ack=True)
        for body in (b"1", b"2"):
            channel.basic_publish(exchange="", routing_key=queue, body=body)

    def opened(connection):
        connection.channel(
            on_open_callback=lambda channel: channel.queue_declare(
                queue, auto_delete=True, callback=lambda _: declared(channel)
            )
        )

    connection = pika.SelectConnection(
        pika.URLParameters(URL.format(rabbitmq_port)),
        on_open_callback=opened,
        on_close_callback=lambda connection, _: connection.ioloop.stop(),
    )
    connection.ioloop.start()
    assert seen == [b"1", b"2"]
    assert tree(agent()) == [[f"producer publish {queue}", [f"consumer process {queue}"]]] * 2


def test_aio_pika(agent, rabbitmq_port, queue):
    async def main():
        with tracer.start_as_current_span("connecting"):
            connection = await aio_pika.connect_robust(URL.format(rabbitmq_port))
        async with connection:
            channel = await connection.channel()
            incoming = await channel.declare_queue(queue, auto_delete=True)
            done = asyncio.Queue()

            async def work(message):
                async with message.process():
                    await asyncio.sleep(0.01)
                    with tracer.start_as_current_span(f"work {message.body.decode()}"):
                        await asyncio.sleep(0.01)
                done.put_nowait(message.body)
                if message.body == b"bad":
                    raise ValueError("not eatable")

            tag = await incoming.consume(work)
            outgoing = aio_pika.Message(b"1", headers={"own": 1}, message_id="m1")

            async def send(number):
                with tracer.start_as_current_span(f"request {number}"):
                    await channel.default_exchange.publish(outgoing, queue)
                    await channel.default_exchange.publish(aio_pika.Message(b"bad"), queue)

            await asyncio.gather(send(1), send(2))
            for _ in range(4):
                await done.get()
            assert outgoing.headers == {"own": 1}
            await incoming.cancel(tag)
            await asyncio.sleep(0.05)

    asyncio.run(main())
    spans = agent()
    work = [[f"consumer process {queue}", [f"internal work {body}"]] for body in (1, "bad")]
    request = [[f"producer publish {queue}", each] for each in work]
    assert tree(spans) == [["internal connecting"], ["internal request 1", *request], ["internal request 2", *request]]
    failed = [span for span in spans if span.status == "error"]
    assert {span.name for span in failed} == {f"process {queue}"} and len(failed) == 2


def test_aio_pika_iterating_and_getting(agent, rabbitmq_port, queue):
    async def main():
        connection = await aio_pika.connect(URL.format(rabbitmq_port))
        async with connection:
            channel = await connection.channel()
            incoming = await channel.declare_queue(queue, auto_delete=False)
            assert await incoming.get(fail=False) is None
            for _ in range(2):
                await channel.default_exchange.publish(aio_pika.Message(b"x"), queue)
            message = await incoming.get()
            async with message.process():
                pass
            with tracer.start_as_current_span("around"):
                async with incoming.iterator() as messages:
                    async for each in messages:
                        with pytest.raises(KeyError):
                            async with each.process(requeue=False):
                                raise KeyError("x")
                        break
            await incoming.delete()

    asyncio.run(main())
    spans = agent()
    first = [f"producer publish {queue}", [f"client get {queue}"], [f"consumer process {queue}"]]
    second = [f"producer publish {queue}", [f"consumer process {queue}"]]
    assert tree(spans) == [first, second, ["internal around", [f"client receive {queue}"]]]
    producers = [span for span in spans if span.kind == "producer"]
    receive = next(span for span in spans if span.name.startswith("receive"))
    assert receive.links == [producers[1].span_id]


def test_kombu(agent, rabbitmq_port, queue):
    exchange = kombu.Exchange("news", type="topic")
    entity = kombu.Queue(queue, exchange, routing_key="weather.*", auto_delete=True)
    bodies = []
    with kombu.Connection(URL.format(rabbitmq_port)) as connection:

        def work(body, message):
            bodies.append(body)
            message.ack()
            with tracer.start_as_current_span("work"):
                pass
            if body == {"number": 2}:
                raise ValueError("not eatable")

        headers = {"own": "1"}
        with connection.Consumer(entity, callbacks=[work]) as consumer:
            producer = connection.Producer()

            def publish(number):
                body, to = {"number": number}, {"routing_key": "weather.sun", "exchange": exchange}
                producer.publish(body, headers=headers, retry=True, **to)

            publish(1)
            connection.drain_events(timeout=5)
            publish(2)
            with pytest.raises(ValueError, match="not eatable"):
                connection.drain_events(timeout=5)
            assert consumer.callbacks == [work]
    assert headers == {"own": "1"} and len(bodies) == 2
    spans = agent()
    one = ["producer publish news:weather.sun", [f"consumer process {queue}", ["internal work"]]]
    assert tree(spans) == [one, one]
    consumed = next(span for span in spans if span.kind == "consumer")
    assert consumed.attributes["messaging.destination.name"] == f"news:weather.sun:{queue}"
    assert consumed.attributes["messaging.system"] == "rabbitmq"
    assert consumed.attributes["server.port"] == rabbitmq_port


def test_kombu_simple_queues_and_raw_messages(agent, redis_port, queue):
    with kombu.Connection(f"redis://127.0.0.1:{redis_port}/1") as connection:
        with connection.SimpleQueue(queue) as simple:
            simple.put("x")
            message = simple.get(timeout=5)
            message.ack()
            with pytest.raises(simple.Empty):
                simple.get(block=False)
        raw = []
        entity = kombu.Queue(queue + "-raw")
        with connection.Consumer(entity, on_message=lambda message: raw.append(message)):
            connection.Producer().publish("y", routing_key=entity.name, declare=[entity])
            connection.drain_events(timeout=5)
        assert len(raw) == 1
    spans = [span for span in agent() if span.scope == "pitviper.kombu"]
    raw, over_redis = f"{queue}-raw", {"messaging.system": "redis"}
    assert tree(spans, ("messaging.system",)) == [
        [f"producer publish {queue}:{queue}", over_redis, [f"client get {queue}", over_redis]],
        [f"producer publish {raw}", over_redis, [f"consumer process {raw}", over_redis]],
    ]


def test_a_broker_that_is_away(agent):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(kombu.exceptions.OperationalError):
            kombu.Connection(URL.format(port), connect_timeout=1).Producer().publish("x", routing_key="x")
    (span,) = agent()
    assert (span.name, span.status) == ("publish x", "error")


def test_many_threads_publish(agent, rabbitmq_port, queue):
    def publish(number):
        connection = pika.BlockingConnection(pika.URLParameters(URL.format(rabbitmq_port)))
        with tracer.start_as_current_span(f"thread {number}"):
            for _ in range(5):
                connection.channel().basic_publish("", f"{queue}-nowhere", b"")
        connection.close()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [[f"internal thread {number}", *([[f"producer publish {queue}-nowhere"]] * 5)] for number in range(4)]
    assert sorted(tree(agent())) == expected
