"""psycopg2, psycopg 3 and asyncpg against a real PostgreSQL."""

import asyncio
import concurrent.futures
import gc

import asyncpg
import psycopg
import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool
import psycopg2.sql
import psycopg_pool
import pytest
from sink import tree

from pitviper import tracer
from pitviper.instrument import engine

TEXT = ("db.query.text",)


@pytest.fixture
def table(postgresql):
    """A table with two rows, made before anything is traced."""
    engine.uninstall()
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS item")
        connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO item VALUES (1, 'one'), (2, 'two')")
        connection.execute("CREATE OR REPLACE FUNCTION twice(integer) RETURNS integer AS 'SELECT $1 * 2' LANGUAGE sql")
    return postgresql


@pytest.fixture
def db(table, agent):
    """The table, and the agent in place."""
    engine.install()
    return table


def names(spans):
    return [span.name for span in sorted(spans, key=lambda span: span.start_ns)]


# psycopg2


def test_psycopg2_records_what_it_sends(db, agent):
    with tracer.start_as_current_span("request"):
        connection = psycopg2.connect(db.dsn)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT name FROM item WHERE id = 1 AND name <> %s", ("secret",))
            assert list(cursor) == [("one",)]
            cursor.executemany("INSERT INTO item VALUES (%s, 'x')", [(3,), (4,)])
            cursor.callproc("twice", (21,))
            assert cursor.fetchone() == (42,)
            cursor.execute(query=psycopg2.sql.SQL("SELECT {} FROM item").format(psycopg2.sql.Literal("s3cret")))
            cursor.execute(b"SELECT 1")
        connection.rollback()  # Nothing to roll back is nothing to send.
        connection.close()
    spans = agent()
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client CONNECT"],
            ["client SELECT item", {"db.query.text": "SELECT name FROM item WHERE id = ? AND name <> %s"}],
            ["client BATCH INSERT item", {"db.query.text": "INSERT INTO item VALUES (%s)"}],
            ["client CALL twice", {"db.query.text": "CALL twice"}],
            ["client SELECT item", {"db.query.text": "SELECT ? FROM item"}],
            ["client SELECT", {"db.query.text": "SELECT ?"}],
            ["client COMMIT", {"db.query.text": "COMMIT"}],
        ]
    ]
    select = next(span for span in spans if span.name == "SELECT item")
    assert select.scope == "pitviper.psycopg2"
    assert select.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "postgres",
        "server.address": "127.0.0.1",
        "server.port": db.port,
        "db.query.text": "SELECT name FROM item WHERE id = ? AND name <> %s",
        "db.query.summary": "SELECT item",
        "db.operation.name": "SELECT",
    }
    batch = next(span for span in spans if span.name.startswith("BATCH"))
    assert batch.attributes["db.operation.batch.size"] == 2


def test_psycopg2_errors_are_the_drivers(db, agent):
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=1, dbname="absent", user="u")
    connection = psycopg2.connect(db.dsn)
    with pytest.raises(psycopg2.errors.UndefinedTable) as raised:
        connection.cursor().execute("SELECT * FROM absent")
    with pytest.raises(TypeError, match="at most 2 arguments"):
        connection.cursor().execute("SELECT 1", None, None)
    with pytest.raises(TypeError):
        connection.cursor().execute()
    connection.close()
    refused, _, failed, *wrong = sorted(agent(), key=lambda span: span.start_ns)
    assert (refused.name, refused.status) == ("CONNECT", "error")
    assert refused.attributes["server.port"] == 1
    assert refused.attributes["db.namespace"] == "absent"
    assert raised.value.pgcode == failed.attributes["db.response.status_code"] == "42P01"
    assert failed.status == "error"
    assert failed.attributes["error.type"] == "psycopg2.errors.UndefinedTable"
    assert [event[0] for event in failed.events] == ["exception"]
    assert [span.status for span in wrong] == ["error", "error"]


