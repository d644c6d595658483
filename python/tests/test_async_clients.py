"""httpx and aiohttp: what is sent, whose span it is, and what becomes of failures."""

import asyncio
import os
import socket
import sys
from contextlib import asynccontextmanager

import aiohttp
import httpx
import pytest
from aiohttp import web
from services.process import accepts, free_port, running
from sink import tree

from pitviper import _native, tracer

RESEND = "http.request.resend_count"
STATUS = "http.response.status_code"


@pytest.fixture
def refused():
    """A port that nobody listens on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


def in_order(spans):
    return sorted(spans, key=lambda span: span.start_ns)


def traceparents(server):
    return [seen["traceparent"] for seen in server.seen]


def sent_by(spans):
    return [f"00-{span.trace_id}-{span.span_id}-03" for span in spans]


async def fetch_httpx(url, method="GET", timeout=5.0, verify=True, proxy=None):
    with httpx.Client(follow_redirects=True, timeout=timeout, verify=verify, proxy=proxy, trust_env=False) as client:
        response = client.request(method, url)
        return response.status_code, response.content


async def fetch_httpx_async(url, method="GET", timeout=5.0, verify=True, proxy=None):
    options = {"follow_redirects": True, "timeout": timeout, "verify": verify, "proxy": proxy, "trust_env": False}
    async with httpx.AsyncClient(**options) as client:
        response = await client.request(method, url)
        return response.status_code, response.content


async def fetch_aiohttp(url, method="GET", timeout=5.0, verify=True, proxy=None):
    options = {"ssl": verify, "proxy": proxy, "timeout": aiohttp.ClientTimeout(timeout)}
    async with aiohttp.ClientSession() as session, session.request(method, url, **options) as response:
        return response.status, await response.read()


CLIENTS = [fetch_httpx, fetch_httpx_async, fetch_aiohttp]


@pytest.fixture(params=CLIENTS, ids=lambda fetch: fetch.__name__[6:])
def fetch(request):
    """Each library's way to fetch a URL."""
    return request.param


def scope_of(fetch):
    return "pitviper.aiohttp_client" if fetch is fetch_aiohttp else "pitviper.httpx"


def test_a_call_has_one_span_and_sends_its_context(agent, http, fetch):
    async def main():
        with tracer.start_as_current_span("request"):
            assert await fetch(f"{http.url}/?page=1&token=secret") == (200, b"hello")

    asyncio.run(main())
    spans = agent()
    assert tree(spans) == [["internal request", ["client GET"]]]
    (span,) = (span for span in spans if span.kind == "client")
    assert span.scope == scope_of(fetch)
    version = {} if fetch is fetch_aiohttp else {"network.protocol.version": "1.1"}
    assert span.attributes == {
        "http.request.method": "GET",
        "url.full": f"{http.url}/?page=1&token=***",
        "server.address": "localhost",
        "server.port": http.server_port,
        "http.response.status_code": 200,
        **version,
    }
    assert traceparents(http) == sent_by([span])


def test_a_redirect_is_a_request_of_its_own(agent, http, fetch):
    async def main():
        with tracer.start_as_current_span("request"):
            await fetch(f"{http.url}/redirect/2")

    asyncio.run(main())
    spans = in_order(agent())
    assert tree(spans, (STATUS, RESEND)) == [
        [
            "internal request",
            ["client GET", {STATUS: 302}],
            ["client GET", {STATUS: 302, RESEND: 1}],
            ["client GET", {STATUS: 200, RESEND: 2}],
        ]
    ]
    assert [span.attributes["url.full"] for span in spans[1:]] == [f"{http.url}{path}" for path in http.paths]
    assert traceparents(http) == sent_by(spans[1:])


@pytest.mark.parametrize("status", [404, 500])
def test_a_status_of_400_and_above_is_a_failed_call(agent, http, fetch, status):
    asyncio.run(fetch(f"{http.url}/status/{status}"))
    (span,) = agent()
    assert (span.attributes[STATUS], span.attributes["error.type"], span.status) == (status, str(status), "error")
    assert span.events == []


