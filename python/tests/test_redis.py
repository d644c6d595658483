"""redis-py against a real Redis, and a real cluster of one node."""

import asyncio
import threading

import pytest
import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from sink import tree

from pitviper import tracer
from pitviper.instrument import engine

TEXT = ("db.query.text",)


@pytest.fixture
def port(redis_port, agent):
    """An empty Redis, and the agent in place."""
    engine.uninstall()
    with redis.Redis(port=redis_port) as client:
        client.flushall()
    engine.install()
    return redis_port


def named(spans, *names):
    """Those spans; what a client says when it connects (CLIENT SETINFO) depends on its version."""
    return [span for span in spans if not span.name.startswith(("CLIENT", "HELLO", "COMMAND", "CLUSTER", *names))]


def test_commands_are_recorded_without_keys_and_values(port, agent):
    with tracer.start_as_current_span("request"):
        client = redis.Redis(port=port, db=3)
        client.set("user:1", "secret", ex=60)
        assert client.get("user:1") == b"secret"
        client.execute_command(b"get", "user:1")
        client.mset({f"k{number}": "secret" for number in range(10)})
        client.config_get("maxmemory")
        assert client.eval("return ARGV[1]", 1, "user:1", "secret") == b"secret"
        script = client.register_script("return KEYS[1]")
        assert script(keys=["user:1"]) == b"user:1"
        client.close()
    spans = named(agent())
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client SET", {"db.query.text": "SET ? ? ? ?"}],
            ["client GET", {"db.query.text": "GET ?"}],
            ["client GET", {"db.query.text": "GET ?"}],
            ["client MSET", {"db.query.text": "MSET ? ? ? ? ? ? ? ? ..."}],
            ["client CONFIG GET", {"db.query.text": "CONFIG GET ?"}],
            ["client EVAL", {"db.query.text": "EVAL ? ? ? ?"}],
            ["client EVALSHA", {"db.query.text": "EVALSHA ? ? ?"}],
            ["client SCRIPT LOAD", {"db.query.text": "SCRIPT LOAD ?"}],
            ["client EVALSHA", {"db.query.text": "EVALSHA ? ? ?"}],
        ]
    ]
    get = next(span for span in spans if span.name == "GET")
    assert get.scope == "pitviper.redis"
    assert get.attributes == {
        "db.system.name": "redis",
        "db.namespace": "3",
        "server.address": "localhost",
        "server.port": port,
        "db.operation.name": "GET",
        "db.query.text": "GET ?",
    }
    first, second = (span for span in spans if span.name == "EVALSHA")
    assert (first.status, first.attributes["db.response.status_code"]) == ("error", "NOSCRIPT")
    assert second.attributes["db.stored_procedure.name"] == script.sha


def test_a_pipeline_is_one_span(port, agent):
    client = redis.Redis(port=port)
    with client.pipeline() as pipeline:
        pipeline.set("a", "secret").set("b", "secret")
        assert pipeline.execute() == [True, True]
        assert pipeline.execute() == []
    with client.pipeline(transaction=False) as pipeline:
        assert pipeline.get("a").incr("n").execute() == [b"secret", 1]
        for number in range(20):
            pipeline.get(number)
        pipeline.execute()
    with client.pipeline() as pipeline:
        pipeline.watch("a")
        assert pipeline.get("a") == b"secret"
        pipeline.multi()
        pipeline.get("a")
        pipeline.lpush("a", "x")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            pipeline.execute()
    client.close()
    spans = named(agent())
    found = [
        (span.name, span.attributes["db.query.text"], span.attributes.get("db.operation.batch.size")) for span in spans
    ]
    assert found == [
        ("MULTI SET", "SET ? ?; SET ? ?", 2),
        ("PIPELINE", "GET ?; INCRBY ? ?", 2),
        ("PIPELINE GET", "GET ?; " * 16 + "...", 20),
        ("WATCH", "WATCH ?", None),
        ("GET", "GET ?", None),
        ("MULTI", "GET ?; LPUSH ? ?", 2),
        *found[6:],
    ]
    assert spans[5].status == "error"
    assert {name for name, *_ in found[6:]} <= {"UNWATCH"}


def test_errors_are_the_clients(port, agent):
    client = redis.Redis(port=port)
    client.set("a", "x")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("a", 1)
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("a")
    with pytest.raises(redis.DataError):
        client.set("a", object())
    client.close()
    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=1, retry=None).get("a")
    failed = [span for span in agent() if span.status == "error"]
    assert [(span.name, span.attributes.get("db.response.status_code")) for span in failed] == [
        ("LPUSH", "WRONGTYPE"),
        ("INCRBY", "ERR"),
        ("SET", None),
        ("GET", None),
    ]
    assert failed[0].attributes["error.type"] == "redis.exceptions.ResponseError"
    assert [event[0] for event in failed[0].events] == ["exception"]