def test_psycopg2_gets_real_connections_and_cursors(db, agent):
    class OwnConnection(psycopg2.extensions.connection):
        def cursor(self, *args, **kwargs):
            kwargs.setdefault("cursor_factory", OwnCursor)
            return super().cursor(*args, **kwargs)

    class OwnCursor(psycopg2.extensions.cursor):
        def execute(self, query, vars=None):
            # As psycopg2's documentation does it.
            return psycopg2.extensions.cursor.execute(self, query + " /* own */", vars)

    connection = psycopg2.connect(db.dsn, connection_factory=OwnConnection)
    cursor = connection.cursor()
    assert isinstance(connection, OwnConnection) and isinstance(cursor, OwnCursor)
    assert type(cursor).__qualname__ == OwnCursor.__qualname__
    psycopg2.extensions.register_type(psycopg2.extensions.UNICODE, connection)
    psycopg2.extensions.register_type(psycopg2.extensions.UNICODEARRAY, cursor)
    psycopg2.extras.register_uuid(conn_or_curs=connection)
    psycopg2.extras.register_default_jsonb(connection)
    psycopg2.extras.register_hstore(connection, oid=1, array_oid=2)
    assert psycopg2.extensions.quote_ident('a"b', cursor) == '"a""b"'
    assert psycopg2.sql.Identifier("a").as_string(connection) == '"a"'
    adapted = psycopg2.extensions.QuotedString("é")
    adapted.prepare(connection)
    cursor.execute("SELECT 1")
    assert cursor.fetchone() == (1,) and cursor.query == b"SELECT 1 /* own */"
    connection.close()

    for factory, row in (
        (psycopg2.extras.DictCursor, ["one"]),
        (psycopg2.extras.RealDictCursor, {"name": "one"}),
        (psycopg2.extras.NamedTupleCursor, ("one",)),
    ):
        connection = psycopg2.connect(db.dsn, cursor_factory=factory)
        cursor = connection.cursor()
        assert isinstance(cursor, factory)
        cursor.execute("SELECT name FROM item WHERE id = 1")
        assert cursor.fetchone() == row
        connection.close()
    connection = psycopg2.connect(db.dsn, connection_factory=psycopg2.extras.DictConnection)
    cursor = connection.cursor()
    cursor.execute("SELECT name FROM item WHERE id = 1")
    assert cursor.fetchone()["name"] == "one"
    connection.close()
    assert names(agent()) == [
        "CONNECT",
        "SELECT",
        *["CONNECT", "SELECT item"] * 4,
    ]


def test_psycopg2_values_lists_copy_and_named_cursors(db, agent):
    import io

    connection = psycopg2.connect(db.dsn)
    cursor = connection.cursor()
    psycopg2.extras.execute_values(cursor, "INSERT INTO item VALUES %s", [(n, f"secret{n}") for n in range(10, 20)])
    psycopg2.extras.execute_batch(cursor, "UPDATE item SET name = %s WHERE id = %s", [("a", 1), ("b", 2)])
    cursor.copy_expert("COPY item TO STDOUT WITH DELIMITER ','", io.StringIO())
    cursor.copy_from(io.StringIO("50\tfifty\n"), "item")
    named = connection.cursor("every")
    named.itersize = 5
    named.execute("SELECT id FROM item ORDER BY id")
    assert named.fetchmany(2) == [(1,), (2,)]
    assert len(list(named)) == 11
    named.close()
    with pytest.raises(ZeroDivisionError), connection:
        raise ZeroDivisionError
    connection.close()
    spans = agent()
    assert names(spans) == [
        "CONNECT",
        "INSERT item",
        "UPDATE item",
        "COPY item",
        "COPY item",
        "SELECT item",
        "FETCH",
        "ROLLBACK",
    ]
    texts = [span.attributes.get("db.query.text", "") for span in spans]
    assert "INSERT INTO item VALUES (?)" in texts
    assert "UPDATE item SET name = ? WHERE id = ?" in texts
    assert not [text for text in texts if "secret" in text]


