"""gRPC: all four kinds of calls, in threads and in asyncio, from client to server and back."""

import asyncio
import concurrent.futures
import contextlib

import grpc
import pytest
from grpc import aio
from sink import tree

from pitviper import _native, tracer

CODE = "rpc.grpc.status_code"


def work(name):
    with tracer.start_as_current_span(name):
        pass


def end(request, context):
    """What a request asks for instead of an answer."""
    if request == b"fail":
        raise LookupError("lost")
    if request == b"abort":
        context.abort(grpc.StatusCode.NOT_FOUND, "not here")
    if request == b"code":
        context.set_code(grpc.StatusCode.DATA_LOSS)


def unary_unary(request, context):
    work("working")
    end(request, context)
    if request == b"wait":
        over.wait(5)
    return request


def unary_stream(request, context):
    for number in range(3):
        work("working")
        yield b"%d" % number
        end(request, context)


def stream_unary(requests, context):
    joined = b"".join(requests)
    work("working")
    end(joined, context)
    return joined


def stream_stream(requests, context):
    for request in requests:
        work("working")
        end(request, context)
        yield request


async def aio_end(request, context):
    if request == b"fail":
        raise LookupError("lost")
    if request == b"abort":
        await context.abort(grpc.StatusCode.NOT_FOUND, "not here")
    if request == b"code":
        context.set_code(grpc.StatusCode.DATA_LOSS)


async def aio_unary_unary(request, context):
    work("working")
    await aio_end(request, context)
    if request == b"wait":
        await asyncio.sleep(5)
    return request


async def aio_unary_stream(request, context):
    for number in range(3):
        work("working")
        yield b"%d" % number
        await aio_end(request, context)


async def aio_stream_unary(requests, context):
    joined = b"".join([request async for request in requests])
    work("working")
    await aio_end(joined, context)
    return joined


async def aio_stream_stream(requests, context):
    # The other way of streaming: without being a generator.
    async for request in requests:
        work("working")
        await aio_end(request, context)
        await context.write(request)


over = None


def handlers(prefix=""):
    kinds = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
    made = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(globals()[prefix + kind]) for kind in kinds}
    return grpc.method_handlers_generic_handler("shop.Cart", made)


