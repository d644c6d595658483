"""WSGI, gunicorn, Flask, Jinja2, sqlite3, requests and urllib3, as applications use them."""

import gc
import http.client
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import pytest
import requests
import urllib3
from sink import lasting, tree

from pitviper import _native, tracer
from pitviper.integrations.wsgi.patches import traced as wsgi_traced

ATTRIBUTES = ("http.route", "http.response.status_code", "db.query.text", "template.name", "error.type")


@pytest.fixture
def application(tmp_path):
    app = flask.Flask(__name__)
    database = str(tmp_path / "app.sqlite")

    @app.before_request
    def load_user():
        if flask.request.path.startswith("/items"):
            with sqlite3.connect(database) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS item (id INTEGER, name TEXT)")

    @app.get("/items/<int:number>")
    def item(number):
        connection = sqlite3.connect(database)
        connection.execute("INSERT INTO item VALUES (?, 'secret')", (number,))
        rows = connection.execute("SELECT * FROM item WHERE id = 7 OR name = 'x'").fetchall()
        connection.close()
        return flask.render_template_string("{{ rows|length }} rows", rows=rows)

    @app.get("/fail")
    def fail():
        raise RuntimeError("out of order")

    @app.get("/missing")
    def missing():
        flask.abort(404)

    @app.get("/stream")
    def stream():
        def chunks():
            with tracer.start_as_current_span("producing"):
                for _ in range(3):
                    time.sleep(0.02)
                    yield b"x"

        return flask.Response(chunks())

    return app


def test_a_flask_request_is_one_tree(agent, application):
    with application.test_client().get("/items/7?q=1&password=hidden") as response:
        assert response.text == "1 rows"
    spans = agent()
    assert tree(spans, ATTRIBUTES) == [
        [
            "server GET /items/<int:number>",
            {"http.route": "/items/<int:number>", "http.response.status_code": 200},
            ["client CREATE item", {"db.query.text": "CREATE TABLE IF NOT EXISTS item (id INTEGER, name TEXT)"}],
            [
                f"internal {__name__}.application.<locals>.item",
                ["client INSERT item", {"db.query.text": "INSERT INTO item VALUES (?)"}],
                ["client SELECT item", {"db.query.text": "SELECT * FROM item WHERE id = ? OR name = ?"}],
                ["internal compile <string>", {"template.name": "<string>"}],
                ["internal render <string>", {"template.name": "<string>"}],
            ],
        ]
    ]
    server = next(span for span in spans if span.kind == "server")
    assert server.attributes["url.query"] == "q=1&password=***"
    assert server.attributes["http.request.method"] == "GET"
    assert server.attributes["url.path"] == "/items/7"
    assert server.attributes["client.address"] == "127.0.0.1"


def test_an_error_is_recorded_once(agent, application):
    with application.test_client().get("/fail") as response:
        assert response.status_code == 500
    spans = agent()
    events = [(span.kind, event["exception.type"]) for span in spans for _, event in span.events]
    assert events == [("internal", "RuntimeError")]
    server = next(span for span in spans if span.kind == "server")
    assert (server.status, server.attributes["http.response.status_code"]) == ("error", 500)
    assert "RuntimeError" in (server.attributes["error.type"], server.status_message)


def test_an_abort_is_an_answer(agent, application):
    for path in ("/missing", "/no-such-route"):
        with application.test_client().get(path) as response:
            assert response.status_code == 404
    assert {(span.name, span.status) for span in agent() if span.kind == "server"} == {
        ("GET /missing", "unset"),
        ("GET", "unset"),
    }


def test_an_exception_of_the_host_is_the_hosts(agent, application):
    application.testing = True
    with pytest.raises(RuntimeError, match="out of order"):
        application.test_client().get("/fail")
    server = next(span for span in agent() if span.kind == "server")
    assert server.status == "error"


def test_streaming_lasts_to_the_last_byte(agent, application):
    response = application.test_client().get("/stream")
    assert response.data == b"xxx"
    response.close()
    spans = agent()
    assert tree(spans)[0][0] == "server GET /stream"
    server = next(span for span in spans if span.kind == "server")
    assert lasting(spans) == [True]
    assert [span.name for span in spans if span.parent == server.span_id and span.name == "producing"]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(application):
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_still_knows_the_length_of_a_single_part(agent):
    lengths = []
    for parts in ([b"one"], (b"o", b"ne"), iter([b"one"])):
        body = wsgi_traced(lambda environ, start_response, parts=parts: parts)({"REQUEST_METHOD": "GET"}, None)
        lengths.append(len(body) if hasattr(body, "__len__") else None)
        assert b"".join(body) == b"one"
        body.close()
    assert lengths == [1, 2, None]
    assert len(agent()) == 3


@pytest.mark.parametrize("client", ["requests", "urllib3"])
def test_a_call_joins_both_sides(agent, served, client):
    with tracer.start_as_current_span("caller"):
        if client == "requests":
            assert requests.get(f"{served}/items/1", params={"token": "t"}).status_code == 200
        else:
            assert urllib3.PoolManager().request("GET", f"{served}/items/1?token=t").status == 200
    time.sleep(0.1)
    spans = agent()
    ((root, call),) = tree(spans)
    assert (root, call[0], call[1][0]) == ("internal caller", "client GET", "server GET /items/<int:number>")
    span = next(span for span in spans if span.kind == "client" and span.name == "GET")
    assert span.attributes["url.full"] == f"{served}/items/1?token=***"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["server.port"] == int(served.rpartition(":")[2])


