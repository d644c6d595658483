"""FastAPI under uvicorn: routers, dependencies, threads, background tasks, and its own OpenTelemetry spans."""

import asyncio
import threading

import fastapi
import pytest
import websockets.sync.client
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, WebSocket
from fastapi.responses import JSONResponse
from sink import tree
from web_servers import ended, get, uvicorn_serving

from pitviper import tracer
from pitviper.instrument import engine

HERE = __name__
STATUS = ("http.response.status_code", "error.type")


async def user():
    with tracer.start_as_current_span("dependency"):
        await asyncio.sleep(0)
    yield "ann"


def checked():
    raise PermissionError("not you")


class Refusal(Exception):
    pass


def notify(text):
    with tracer.start_as_current_span("notifying"):
        pass


def application():
    app = FastAPI()
    items = APIRouter(prefix="/items")
    inner = APIRouter(prefix="/parts/{part}")

    @items.get("/{number}")
    async def read(number: int, who: str = Depends(user)):
        with tracer.start_as_current_span("work"):
            return {"number": number, "who": who}

    @items.post("/{number}")
    def write(number: int, tasks: BackgroundTasks):
        tasks.add_task(notify, "written")
        with tracer.start_as_current_span(threading.current_thread().name.split("_")[0].split("-")[0]):
            return {"written": number}

    @inner.get("/name")
    async def part_name(part: str):
        return part

    @app.get("/fail")
    async def fail():
        raise RuntimeError("out of order")

    @app.get("/fail-in-a-thread")
    def fail_in_a_thread():
        raise RuntimeError("out of order")

    @app.get("/teapot")
    async def teapot():
        raise HTTPException(418)

    @app.get("/checked")
    async def never(_: None = Depends(checked)):
        return None

    @app.get("/refuse")
    async def refuse():
        raise Refusal

    @app.websocket("/ws/{room}")
    async def room(websocket: WebSocket, room: str):
        await websocket.accept()
        while True:
            with tracer.start_as_current_span("answering"):
                await websocket.send_text(await websocket.receive_text())

    @app.exception_handler(Refusal)
    async def refused(request, error):
        return JSONResponse({}, status_code=409)

    items.include_router(inner)
    app.include_router(items)
    app.include_router(items, prefix="/v2")
    app.mount("/sub", second())
    return app


def second():
    app = FastAPI()

    @app.get("/hello/{name}")
    async def hello(name: str):
        return name

    return app


@pytest.fixture
def port(agent):
    with uvicorn_serving(application()) as port:
        yield port


def test_requests_are_trees(agent, port):
    assert get(port, "/items/7")[0] == 200
    assert get(port, "/items/7", method="POST")[0] == 200
    assert get(port, "/v2/items/8/parts/a/name")[0] == 404
    assert get(port, "/items/parts/a/name")[0] == 200
    assert get(port, "/v2/items/8")[0] == 200
    assert get(port, "/sub/hello/x")[0] == 200
    local = f"{HERE}.application.<locals>"
    assert tree(ended(agent, 4 + 5 + 1 + 2 + 4 + 2)) == [
        ["server GET /items/{number}", ["internal dependency"], [f"internal {local}.read", ["internal work"]]],
        [
            "server POST /items/{number}",
            [f"internal {local}.write", ["internal AnyIO worker thread"]],
            [f"internal background {HERE}.notify", ["internal notifying"]],
        ],
        ["server GET"],
        ["server GET /items/parts/{part}/name", [f"internal {local}.part_name"]],
        ["server GET /v2/items/{number}", ["internal dependency"], [f"internal {local}.read", ["internal work"]]],
        ["server GET /sub/hello/{name}", [f"internal {HERE}.second.<locals>.hello"]],
    ]


@pytest.mark.parametrize(
    ("path", "status", "error", "recorded_by"),
    [
        ("/fail", 500, "RuntimeError", "fail"),
        ("/fail-in-a-thread", 500, "RuntimeError", "fail_in_a_thread"),
        ("/checked", 500, "PermissionError", None),
        ("/teapot", 418, None, None),
        ("/refuse", 409, None, "refuse"),
        ("/items/no-number", 422, None, None),
    ],
)
def test_errors_and_answers(agent, port, path, status, error, recorded_by):
    assert get(port, path)[0] == status
    spans = ended(agent, 1 if path == "/checked" else 2)
    server = next(span for span in spans if span.kind == "server")
    assert server.attributes["http.response.status_code"] == status
    assert (server.status, server.attributes.get("error.type")) == ("error" if error else "unset", error)
    recorded = [span.name for span in spans for name, _ in span.events if name == "exception"]
    by = f"{HERE}.application.<locals>.{recorded_by}" if recorded_by else server.name
    assert recorded == ([by] if error or recorded_by else [])


def test_websockets(agent, port):
    with websockets.sync.client.connect(f"ws://127.0.0.1:{port}/ws/blue") as socket:
        socket.send("a")
        assert socket.recv() == "a"
    spans = ended(agent, 3)
    assert tree(spans) == [["server WEBSOCKET /ws/{room}", ["internal answering"], ["internal answering"]]]
    assert next(span for span in spans if span.kind == "server").status == "unset"