def test_published_messages_arrive(port, agent):
    client = redis.Redis(port=port)
    with client.pubsub() as channel:
        channel.subscribe("news")
        assert channel.get_message(timeout=5)["type"] == "subscribe"
        with tracer.start_as_current_span("publishing"):
            assert client.publish("news", "secret") == 1
        assert channel.get_message(timeout=5)["data"] == b"secret"
    client.close()
    assert tree(named(agent()), TEXT) == [
        ["client SUBSCRIBE", {"db.query.text": "SUBSCRIBE ?"}],
        ["internal publishing", ["client PUBLISH", {"db.query.text": "PUBLISH ? ?"}]],
    ]


def test_tasks_keep_their_spans(port, agent):
    async def work(client, number):
        with tracer.start_as_current_span(f"work {number}"):
            await client.set(f"k{number}", number)
            assert await client.get(f"k{number}") == str(number).encode()
            async with client.pipeline() as pipeline:
                await pipeline.incr("n").incr("n").execute()

    async def main():
        async with redis.asyncio.Redis(port=port) as client:
            await asyncio.gather(*(work(client, number) for number in range(8)))
            async with client.pubsub() as channel:
                await channel.subscribe("news")
            with pytest.raises(redis.ResponseError):
                await client.lpush("n", 1)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.blpop("absent"), 0.05)

    asyncio.run(main())
    spans = agent()
    trees = tree(spans)
    works = [root for root in trees if root[0].startswith("internal work")]
    assert len(works) == 8
    for root in works:
        commands = [child[0] for child in root[1:] if not child[0].startswith(("client CLIENT", "client HELLO"))]
        assert commands == ["client SET", "client GET", "client MULTI INCRBY"]
    others = {span.name: span.status for span in named(spans, "work", "SET", "GET", "MULTI")}
    # A command that its caller gave up is no error.
    assert {name: others[name] for name in ("SUBSCRIBE", "LPUSH", "BLPOP")} == {
        "SUBSCRIBE": "unset", "LPUSH": "error", "BLPOP": "unset",
    }  # fmt: skip


def test_threads_share_a_client_and_keep_their_spans(port, agent):
    client = redis.Redis(port=port)

    def work(number):
        with tracer.start_as_current_span(f"work {number}"):
            client.incr("n")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    for root in tree(agent()):
        assert ["client INCRBY"] in root


def test_clusters_are_traced(redis_cluster_port, agent):
    engine.install()
    client = redis.cluster.RedisCluster(host="127.0.0.1", port=redis_cluster_port)
    with tracer.start_as_current_span("request"):
        client.set("a", "secret")
        assert client.get("a") == b"secret"
        pipeline = client.pipeline()
        pipeline.set("{a}1", 1)
        pipeline.get("{a}1")
        assert pipeline.execute() == [True, b"1"]
    client.close()

    async def main():
        async with redis.asyncio.cluster.RedisCluster(host="127.0.0.1", port=redis_cluster_port) as own:
            with tracer.start_as_current_span("async request"):
                await own.set("a", "secret")
                assert await own.get("a") == b"secret"
                assert await own.pipeline().get("a").get("a").execute() == [b"secret", b"secret"]

    asyncio.run(main())
    spans = agent()
    trees = [root for root in tree(spans, TEXT) if root[0].startswith("internal")]
    assert trees == [
        [
            "internal request",
            ["client SET", {"db.query.text": "SET ? ?"}],
            ["client GET", {"db.query.text": "GET ?"}],
            ["client PIPELINE", {"db.query.text": "SET ? ?; GET ?"}],
        ],
        [
            "internal async request",
            ["client SET", {"db.query.text": "SET ? ?"}],
            ["client GET", {"db.query.text": "GET ?"}],
            ["client PIPELINE GET", {"db.query.text": "GET ?; GET ?"}],
        ],
    ]
    sets = [span for span in spans if span.name == "SET"]
    assert [span.attributes["server.port"] for span in sets] == [redis_cluster_port] * 2


def test_keys_are_shown_when_they_are_asked_for(port, run, sink):
    source = f"""
import redis
client = redis.Redis(port={port})
client.set("user:1", "secret"); client.mget("a", b"b"); client.publish("news", "secret"); client.ping()
"""
    assert run(source, PITVIPER_REDIS_KEYS="true").stderr == ""
    texts = [span.attributes["db.query.text"] for span in named(sink.wait_for(4)) if span.kind == "client"]
    assert texts == ["SET user:1 ?", "MGET a b", "PUBLISH ? ?", "PING"]


def test_what_was_made_before_works_when_the_integration_is_gone(port, agent):
    client = redis.Redis(port=port)
    pipeline = client.pipeline()
    engine.uninstall()
    client.set("a", 1)
    assert pipeline.get("a").execute() == [b"1"]
    client.close()
    assert agent() == []


def test_it_can_be_switched_off(port, run, sink):
    source = f"import redis, pitviper; redis.Redis(port={port}).get('a')\nwith pitviper.tracer.start_as_current_span('end'): pass"
    run(source, PITVIPER_INTEGRATIONS_DISABLED="redis")
    assert [span.name for span in sink.wait_for(1)] == ["end"]
