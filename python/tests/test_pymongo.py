"""PyMongo against mockupdb, a stand-in that speaks MongoDB's protocol; see services/mongodb.py."""

import asyncio

import pymongo
import pymongo.errors
import pymongo.monitoring
import pytest
from sink import tree

from pitviper import tracer
from pitviper.instrument import engine


@pytest.fixture
def uri(mongodb_port, agent):
    """Where the stand-in is, and the agent in place."""
    engine.install()
    return f"mongodb://127.0.0.1:{mongodb_port}/?serverSelectionTimeoutMS=5000&retryWrites=false&retryReads=false"


class Counter(pymongo.monitoring.CommandListener):
    """The application's own listener."""

    def __init__(self):
        self.started_commands = []

    def started(self, event):
        self.started_commands.append(event.command_name)

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def test_commands_are_recorded_without_values(uri, agent, mongodb_port):
    own = Counter()
    with tracer.start_as_current_span("request"), pymongo.MongoClient(uri, event_listeners=[own]) as client:
        items = client.shop.item
        items.insert_many([{"a": "secret"}, {"a": "secret"}])
        assert [row["a"] for row in items.find({"a": "secret"})] == [1, 2]
        items.update_one({"a": "secret"}, {"$set": {"b": 1}})
        assert list(items.aggregate([{"$count": "n"}])) == [{"n": 2}]
        with pytest.raises(pymongo.errors.OperationFailure, match="not authorized"):
            items.delete_one({"a": "secret"})
        client.admin.command("ping")
    spans = agent()
    (root,) = tree(spans)
    assert root == [
        "internal request",
        ["client insert item"],
        ["client find item"],
        ["client getMore item"],
        ["client update item"],
        ["client aggregate item"],
        ["client delete item"],
        ["client ping"],
    ]
    assert own.started_commands == ["insert", "find", "getMore", "update", "aggregate", "delete", "ping"]
    assert "secret" not in str([span.attributes for span in spans])
    insert = next(span for span in spans if span.name == "insert item")
    assert insert.scope == "pitviper.pymongo"
    assert insert.attributes == {
        "db.system.name": "mongodb",
        "db.namespace": "shop",
        "db.collection.name": "item",
        "db.operation.name": "insert",
        "db.operation.batch.size": 2,
        "server.address": "127.0.0.1",
        "server.port": mongodb_port,
    }
    failed = next(span for span in spans if span.name == "delete item")
    assert (failed.status, failed.status_message) == ("error", "not authorized")
    assert failed.attributes["db.response.status_code"] == "13"
    assert failed.attributes["error.type"] == "Unauthorized"


def test_tasks_keep_their_spans(uri, agent):
    async def work(client, number):
        with tracer.start_as_current_span(f"work {number}"):
            await client.shop.item.insert_one({"a": number})
            assert [row["a"] async for row in client.shop.item.find({})] == [1, 2]

    async def main():
        async with pymongo.AsyncMongoClient(uri) as client:
            await asyncio.gather(*(work(client, number) for number in range(6)))

    asyncio.run(main())
    works = [root for root in tree(agent()) if root[0].startswith("internal work")]
    assert len(works) == 6
    for root in works:
        assert root[1:] == [["client insert item"], ["client find item"], ["client getMore item"]]


def test_clients_made_after_it_is_gone_are_not_traced(uri, agent):
    engine.uninstall()
    with pymongo.MongoClient(uri) as client:
        client.admin.command("ping")
    assert agent() == []
