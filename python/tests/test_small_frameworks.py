"""Falcon, Pyramid and Bottle under real servers: routes, answers, errors, streams and concurrency."""

import threading
import time

import bottle
import falcon
import falcon.asgi
import pytest
import websockets.sync.client
from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.response import Response
from sink import lasting, tree
from web_servers import ended, get, uvicorn_serving, wsgi_serving

from pitviper import tracer
from pitviper.instrument import engine

HERE = __name__


class Refusal(Exception):
    pass


def falcon_application():
    class Item:
        def on_get(self, req, resp, number):
            with tracer.start_as_current_span(f"work {number}"):
                time.sleep(0.01)
            resp.text = str(number)

    class Fail:
        def on_get(self, req, resp):
            raise RuntimeError("out of order")

    class Missing:
        def on_get(self, req, resp):
            raise falcon.HTTPNotFound

    class Refuse:
        def on_get(self, req, resp):
            raise Refusal

    class Stream:
        def on_get(self, req, resp):
            def parts():
                for _ in range(3):
                    with tracer.start_as_current_span("producing"):
                        time.sleep(0.02)
                    yield b"x"

            resp.stream = parts()

    def refused(req, resp, error, params):
        resp.status = 409

    app = falcon.App()
    app.add_route("/items/{number:int}", Item())
    app.add_route("/fail", Fail())
    app.add_route("/missing", Missing())
    app.add_route("/refuse", Refuse())
    app.add_route("/stream", Stream())
    app.add_error_handler(Refusal, refused)
    return app


def falcon_asgi_application():
    class Item:
        async def on_get(self, req, resp, number):
            with tracer.start_as_current_span(f"work {number}"):
                resp.text = str(number)

    class Fail:
        async def on_get(self, req, resp):
            raise RuntimeError("out of order")

    class Missing:
        async def on_get(self, req, resp):
            raise falcon.HTTPNotFound

    class Refuse:
        async def on_get(self, req, resp):
            raise Refusal

    class Stream:
        async def on_get(self, req, resp):
            async def parts():
                for _ in range(3):
                    with tracer.start_as_current_span("producing"):
                        time.sleep(0.02)
                    yield b"x"

            resp.stream = parts()

    class Echo:
        async def on_websocket(self, req, socket, room):
            await socket.accept()
            with tracer.start_as_current_span("answering"):
                await socket.send_text(await socket.receive_text())

    async def refused(req, resp, error, params, **_):
        resp.status = 409

    app = falcon.asgi.App()
    app.add_route("/items/{number:int}", Item())
    app.add_route("/fail", Fail())
    app.add_route("/missing", Missing())
    app.add_route("/refuse", Refuse())
    app.add_route("/stream", Stream())
    app.add_route("/echo/{room}", Echo())
    app.add_error_handler(Refusal, refused)
    return app


def pyramid_application():
    def item(request):
        number = request.matchdict["number"]
        with tracer.start_as_current_span(f"work {number}"):
            time.sleep(0.01)
        return Response(number)

    def fail(request):
        raise RuntimeError("out of order")

    def missing(request):
        raise HTTPNotFound

    def refuse(request):
        raise Refusal

    def refused(request):
        return Response(status=409)

    def stream(request):
        def parts():
            for _ in range(3):
                with tracer.start_as_current_span("producing"):
                    time.sleep(0.02)
                yield b"x"

        return Response(app_iter=parts())

    with Configurator() as config:
        for view, path in ((item, "items/{number}"), (fail, "fail"), (missing, "missing"), (refuse, "refuse")):
            config.add_route(view.__name__, path)
            config.add_view(view, route_name=view.__name__)
        config.add_route("stream", "/stream")
        config.add_view(stream, route_name="stream")
        config.add_exception_view(refused, context=Refusal)
        return config.make_wsgi_app()


def bottle_application():
    app = bottle.Bottle()
    inner = bottle.Bottle()

    @app.get("/items/<number:int>")
    def item(number):
        with tracer.start_as_current_span(f"work {number}"):
            time.sleep(0.01)
        return str(number)

    @app.get("/fail")
    def fail():
        raise RuntimeError("out of order")

    @app.get("/missing")
    def missing():
        bottle.abort(404)

    @app.get("/refuse")
    def refuse():
        raise bottle.HTTPResponse(status=409)

    @app.get("/stream")
    def stream():
        for _ in range(3):
            with tracer.start_as_current_span("producing"):
                time.sleep(0.02)
            yield b"x"

    @inner.get("/items/<number>")
    def inner_item(number):
        return number

    app.mount("/sub", inner)
    return app


