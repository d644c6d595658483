"""sqlite3, and how its statements are described."""

import sqlite3

import pytest

from pitviper import _native, tracer


@pytest.mark.parametrize(
    ("statement", "text", "summary"),
    [
        ("insert into \"my table\" values (1, 'a', x'ff')", 'insert into "my table" values (?)', "INSERT my table"),
        ('SELECT a FROM t WHERE b = "secret" -- why', "SELECT a FROM t WHERE b = ?", "SELECT t"),
        (b"DELETE FROM t WHERE a = 'x'", "DELETE FROM t WHERE a = ?", "DELETE t"),
        ("SELECT '\ud800', 1 FROM t", "SELECT ?, ? FROM t", "SELECT t"),
        ("", "", "SQL"),
        (None, "", "SQL"),
        (5, "?", "SQL"),
    ],
)
def test_statements_are_described_without_their_values(statement, text, summary):
    assert _native.describe_statement(statement, "sqlite")[:2] == (text, summary)


def test_a_system_without_sql_is_refused():
    with pytest.raises(ValueError, match="use postgresql, mysql, mariadb or sqlite"):
        _native.Statements("pitviper.test", "redis")


def test_the_memory_of_statements_is_bounded(agent):
    connection = sqlite3.connect(":memory:")
    database = connection._pitviper_database
    padding = " AND 1" * 300
    for number in range(600):
        connection.execute(f"SELECT {number} WHERE 1{padding} AND {number}")
    assert 0 < database.forgotten < 600
    # What is longer than a statement that repeats is not remembered, and described all the same.
    before = database.forgotten
    for _ in range(600):
        connection.execute(f"SELECT '{'x' * 5_000}'")
    assert database.forgotten == before
    assert {span.attributes["db.query.text"] for span in agent()[600:]} == {"SELECT ?"}


def test_a_batch_is_one_span(agent):
    with tracer.start_as_current_span("request"):
        connection = sqlite3.connect(":memory:")
        connection.execute("CREATE TABLE t (a)")
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)])
        connection.executemany("INSERT INTO t VALUES (?)", ((number,) for number in range(3)))
        connection.commit()
    spans = sorted(agent(), key=lambda span: span.start_ns)
    names = [(span.name, span.attributes.get("db.operation.batch.size")) for span in spans]
    # How many a generator gives is not known without using it up.
    assert names[1:] == [("CREATE t", None), ("BATCH INSERT t", 3), ("INSERT t", None), ("COMMIT", None)]


def test_an_error_has_the_databases_code(agent):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a UNIQUE)")
    connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.IntegrityError) as raised:
        connection.execute("INSERT INTO t VALUES (1)")
    failed = agent()[-1]
    assert failed.attributes["error.type"] == "sqlite3.IntegrityError"
    # Since Python 3.11.
    assert failed.attributes.get("db.response.status_code") == getattr(raised.value, "sqlite_errorname", None)
