"""Each database, cache and messaging library with its integration disabled, in place, and taken back."""

import asyncio
import importlib
import sqlite3
from contextlib import contextmanager

import aio_pika
import aiomysql
import asyncpg
import dramatiq
import dramatiq.brokers.redis
import kombu
import memcache
import MySQLdb
import pika
import psycopg
import psycopg2
import pylibmc
import pymemcache
import pymongo
import pymysql
import pytest
import redis
import redis.asyncio
import rq
import sqlalchemy

from pitviper.instrument import engine

_PATIENCE = 60


def executing(connection):
    """Runs a statement over a connection of Python's database API."""

    def use():
        cursor = connection.cursor()
        cursor.execute("SELECT 41 + 1")
        (row,) = cursor.fetchall()
        cursor.close()
        return row[0]

    return use


@contextmanager
def of_sqlite3(_server):
    connection = sqlite3.connect(":memory:")
    yield executing(connection)
    connection.close()


@contextmanager
def of_psycopg2(server):
    connection = psycopg2.connect(server("postgresql").dsn)
    yield executing(connection)
    connection.close()


@contextmanager
def of_psycopg(server):
    with psycopg.connect(server("postgresql").url) as connection:
        yield executing(connection)


@contextmanager
def of_pymysql(server):
    connection = pymysql.connect(**server("mariadb").arguments)
    yield executing(connection)
    connection.close()


@contextmanager
def of_mysqldb(server):
    connection = MySQLdb.connect(**server("mariadb").arguments)
    yield executing(connection)
    connection.close()


@contextmanager
def loop():
    """An event loop of the test's own; what it gives runs a coroutine to its end."""
    made = asyncio.new_event_loop()
    # Before Python 3.10 locks look for the thread's loop when they are made.
    asyncio.set_event_loop(made)
    yield made.run_until_complete

    async def end():
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    made.run_until_complete(end())
    made.run_until_complete(made.shutdown_asyncgens())
    asyncio.set_event_loop(None)
    made.close()


@contextmanager
def of_asyncpg(server):
    with loop() as wait:
        connection = wait(asyncpg.connect(server("postgresql").url))
        yield lambda: wait(connection.fetchval("SELECT 41 + 1"))
        wait(connection.close())


@contextmanager
def of_aiomysql(server):
    own = server("mariadb")
    with loop() as wait:
        place = {"host": own.host, "port": own.port, "user": own.user, "password": own.password, "db": own.database}
        connection = wait(aiomysql.connect(**place))

        async def use():
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT 41 + 1")
                return (await cursor.fetchone())[0]

        yield lambda: wait(use())
        connection.close()


@contextmanager
def of_sqlalchemy(_server):
    pool = sqlalchemy.create_engine(
        "sqlite://", poolclass=sqlalchemy.pool.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.02
    )

    def use():
        with pool.connect(), pytest.raises(sqlalchemy.exc.TimeoutError):
            pool.connect()
        return "waited"

    yield use
    pool.dispose()


@contextmanager
def of_redis(server):
    with redis.Redis(port=server("redis_port")) as client:

        def use():
            client.set("a", 1)
            return client.pipeline().get("a").execute()

        yield use


@contextmanager
def of_redis_asyncio(server):
    with loop() as wait:
        client = redis.asyncio.Redis(port=server("redis_port"))
        yield lambda: wait(client.set("a", 1))
        wait(client.aclose())


@contextmanager
def of_pymongo(server):
    with pymongo.MongoClient(f"mongodb://127.0.0.1:{server('mongodb_port')}/") as client:
        yield lambda: client.admin.command("ping")["ok"]


def of_memcached(make, close):
    @contextmanager
    def opened(server):
        client = make(f"127.0.0.1:{server('memcached_port')}")

        def use():
            client.set("a", "1")
            return client.get("a")

        yield use
        close(client)

    return opened


@contextmanager
def of_pika(server):
    address = pika.URLParameters(f"amqp://guest:guest@127.0.0.1:{server('rabbitmq_port')}/%2F")
    connection = pika.BlockingConnection(address)
    channel = connection.channel()
    channel.confirm_delivery()
    yield lambda: channel.basic_publish("", "switched-off", b"x")
    connection.close()