SERVED = {
    "falcon": (falcon_application, wsgi_serving, "/items/{number:int}", "on_get"),
    "falcon-asgi": (falcon_asgi_application, uvicorn_serving, "/items/{number:int}", "on_get"),
    "pyramid": (pyramid_application, wsgi_serving, "/items/{number}", None),
    "bottle": (bottle_application, wsgi_serving, "/items/<number:int>", "item"),
}


@pytest.fixture(params=SERVED)
def framework(request):
    return request.param


@pytest.fixture
def port(agent, framework):
    application, serving, _, _ = SERVED[framework]
    with serving(application()) as port:
        yield port


def test_a_request_is_one_tree(agent, port, framework):
    application, _, route, function = SERVED[framework]
    assert get(port, "/items/7?q=1&password=x") == (200, b"7")
    spans = ended(agent, 2)
    assert tree(spans) == [[f"server GET {route}", ["internal work 7"]]]
    server = next(span for span in spans if span.kind == "server")
    assert server.attributes["http.route"] == route
    assert server.attributes["http.response.status_code"] == 200
    assert server.attributes["url.query"] == "q=1&password=***"
    assert server.attributes["url.path"] == "/items/7"
    if function:
        name = server.attributes["code.function.name"]
        assert name.startswith(f"{HERE}.{application.__name__}.<locals>.") and name.endswith(function)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/fail", 500, "RuntimeError"),
        ("/missing", 404, None),
        ("/refuse", 409, None),
        ("/nowhere", 404, None),
    ],
)
def test_errors_and_answers(agent, port, framework, path, status, error):
    assert get(port, path)[0] == status
    (server,) = ended(agent, 1)
    name = "GET" if path == "/nowhere" else f"GET {path}"
    assert (server.name, server.attributes["http.response.status_code"]) == (name, status)
    assert (server.status, server.attributes.get("error.type")) == ("error" if error else "unset", error)
    assert [event["exception.type"] for _, event in server.events] == ([error] if error else [])


def test_streams_last_to_their_last_byte(agent, port):
    assert get(port, "/stream")[0] == 200
    spans = ended(agent, 4)
    assert tree(spans) == [["server GET /stream", *[["internal producing"]] * 3]]
    assert lasting(spans) == [True]


def test_concurrent_requests_do_not_mix(agent, port, framework):
    clients = [threading.Thread(target=get, args=(port, f"/items/{number}")) for number in range(15)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    route = SERVED[framework][2]
    trees = tree(ended(agent, 15 * 2))
    assert sorted(map(str, trees)) == sorted(
        str([f"server GET {route}", [f"internal work {number}"]]) for number in range(15)
    )


def test_falcons_websockets(agent):
    with (
        uvicorn_serving(falcon_asgi_application()) as port,
        websockets.sync.client.connect(f"ws://127.0.0.1:{port}/echo/blue") as socket,
    ):
        socket.send("a")
        assert socket.recv() == "a"
    assert tree(ended(agent, 2), ("http.response.status_code",)) == [
        ["server WEBSOCKET /echo/{room}", {"http.response.status_code": 101}, ["internal answering"]]
    ]


def test_bottles_mounted_applications(agent):
    with wsgi_serving(bottle_application()) as port:
        assert get(port, "/sub/items/7") == (200, b"7")
    (server,) = ended(agent, 1)
    assert server.name == "GET /sub/items/<number>"


def test_what_the_application_raises_is_unchanged(agent):
    app = bottle.Bottle(catchall=False)
    error = RuntimeError("mine")

    @app.get("/")
    def fail():
        raise error

    with pytest.raises(RuntimeError) as caught:
        app({"PATH_INFO": "/", "REQUEST_METHOD": "GET"}, lambda *_: None)
    assert caught.value is error
    (server,) = ended(agent, 1)
    assert (server.status, len(server.events)) == ("error", 1)


def test_uninstalled(agent, port, framework):
    engine.uninstall()
    try:
        assert get(port, "/items/1")[0] == 200
        # uvicorn wrapped its application before, and keeps working.
        inner = ["internal work 1"]
        asgi = framework == "falcon-asgi"
        assert tree(ended(agent, 2 if asgi else 1)) == [["server GET", inner] if asgi else inner]
    finally:
        engine.install()
