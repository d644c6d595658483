"""Tornado: whole traces of handlers of every kind, streams, websockets and clients that leave."""

import asyncio
import contextlib
import threading

import pytest
import tornado.httpserver
import tornado.web
import tornado.websocket
import websockets.sync.client
from services.process import free_port
from sink import tree
from tornado.routing import PathMatches, Rule, RuleRouter
from web_servers import ended, get, until_listening

from pitviper import tracer
from pitviper.instrument import engine

HERE = __name__
STATUS = ("http.response.status_code", "error.type")
LEFT = threading.Event()


class Item(tornado.web.RequestHandler):
    def get(self, number):
        with tracer.start_as_current_span("work"):
            self.write(number)


class Asynchronous(tornado.web.RequestHandler):
    async def prepare(self):
        with tracer.start_as_current_span("preparing"):
            await asyncio.sleep(0)

    async def get(self):
        name = self.get_argument("name")
        await asyncio.gather(*(self.child(name, number) for number in range(3)))
        self.finish(name)

    async def child(self, name, number):
        with tracer.start_as_current_span(f"child {name}"):
            await asyncio.sleep(0.01 * number)


class Fail(tornado.web.RequestHandler):
    async def get(self):
        raise RuntimeError("out of order")


class Refuse(tornado.web.RequestHandler):
    def get(self):
        raise tornado.web.HTTPError(403)


class Finish(tornado.web.RequestHandler):
    def get(self):
        raise tornado.web.Finish("done")


class Later(tornado.web.RequestHandler):
    async def get(self):
        self.finish("done")
        await asyncio.sleep(0.05)


class Stream(tornado.web.RequestHandler):
    async def get(self):
        for _ in range(3):
            with tracer.start_as_current_span("producing"):
                await asyncio.sleep(0.02)
            self.write("x")
            await self.flush()


class Endless(tornado.web.RequestHandler):
    def on_connection_close(self):
        LEFT.set()

    async def get(self):
        while True:
            self.write("z" * 1024)
            await self.flush()
            await asyncio.sleep(0.01)


class Echo(tornado.websocket.WebSocketHandler):
    async def on_message(self, message):
        with tracer.start_as_current_span("answering"):
            await self.write_message(message)


def application():
    inner = tornado.web.Application([(r"/sub/items/([0-9]+)", Item)])
    app = tornado.web.Application(
        [
            (r"/items/([0-9]+)", Item),
            (r"^/slow$", Asynchronous),
            (r"/fail", Fail),
            (r"/refuse", Refuse),
            (r"/finish", Finish),
            (r"/later", Later),
            (r"/stream", Stream),
            (r"/endless", Endless),
            (r"/echo/(?P<room>\w+)", type("Room", (Echo,), {"open": lambda self, room: None})),
        ],
        log_function=lambda handler: None,
    )
    return RuleRouter([Rule(PathMatches(r"/sub/.*"), inner), Rule(PathMatches(r"/.*"), app)])


@contextlib.contextmanager
def serving(app):
    port = free_port()
    ready = []

    async def serve():
        ready.extend([asyncio.get_running_loop(), asyncio.Event()])
        server = tornado.httpserver.HTTPServer(app)
        server.listen(port, "127.0.0.1")
        await ready[1].wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    until_listening(port, thread.is_alive)
    yield port
    ready[0].call_soon_threadsafe(ready[1].set)
    thread.join(10)


@pytest.fixture
def port(agent):
    with serving(application()) as port:
        yield port


def test_a_request_is_one_tree(agent, port):
    parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert get(port, "/items/7?q=1&password=x", "User-Agent: test/1", parent) == (200, b"7")
    spans = ended(agent, 2)
    assert tree(spans) == [["server GET /items/([0-9]+)", ["internal work"]]]
    server = next(span for span in spans if span.kind == "server")
    assert (server.trace_id, server.parent) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/7",
        "url.query": "q=1&password=***",
        "server.address": "example.com",
        "server.port": port,
        "client.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "network.protocol.version": "1.1",
        "http.route": "/items/([0-9]+)",
        "http.response.status_code": 200,
        "code.function.name": f"{HERE}.Item",
    }


@pytest.mark.parametrize(
    ("path", "status", "name", "error", "recorded"),
    [
        ("/fail", 500, "GET /fail", "RuntimeError", ["RuntimeError"]),
        ("/refuse", 403, "GET /refuse", None, []),
        ("/finish", 200, "GET /finish", None, []),
        ("/sub/items/7", 200, "GET /sub/items/([0-9]+)", None, []),
        ("/nowhere", 404, "GET /.*", None, []),
    ],
)
def test_errors_and_answers(agent, port, path, status, name, error, recorded):
    assert get(port, path)[0] == status
    server = next(span for span in ended(agent, 2 if "/7" in path else 1) if span.kind == "server")
    assert (server.name, server.attributes["http.response.status_code"]) == (name, status)
    assert (server.status, server.attributes.get("error.type")) == ("error" if error else "unset", error)
    assert [event["exception.type"] for _, event in server.events] == recorded


def test_a_request_ends_when_it_is_finished(agent, port):
    assert get(port, "/later") == (200, b"done")
    assert get(port, "/stream")[0] == 200
    spans = ended(agent, 5)
    assert tree(spans) == [["server GET /later"], ["server GET /stream", *[["internal producing"]] * 3]]
    durations = {span.name: span.duration_ms for span in spans if span.kind == "server"}
    assert durations["GET /later"] < 50 < durations["GET /stream"]


def test_concurrent_requests_do_not_mix(agent, port):
    names = [f"n{number}" for number in range(15)]
    clients = [threading.Thread(target=get, args=(port, f"/slow?name={name}")) for name in names]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    trees = tree(ended(agent, 15 * 5))
    expect = [["server GET /slow", ["internal preparing"], *[[f"internal child {name}"]] * 3] for name in names]
    assert sorted(map(str, trees)) == sorted(map(str, expect))


def test_a_client_that_leaves_is_no_error(agent, port):
    LEFT.clear()
    assert get(port, "/endless", read=3000)[0] == 200
    assert LEFT.wait(10)
    (server,) = ended(agent, 1)
    assert (server.name, server.status, server.attributes.get("error.type")) == ("GET /endless", "unset", None)


def test_websockets(agent, port):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/echo/blue") as socket:
        for text in ("a", "b"):
            socket.send(text)
            assert socket.recv() == text
    assert tree(ended(agent, 3), STATUS) == [
        [
            r"server WEBSOCKET /echo/(?P<room>\w+)",
            {"http.response.status_code": 101},
            ["internal answering"],
            ["internal answering"],
        ]
    ]


def test_uninstalled(agent, port):
    engine.uninstall()
    try:
        assert get(port, "/items/1")[0] == 200
        assert tree(agent()) == [["internal work"]]
    finally:
        engine.install()
