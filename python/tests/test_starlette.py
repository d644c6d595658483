"""Starlette under uvicorn and Hypercorn: whole traces of requests, websockets, streams and background tasks."""

import asyncio
import gc
import threading
import time
import weakref

import pytest
from sink import lasting, tree
from web_servers import ended, get, uvicorn_serving

pytest.importorskip("starlette")

import websockets.sync.client
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from pitviper import _native, tracer
from pitviper.instrument import engine

HERE = __name__
STATUS = ("http.response.status_code", "error.type", "exception.type")


async def item(request):
    with tracer.start_as_current_span("work"):
        await asyncio.sleep(0)
    return PlainTextResponse(str(request.path_params["number"]))


def threaded(request):
    with tracer.start_as_current_span(f"in {threading.current_thread().name.split('_')[0].split('-')[0]}"):
        return PlainTextResponse("sync")


async def fail(request):
    raise RuntimeError("out of order")


class Refusal(Exception):
    pass


async def refuse(request):
    raise Refusal("no")


async def missing(request):
    raise HTTPException(404)


class Thing(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("a thing")

    def post(self, request):
        raise ValueError("no such thing")


async def stream(request):
    async def parts():
        with tracer.start_as_current_span("producing"):
            for _ in range(3):
                await asyncio.sleep(0.02)
                yield b"x"

    return StreamingResponse(parts())


def threaded_stream(request):
    def parts():
        for number in range(2):
            with tracer.start_as_current_span(f"part {number}"):
                yield b"y"

    return StreamingResponse(parts())


STARTED = threading.Event()
CLOSED = threading.Event()


async def endless(request):
    async def parts():
        try:
            while True:
                yield b"z" * 1024
                STARTED.set()
                await asyncio.sleep(0.01)
        finally:
            CLOSED.set()

    return StreamingResponse(parts())


async def later(name):
    with tracer.start_as_current_span("within"):
        await asyncio.sleep(0.05)


def later_in_a_thread():
    with tracer.start_as_current_span("within a thread"):
        time.sleep(0.05)


async def later_failing():
    raise LookupError("too late")


async def background(request):
    tasks = BackgroundTasks()
    tasks.add_task(later, "x")
    tasks.add_task(later_in_a_thread)
    return PlainTextResponse("accepted", background=tasks)


async def failing_background(request):
    return PlainTextResponse("accepted", background=BackgroundTask(later_failing))


async def slow(request):
    name = request.query_params["name"]
    with tracer.start_as_current_span(f"first {name}"):
        await asyncio.sleep(0.02)
    await asyncio.gather(*(child(name, number) for number in range(3)))
    return PlainTextResponse(name)


async def child(name, number):
    with tracer.start_as_current_span(f"child {name}"):
        await asyncio.sleep(0.01 * number)


async def echo(websocket):
    await websocket.accept()
    async for message in websocket.iter_text():
        with tracer.start_as_current_span("answering"):
            await websocket.send_text(message)


async def impolite(websocket):
    await websocket.accept()
    while True:
        await websocket.receive_text()


async def closed_at_once(websocket):
    await websocket.close()


async def broken_websocket(websocket):
    await websocket.accept()
    raise RuntimeError("torn")


class Adding(BaseHTTPMiddleware):
    async def dispatch(self, request, call_next):
        with tracer.start_as_current_span("middleware"):
            response = await call_next(request)
        if request.url.path == "/broken-middleware":
            raise KeyError("middleware")
        response.headers["x-added"] = "yes"
        return response


async def refused(request, error):
    return JSONResponse({"refused": True}, status_code=409)


def routes():
    return [
        Route("/items/{number:int}", item),
        Route("/threaded", threaded),
        Route("/fail", fail),
        Route("/refuse", refuse),
        Route("/missing", missing),
        Route("/thing", Thing),
        Route("/stream", stream),
        Route("/threaded-stream", threaded_stream),
        Route("/endless", endless),
        Route("/background", background),
        Route("/failing-background", failing_background),
        Route("/slow", slow),
        WebSocketRoute("/echo/{room}", echo),
        WebSocketRoute("/impolite", impolite),
        WebSocketRoute("/closed", closed_at_once),
        WebSocketRoute("/broken", broken_websocket),
    ]


def application(**arguments):
    inner = Starlette(routes=[Route("/items/{number}", item)], exception_handlers={Refusal: refused})
    mounts = [Mount("/sub", inner), Mount("/users/{user}", routes=[Route("/items/{number}", item)])]
    return Starlette(routes=routes() + mounts, exception_handlers={Refusal: refused}, **arguments)


@pytest.fixture
def port(agent):
    with uvicorn_serving(application()) as port:
        yield port


def test_a_request_is_one_tree(agent, port):
    parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = ("User-Agent: test/1", parent, "tracestate: a=b")
    assert get(port, "/items/7?q=1&password=hidden", *headers) == (200, b"7")
    spans = ended(agent, 3)
    assert tree(spans, STATUS) == [
        [
            "server GET /items/{number}",
            {"http.response.status_code": 200},
            [f"internal {HERE}.item", ["internal work"]],
        ]
    ]
    server = next(span for span in spans if span.kind == "server")
    assert (server.trace_id, server.parent) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert server.scope == "pitviper.uvicorn"
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
        "http.route": "/items/{number}",
        "http.response.status_code": 200,
    }


