"""Dynatrace's SDK for Python and autodynatrace, as they come from PyPI, and our own ``oneagent``, on our agent."""
# Blocks nest as tracers do.
# ruff: noqa: SIM117

import asyncio
import sqlite3
import threading

import oneagent
import pytest
from oneagent.common import (
    AgentForkState,
    AgentState,
    DatabaseVendor,
    ErrorCode,
    MessagingDestinationType,
    MessagingVendor,
    TraceContextInfo,
)
from oneagent.sdk import Channel, ChannelType
from sink import tree

import pitviper.compat.oneagent
from pitviper import _native, baggage, tracer

LOCAL = Channel(ChannelType.TCP_IP, "db.internal:5432")


@pytest.fixture(params=[oneagent, pitviper.compat.oneagent], ids=["oneagent-sdk", "ours"])
def api(request, agent):
    """The package from PyPI, and ours."""
    return request.param


@pytest.fixture
def sdk(api):
    result = api.initialize()
    assert (result.status, result.error) == (api.InitResult.STATUS_INITIALIZED, None)
    yield api.get_sdk()
    assert api.shutdown() is None


@pytest.fixture
def told(sdk):
    """What the SDK tells the application."""
    messages = []
    sdk.set_diagnostic_callback(messages.append)
    yield messages
    sdk.set_diagnostic_callback(None)


def service(span):
    return span.resource["service.name"]


def by_name(spans):
    return {span.name: span for span in spans}


def test_states_and_options(sdk, api):
    assert (sdk.agent_state, sdk.agent_fork_state) == (AgentState.ACTIVE, AgentForkState.NOT_FORKABLE)
    assert sdk.agent_found and sdk.agent_is_compatible
    agent_version, _, sdk_version = sdk.agent_version_string.partition("/")
    assert agent_version.startswith("pitviper-") and sdk_version == "1.7.1"
    again = api.initialize(["loglevel=finest"], sdklibname="/no/such/library.so", forkable=True)
    assert again.status == api.InitResult.STATUS_ALREADY_INITIALIZED
    assert api.shutdown() is None
    assert api.get_sdk() is sdk
    for assignment, expected in [
        ("tenant=abc", ErrorCode.SUCCESS),
        ("tenant=abc", ErrorCode.ENTRY_ALREADY_EXISTS),
        ("tenant", ErrorCode.INVALID_ARGUMENT),
    ]:
        assert sdk._nsdk.stub_set_variable(assignment, False) == expected
    assert sdk._nsdk.stub_process_cmdline_arg("--dt_server=x", True) == ErrorCode.SUCCESS
    assert sdk._nsdk.stub_is_sdk_cmdline_arg("--dt_server=x") and not sdk._nsdk.stub_is_sdk_cmdline_arg("--server=x")
    sdk._nsdk.stub_free_variables()
    assert "set before" in sdk._nsdk.strerror(ErrorCode.ENTRY_ALREADY_EXISTS)


def test_options_that_make_no_sense_are_a_warning(api):
    result = api.initialize(["no value"], sdklibname="/no/such/library.so")
    assert result.status == api.InitResult.STATUS_INITIALIZED_WITH_WARNING
    assert api.shutdown() is None
    result = api.initialize(["agentactive=false"])
    assert isinstance(result.error, api.SDKError) and result.error.code == ErrorCode.AGENT_NOT_ACTIVE
    assert api.get_sdk().agent_state == AgentState.PERMANENTLY_INACTIVE
    api.get_sdk()._nsdk.stub_free_variables()
    assert api.shutdown() is None