def test_psycopg2_threads_share_a_pool(db, agent):
    pool = psycopg2.pool.ThreadedConnectionPool(1, 4, db.dsn)

    def work(number):
        with tracer.start_as_current_span(f"work {number}"):
            connection = pool.getconn()
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute("SELECT %s FROM item", (number,))
            finally:
                pool.putconn(connection)

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(8)))
    pool.closeall()
    trees = [root for root in tree(agent()) if root[0] != "client CONNECT"]
    assert len(trees) == 8
    for root in trees:
        assert [child for child in root[1:] if child != ["client CONNECT"]] == [
            ["client SELECT item"],
            ["client COMMIT"],
        ]


# psycopg 3


def test_psycopg_records_what_it_sends(db, agent):
    with tracer.start_as_current_span("request"), psycopg.connect(db.url) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM item WHERE id = 1 AND name <> %s", ("secret",))
        assert list(cursor) == [("one",)]
        cursor.executemany("INSERT INTO item VALUES (%s, 'x')", [(3,), (4,)])
        cursor.execute(query=psycopg.sql.SQL("SELECT {} FROM item").format("s3cret"))
        connection.execute(b"SELECT 1")
        with cursor.copy("COPY item TO STDOUT") as copy:
            assert sum(1 for _ in copy.rows()) == 4
        assert list(cursor.stream("SELECT id FROM item ORDER BY id LIMIT 2")) == [(1,), (2,)]
    spans = agent()
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client CONNECT"],
            ["client SELECT item", {"db.query.text": "SELECT name FROM item WHERE id = ? AND name <> %s"}],
            ["client BATCH INSERT item", {"db.query.text": "INSERT INTO item VALUES (%s)"}],
            ["client SELECT item", {"db.query.text": "SELECT ? FROM item"}],
            ["client SELECT", {"db.query.text": "SELECT ?"}],
            ["client COPY item", {"db.query.text": "COPY item TO STDOUT"}],
            ["client SELECT item", {"db.query.text": "SELECT id FROM item ORDER BY id LIMIT ?"}],
            ["client COMMIT", {"db.query.text": "COMMIT"}],
        ]
    ]
    select = next(span for span in spans if span.name == "SELECT item")
    assert select.attributes["db.namespace"] == "postgres"
    assert select.attributes["server.address"] == "127.0.0.1"
    assert select.attributes["server.port"] == db.port


def test_psycopg_transactions_server_cursors_and_pipelines(db, agent):
    with psycopg.connect(db.url, autocommit=True) as connection:
        with connection.transaction(), connection.cursor("every") as cursor:
            cursor.itersize = 2
            cursor.execute("SELECT id FROM item ORDER BY id")
            assert len(list(cursor)) == 2
            with connection.transaction():
                connection.execute("SELECT 1")
        with pytest.raises(ZeroDivisionError), connection.transaction():
            raise ZeroDivisionError
        with connection.pipeline() as pipeline:
            first = connection.execute("SELECT 1 FROM item")
            pipeline.sync()
            second = connection.execute("SELECT 2 FROM item")
        assert (first.fetchone(), second.fetchone()) == ((1,), (2,))
    found = names(agent())
    assert [name for name in found if "CLOSE" not in name and "pg_" not in name] == [
        "CONNECT",
        "BEGIN",
        "SELECT item",
        "FETCH",
        "FETCH",
        "SAVEPOINT",
        "SELECT",
        "RELEASE",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
        "SELECT item",
        "SYNC",
        "SELECT item",
        "SYNC",
    ]


def test_psycopg_errors_are_the_drivers(db, agent):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect("host=127.0.0.1 port=1 dbname=absent")
    with psycopg.connect(db.url) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM absent")
        connection.rollback()
        with pytest.raises(psycopg.errors.UniqueViolation), connection.pipeline():
            connection.execute("INSERT INTO item VALUES (1, 'again')")
        connection.rollback()
        with pytest.raises(psycopg.errors.DivisionByZero):
            list(connection.cursor().stream("SELECT 1 / (2 - id) FROM item"))
        connection.rollback()
        with pytest.raises(KeyError), connection.cursor().copy("COPY item FROM STDIN"):
            raise KeyError
    spans = [span for span in agent() if span.status == "error"]
    assert [(span.name, span.attributes.get("db.response.status_code")) for span in spans] == [
        ("CONNECT", None),
        ("SELECT absent", "42P01"),
        ("SYNC", "23505"),
        ("SELECT item", "22012"),
        ("COPY item", None),
    ]
    assert spans[0].attributes["server.port"] == 1