def test_a_method_of_ones_own(agent, http, fetch):
    asyncio.run(fetch(http.url, "PURGE"))
    (span,) = agent()
    assert (span.name, span.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert span.attributes["http.request.method_original"] == "PURGE"


@pytest.mark.parametrize("failure", ["refused", "name", "reset", "certificate", "timeout", "proxy"])
def test_a_failure_is_recorded_and_passes(agent, refused, http, https, proxy, fetch, failure):
    url, options = {
        "refused": (f"http://localhost:{refused}/", {}),
        "name": ("http://nowhere.invalid/", {}),
        "reset": (f"{http.url}/reset", {}),
        "certificate": (f"{https.url}/", {}),
        "timeout": (f"{http.url}/slow", {"timeout": 0.1}),
        "proxy": ("https://closed.invalid/", {"proxy": proxy.url}),
    }[failure]
    with pytest.raises(Exception) as raised:
        asyncio.run(fetch(url, **options))
    *before, span = in_order(agent())
    # aiohttp asks once more when a connection breaks.
    assert len(before) == (failure == "reset" and fetch is fetch_aiohttp)
    assert {one.status for one in before} <= {"error"}
    kind = raised.type
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    assert (span.status, span.attributes["error.type"]) == ("error", name)
    assert [(event, attributes["exception.type"]) for event, attributes in span.events] == [("exception", name)]
    assert STATUS not in span.attributes


def test_https_and_a_proxy(agent, http, https, proxy, certificates, fetch):
    asyncio.run(fetch(https.url, verify=certificates.client()))
    asyncio.run(fetch(http.url, proxy=proxy.url))
    asyncio.run(fetch(https.url, verify=certificates.client(), proxy=proxy.url))
    spans = in_order(agent())
    assert [span.attributes["url.full"].rstrip("/") for span in spans] == [https.url, http.url, https.url]
    assert [span.attributes[STATUS] for span in spans] == [200] * 3
    assert len(proxy.seen) == 2
    assert traceparents(http) == sent_by(spans[1:2])
    assert traceparents(https) == sent_by(spans[::2])


def test_many_at_once_keep_apart(agent, http, fetch):
    async def one(number):
        with tracer.start_as_current_span(f"request {number}"):
            await fetch(f"{http.url}/redirect/1")

    async def main():
        await asyncio.gather(*(one(number) for number in range(8)))
        assert _native.current_span() is None

    asyncio.run(main())
    calls = [["client GET"], ["client GET", {RESEND: 1}]]
    assert sorted(tree(agent(), (RESEND,))) == [[f"internal request {number}", *calls] for number in range(8)]


def test_a_cancelled_call_ends_its_span(agent, http):
    async def main():
        for fetch in (fetch_httpx_async, fetch_aiohttp):
            with tracer.start_as_current_span("request"):
                task = asyncio.create_task(fetch(f"{http.url}/slow"))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert _native.current_span() is None

    asyncio.run(main())
    spans = agent()
    assert tree(spans) == [["internal request", ["client GET"]]] * 2
    # Whoever cancels has a reason; it is no failure of the call.
    assert {span.status for span in spans} == {"unset"}


def test_responses_that_are_streamed(agent, http):
    async def main():
        with httpx.Client() as client, client.stream("GET", f"{http.url}/stream") as response:  # noqa: SIM117
            with tracer.start_as_current_span("reading"):
                assert b"".join(response.iter_bytes()) == b"lump" * 3
        async with httpx.AsyncClient() as client, client.stream("GET", f"{http.url}/stream") as response:
            # Given up before its end.
            async for _ in response.aiter_bytes(4):
                break
        async with aiohttp.ClientSession() as session, session.get(f"{http.url}/stream") as response:
            with tracer.start_as_current_span("reading"):
                assert b"".join([chunk async for chunk in response.content.iter_chunked(4)]) == b"lump" * 3

    asyncio.run(main())
    assert tree(agent()) == [
        ["client GET"],
        ["internal reading"],
        ["client GET"],
        ["client GET"],
        ["internal reading"],
    ]


def test_a_challenge_is_answered_by_a_request_of_its_own(agent, http):
    with httpx.Client(auth=httpx.DigestAuth("user", "word")) as client:
        assert client.get(f"{http.url}/challenge").status_code == 200
        assert client.get(http.url).status_code == 200
    assert tree(agent(), (STATUS, RESEND)) == [
        ["client GET", {STATUS: 401}],
        ["client GET", {STATUS: 200, RESEND: 1}],
        ["client GET", {STATUS: 200}],
    ]


def test_several_values_of_one_header_stay_apart(agent, http):
    headers = [("cookie", "a=1"), ("cookie", "b=2")]
    httpx.get(http.url, headers=headers)
    assert http.seen[0].get_all("cookie") == ["a=1", "b=2"]

    async def main():
        async with aiohttp.ClientSession() as session:
            await session.get(http.url, headers=[("x-one", "a"), ("x-one", "b")])

    asyncio.run(main())
    assert http.seen[1].get_all("x-one") == ["a", "b"]
    assert all(len(seen.get_all("traceparent")) == 1 for seen in http.seen)
    agent()


H2 = """
async def app(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    parent = dict(scope["headers"]).get(b"traceparent", b"")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": parent})
"""


def test_http_2(agent, certificates, tmp_path):
    (tmp_path / "h2app.py").write_text(H2)
    port = free_port()
    certificate = ["--certfile", str(certificates.chain), "--keyfile", str(certificates.key)]
    command = [sys.executable, "-m", "hypercorn", "--bind", f"localhost:{port}", *certificate, "h2app:app"]
    environ = {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])}

    async def main():
        async with httpx.AsyncClient(http2=True, verify=certificates.client()) as client:
            return await asyncio.gather(*(client.get(f"https://localhost:{port}/{number}") for number in range(3)))

    with running(command, lambda: accepts(port), tmp_path / "log", environ=environ):
        responses = asyncio.run(main())
    spans = agent()
    assert sorted(response.text for response in responses) == sorted(sent_by(spans))
    assert {span.attributes["network.protocol.version"] for span in spans} == {"2"}