def test_failed_calls(agent, served):
    assert requests.get(f"{served}/missing").status_code == 404
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://user:pass@127.0.0.1:{port}/")
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        urllib3.PoolManager(retries=0).request("GET", f"http://127.0.0.1:{port}/")
    time.sleep(0.1)
    # An export groups spans by the integration they come from.
    calls = sorted((span for span in agent() if span.kind == "client"), key=lambda span: span.start_ns)
    assert [span.status for span in calls] == ["error"] * 3
    assert calls[0].attributes["error.type"] == "404"
    assert calls[1].attributes["url.full"] == f"http://***@127.0.0.1:{port}/"
    assert calls[1].attributes["error.type"] == "requests.exceptions.ConnectionError"


def test_sqlite_keeps_its_types_and_errors(agent):
    class MyConnection(sqlite3.Connection):
        pass

    class MyCursor(sqlite3.Cursor):
        pass

    connection = sqlite3.connect(":memory:", factory=MyConnection)
    assert isinstance(connection, MyConnection) and type(connection).__name__ == "MyConnection"
    assert isinstance(connection.cursor(MyCursor), MyCursor)
    connection.row_factory = sqlite3.Row
    connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1);")
    connection.executemany("INSERT INTO t VALUES (?)", [(2,), (3,)])
    assert connection.execute("SELECT a FROM t WHERE a > :low", {"low": 1}).fetchone()["a"] == 2
    connection.commit()
    connection.commit()
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.execute("SELECT * FROM absent")
    with pytest.raises(ZeroDivisionError), connection:
        connection.execute("DELETE FROM t")
        raise ZeroDivisionError
    assert connection.execute("SELECT COUNT(*) FROM t").fetchone()[0] == 3
    connection.close()
    spans = agent()
    names = [span.name for span in spans]
    assert names == [
        "CREATE t INSERT t",
        "BATCH INSERT t",
        "SELECT t",
        "COMMIT",
        "SELECT absent",
        "DELETE t",
        "ROLLBACK",
        "SELECT t",
    ]
    assert [span.status for span in spans if span.name == "SELECT absent"] == ["error"]


def test_sqlites_own_error_is_the_one_to_be_seen(agent):
    class Careless(sqlite3.Cursor):
        def __init__(self, connection):
            pass

    with pytest.raises(sqlite3.ProgrammingError, match="__init__ not called"):
        sqlite3.connect(":memory:").cursor(Careless).execute("SELECT 1")
    traced_cursor = type(sqlite3.connect(":memory:").cursor())
    assert traced_cursor(sqlite3.Connection(":memory:")).execute("SELECT 1").fetchone() == (1,)
    assert [(span.name, span.status) for span in agent()] == [("SELECT", "error"), ("SELECT", "unset")]


GUNICORN_APP = """
import flask, os, sqlite3
app = flask.Flask(__name__)
@app.get("/hello")
def hello():
    sqlite3.connect(":memory:").execute("SELECT 1")
    return str(os.getpid())
@app.get("/file")
def file():
    return flask.send_file(__file__)
def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"plain"]
"""


def _get(port, path, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


@pytest.mark.parametrize("options", [(), ("--preload",), ("--worker-class", "gthread", "--threads", "4")])
def test_gunicorn(sink, tmp_path, options):
    (tmp_path / "webapp.py").write_text(GUNICORN_APP)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "20"}
    command = [sys.executable, "-m", "pitviper", "run", sys.executable, "-m", "gunicorn", "-w", "2"]
    server = subprocess.Popen(
        [*command, "-b", f"127.0.0.1:{port}", *options, "webapp:app"],
        cwd=tmp_path,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        parent = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
        status, pid = _get(port, "/hello", parent)
        assert status == 200
        assert _get(port, "/file")[1].decode() == GUNICORN_APP
        spans = sink.wait_for(5)
    finally:
        server.send_signal(signal.SIGTERM)
        output = server.communicate(timeout=30)[0]
    assert server.returncode == 0, output
    assert "pitviper" not in output, output
    assert tree(spans) == [
        ["server GET /hello", ["internal webapp.hello", ["client SELECT"]]],
        ["server GET /file", ["internal webapp.file"]],
    ]
    hello = next(span for span in spans if span.name == "GET /hello")
    assert (hello.trace_id, hello.parent) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert hello.scope == "pitviper.gunicorn"
    assert hello.resource["service.name"] == "webapp"
    assert str(hello.resource["process.pid"]) == pid.decode()


def test_nothing_is_left_current(agent, application):
    client = application.test_client()
    for path in ("/items/1", "/fail", "/missing", "/stream"):
        client.get(path)  # Not closed, as tests of applications often leave it.
        assert _native.current_span() is None, path
    # Their spans end when they are collected, which should not be during another test.
    gc.collect()
    agent()
