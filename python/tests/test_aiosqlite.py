"""aiosqlite: statements run in its thread, and belong to who awaits them."""

import asyncio

import aiosqlite
import pytest
from sink import tree

from pitviper import tracer


async def work(name):
    with tracer.start_as_current_span(name):
        async with aiosqlite.connect(":memory:") as connection:
            await connection.execute("CREATE TABLE t (a INTEGER)")
            async with connection.execute("SELECT a FROM t WHERE a = 'secret'") as cursor:
                assert await cursor.fetchall() == []


EXPECTED = ["client CREATE TABLE"], ["client SELECT t"]


def test_statements_belong_to_who_awaits_them(agent):
    async def both():
        await asyncio.gather(work("one"), work("two"))

    asyncio.run(both())
    shown = tree(agent())
    assert sorted(root[0] for root in shown) == ["internal one", "internal two"]
    for root in shown:
        assert [child[0].split()[:2] for child in root[1:]] == [child[0].split()[:2] for child in EXPECTED]


def test_the_exception_is_the_hosts(agent):
    async def fail():
        async with aiosqlite.connect(":memory:") as connection:
            refused = pytest.raises(aiosqlite.OperationalError, match="no such table")
            with tracer.start_as_current_span("outer"), refused:
                await connection.execute("SELECT a FROM absent")

    asyncio.run(fail())
    statement, outer = sorted(agent(), key=lambda span: span.name == "outer")
    assert (statement.parent, statement.status) == (outer.span_id, "error")


SWITCHED = """
import asyncio, sys, aiosqlite
from pitviper import tracer
from pitviper.instrument import engine
async def main():
    with tracer.start_as_current_span("outer"):
        async with aiosqlite.connect(":memory:") as connection:
            if sys.argv[1] == "uninstall":
                engine.uninstall()
                assert not hasattr(aiosqlite.core.Connection._execute, "__wrapped__")
            await connection.execute("SELECT 1")
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["disable", "uninstall"])
def test_it_can_be_switched_off(run, sink, how):
    disabled = "aiosqlite,sqlite3" if how == "disable" else ""
    done = run(SWITCHED, how, PITVIPER_INTEGRATIONS_DISABLED=disabled)
    assert (done.returncode, done.stderr) == (0, "")
    # The connection itself was made by our sqlite3, and goes on as it was.
    assert ["internal outer"] in tree(sink.wait_for(1))
