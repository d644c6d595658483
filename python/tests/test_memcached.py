"""pymemcache, pylibmc and python-memcached against a real memcached."""

import memcache
import pylibmc
import pymemcache
import pymemcache.client.hash
import pytest
from sink import tree

from pitviper import tracer
from pitviper.instrument import engine

SIZE = ("db.operation.batch.size",)


@pytest.fixture
def port(memcached_port, agent):
    """An empty memcached, and the agent in place."""
    engine.install()
    client = memcache.Client([f"127.0.0.1:{memcached_port}"])
    client.flush_all()
    client.disconnect_all()
    yield memcached_port


def below(agent, name):
    """The one trace of this name."""
    spans = agent()
    (root,) = [root for root in tree(spans, SIZE) if root[0] == f"internal {name}"]
    return spans, root[1:]


def test_pymemcache(port, agent):
    client = pymemcache.Client(("127.0.0.1", port), default_noreply=False)
    with tracer.start_as_current_span("request"):
        assert client.set("a", "secret")
        assert client.get("a") == b"secret"
        assert client.set_many({"b": "1", "c": "2"}) == []
        assert client.get_multi(["b", "c"]) == {"b": b"1", "c": b"2"}
        assert client.incr("b", 4) == 5
        with pytest.raises(pymemcache.MemcacheClientError):
            client.incr("a", 1)
    spans, found = below(agent, "request")
    assert found == [
        ["client set"],
        ["client get"],
        ["client set_many", {"db.operation.batch.size": 2}],
        ["client get_many", {"db.operation.batch.size": 2}],
        ["client incr"],
        ["client incr"],
    ]
    get = next(span for span in spans if span.name == "get")
    assert get.attributes == {
        "db.system.name": "memcached",
        "db.operation.name": "get",
        "server.address": "127.0.0.1",
        "server.port": port,
    }
    failed = [span for span in spans if span.status == "error"]
    assert [span.attributes["error.type"] for span in failed] == ["pymemcache.exceptions.MemcacheClientError"]
    client.close()


def test_pymemcache_pools_and_hashes(port, agent):
    pooled = pymemcache.PooledClient(("127.0.0.1", port), max_pool_size=2)
    hashing = pymemcache.client.hash.HashClient([("127.0.0.1", port)], use_pooling=True)
    with tracer.start_as_current_span("request"):
        pooled.set("a", "1", noreply=False)
        assert hashing.get("a") == b"1"
        assert hashing.get_many(["a", "b"]) == {"a": b"1"}
    assert below(agent, "request")[1] == [
        ["client set"],
        ["client get"],
        ["client get_many", {"db.operation.batch.size": 2}],
    ]
    pooled.close()
    hashing.close()


def test_pylibmc(port, agent):
    client = pylibmc.Client([f"127.0.0.1:{port}"])
    with tracer.start_as_current_span("request"):
        assert client.set("a", "secret")
        assert client.get("a") == "secret"
        client["b"] = "1"
        client.set_multi({"c": 1, "d": 2})
        assert client.get_multi(["c", "d"]) == {"c": 1, "d": 2}
        with pytest.raises(pylibmc.NotFound):
            client.incr("absent")
        pool = pylibmc.ThreadMappedPool(client)
        with pool.reserve() as own:
            assert own.get("a") == "secret"
    spans, found = below(agent, "request")
    assert found == [
        ["client set"],
        ["client get"],
        ["client set"],
        ["client set_multi", {"db.operation.batch.size": 2}],
        ["client get_multi", {"db.operation.batch.size": 2}],
        ["client incr"],
        ["client get"],
    ]
    assert [span.name for span in spans if span.status == "error"] == ["incr"]
    get = next(span for span in spans if span.name == "get")
    assert (get.attributes["server.address"], get.attributes["server.port"]) == ("127.0.0.1", port)
    pool.relinquish()


def test_python_memcached(port, agent):
    client = memcache.Client([f"127.0.0.1:{port}"])
    with tracer.start_as_current_span("request"):
        assert client.set("a", "secret")
        assert client.get("a") == "secret"
        client.set_multi({"b": "1", "c": "2"})
        assert client.get_multi(["b", "c"]) == {"b": "1", "c": "2"}
        assert client.delete("a")
        with pytest.raises(memcache.Client.MemcachedKeyLengthError):
            client.get("x" * 300)
    spans, found = below(agent, "request")
    assert found == [
        ["client set"],
        ["client get"],
        ["client set_multi", {"db.operation.batch.size": 2}],
        ["client get_multi", {"db.operation.batch.size": 2}],
        ["client delete"],
        ["client get"],
    ]
    assert [span.name for span in spans if span.status == "error"] == ["get"]
    client.disconnect_all()


def test_clients_made_before_work_when_the_integration_is_gone(port, agent):
    address = f"127.0.0.1:{port}"
    clients = [pymemcache.Client(address), pylibmc.Client([address]), memcache.Client([address])]
    agent()
    before = len(agent())
    engine.uninstall()
    for client in clients:
        client.set("a", "1")
        assert client.get("a") in ("1", b"1")
    assert len(agent()) == before