def test_an_incoming_web_request(sdk, agent):
    with sdk.create_web_application_info("shop.example:8080", "Shop", "/shop") as application:
        request = sdk.trace_incoming_web_request(
            application,
            "https://user:pw@shop.example:8443/cart/7?q=1&token=abc",
            "POST",
            headers={"Accept": "text/html", "Authorization": "Bearer x"},
            remote_address="192.0.2.7:4711",
        )
        with request:
            request.add_parameters({"amount": "3", "password": "x"})
            request.add_parameters(["a", "b"], ["1", "2"], 2)
            request.add_response_headers(["Set-Cookie", "Via", "Via"], ["s=1", "one", "two"])
            request.add_response_header("Via", "three")
            request.set_status_code(503)
            sdk.add_custom_request_attribute("user role", "author")
            sdk.add_custom_request_attribute("items", 3)
            sdk.add_custom_request_attribute("total", 9.5)
    (span,) = agent()
    assert (span.name, span.kind, span.status, service(span)) == ("POST", "server", "error", "Shop")
    assert span.scope == "oneagent-sdk"
    assert span.attributes == {
        "http.request.method": "POST",
        "url.scheme": "https",
        "url.path": "/cart/7",
        "url.query": "q=1&token=***",
        "server.address": "shop.example",
        "server.port": 8443,
        "client.address": "192.0.2.7",
        "dynatrace.web_application.id": "Shop",
        "dynatrace.web_application.context_root": "/shop",
        "http.request.header.accept": ["text/html"],
        "http.request.header.authorization": ["***"],
        "http.request.parameter.amount": "3",
        "http.request.parameter.password": "***",
        "http.request.parameter.a": "1",
        "http.request.parameter.b": "2",
        "http.response.header.set-cookie": ["***"],
        "http.response.header.via": ["one", "two", "three"],
        "http.response.status_code": 503,
        "error.type": "503",
        "user role": "author",
        "items": 3,
        "total": 9.5,
    }


def test_a_request_through_three_services_is_one_tree(sdk, agent):
    """A web request calls a service, which asks a database, in another thread; by tags of both kinds."""

    def serve(**tag):
        with sdk.trace_incoming_remote_call("check", "Fraud", "fraud.v1", protocol_name="RMI", **tag) as call:
            with sdk.create_database_info("cards", DatabaseVendor.POSTGRESQL, LOCAL) as database:
                with sdk.trace_sql_database_request(database, "SELECT * FROM card WHERE number = '4711'") as query:
                    query.set_rows_returned(1)
                    query.set_round_trip_count(2)
            call.mark_failed("com.Fraud", "blocked")

    with sdk.create_web_application_info("", "Shop", "/") as application:
        with sdk.trace_incoming_web_request(application, "/pay", "GET"):
            for kind in ("str_tag", "byte_tag"):
                call = sdk.trace_outgoing_remote_call("check", "Fraud", "fraud.v1", LOCAL, protocol_name="RMI")
                with call:
                    if kind == "str_tag":
                        tag = call.outgoing_dynatrace_string_tag
                        assert tag.startswith(b"FW4;")
                        tag = tag.decode()
                    else:
                        tag = call.outgoing_dynatrace_byte_tag
                    thread = threading.Thread(target=serve, kwargs={kind: tag})
                    thread.start()
                    thread.join()
    spans = agent()
    served = ["server check", ["client SELECT card"]]
    assert tree(spans) == [["server GET", *[["client check", served]] * 2]]
    assert sorted(map(service, spans)) == ["Fraud"] * 4 + ["Shop"] * 3
    query = by_name(spans)["SELECT card"]
    assert query.attributes == {
        "db.system.name": "postgresql",
        "db.namespace": "cards",
        "db.query.text": "SELECT * FROM card WHERE number = ?",
        "db.query.summary": "SELECT card",
        "db.operation.name": "SELECT",
        "db.response.returned_rows": 1,
        "db.client.round_trips": 2,
        "server.address": "db.internal",
        "server.port": 5432,
        "network.transport": "tcp",
    }
    failed = [span for span in spans if span.status == "error"]
    assert {(span.kind, span.attributes["rpc.system"], span.attributes["error.type"]) for span in failed} == {
        ("server", "RMI", "com.Fraud")
    }
    assert {span.status_message for span in failed} == {"blocked"}
    assert failed[0].events == [("exception", {"exception.type": "com.Fraud", "exception.message": "blocked"})]


def test_messages(sdk, agent):
    queue = sdk.create_messaging_system_info(
        MessagingVendor.RABBIT_MQ, "orders", MessagingDestinationType.QUEUE, Channel(ChannelType.TCP_IP, "mq:5672")
    )
    with queue:
        with sdk.trace_custom_service("order", "Frontend"), sdk.trace_outgoing_message(queue) as sending:
            tag = sending.outgoing_dynatrace_byte_tag
            sending.set_vendor_message_id("m1")
            sending.set_correlation_id("c1")
        with sdk.trace_incoming_message_receive(queue):
            with sdk.trace_incoming_message_process(queue, byte_tag=tag) as processing:
                processing.set_vendor_message_id("m1")
                processing.set_correlation_id("c1")
    spans = agent()
    assert tree(spans) == [
        ["server order", ["producer send orders", ["consumer process orders"]]],
        ["client receive orders"],
    ]
    names = by_name(spans)
    processed, received = names["process orders"], names["receive orders"]
    assert processed.links == [received.span_id]
    assert [service(names[name]) for name in ("order", "send orders", "receive orders")] == [
        "Frontend",
        "Frontend",
        "test",
    ]
    assert processed.attributes == {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "orders",
        "messaging.destination.kind": "queue",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "c1",
        "server.address": "mq",
        "server.port": 5672,
        "network.transport": "tcp",
    }


