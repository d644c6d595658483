"""aiohttp's server: whole traces of requests, streams, websockets, sub-applications and clients that leave."""

import asyncio
import contextlib
import threading

import pytest
import websockets.sync.client
from aiohttp import web
from services.process import free_port
from sink import lasting, tree
from web_servers import ended, get, process_serving, until_listening

from pitviper import tracer
from pitviper.instrument import engine
from pitviper.integrations._server_options import options

HERE = __name__
STATUS = ("http.response.status_code", "error.type")


async def item(request):
    with tracer.start_as_current_span("work"):
        await asyncio.sleep(0)
    return web.Response(text=request.match_info["number"])


async def fail(request):
    raise RuntimeError("out of order")


async def missing(request):
    raise web.HTTPNotFound


async def unavailable(request):
    raise web.HTTPServiceUnavailable


async def timed_out(request):
    raise asyncio.TimeoutError


class Thing(web.View):
    async def get(self):
        return web.Response(text="a thing")


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(3):
        with tracer.start_as_current_span("producing"):
            await asyncio.sleep(0.02)
        await response.write(b"x")
    await response.write_eof()
    return response


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"z" * 1024)
        await asyncio.sleep(0.01)


async def slow(request):
    name = request.query["name"]
    await asyncio.gather(*(child(name, number) for number in range(3)))
    return web.Response(text=name)


async def child(name, number):
    with tracer.start_as_current_span(f"child {name}"):
        await asyncio.sleep(0.01 * number)


async def echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        with tracer.start_as_current_span("answering"):
            await socket.send_str(message.data)
    return socket


@web.middleware
async def added(request, handler):
    with tracer.start_as_current_span("middleware"):
        response = await handler(request)
    response.headers["X-Added"] = "yes"
    return response


def application(middlewares=()):
    app = web.Application(middlewares=middlewares)
    app.router.add_get("/items/{number}", item)
    app.router.add_get("/fail", fail)
    app.router.add_get("/missing", missing)
    app.router.add_get("/unavailable", unavailable)
    app.router.add_get("/timed-out", timed_out)
    app.router.add_view("/thing", Thing)
    app.router.add_get("/stream", stream)
    app.router.add_get("/endless", endless)
    app.router.add_get("/slow", slow)
    app.router.add_get("/echo/{room}", echo)
    inner = web.Application()
    inner.router.add_get("/items/{number:[0-9]+}", item)
    app.add_subapp("/sub", inner)
    return app


@contextlib.contextmanager
def serving(app, **arguments):
    port = free_port()
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(app, **arguments)

    def run():
        asyncio.set_event_loop(loop)
        loop.run_until_complete(runner.setup())
        loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    until_listening(port, thread.is_alive)
    yield port
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def port(agent):
    with serving(application()) as port:
        yield port


def test_a_request_is_one_tree(agent, port):
    parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    assert get(port, "/items/a%20b?q=1&password=x", "User-Agent: test/1", parent) == (200, b"a b")
    spans = ended(agent, 2)
    assert tree(spans) == [["server GET /items/{number}", ["internal work"]]]
    server = next(span for span in spans if span.kind == "server")
    assert (server.trace_id, server.parent) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert server.attributes.pop("code.file.path") == __file__
    assert server.attributes.pop("code.line.number") == item.__code__.co_firstlineno
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/items/a b",
        "url.query": "q=1&password=***",
        "server.address": "example.com",
        "server.port": port,
        "client.address": "127.0.0.1",
        "user_agent.original": "test/1",
        "network.protocol.version": "1.1",
        "http.route": "/items/{number}",
        "http.response.status_code": 200,
        "code.function.name": f"{HERE}.item",
    }


@pytest.mark.parametrize(
    ("path", "status", "name", "error", "recorded"),
    [
        ("/fail", 500, "GET /fail", "RuntimeError", ["RuntimeError"]),
        ("/missing", 404, "GET /missing", None, []),
        ("/unavailable", 503, "GET /unavailable", "503", []),
        ("/timed-out", 504, "GET /timed-out", "504", []),
        ("/nowhere", 404, "GET", None, []),
        ("/thing", 200, "GET /thing", None, []),
        ("/sub/items/7", 200, "GET /sub/items/{number}", None, []),
        ("/sub/items/x", 404, "GET", None, []),
    ],
)
def test_errors_and_answers(agent, port, path, status, name, error, recorded):
    assert get(port, path)[0] == status
    server = next(span for span in ended(agent, 2 if "/7" in path else 1) if span.kind == "server")
    assert (server.name, server.attributes["http.response.status_code"]) == (name, status)
    assert (server.status, server.attributes.get("error.type")) == ("error" if error else "unset", error)
    assert [event["exception.type"] for _, event in server.events] == recorded


def test_streams_last_to_their_last_byte(agent, port):
    assert get(port, "/stream")[0] == 200
    spans = ended(agent, 4)
    assert tree(spans) == [["server GET /stream", *[["internal producing"]] * 3]]
    assert lasting(spans) == [True]


@pytest.mark.parametrize("cancelling", [True, False])
def test_a_client_that_leaves_is_no_error(agent, cancelling):
    with serving(application(), handler_cancellation=cancelling) as port:
        assert get(port, "/endless", read=3000)[0] == 200
        (server,) = ended(agent, 1)
    assert (server.name, server.status, server.attributes.get("error.type")) == ("GET /endless", "unset", None)


def test_concurrent_requests_do_not_mix(agent, port):
    names = [f"n{number}" for number in range(15)]
    clients = [threading.Thread(target=get, args=(port, f"/slow?name={name}")) for name in names]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    trees = tree(ended(agent, 15 * 4))
    assert sorted(map(str, trees)) == sorted(str(["server GET /slow", *[[f"internal child {n}"]] * 3]) for n in names)


def test_websockets(agent, port):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/echo/blue") as socket:
        socket.send("a")
        assert socket.recv() == "a"
    spans = ended(agent, 2)
    assert tree(spans, STATUS) == [
        ["server WEBSOCKET /echo/{room}", {"http.response.status_code": 101}, ["internal answering"]]
    ]


def test_middleware_and_options(agent):
    options.load({"PITVIPER_HTTP_REQUEST_HEADERS": "x-tenant", "PITVIPER_HTTP_RESPONSE_HEADERS": "x-added"})
    try:
        with serving(application([added])) as port:
            assert get(port, "/items/1", "X-Tenant: a")[0] == 200
    finally:
        options.load({})
    spans = ended(agent, 3)
    assert tree(spans) == [["server GET /items/{number}", ["internal middleware", ["internal work"]]]]
    server = next(span for span in spans if span.kind == "server")
    assert server.attributes["http.request.header.x-tenant"] == ["a"]
    assert server.attributes["http.response.header.x-added"] == ["yes"]


def test_uninstalled(agent, port):
    engine.uninstall()
    try:
        assert get(port, "/items/1")[0] == 200
        assert tree(agent()) == [["internal work"]]
    finally:
        engine.install()


SERVED = """
from aiohttp import web

async def home(request):
    return web.Response(text="home")

app = web.Application()
app.router.add_get("/", home)
"""


def test_under_gunicorn(sink, tmp_path):
    (tmp_path / "served.py").write_text(SERVED)
    command = ["gunicorn", "served:app", "-k", "aiohttp.GunicornWebWorker", "-b", "127.0.0.1:{port}"]
    with process_serving(command, sink, tmp_path) as (port, _):
        assert get(port, "/") == (200, b"home")
        (span,) = sink.wait_for(1)
    assert (span.name, span.scope) == ("GET /", "pitviper.aiohttp_server")
