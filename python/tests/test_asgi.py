"""ASGI applications of any kind under uvicorn, Hypercorn and gunicorn, and the options of web servers."""

import asyncio
import time

import pytest
from sink import tree
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from web_servers import ended, get, process_serving, uvicorn_serving

from pitviper.integrations._server_options import options
from pitviper.integrations.asgi.patches import traced


def test_any_asgi_application_under_uvicorn(agent):
    async def plain(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with uvicorn_serving(plain, lifespan="off", proxy_headers=True) as port:
        assert get(port, "/x", "X-Forwarded-For: 10.1.2.3", "X-Forwarded-Proto: https", method="PURGE")[0] == 204
    (span,) = ended(agent, 1)
    assert (span.name, span.scope) == ("HTTP", "pitviper.uvicorn")
    assert (span.attributes["client.address"], span.attributes["url.scheme"]) == ("10.1.2.3", "https")
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PURGE"


def test_a_query_as_test_clients_give_it(agent):
    async def plain(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message):
        pass

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    for query in ("a=b&token=x", b"a=b&token=x"):
        asyncio.run(traced(plain)({**scope, "query_string": query}, None, send))
    assert [span.attributes["url.query"] for span in agent()] == ["a=b&token=***"] * 2


def test_options(agent):
    async def home(request):
        return PlainTextResponse("home")

    now = time.time()
    options.load(
        {
            "PITVIPER_HTTP_REQUEST_HEADERS": "X-Tenant,Authorization",
            "PITVIPER_HTTP_RESPONSE_HEADERS": "content-type",
            "PITVIPER_HTTP_TRUSTED_PROXIES": "1",
            "PITVIPER_HTTP_QUERY": "false",
        }
    )
    try:
        headers = ("X-Tenant: a", "X-Tenant: b", "Authorization: Bearer x", f"X-Request-Start: t={now - 2:.3f}")
        with uvicorn_serving(Starlette(routes=[Route("/", home)]), proxy_headers=False) as port:
            assert get(port, "/?a=b", *headers, "X-Forwarded-For: 6.6.6.6, 10.1.2.3")[0] == 200
    finally:
        options.load({})
    span = next(span for span in ended(agent, 2) if span.kind == "server")
    assert span.attributes["http.request.header.x-tenant"] == ["a", "b"]
    assert span.attributes["http.request.header.authorization"] == ["***"]
    assert span.attributes["http.response.header.content-type"] == ["text/plain; charset=utf-8"]
    assert span.attributes["client.address"] == "10.1.2.3"
    assert "url.query" not in span.attributes
    assert 2000 <= span.attributes["http.server.queue_time_ms"] < 10_000


def test_exceptions_reach_the_server_unchanged(agent):
    error = RuntimeError("mine")

    async def raising(scope, receive, send):
        raise error

    async def call(app):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}

        async def send(message):
            pass

        await app(scope, None, send)

    for app in (traced(raising), Starlette(middleware=[], routes=[Mount("/", raising)])):
        with pytest.raises(RuntimeError) as caught:
            asyncio.run(call(app))
        assert caught.value is error
    assert [span.status for span in ended(agent, 2)] == ["error"] * 2


SERVED = """
import os, sqlite3
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

def home(request):
    sqlite3.connect(":memory:").execute("SELECT 1")
    return PlainTextResponse(str(os.getpid()))

app = Starlette(routes=[Route("/", home)])
"""


@pytest.mark.parametrize(
    "command",
    [
        ["uvicorn", "served:app", "--port", "{port}", "--workers", "2"],
        ["gunicorn", "served:app", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:{port}", "-w", "2"],
        ["hypercorn", "served:app", "-b", "127.0.0.1:{port}"],
    ],
    ids=lambda command: command[0],
)
def test_servers_with_processes_of_their_own(sink, tmp_path, command):
    (tmp_path / "served.py").write_text(SERVED)
    with process_serving(command, sink, tmp_path) as (port, _):
        status, pid = get(port, "/")
        assert status == 200
        spans = sink.wait_for(3)
    assert tree(spans) == [["server GET /", ["internal served.home", ["client SELECT"]]]]
    server = next(span for span in spans if span.kind == "server")
    scope = "hypercorn" if command[0] == "hypercorn" else "uvicorn"
    assert (server.scope, str(server.resource["process.pid"])) == (f"pitviper.{scope}", pid.decode())