def test_psycopg_tasks_share_a_pool_and_keep_their_spans(db, agent):
    async def work(pool, number):
        with tracer.start_as_current_span(f"work {number}"):
            async with pool.connection() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT pg_sleep(0.02), %s FROM item", (number,))
                assert len(await cursor.fetchall()) == 2
                await cursor.executemany("UPDATE item SET name = %s WHERE id = 99", [("a",), ("b",)])
            await asyncio.sleep(0)

    async def main():
        async with psycopg_pool.AsyncConnectionPool(db.url, min_size=1, max_size=3, open=False) as pool:
            await asyncio.gather(*(work(pool, number) for number in range(6)))
            async with pool.connection() as connection:
                rows = [row async for row in connection.cursor().stream("SELECT id FROM item")]
                assert len(rows) == 2
                async with connection.cursor().copy("COPY item TO STDOUT") as copy:
                    assert [row async for row in copy.rows()]
                async with connection.pipeline():
                    await connection.execute("SELECT 1")
                with pytest.raises(psycopg.errors.UndefinedTable):
                    await connection.execute("SELECT * FROM absent")

    asyncio.run(main())
    trees = tree(agent())
    works = [root for root in trees if root[0].startswith("internal work")]
    assert len(works) == 6
    for root in works:
        assert [child for child in root[1:] if child != ["client CONNECT"]] == [
            ["client SELECT item"],
            ["client BATCH UPDATE item"],
            ["client COMMIT"],
        ]
    others = [root[0] for root in trees if root not in works and root[0] != "client CONNECT"]
    assert others == [
        "client SELECT item",
        "client COPY item",
        "client SELECT",
        "client SYNC",
        "client SELECT absent",
        "client COMMIT",
    ]


def test_a_cancelled_statement_is_no_error(db, agent):
    async def main():
        connection = await psycopg.AsyncConnection.connect(db.url)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(connection.execute("SELECT pg_sleep(5)"), 0.1)
        await connection.close()
        own = await asyncpg.connect(db.url)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(own.execute("SELECT pg_sleep(5)"), 0.1)
        await own.close()

    asyncio.run(main())
    spans = [span for span in agent() if span.name == "SELECT"]
    assert [span.scope for span in spans] == ["pitviper.psycopg", "pitviper.asyncpg"]
    assert spans[1].status == "unset"
    assert all(span.duration_ms < 4_000 for span in spans)


# asyncpg