@pytest.fixture
def port(agent):
    import threading

    global over
    over = threading.Event()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), handlers=[handlers()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    over.set()
    server.stop(None).wait()


def call(channel, kind, request):
    """Makes a call of a kind; returns all that came back."""
    function = getattr(channel, kind)(f"/shop.Cart/{kind}")
    answer = function(iter([request]) if kind.startswith("stream") else request)
    return [answer] if kind.endswith("unary") else list(answer)


def settled(agent, count):
    """All spans, once there are that many: the server ends its own on its own time."""
    import time

    until = time.monotonic() + 5
    while len(spans := agent()) < count and time.monotonic() < until:
        time.sleep(0.02)
    assert len(spans) == count, [span.name for span in spans]
    return spans


KINDS = {"unary_unary": 1, "unary_stream": 3, "stream_unary": 1, "stream_stream": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_a_call(agent, port, kind):
    with grpc.insecure_channel(f"localhost:{port}") as channel, tracer.start_as_current_span("request"):
        assert call(channel, kind, b"x") == ([b"0", b"1", b"2"] if kind == "unary_stream" else [b"x"])
    name = f"shop.Cart/{kind}"
    spans = settled(agent, 3 + KINDS[kind])
    work = [["internal working"]] * KINDS[kind]
    assert tree(spans, (CODE,)) == [
        ["internal request", [f"client {name}", {CODE: 0}, [f"server {name}", {CODE: 0}, *work]]]
    ]
    (client,) = (span for span in spans if span.kind == "client")
    (server,) = (span for span in spans if span.kind == "server")
    described = {"rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": kind, CODE: 0}
    assert client.attributes == {**described, "server.address": "localhost", "server.port": port}
    assert server.attributes == described
    assert {span.status for span in spans} == {"unset"}


FAILURES = {
    "fail": (2, "UNKNOWN", "error"),
    "abort": (5, "NOT_FOUND", "unset"),
    "code": (15, "DATA_LOSS", "error"),
}


def check_failure(spans, kind, request):
    number, name, server_status = FAILURES[request]
    (client,) = (span for span in spans if span.kind == "client")
    (server,) = (span for span in spans if span.kind == "server")
    assert (client.attributes[CODE], client.attributes["error.type"], client.status) == (number, name, "error")
    assert (server.attributes[CODE], server.status) == (number, server_status)
    assert server.attributes.get("error.type") == (name if server_status == "error" else None)
    recorded = [attributes["exception.type"] for _, attributes in server.events]
    assert recorded == (["LookupError"] if request == "fail" else [])


@pytest.mark.parametrize("request_", FAILURES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails(agent, port, kind, request_):
    with grpc.insecure_channel(f"localhost:{port}") as channel, pytest.raises(grpc.RpcError) as raised:
        call(channel, kind, request_.encode())
    assert raised.value.code().value[0] == FAILURES[request_][0]
    count = 3 if kind == "unary_stream" and request_ == "code" else 1
    check_failure(settled(agent, 2 + count), kind, request_)


def test_no_server_and_no_method(agent, port):
    with grpc.insecure_channel("localhost:1") as channel, pytest.raises(grpc.RpcError):
        call(channel, "unary_unary", b"x")
    with grpc.insecure_channel(f"localhost:{port}") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/shop.Cart/nothing")(b"x")
    spans = sorted(settled(agent, 2), key=lambda span: span.start_ns)
    assert [span.attributes["error.type"] for span in spans] == ["UNAVAILABLE", "UNIMPLEMENTED"]


def test_deadline_and_cancellation(agent, port):
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        function = channel.unary_unary("/shop.Cart/unary_unary")
        with pytest.raises(grpc.RpcError):
            function(b"wait", timeout=0.1)
        future = function.future(b"wait")
        future.cancel()
        stream = channel.unary_stream("/shop.Cart/unary_stream")(b"x")
        assert next(stream) == b"0"
        stream.cancel()
        over.set()
        spans = list(settled_clients(agent, 3))
    codes = sorted((span.name, span.attributes["error.type"]) for span in spans)
    assert codes == [
        ("shop.Cart/unary_stream", "CANCELLED"),
        ("shop.Cart/unary_unary", "CANCELLED"),
        ("shop.Cart/unary_unary", "DEADLINE_EXCEEDED"),
    ]


def settled_clients(agent, count):
    import time

    until = time.monotonic() + 5
    while True:
        clients = [span for span in agent() if span.kind == "client"]
        if len(clients) == count or time.monotonic() > until:
            assert len(clients) == count
            return clients
        time.sleep(0.02)


def test_futures_callbacks_and_own_metadata(agent, port):
    seen = []

    class Own(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, continuation, details, request):
            seen.append([key for key, _ in details.metadata])
            return continuation(details, request)

    with grpc.insecure_channel(f"localhost:{port}") as plain:
        channel = grpc.intercept_channel(plain, Own())
        function = channel.unary_unary("/shop.Cart/unary_unary")
        future = function.future(b"x", metadata=[("mine", "1")])
        done = []
        future.add_done_callback(done.append)
        assert future.result() == b"x"
        response, rpc = function.with_call(b"y", metadata=(("mine", "2"),))
        assert (response, rpc.code()) == (b"y", grpc.StatusCode.OK)
    assert seen == [["mine"], ["mine"]]
    spans = settled(agent, 6)
    assert (
        tree([span for span in spans if span.kind != "internal"])
        == [["client shop.Cart/unary_unary", ["server shop.Cart/unary_unary"]]] * 2
    )
    assert len(done) == 1


def test_over_tls(agent, certificates):
    credentials = grpc.ssl_server_credentials([(certificates.key.read_bytes(), certificates.chain.read_bytes())])
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), (handlers(),))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    trust = grpc.ssl_channel_credentials(certificates.authority.read_bytes())
    with grpc.secure_channel(f"localhost:{port}", trust) as channel:
        assert call(channel, "unary_unary", b"x") == [b"x"]
    assert [node[0] for node in tree(settled(agent, 3))] == ["client shop.Cart/unary_unary"]
    server.stop(None).wait()


@contextlib.asynccontextmanager
async def aio_server(prefix="aio_"):
    server = aio.server(handlers=[handlers(prefix)], migration_thread_pool=concurrent.futures.ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def aio_call(channel, kind, request):
    function = getattr(channel, kind)(f"/shop.Cart/{kind}")
    answer = function(iter([request]) if kind.startswith("stream") else request)
    return [await answer] if kind.endswith("unary") else [item async for item in answer]


# To functions that are no coroutines grpc.aio does not give requests one by one.
@pytest.mark.parametrize(
    ("prefix", "kind"), [*(("aio_", kind) for kind in KINDS), ("", "unary_unary"), ("", "unary_stream")]
)
def test_a_call_in_asyncio(agent, kind, prefix):
    async def main():
        async with aio_server(prefix) as port, aio.insecure_channel(f"localhost:{port}") as channel:
            with tracer.start_as_current_span("request"):
                assert await aio_call(channel, kind, b"x") == ([b"0", b"1", b"2"] if kind == "unary_stream" else [b"x"])
            await asyncio.sleep(0.05)
        assert _native.current_span() is None

    asyncio.run(main())
    name = f"shop.Cart/{kind}"
    assert tree(settled(agent, 3 + KINDS[kind]), (CODE,)) == [
        [
            "internal request",
            [f"client {name}", {CODE: 0}, [f"server {name}", {CODE: 0}, *[["internal working"]] * KINDS[kind]]],
        ]
    ]


@pytest.mark.parametrize("request_", FAILURES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_fails_in_asyncio(agent, kind, request_):
    async def main():
        async with aio_server() as port, aio.insecure_channel(f"localhost:{port}") as channel:
            with pytest.raises(aio.AioRpcError) as raised:
                await aio_call(channel, kind, request_.encode())
            assert raised.value.code().value[0] == FAILURES[request_][0]
            await asyncio.sleep(0.05)

    asyncio.run(main())
    count = 3 if kind == "unary_stream" and request_ == "code" else 1
    check_failure(settled(agent, 2 + count), kind, request_)


def test_deadline_and_cancellation_in_asyncio(agent):
    async def main():
        async with aio_server() as port, aio.insecure_channel(f"localhost:{port}") as channel:
            function = channel.unary_unary("/shop.Cart/unary_unary")
            with pytest.raises(aio.AioRpcError):
                await function(b"wait", timeout=0.1)

            async def cancelled():
                with tracer.start_as_current_span("request"):
                    await function(b"wait")

            task = asyncio.create_task(cancelled())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.2)

    asyncio.run(main())
    spans = agent()
    clients = sorted(span.attributes["error.type"] for span in spans if span.kind == "client")
    assert clients == ["CANCELLED", "DEADLINE_EXCEEDED"]
    assert {span.attributes[CODE] for span in spans if span.kind == "server"} == {1}


def test_many_at_once_in_asyncio(agent):
    async def main():
        async with aio_server() as port, aio.insecure_channel(f"localhost:{port}") as channel:

            async def one(number):
                with tracer.start_as_current_span(f"request {number}"):
                    await aio_call(channel, "stream_stream", b"x")

            await asyncio.gather(*(one(number) for number in range(8)))
            await asyncio.sleep(0.05)

    asyncio.run(main())
    calls = ["client shop.Cart/stream_stream", ["server shop.Cart/stream_stream", ["internal working"]]]
    assert sorted(tree(settled(agent, 32))) == [[f"internal request {number}", calls] for number in range(8)]


OFF = """
import concurrent.futures, sys, grpc
from pitviper.instrument import engine
seen = []
def echo(request, context):
    seen.append("traceparent" in dict(context.invocation_metadata()))
    return request
handler = grpc.method_handlers_generic_handler("s", {"m": grpc.unary_unary_rpc_method_handler(echo)})
server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), [handler])
port = server.add_insecure_port("127.0.0.1:0"); server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
if sys.argv[1] == "uninstall": engine.uninstall()
for made in (channel, grpc.insecure_channel(f"127.0.0.1:{port}")):
    assert made.unary_unary("/s/m")(b"x") == b"x"
    made.close()
print(seen, hasattr(grpc.insecure_channel, "__wrapped__"))
server.stop(None).wait()
"""


def test_disabled_and_uninstalled(run, sink):
    done = run(OFF, "disabled", PITVIPER_INTEGRATIONS_DISABLED="grpc")
    assert done.stdout == "[False, False] False\n", done.stderr
    assert sink.spans == []
    done = run(OFF, "uninstall")
    assert done.stdout == "[True, False] False\n", done.stderr
    sink.wait_for(3)