def test_an_outgoing_web_request_carries_its_tag(sdk, agent):
    with sdk.trace_custom_service("call", "Caller"):
        call = sdk.trace_outgoing_web_request("https://api.example/items?key=1", "GET", headers={"Accept": "*/*"})
        with call:
            tag = call.outgoing_dynatrace_string_tag.decode()
            parent = f"00-{sdk.tracecontext_get_current()}-01"
            call.set_status_code(404)
            call.add_response_header("Server", "x")
    with sdk.create_web_application_info("api.example", "API", "/") as application:
        request = sdk.trace_incoming_web_request(application, "/items", "GET", headers={"Traceparent": parent})
        with request:
            pass
        with sdk.trace_incoming_web_request(application, "/items", "GET", str_tag=tag):
            pass
    spans = agent()
    assert tree(spans) == [["server call", ["client GET", ["server GET"], ["server GET"]]]]
    call = next(span for span in spans if span.kind == "client")
    assert (call.status, call.attributes["error.type"]) == ("error", "404")
    assert call.attributes["url.full"] == "https://api.example/items?key=1"
    assert (call.attributes["server.address"], call.attributes["server.port"]) == ("api.example", 443)


def test_what_happens_within_a_service_is_part_of_it(sdk, agent):
    """Our own integrations, OpenTelemetry's spans and the SDK's tracers share one current span."""
    with tracer.start_as_current_span("job"):
        with sdk.trace_custom_service("bill", "Billing"):
            sqlite3.connect(":memory:").execute("SELECT 1")
            with tracer.start_as_current_span("step"):
                sdk.add_custom_request_attribute("customer", "c9")
                assert sdk.tracecontext_get_current().span_id
        sqlite3.connect(":memory:").execute("SELECT 2")
    spans = agent()
    assert tree(spans) == [
        ["internal job", ["server bill", ["client SELECT"], ["internal step"]], ["client SELECT"]],
    ]
    assert [(span.name, service(span)) for span in sorted(spans, key=lambda span: span.start_ns)] == [
        ("job", "test"),
        ("bill", "Billing"),
        ("SELECT", "Billing"),
        ("step", "Billing"),
        ("SELECT", "test"),
    ]
    assert by_name(spans)["bill"].attributes["customer"] == "c9"
    assert "customer" not in by_name(spans)["step"].attributes


def test_a_request_that_we_serve_already_counts_once(sdk, agent):
    with tracer.start_as_current_span("GET /cart", kind=2):
        with sdk.create_web_application_info("shop", "Shop", "/") as application:
            with sdk.trace_incoming_web_request(application, "/cart", "GET"):
                sdk.add_custom_request_attribute("user", "u1")
    spans = agent()
    assert tree(spans) == [["server GET /cart", ["internal GET"]]]
    assert {service(span) for span in spans} == {"test"}
    assert by_name(spans)["GET /cart"].attributes["user"] == "u1"


def test_a_database_request_outside_of_everything_is_not_recorded(sdk, agent):
    with sdk.create_database_info("cards", DatabaseVendor.ORACLE, LOCAL) as database:
        with sdk.trace_sql_database_request(database, "SELECT 1 FROM dual") as query:
            query.set_rows_returned(1)
    assert agent() == []


def test_in_process_links(sdk, agent):
    assert sdk.create_in_process_link() == b""
    with sdk.trace_custom_service("begin", "Worker"):
        link = sdk.create_in_process_link()
    ended = threading.Event()

    def later():
        with sdk.trace_in_process_link(link), tracer.start_as_current_span("later"):
            ended.set()

    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    assert ended.is_set()
    with sdk.trace_in_process_link(b"") as nothing:
        assert not nothing
    spans = agent()
    assert tree(spans) == [["server begin", ["internal in-process link", ["internal later"]]]]
    assert {service(span) for span in spans} == {"Worker"}


