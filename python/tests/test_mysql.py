"""PyMySQL, mysqlclient and aiomysql against a real MariaDB."""

import asyncio
import concurrent.futures

import aiomysql
import MySQLdb
import MySQLdb.cursors
import pymysql
import pymysql.cursors
import pytest
from sink import tree

from pitviper import tracer
from pitviper.instrument import engine

TEXT = ("db.query.text",)
SYNC = pytest.mark.parametrize("driver", [pymysql, MySQLdb], ids=["pymysql", "mysqldb"])


@pytest.fixture
def db(mariadb, agent):
    """A table with two rows, made before anything is traced."""
    engine.uninstall()
    connection = pymysql.connect(**mariadb.arguments, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS item")
        cursor.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name VARCHAR(50))")
        cursor.execute("INSERT INTO item VALUES (1, 'one'), (2, 'two')")
        cursor.execute("CREATE OR REPLACE PROCEDURE twice(IN n INT) SELECT n * 2")
    engine.install()
    return mariadb


def _for_aiomysql(server):
    arguments = server.arguments
    return {"db": arguments.pop("database"), **arguments}


def names(spans):
    return [span.name for span in sorted(spans, key=lambda span: span.start_ns)]


@SYNC
def test_what_is_sent_is_recorded(db, agent, driver):
    with tracer.start_as_current_span("request"):
        connection = driver.connect(**db.arguments)
        cursor = connection.cursor()
        cursor.execute('SELECT name FROM item WHERE id = 1 AND name <> "it\'s" AND name <> %s', ("secret",))
        assert list(cursor) == [("one",)]
        cursor.executemany("INSERT INTO item VALUES (%s, 'x')", [(3,), (4,)])
        cursor.executemany("UPDATE item SET name = %s WHERE id = %s", [("a", 3), ("b", 4), ("c", 4)])
        cursor.callproc("twice", (21,))
        assert cursor.fetchone() == (42,)
        while cursor.nextset():
            pass
        cursor.execute(query="DELETE FROM item WHERE id > 2 # why")
        connection.commit()
        connection.rollback()
        connection.close()
    spans = agent()
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client CONNECT"],
            [
                "client SELECT item",
                {"db.query.text": "SELECT name FROM item WHERE id = ? AND name <> ? AND name <> %s"},
            ],
            ["client BATCH INSERT item", {"db.query.text": "INSERT INTO item VALUES (%s)"}],
            ["client BATCH UPDATE item", {"db.query.text": "UPDATE item SET name = %s WHERE id = %s"}],
            ["client CALL twice", {"db.query.text": "CALL twice"}],
            ["client DELETE item", {"db.query.text": "DELETE FROM item WHERE id > ?"}],
            ["client COMMIT", {"db.query.text": "COMMIT"}],
            ["client ROLLBACK", {"db.query.text": "ROLLBACK"}],
        ]
    ]
    select = next(span for span in spans if span.name == "SELECT item")
    assert select.scope == f"pitviper.{driver.__name__.lower()}"
    assert select.attributes == {
        "db.system.name": "mariadb",
        "db.namespace": "shop",
        "server.address": "127.0.0.1",
        "server.port": db.port,
        "db.query.text": "SELECT name FROM item WHERE id = ? AND name <> ? AND name <> %s",
        "db.query.summary": "SELECT item",
        "db.operation.name": "SELECT",
    }
    batches = [span.attributes["db.operation.batch.size"] for span in spans if span.name.startswith("BATCH")]
    assert sorted(batches) == [2, 3]


@SYNC
def test_errors_are_the_drivers(db, agent, driver):
    with pytest.raises(driver.OperationalError):
        driver.connect(host="127.0.0.1", port=1, user="u", password="p", database="absent")
    connection = driver.connect(**db.arguments)
    cursor = connection.cursor()
    with pytest.raises(driver.ProgrammingError) as raised:
        cursor.execute("SELECT * FROM absent")
    with pytest.raises(driver.IntegrityError):
        cursor.executemany("INSERT INTO item VALUES (%s, 'again')", [(1,), (2,)])
    with pytest.raises(TypeError):
        cursor.execute()
    # What a failed batch left must not hide what follows.
    cursor.execute("SELECT 1")
    connection.close()
    with pytest.raises((driver.ProgrammingError, driver.OperationalError, driver.InterfaceError)):
        connection.cursor().execute("SELECT 2")
    refused, _, failed, batch, wrong, fine, closed = sorted(agent(), key=lambda span: span.start_ns)
    assert (refused.name, refused.status) == ("CONNECT", "error")
    assert refused.attributes["server.port"] == 1
    assert raised.value.args[0] == 1146
    assert (failed.status, failed.attributes["db.response.status_code"]) == ("error", "1146")
    assert [event[0] for event in failed.events] == ["exception"]
    assert (batch.name, batch.attributes["db.response.status_code"]) == ("BATCH INSERT item", "1062")
    assert wrong.status == "error"
    assert (fine.name, fine.status) == ("SELECT", "unset")
    assert closed.status == "error"