def test_a_sync_endpoint_runs_below_its_request(agent, port):
    assert get(port, "/threaded") == (200, b"sync")
    assert tree(ended(agent, 3)) == [
        ["server GET /threaded", [f"internal {HERE}.threaded", ["internal in AnyIO worker thread"]]]
    ]


@pytest.mark.parametrize(
    ("path", "status", "name", "inner"),
    [
        ("/fail", 500, "GET /fail", f"{HERE}.fail"),
        ("/refuse", 409, "GET /refuse", f"{HERE}.refuse"),
        ("/missing", 404, "GET /missing", f"{HERE}.missing"),
        ("/nowhere", 404, "GET", None),
    ],
)
def test_errors_and_answers(agent, port, path, status, name, inner):
    assert get(port, path)[0] == status
    spans = ended(agent, 2 if inner else 1)
    assert [node[0] for node in tree(spans)] == [f"server {name}"]
    server = next(span for span in spans if span.kind == "server")
    assert server.attributes["http.response.status_code"] == status
    recorded = [(span.name, event["exception.type"]) for span in spans for _, event in span.events]
    if status == 500:
        assert (server.status, server.attributes["error.type"]) == ("error", "RuntimeError")
        assert server.status_message == "RuntimeError: out of order"
        assert recorded == [(inner, "RuntimeError")]
    else:
        assert (server.status, server.attributes.get("error.type")) == ("unset", None)
        assert recorded == ([(inner, f"{HERE}.Refusal")] if status == 409 else [])


def test_class_based_endpoints(agent, port):
    assert get(port, "/thing") == (200, b"a thing")
    assert get(port, "/thing", method="POST")[0] == 500
    assert get(port, "/thing", method="DELETE")[0] == 405
    spans = ended(agent, 5)
    assert tree(spans, STATUS) == [
        ["server GET /thing", {"http.response.status_code": 200}, [f"internal {HERE}.Thing.get"]],
        [
            "server POST /thing",
            {"http.response.status_code": 500, "error.type": "ValueError"},
            [f"internal {HERE}.Thing.post", {"error.type": "ValueError"}],
        ],
        ["server DELETE /thing", {"http.response.status_code": 405}],
    ]


def test_mounted_applications(agent, port):
    assert get(port, "/sub/items/1")[0] == 200
    assert get(port, "/users/ann/items/2")[0] == 200
    assert get(port, "/sub/nowhere")[0] == 404
    assert [node[0] for node in tree(ended(agent, 7))] == [
        "server GET /sub/items/{number}",
        "server GET /users/{user}/items/{number}",
        "server GET /sub/{path}",
    ]