def test_a_link_takes_trace_state_and_baggage_along(sdk, agent):
    """They go on in the thread at its other end, as in every span that begins there."""
    sent = []

    def later():
        with sdk.trace_in_process_link(link), sdk.trace_outgoing_web_request("http://x/", "GET"):
            headers = {}
            _native.inject_into(headers)
            sent.append(headers)

    came = _native.extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "v=1", "baggage": "tier=gold"})
    with tracer.start_as_current_span("serve", parent=came), sdk.trace_custom_service("begin", "Worker"):
        baggage.set("who", "größer")
        link = sdk.create_in_process_link()
    thread = threading.Thread(target=later)
    thread.start()
    thread.join()
    assert sent[0]["tracestate"] == "v=1"
    assert sent[0]["baggage"] == "tier=gold,who=gr%C3%B6%C3%9Fer"
    assert tree(agent()) == [["internal serve", ["server begin", ["internal in-process link", ["client GET"]]]]]


def test_the_trace_context_is_for_logs(sdk, agent):
    assert str(sdk.tracecontext_get_current()) == f"{TraceContextInfo.INVALID_TRACE_ID}-{'0' * 16}"
    with sdk.trace_custom_service("a", "A"):
        info = sdk.tracecontext_get_current()
        assert info
    (span,) = agent()
    assert (info.trace_id, info.span_id) == (span.trace_id, span.span_id)


def test_errors(sdk, agent):
    with pytest.raises(RuntimeError, match="out of order"), sdk.trace_custom_service("a", "A"):
        raise RuntimeError("out of order")
    (span,) = agent()
    assert (span.status, span.status_message) == ("error", "out of order")
    assert span.attributes["error.type"] == "RuntimeError"
    assert span.events == [("exception", {"exception.type": "RuntimeError", "exception.message": "out of order"})]


def test_misuse_is_told_and_does_nothing(sdk, agent, told):
    call = sdk.trace_incoming_remote_call("m", "S", "e", str_tag="not a tag")
    assert "cannot be read" in told.pop()
    call.start()
    call.start()
    assert "started before" in told.pop()
    call.mark_failed("E", "one")
    call.mark_failed("E", "two")
    assert "failed already" in told.pop()
    sdk._nsdk.tracer_get_outgoing_tag(call.handle)
    assert "no tag" in told.pop()
    sdk._nsdk.databaserequesttracer_set_returned_row_count(call.handle, 3)
    assert "another kind" in told.pop()
    handle = call.handle
    call.end()
    call.end()
    sdk._nsdk.tracer_start(handle)
    assert "has ended" in told.pop()
    outgoing = sdk.trace_outgoing_remote_call("m", "S", "e", LOCAL)
    assert outgoing.outgoing_dynatrace_string_tag == b"" and "between start and end" in told.pop()
    outgoing.end()
    sdk.add_custom_request_attribute("a", "b")
    assert "nothing is traced" in told.pop()
    sdk.add_custom_request_attribute("a", None)
    told.clear()
    sdk._nsdk.trace_in_process_link(b"\x00" * 4_000)
    assert "In-process link" in told.pop().replace("An in-process", "In-process")
    assert not sdk._nsdk.databaserequesttracer_create_sql(12345678, "SELECT 1")
    assert [span.name for span in agent()] == ["m"]


def test_texts_of_any_kind_are_cut_and_never_break(sdk, agent):
    with sdk.trace_custom_service("m" * 400, "S" * 400) as custom:
        sdk.add_custom_request_attribute("k", "ü" * 400)
        sdk.add_custom_request_attribute("big", 2**70)
        custom.mark_failed("\ud800".encode("utf-8", "surrogatepass"), b"\xff\xfe")
    (span,) = agent()
    assert (span.name, service(span)) == ("m" * 250, "S" * 250)
    assert span.attributes["k"] == "ü" * 250
    assert span.status_message == "\ufffd\ufffd"


def test_handles_are_bounded(sdk, agent, told):
    handles = []
    while sdk._nsdk.customservicetracer_create("m", "S"):
        handles.append(None)
    assert 60_000 < len(handles) <= 65_536
    assert "no more are given out" in told.pop()
    with sdk.trace_custom_service("m", "S") as custom:
        assert not custom
    # What was forgotten stays; the tests that follow need room.
    first = sdk._nsdk.customservicetracer_create("m", "S")
    assert first == 0
    for handle in range(1, 200_000):
        sdk._nsdk.tracer_end(handle)
    assert sdk._nsdk.customservicetracer_create("m", "S") != 0


def test_concurrent_tasks_do_not_mix(sdk, agent):
    async def one(number):
        with sdk.trace_custom_service(f"task {number}", "Tasks"):
            await asyncio.sleep(0)
            with sdk.trace_outgoing_web_request("http://x/", "GET"):
                await asyncio.sleep(0.001 * (number % 3))
                sdk.add_custom_request_attribute("number", number)

    async def main():
        await asyncio.gather(*[one(number) for number in range(20)])

    asyncio.run(main())
    spans = agent()
    assert sorted(tree(spans)) == sorted([f"server task {number}", ["client GET"]] for number in range(20))
    assert all(span.attributes["number"] == int(span.name[5:]) for span in spans if span.kind == "server")


