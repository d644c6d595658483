"""A stand-in for MongoDB, which no registry has as a server: mockupdb, by MongoDB itself, speaks its wire protocol.

It answers the few commands that the tests send, as a server would.
"""

from collections.abc import Iterator
from typing import Any

import mockupdb
import pytest

#: What it says it is: MongoDB 7.0.
_WIRE_VERSION = 21


@pytest.fixture
def mongodb_port() -> "Iterator[int]":
    """The port of a stand-in with a database ``shop`` that has a collection ``item``."""
    server = mockupdb.MockupDB(auto_ismaster=True, max_wire_version=_WIRE_VERSION)
    answers: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"insert": "item"}, {"n": 2}),
        ({"find": "item"}, {"cursor": {"id": 123, "ns": "shop.item", "firstBatch": [{"a": 1}]}}),
        ({"getMore": 123, "collection": "item"}, {"cursor": {"id": 0, "ns": "shop.item", "nextBatch": [{"a": 2}]}}),
        ({"update": "item"}, {"n": 1, "nModified": 1}),
        ({"aggregate": "item"}, {"cursor": {"id": 0, "ns": "shop.item", "firstBatch": [{"n": 2}]}}),
        ({"delete": "item"}, {"ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": "not authorized"}),
        ({"ping": 1}, {}),
    ]
    for command, answer in answers:
        server.autoresponds(mockupdb.OpMsg(command), answer)
    server.run()
    yield server.port
    server.stop()