def test_a_stream_lasts_to_its_last_byte(agent, port):
    assert get(port, "/stream")[0] == 200
    spans = ended(agent, 3)
    assert tree(spans) == [["server GET /stream", [f"internal {HERE}.stream"], ["internal producing"]]]
    assert lasting(spans) == [True]


def test_a_stream_of_a_thread(agent, port):
    assert get(port, "/threaded-stream")[0] == 200
    assert tree(ended(agent, 4)) == [
        [
            "server GET /threaded-stream",
            [f"internal {HERE}.threaded_stream"],
            ["internal part 0"],
            ["internal part 1"],
        ]
    ]


def test_a_client_that_leaves_is_no_error(agent, port):
    STARTED.clear()
    CLOSED.clear()
    assert get(port, "/endless", read=2000)[0] == 200
    assert CLOSED.wait(10)
    spans = ended(agent, 2)
    server = next(span for span in spans if span.kind == "server")
    assert (server.name, server.status) == ("GET /endless", "unset")
    assert "error.type" not in server.attributes


def test_background_tasks_belong_to_the_trace_not_to_the_duration(agent, port):
    assert get(port, "/background")[0] == 200
    spans = ended(agent, 6)
    assert tree(spans) == [
        [
            "server GET /background",
            [f"internal {HERE}.background"],
            [f"internal background {HERE}.later", ["internal within"]],
            [f"internal background {HERE}.later_in_a_thread", ["internal within a thread"]],
        ]
    ]
    server = next(span for span in spans if span.kind == "server")
    tasks = [span for span in spans if span.name.startswith("background")]
    assert len(tasks) == 2 and server.end_ns < min(span.end_ns for span in tasks)


def test_a_failing_background_task_fails_itself(agent, port):
    assert get(port, "/failing-background")[0] == 200
    spans = ended(agent, 3)
    assert {span.name: span.status for span in spans} == {
        "GET /failing-background": "unset",
        f"{HERE}.failing_background": "unset",
        f"background {HERE}.later_failing": "error",
    }
    assert [event["exception.type"] for span in spans for _, event in span.events] == ["LookupError"]


def test_concurrent_requests_do_not_mix(agent, port):
    names = [f"n{number}" for number in range(20)]
    clients = [threading.Thread(target=get, args=(port, f"/slow?name={name}")) for name in names]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    spans = ended(agent, 20 * 6)
    trees = tree(spans)
    assert len(trees) == 20
    seen = set()
    for root, endpoint in trees:
        assert root == "server GET /slow"
        first, *children = endpoint[1:]
        name = first[0].rpartition(" ")[2]
        assert children == [[f"internal child {name}"]] * 3
        seen.add(name)
    assert seen == set(names)


def test_websockets_have_a_span_for_their_connection(agent, port):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/echo/blue?token=t") as socket:
        for text in ("a", "b"):
            socket.send(text)
            assert socket.recv() == text
    spans = ended(agent, 3)
    assert tree(spans) == [["server WEBSOCKET /echo/{room}", ["internal answering"], ["internal answering"]]]
    span = next(span for span in spans if span.kind == "server")
    expected = {
        "http.request.method": "GET",
        "http.response.status_code": 101,
        "http.route": "/echo/{room}",
        "network.protocol.name": "websocket",
        "url.scheme": "ws",
        "url.query": "token=***",
        "websocket.close_code": 1000,
        "websocket.messages_received": 2,
        "websocket.messages_sent": 2,
    }
    assert expected.items() <= span.attributes.items()