def test_concurrent_requests_do_not_mix(agent, port):
    clients = [
        threading.Thread(target=get, args=(port, f"/items/{number}"), kwargs={"method": method})
        for number in range(10)
        for method in ("GET", "POST")
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    trees = tree(ended(agent, 10 * 4 + 10 * 5))
    assert sorted(str(root) for root in trees) == sorted(str(root) for root in 10 * trees_of_one(trees))


def trees_of_one(trees):
    one = {root[0]: root for root in trees}
    assert set(one) == {"server GET /items/{number}", "server POST /items/{number}"}
    return list(one.values())


def test_disabled(agent):
    engine.uninstall()
    engine.install(frozenset(("fastapi",)))
    try:
        with uvicorn_serving(application()) as port:
            assert get(port, "/fail")[0] == 500
        # FastAPI makes spans of its own for whoever provides OpenTelemetry, as other tests of this process do.
        assert tree(ended(agent, 1, "pitviper.")) == [["server GET /fail"]]
    finally:
        engine.uninstall()
        engine.install()


def test_its_own_spans_stay_off_for_our_provider(agent):
    telemetry = pytest.importorskip("fastapi.telemetry", reason="FastAPI before Python 3.11 has no spans of its own")
    from opentelemetry.trace import NoOpTracer, TracerProvider

    class Provider(TracerProvider):
        asked = 0

        def get_tracer(self, *args, **kwargs):
            self.asked += 1
            return NoOpTracer()

    class Ours(Provider):
        pass

    Ours.__module__ = "pitviper.opentelemetry"
    for provider, asked in ((Ours(), 0), (Provider(), 1)):
        app = FastAPI(telemetry={"tracer_provider": provider})

        @app.get("/")
        async def home():
            return None

        with uvicorn_serving(app) as port:
            assert get(port, "/")[0] == 200
            assert get(port, "/")[0] == 200
        assert provider.asked == asked, telemetry
        assert app._telemetry["tracing"] is True
    assert len(ended(agent, 8)) == 8, fastapi.__version__


OWN_TELEMETRY = """
import asyncio, sys
import pitviper
from fastapi import BackgroundTasks, FastAPI, WebSocket
from starlette.testclient import TestClient

shop = FastAPI()

@shop.get("/item")
def item(): return {}

app = FastAPI()
app.mount("/shop", shop)

@app.get("/page/{number}")
async def page(number: int): return number

@app.get("/fail")
def fail(): raise KeyError("x")

@app.get("/late")
def late(tasks: BackgroundTasks): tasks.add_task(fail)

@app.websocket("/socket/{number}")
async def socket(websocket: WebSocket, number: int):
    await websocket.accept()
    raise KeyError("y")

client = TestClient(app, raise_server_exceptions=False)
for path in ("/page/1", "/page/2", "/page/x", "/fail", "/late", "/nowhere", "/shop/item"):
    client.get(path)
client.request("PURGE", "/page/1")
for path in ("/socket/1", "/socket/x"):
    try:
        with client.websocket_connect(path) as connection: connection.receive()
    except Exception: pass
assert pitviper.flush(10)
"""


def _steady(attributes):
    return [item for item in sorted(attributes.items()) if item[0] != "exception.stacktrace"]


def told(sink):
    """What FastAPI told of its requests, without what differs from run to run."""
    points = [
        (point.name, point.unit, point.description, point.scope, sorted(point.attributes.items()))
        + ((point.point.count, list(point.point.explicit_bounds)) if point.kind == "histogram" else (point.value,))
        for point in sink.points
        if point.scope == "fastapi"
    ]
    logs = [
        (log.event_name, log.body, log.severity, log.severity_text, *_steady(log.attributes))
        for log in sink.logs
        if log.scope == "fastapi"
    ]
    return sorted(points), sorted(logs)


def test_its_own_metrics_and_logs_are_the_same_however_they_are_made(run, sink):
    pytest.importorskip("fastapi.telemetry", reason="FastAPI before Python 3.11 has no telemetry of its own")
    once = {"OTEL_METRIC_EXPORT_INTERVAL": "600000", "PITVIPER_METRICS_RUNTIME": "false"}
    done = run(OWN_TELEMETRY, **once, PITVIPER_INTEGRATIONS_DISABLED="fastapi")
    assert done.returncode == 0, done.stderr
    spans = {span.scope for span in sink.spans}
    theirs = told(sink)
    assert "fastapi" in spans and len(theirs[0]) >= 8 and len(theirs[1]) >= 4
    for kept in (sink.spans, sink.points, sink.logs):
        kept.clear()
    done = run(OWN_TELEMETRY, **once)
    assert done.returncode == 0, done.stderr
    assert "fastapi" not in {span.scope for span in sink.spans}
    assert told(sink)[0] == theirs[0]
    assert told(sink)[1] == theirs[1]