def test_asyncpg_records_what_it_sends(db, agent):
    async def main():
        with tracer.start_as_current_span("request"):
            connection = await asyncpg.connect(db.url)
            assert await connection.fetchval("SELECT name FROM item WHERE id = $1 AND name <> 'secret'", 1) == "one"
            assert await connection.fetchrow("SELECT name FROM item WHERE id = $1 AND name <> 'secret'", 2)
            await connection.executemany("INSERT INTO item VALUES ($1, 'x')", [(3,), (4,)])
            async with connection.transaction():
                rows = [row async for row in connection.cursor("SELECT id FROM item ORDER BY id", prefetch=3)]
                assert len(rows) == 4
            prepared = await connection.prepare("SELECT count(*) FROM item")
            assert await prepared.fetchval() == 4
            await connection.copy_records_to_table("item", records=[(9, "nine")])
            await connection.execute("SELECT 1; SELECT 'secret'")
            await connection.close()

    asyncio.run(main())
    spans = agent()
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client CONNECT"],
            [
                "client PREPARE SELECT item",
                {"db.query.text": "PREPARE SELECT name FROM item WHERE id = $1 AND name <> ?"},
            ],
            *[["client SELECT item", {"db.query.text": "SELECT name FROM item WHERE id = $1 AND name <> ?"}]] * 2,
            ["client PREPARE INSERT item", {"db.query.text": "PREPARE INSERT INTO item VALUES ($1)"}],
            ["client BATCH INSERT item", {"db.query.text": "INSERT INTO item VALUES ($1)"}],
            ["client BEGIN", {"db.query.text": "BEGIN;"}],
            ["client PREPARE SELECT item", {"db.query.text": "PREPARE SELECT id FROM item ORDER BY id"}],
            *[["client SELECT item", {"db.query.text": "SELECT id FROM item ORDER BY id"}]] * 2,
            ["client COMMIT", {"db.query.text": "COMMIT;"}],
            ["client PREPARE SELECT item", {"db.query.text": "PREPARE SELECT count(*) FROM item"}],
            ["client SELECT item", {"db.query.text": "SELECT count(*) FROM item"}],
            # How asyncpg learns the types of the columns.
            ["client PREPARE SELECT item", {"db.query.text": 'PREPARE SELECT * FROM "item" LIMIT ?'}],
            ["client COPY item", {"db.query.text": 'COPY "item" FROM STDIN (FORMAT binary)'}],
            ["client SELECT", {"db.query.text": "SELECT ?"}],
        ]
    ]
    select = next(span for span in spans if span.name == "SELECT item")
    assert select.attributes["db.namespace"] == "postgres"
    assert (select.attributes["server.address"], select.attributes["server.port"]) == ("127.0.0.1", db.port)


def test_asyncpg_errors_and_pools(db, agent):
    async def work(pool, number):
        with tracer.start_as_current_span(f"work {number}"):
            async with pool.acquire() as connection:
                await connection.fetch("SELECT pg_sleep(0.02), $1::int FROM item", number)

    async def main():
        with pytest.raises(OSError):
            await asyncpg.connect(host="127.0.0.1", port=1, user="u", database="absent")
        async with asyncpg.create_pool(db.url, min_size=1, max_size=3) as pool:
            await asyncio.gather(*(work(pool, number) for number in range(6)))
            with pytest.raises(asyncpg.UndefinedTableError):
                await pool.fetch("SELECT * FROM absent")
            with pytest.raises(asyncpg.UniqueViolationError):
                await pool.execute("INSERT INTO item VALUES (1, 'again')")

    asyncio.run(main())
    spans = agent()
    works = [root for root in tree(spans) if root[0].startswith("internal work")]
    assert len(works) == 6
    for root in works:
        assert ["client SELECT item"] in root
    failed = [span for span in spans if span.status == "error"]
    assert [(span.name, span.attributes.get("db.response.status_code")) for span in failed] == [
        ("CONNECT", None),
        ("PREPARE SELECT absent", "42P01"),
        ("INSERT item", "23505"),
    ]


# All of them


def test_what_was_made_before_works_when_the_integration_is_gone(db, agent):
    first = psycopg2.connect(db.dsn)
    second = psycopg.connect(db.url)
    engine.uninstall()
    with first.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    agent()
    assert second.execute("SELECT 1").fetchone() == (1,)
    later = psycopg2.connect(db.dsn)
    assert type(later) is psycopg2.extensions.connection
    later.close()
    psycopg.connect(db.url).close()

    async def main():
        connection = await asyncpg.connect(db.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()

    asyncio.run(main())
    first.close()
    second.close()
    assert names(agent()) == ["CONNECT", "CONNECT", "SELECT"]
    gc.collect()


def test_a_driver_can_be_switched_off(db, run, sink):
    source = f"""
import psycopg, psycopg2
psycopg2.connect({db.dsn!r}).cursor().execute("SELECT 1")
psycopg.connect({db.url!r}).execute("SELECT 1")
print(type(psycopg2.connect({db.dsn!r})).__mro__[0] is psycopg2.extensions.connection)
"""
    done = run(source, PITVIPER_INTEGRATIONS_DISABLED="psycopg2")
    assert done.stdout == "True\n", done.stderr
    assert [span.scope for span in sink.wait_for(2)] == ["pitviper.psycopg"] * 2