def test_an_application_in_the_same_process(agent):
    async def app(scope, receive, send):
        parents.append(dict(scope["headers"])[b"traceparent"].decode())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    parents = []

    async def main():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            await client.get("/")

    asyncio.run(main())
    (span,) = (span for span in agent() if span.kind == "client")
    assert parents == sent_by([span])
    assert (span.attributes["server.address"], span.attributes["server.port"]) == ("shop", 80)


@asynccontextmanager
async def aiohttp_server(*routes):
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
    finally:
        await runner.cleanup()


def clients_of(spans):
    return [span for span in spans if span.kind == "client"]


def test_a_websocket_is_the_request_that_opens_it(agent):
    async def serve(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers["traceparent"])
        await socket.close()
        return socket

    async def main():
        async with (
            aiohttp_server(web.get("/ws", serve)) as url,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{url}/ws") as socket,
        ):
            assert _native.current_span() is None
            return (await socket.receive()).data

    parent = asyncio.run(main())
    (span,) = clients_of(agent())
    assert (span.name, span.attributes[STATUS], span.status) == ("GET", 101, "unset")
    assert [parent] == sent_by([span])


def test_what_a_closed_connection_did_not_take_is_sent_again(agent):
    async def main():
        connections = 0

        async def serve(reader, writer):
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            if connections == 1:
                await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with server, aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.get(url) as response:
                    assert await response.text() == "ok"

    asyncio.run(main())
    assert tree(agent(), (STATUS, RESEND, "error.type")) == [
        ["client GET", {STATUS: 200}],
        ["client GET", {"error.type": "aiohttp.client_exceptions.ServerDisconnectedError"}],
        ["client GET", {STATUS: 200, RESEND: 1}],
    ]


OFF = """
import asyncio, sys, aiohttp, httpx
from pitviper.instrument import engine
url, mode = sys.argv[1:]
async def main():
    client, session = httpx.AsyncClient(), aiohttp.ClientSession()
    if mode == "uninstall":
        await client.get(url); await session.get(url)
        engine.uninstall()
    await client.get(url); await session.get(url); httpx.get(url)
    await client.aclose(); await session.close()
asyncio.run(main())
print(any(hasattr(function, "__wrapped__") for function in (
    httpx.Client._send_single_request, aiohttp.ClientSession._request, aiohttp.BaseConnector.connect)))
"""


def test_disabled_integrations_send_no_context(run, sink, http):
    done = run(OFF, http.url, "disabled", PITVIPER_INTEGRATIONS_DISABLED="httpx,aiohttp_client")
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert traceparents(http) == [None] * 3
    assert sink.spans == []


def test_uninstalled_objects_go_on_working(run, sink, http):
    done = run(OFF, http.url, "uninstall")
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert [bool(parent) for parent in traceparents(http)] == [True, True, False, False, False]


def test_redirects_are_counted_without_our_settings_in_the_way(agent, http):
    """Two calls with the same request object start counting anew."""
    with httpx.Client(follow_redirects=True) as client:
        request = client.build_request("GET", f"{http.url}/redirect/1")
        client.send(request)
        client.send(request)
    calls = [["client GET", {STATUS: 302}], ["client GET", {STATUS: 200, RESEND: 1}]]
    assert tree(agent(), (STATUS, RESEND)) == calls * 2
