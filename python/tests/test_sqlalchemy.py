"""SQLAlchemy over the drivers below it: their spans, once, and the time its pools make one wait."""

import asyncio
import threading
import time

import pytest
import sqlalchemy
import sqlalchemy.exc
from sink import tree
from sqlalchemy.ext.asyncio import create_async_engine

from pitviper import tracer
from pitviper.instrument import engine


@pytest.fixture
def db(postgresql, mariadb, agent):
    """The servers, and the agent in place."""
    engine.install()
    return postgresql, mariadb


def _urls(postgresql, mariadb):
    place = f"{mariadb.user}:{mariadb.password}@{mariadb.host}:{mariadb.port}/{mariadb.database}"
    own = postgresql.url.partition("://")[2]
    return {
        "sqlite": "sqlite://",
        "psycopg2": f"postgresql+psycopg2://{own}",
        "psycopg": f"postgresql+psycopg://{own}",
        "pymysql": f"mysql+pymysql://{place}",
        "mysqldb": f"mysql+mysqldb://{place}",
        "asyncpg": f"postgresql+asyncpg://{own}",
        "aiomysql": f"mysql+aiomysql://{place}",
    }


@pytest.mark.parametrize("driver", ["sqlite", "psycopg2", "psycopg", "pymysql", "mysqldb"])
def test_a_statement_is_one_span(db, agent, driver):
    pool = sqlalchemy.create_engine(_urls(*db)[driver])
    with pool.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT 1"))
    with tracer.start_as_current_span("request"), pool.begin() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 2 + :n"), {"n": 40}).scalar() == 42
    pool.dispose()
    (root,) = [root for root in tree(agent()) if root[0] == "internal request"]
    # The drivers say what they end transactions with, SQLite only when there was one.
    assert [child for child in root[1:] if child != ["client ROLLBACK"]] in (
        [["client SELECT"], ["client COMMIT"]],
        [["client SELECT"]],
    )


@pytest.mark.parametrize("driver", ["asyncpg", "aiomysql", "psycopg"])
def test_an_asynchronous_statement_is_one_span(db, agent, driver):
    async def main():
        pool = create_async_engine(_urls(*db)[driver])
        async with pool.connect() as connection:
            await connection.execute(sqlalchemy.text("SELECT 1"))
        with tracer.start_as_current_span("request"):
            async with pool.begin() as connection:
                assert (await connection.execute(sqlalchemy.text("SELECT 40 + 2"))).scalar() == 42
        await pool.dispose()

    asyncio.run(main())
    (root,) = [root for root in tree(agent()) if root[0] == "internal request"]
    names = [child[0] for child in root[1:] if "PREPARE" not in child[0] and "ROLLBACK" not in child[0]]
    assert [name for name in names if "BEGIN" not in name] == ["client SELECT", "client COMMIT"]


def test_waiting_for_a_connection_is_seen(db, agent):
    pool = sqlalchemy.create_engine(
        _urls(*db)["psycopg2"], poolclass=sqlalchemy.pool.QueuePool, pool_size=1, max_overflow=0, pool_timeout=0.2
    )
    held = pool.connect()
    with tracer.start_as_current_span("in vain"), pytest.raises(sqlalchemy.exc.TimeoutError):
        pool.connect()
    releasing = threading.Timer(0.05, held.close)
    releasing.start()
    with tracer.start_as_current_span("in time"):
        start = time.monotonic()
        pool.connect().close()
        waited = (time.monotonic() - start) * 1_000
    releasing.join()
    with tracer.start_as_current_span("at once"):
        pool.connect().close()
    pool.dispose()
    spans = agent()
    waits = [span for span in spans if span.name == "wait for connection"]
    assert [span.status for span in waits] == ["error", "unset"]
    assert waits[0].duration_ms >= 190
    assert waits[1].duration_ms <= waited
    trees = {root[0]: root[1:] for root in tree(spans) if root[0].startswith("internal")}
    assert trees["internal at once"] in ([], [["client ROLLBACK"]])


def test_waiting_tasks_keep_their_spans(db, agent):
    async def work(pool, number):
        with tracer.start_as_current_span(f"work {number}"):
            async with pool.connect() as connection:
                await connection.execute(sqlalchemy.text("SELECT pg_sleep(0.02)"))

    async def main():
        pool = create_async_engine(_urls(*db)["asyncpg"], pool_size=1, max_overflow=0)
        await asyncio.gather(*(work(pool, number) for number in range(4)))
        await pool.dispose()

    asyncio.run(main())
    works = [root for root in tree(agent()) if root[0].startswith("internal work")]
    assert len(works) == 4
    assert sum(["internal wait for connection"] in root for root in works) == 3
    assert all(["client SELECT"] in root for root in works)