@SYNC
def test_cursors_of_other_kinds_and_classes(db, agent, driver):
    class Own(driver.cursors.DictCursor):
        def execute(self, query, args=None):
            return super().execute(query + " /* own */", args)

    connection = driver.connect(**db.arguments, cursorclass=Own)
    cursor = connection.cursor()
    assert type(cursor) is Own
    cursor.execute("SELECT name FROM item ORDER BY id")
    assert [row["name"] for row in cursor] == ["one", "two"]
    streaming = connection.cursor(driver.cursors.SSCursor)
    streaming.execute("SELECT id FROM item ORDER BY id")
    assert list(streaming) == [(1,), (2,)]
    streaming.close()
    connection.close()
    assert names(agent()) == ["CONNECT", "SELECT item", "SELECT item"]


@SYNC
def test_threads_keep_their_spans(db, agent, driver):
    def work(number):
        with tracer.start_as_current_span(f"work {number}"):
            connection = driver.connect(**db.arguments)
            cursor = connection.cursor()
            cursor.execute("SELECT sleep(0.01), %s FROM item", (number,))
            connection.commit()
            connection.close()

    with concurrent.futures.ThreadPoolExecutor(4) as executor:
        list(executor.map(work, range(8)))
    trees = tree(agent())
    assert len(trees) == 8
    assert all(root[1:] == [["client CONNECT"], ["client SELECT item"], ["client COMMIT"]] for root in trees)


def test_aiomysql_records_what_it_sends(db, agent):
    async def main():
        with tracer.start_as_current_span("request"):
            connection = await aiomysql.connect(**_for_aiomysql(db))
            async with connection.cursor() as cursor:
                await cursor.execute("SELECT name FROM item WHERE id = 1 AND name <> 'secret'")
                assert [row async for row in cursor] == [("one",)]
                await cursor.executemany("INSERT INTO item VALUES (%s, 'x')", [(3,), (4,)])
                await cursor.callproc("twice", (21,))
                assert await cursor.fetchone() == (42,)
                while await cursor.nextset():
                    pass
            async with connection.cursor(aiomysql.SSCursor) as cursor:
                await cursor.execute("SELECT id FROM item ORDER BY id")
                assert [row async for row in cursor] == [(1,), (2,), (3,), (4,)]
            await connection.commit()
            connection.close()

    asyncio.run(main())
    spans = agent()
    assert tree(spans, TEXT) == [
        [
            "internal request",
            ["client CONNECT"],
            ["client SELECT item", {"db.query.text": "SELECT name FROM item WHERE id = ? AND name <> ?"}],
            ["client BATCH INSERT item", {"db.query.text": "INSERT INTO item VALUES (%s)"}],
            ["client CALL twice", {"db.query.text": "CALL twice"}],
            ["client SELECT item", {"db.query.text": "SELECT id FROM item ORDER BY id"}],
            ["client COMMIT", {"db.query.text": "COMMIT"}],
        ]
    ]
    assert {span.attributes["db.system.name"] for span in spans if span.kind == "client"} == {"mariadb"}


def test_aiomysql_tasks_share_a_pool_and_keep_their_spans(db, agent):
    async def work(pool, number):
        with tracer.start_as_current_span(f"work {number}"):
            async with pool.acquire() as connection, connection.cursor() as cursor:
                await cursor.execute("SELECT sleep(0.01), %s FROM item", (number,))

    async def main():
        with pytest.raises(aiomysql.OperationalError):
            await aiomysql.connect(host="127.0.0.1", port=1)
        async with aiomysql.create_pool(**_for_aiomysql(db), minsize=1, maxsize=3) as pool:
            await asyncio.gather(*(work(pool, number) for number in range(6)))
            async with pool.acquire() as connection, connection.cursor() as cursor:
                with pytest.raises(aiomysql.ProgrammingError):
                    await cursor.execute("SELECT * FROM absent")

    asyncio.run(main())
    spans = agent()
    works = [root for root in tree(spans) if root[0].startswith("internal work")]
    assert len(works) == 6
    for root in works:
        assert [child for child in root[1:] if child != ["client CONNECT"]] == [["client SELECT item"]]
    failed = sorted((span for span in spans if span.status == "error"), key=lambda span: span.start_ns)
    assert [(span.name, span.attributes["db.response.status_code"]) for span in failed] == [
        ("CONNECT", "2003"),
        ("SELECT absent", "1146"),
    ]


def test_what_was_made_before_works_when_the_integration_is_gone(db, agent):
    connections = [driver.connect(**db.arguments) for driver in (pymysql, MySQLdb)]
    engine.uninstall()
    for connection in connections:
        cursor = connection.cursor()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        connection.commit()
        connection.close()
    assert names(agent()) == ["CONNECT", "CONNECT"]


def test_a_driver_can_be_switched_off(db, run, sink):
    source = f"""
import pymysql, MySQLdb
for driver in (pymysql, MySQLdb):
    driver.connect(**{db.arguments!r}).cursor().execute("SELECT 1")
"""
    done = run(source, PITVIPER_INTEGRATIONS_DISABLED="pymysql")
    assert (done.stdout, done.stderr) == ("", "")
    assert [span.scope for span in sink.wait_for(2)] == ["pitviper.mysqldb"] * 2