def test_threads(sdk, agent):
    def work(number):
        for _ in range(50):
            with sdk.trace_custom_service(f"thread {number}", "Threads"):
                with sdk.trace_outgoing_web_request("http://x/", "GET") as call:
                    assert call.outgoing_dynatrace_string_tag

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trees = tree(agent())
    assert len(trees) == 400
    assert all(root[1:] == [["client GET"]] for root in trees)


_FORKS = """
import os, oneagent
from oneagent.common import AgentForkState as Fork, AgentState
assert oneagent.initialize(forkable=True)
sdk = oneagent.get_sdk()
assert sdk.agent_fork_state == Fork.PARENT_INITIALIZED
child = os.fork()
if child == 0:
    states = [sdk.agent_fork_state]
    grandchild = os.fork()
    if grandchild == 0:
        assert sdk.agent_fork_state == Fork.PRE_INITIALIZED
        with sdk.trace_custom_service("grandchild", "Family"):
            pass
        assert oneagent.shutdown() is None
        raise SystemExit(0)
    assert os.waitpid(grandchild, 0)[1] == 0
    assert sdk.agent_state == AgentState.ACTIVE
    states.append(sdk.agent_fork_state)
    assert states == [Fork.PRE_INITIALIZED, Fork.FULLY_INITIALIZED], states
    with sdk.trace_custom_service("child", "Family"):
        pass
    raise SystemExit(0)
assert os.waitpid(child, 0)[1] == 0
with sdk.trace_custom_service("parent", "Family"):
    pass
"""


def test_forks(run, sink):
    result = run(_FORKS)
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(span.name for span in sink.spans) == ["child", "grandchild", "parent"]
    assert len({span.resource["process.pid"] for span in sink.spans}) == 3


_DISABLED = """
import oneagent
result = oneagent.initialize()
sdk = oneagent.get_sdk()
print(result.status, sdk.agent_state)
with sdk.trace_custom_service("a", "A") as custom:
    print(bool(custom))
"""


def test_disabled(run, sink):
    """Then the SDK has its own library, which finds no agent of its maker."""
    result = run(_DISABLED, PITVIPER_INTEGRATIONS_DISABLED="oneagent")
    assert (result.stdout.split(), result.returncode) == (["-1", "3", "False"], 0)
    assert sink.spans == []


_AUTODYNATRACE = """
import autodynatrace, flask, oneagent, sqlite3, threading
from oneagent.common import AgentState
assert oneagent.get_sdk().agent_state == AgentState.ACTIVE
app = flask.Flask("shop")

@autodynatrace.trace(service="Pricing", method="price")
def price():
    return sqlite3.connect(":memory:").execute("SELECT 3").fetchone()[0]

@app.get("/items/<number>")
def item(number):
    if number == "0":
        raise KeyError(number)
    return {"price": price()}

client = app.test_client()
assert client.get("/items/7").json == {"price": 3}
answer = client.get("/items/0")
assert (answer.status_code, b"Internal" in answer.data) == (500, True)
answer.close()
"""


def test_autodynatrace(run, sink):
    result = run(_AUTODYNATRACE)
    assert result.returncode == 0, result.stderr
    priced = ["server price", ["client SELECT"]]
    first, second = tree(sink.spans)
    assert first == ["server GET /items/<number>", ["internal GET", ["internal __main__.item", priced]]]
    assert second == ["server GET /items/<number>", ["internal GET", ["internal __main__.item"]]]
    assert {service(span) for span in sink.spans if span.name in ("price", "SELECT")} == {"Pricing"}
    failed = [span for span in sink.spans if span.status == "error"]
    assert sorted(span.kind for span in failed) == ["internal", "internal", "server"]


def test_autodynatrace_alone(run, sink):
    """Without our own instrumentation of Flask its tracers are the requests."""
    result = run(_AUTODYNATRACE, PITVIPER_INTEGRATIONS_DISABLED="flask,wsgi")
    assert result.returncode == 0, result.stderr
    trees = tree(sink.spans)
    assert trees[0] == ["server GET", ["server price", ["client SELECT"]]]
    assert {service(span) for span in sink.spans} == {"Flask (shop)", "Pricing"}