def test_websockets_that_end_otherwise(agent, port):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/impolite") as socket:
        socket.send("and gone")
    with pytest.raises(websockets.exceptions.InvalidStatus):
        websockets.sync.client.connect(f"ws://127.0.0.1:{port}/closed")
    with (
        pytest.raises(websockets.exceptions.ConnectionClosedError),
        websockets.sync.client.connect(f"ws://127.0.0.1:{port}/broken") as socket,
    ):
        socket.recv()
    spans = {span.name: span for span in ended(agent, 3)}
    shown = {name: (span.status, span.attributes["http.response.status_code"]) for name, span in spans.items()}
    assert shown == {
        "WEBSOCKET /impolite": ("unset", 101),
        "WEBSOCKET /closed": ("unset", 403),
        "WEBSOCKET /broken": ("error", 101),
    }
    assert WebSocketDisconnect.__name__ not in str(spans["WEBSOCKET /impolite"].events)


def test_base_http_middleware(agent):
    with uvicorn_serving(application(middleware=[Middleware(Adding)])) as port:
        assert get(port, "/items/1") == (200, b"1")
        assert get(port, "/stream")[0] == 200
        assert get(port, "/background")[0] == 200
        assert get(port, "/fail")[0] == 500
        assert get(port, "/broken-middleware")[0] == 500
        spans = ended(agent, 4 + 4 + 7 + 3 + 2)
    assert tree(spans) == [
        ["server GET /items/{number}", ["internal middleware", [f"internal {HERE}.item", ["internal work"]]]],
        ["server GET /stream", ["internal middleware", [f"internal {HERE}.stream"], ["internal producing"]]],
        [
            "server GET /background",
            [
                "internal middleware",
                [f"internal {HERE}.background"],
                [f"internal background {HERE}.later", ["internal within"]],
                [f"internal background {HERE}.later_in_a_thread", ["internal within a thread"]],
            ],
        ],
        ["server GET /fail", ["internal middleware", [f"internal {HERE}.fail"]]],
        ["server GET", ["internal middleware"]],
    ]
    servers = {span.attributes["url.path"]: span for span in spans if span.kind == "server"}
    assert servers["/broken-middleware"].attributes["error.type"] == "KeyError"
    assert [event["exception.type"] for _, event in servers["/broken-middleware"].events] == ["KeyError"]


def test_a_cancelled_request_is_no_error(agent):
    """As Hypercorn and asyncio's timeouts cancel; an application is called here as a server calls it."""
    app = application()

    async def serve():
        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            pass

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/endless",
            "query_string": b"",
            "headers": [],
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "app": None,
        }
        await asyncio.wait_for(app(scope, receive, send), 0.1)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(serve())
    server = next(span for span in ended(agent, 2) if span.kind == "server")
    assert (server.name, server.status, [name for name, _ in server.events]) == ("GET /endless", "unset", ["cancelled"])


def test_lifespan_is_not_traced(agent):
    import contextlib

    events = []

    @contextlib.asynccontextmanager
    async def lifespan(app):
        events.append(_native.current_span())
        yield
        events.append(_native.current_span())

    with uvicorn_serving(application(lifespan=lifespan), lifespan="on"):
        pass
    assert events == [None, None]
    assert agent() == []


def test_an_exception_is_let_go_of(agent, port):
    class Kept:
        pass

    kept = []

    async def holding(request):
        value = Kept()
        kept.append(weakref.ref(value))
        raise RuntimeError("holding")

    with uvicorn_serving(Starlette(routes=[Route("/", holding)])) as other:
        get(other, "/")
        ended(agent, 2)
    gc.collect()
    assert kept[0]() is None


def test_uninstalled_and_disabled(agent):
    app = application()
    engine.uninstall()
    try:
        with uvicorn_serving(app) as port:
            assert get(port, "/missing")[0] == 404
        engine.install(frozenset(("starlette", "uvicorn")))
        with uvicorn_serving(application()) as port:
            assert get(port, "/threaded-stream")[0] == 200
        assert {span.kind for span in agent()} == {"internal"}
        assert engine.states()["starlette"] == "disabled by configuration"
    finally:
        engine.uninstall()
        engine.install()