@contextmanager
def of_aio_pika(server):
    with loop() as wait:
        connection = wait(aio_pika.connect(f"amqp://guest:guest@127.0.0.1:{server('rabbitmq_port')}/"))

        async def start():
            return (await connection.channel()).default_exchange

        exchange = wait(start())

        async def use():
            await exchange.publish(aio_pika.Message(b"x"), "switched-off", mandatory=False)

        yield lambda: wait(use())
        wait(connection.close())


@contextmanager
def of_kombu(server):
    with kombu.Connection(f"amqp://guest:guest@127.0.0.1:{server('rabbitmq_port')}//") as connection:
        producer = connection.Producer()

        def use():
            producer.publish({"a": 1}, routing_key="switched-off")

        yield use
        producer.release()


@contextmanager
def of_kafka(server):
    import kafka

    producer = kafka.KafkaProducer(bootstrap_servers=server("kafka_servers"), api_version=(2, 1))
    yield lambda: producer.send("switched-off", b"x").get(timeout=_PATIENCE).topic
    producer.close()


@contextmanager
def of_confluent_kafka(server):
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": server("kafka_servers")})

    def use():
        seen = []
        producer.produce("switched-off", b"x", on_delivery=lambda error, message: seen.append((error, message.topic())))
        producer.flush(_PATIENCE)
        return seen

    yield use


@contextmanager
def of_aiokafka(server):
    import aiokafka

    with loop() as wait:

        async def start():
            producer = aiokafka.AIOKafkaProducer(bootstrap_servers=server("kafka_servers"))
            await producer.start()
            return producer

        producer = wait(start())
        yield lambda: wait(producer.send_and_wait("switched-off", b"x")).topic
        wait(producer.stop())


@contextmanager
def of_rq(server):
    with redis.Redis(port=server("redis_port")) as client:
        queue = rq.Queue("switched-off", connection=client)
        yield lambda: queue.enqueue("builtins.abs", -1).get_status()
        queue.empty()


@contextmanager
def of_dramatiq(server):
    broker = dramatiq.brokers.redis.RedisBroker(port=server("redis_port"))
    actor = dramatiq.Actor(abs, broker=broker, actor_name="shop", queue_name="switched-off", priority=0, options={})

    def use():
        return actor.send(-1).actor_name

    yield use
    broker.flush_all()
    broker.close()


LIBRARIES = {
    "sqlite3": of_sqlite3,
    "psycopg2": of_psycopg2,
    "psycopg": of_psycopg,
    "pymysql": of_pymysql,
    "mysqldb": of_mysqldb,
    "asyncpg": of_asyncpg,
    "aiomysql": of_aiomysql,
    "sqlalchemy": of_sqlalchemy,
    "redis": of_redis,
    "redis asyncio": of_redis_asyncio,
    "pymongo": of_pymongo,
    "pymemcache": of_memcached(lambda address: pymemcache.Client(address), lambda client: client.close()),
    "pylibmc": of_memcached(lambda address: pylibmc.Client([address]), lambda client: client.disconnect_all()),
    "memcache": of_memcached(lambda address: memcache.Client([address]), lambda client: client.disconnect_all()),
    "pika": of_pika,
    "aio_pika": of_aio_pika,
    "kombu": of_kombu,
    "kafka": of_kafka,
    "confluent_kafka": of_confluent_kafka,
    "aiokafka": of_aiokafka,
    "rq": of_rq,
    "dramatiq": of_dramatiq,
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_disabled_in_place_and_taken_back(agent, request, library):
    name = library.partition(" ")[0]
    # With the agent in place: confluent-kafka makes classes of those that are wrapped, when it is imported.
    for kafka_client in ("aiokafka", "confluent_kafka", "kafka"):
        importlib.import_module(kafka_client)

    def opened():
        return LIBRARIES[library](request.getfixturevalue)

    def spans():
        return [span.name for span in agent() if span.scope == f"pitviper.{name}"]

    engine.uninstall()
    engine.install(frozenset({name}))
    assert engine.states()[name] == "disabled by configuration"
    with opened() as use:
        plain = use()
    assert spans() == []
    engine.uninstall()
    engine.install()
    with opened() as use:
        assert use() == plain
        # What is seen here is what must not be seen otherwise.
        assert engine.states()[name] == "in place"
        assert spans() != []
        engine.uninstall()
        assert use() == plain
    before = spans()
    with opened() as use:
        assert use() == plain
    assert spans() == before
