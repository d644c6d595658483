"""Contexts from one process to the next: formats, baggage, OpenTelemetry's propagators, and settings."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
import requests

import pitviper
from pitviper import _native, baggage, tracer
from pitviper.config import load
from pitviper.settings import Setting, propagators, resolve

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
#: The same trace and span in each format.
FORMATS = {
    "tracecontext": {"traceparent": PARENT},
    "datadog": {
        "x-datadog-trace-id": str(int(TRACE[16:], 16)),
        "x-datadog-parent-id": str(int(SPAN, 16)),
        "x-datadog-sampling-priority": "1",
        "x-datadog-tags": f"_dd.p.tid={TRACE[:16]},_dd.p.dm=-0",
    },
    "b3": {"b3": f"{TRACE}-{SPAN}-1"},
    "b3multi": {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN, "x-b3-sampled": "1"},
    "dynatrace": {"x-dynatrace": f"FW4;0;0;0;0;0;0;0;6h{TRACE};7h{SPAN}"},
}


@pytest.fixture
def configured(agent, sink):
    """Starts the agent with further settings."""

    def configure(**settings):
        pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20, **settings)

    return configure


def injected(span=None):
    headers = {}
    _native.inject_into(headers, span)
    return headers


def as_environ(headers):
    return {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_is_read_from_every_carrier_and_written(configured, format):
    configured(propagators=format)
    headers = FORMATS[format]

    class Headers:
        def get(self, name):
            return headers.get(name)

    carriers = [
        (headers, 0),
        (Headers(), 0),
        ({name: value.encode() for name, value in headers.items()}, 0),
        ([(name.title().encode(), value.encode()) for name, value in headers.items()], 0),
        (tuple(headers.items()), 0),
        (iter(headers.items()), 0),
        (as_environ(headers), 1),
        ({name[5:]: value for name, value in as_environ(headers).items()}, 2),
    ]
    for carrier, names in carriers:
        context = _native.extract(carrier, names)
        assert (context.trace_id_hex, context.span_id_hex, context.is_remote) == (TRACE, SPAN, True)
    assert injected(context) == headers or format == "datadog"
    assert {**headers, **injected(context)} == injected(context)
    # No other format is read.
    for other, others in FORMATS.items():
        if other != format and {other, format} != {"b3", "b3multi"}:
            assert _native.extract(others) is None


def test_datadog_is_read_where_no_traceparent_is(agent):
    app = flask.Flask("shop")
    app.get("/")(lambda: "ok")
    app.test_client().get("/", headers=FORMATS["datadog"])
    other = {"x-datadog-trace-id": "1", "x-datadog-parent-id": "2"}
    app.test_client().get("/", headers={**other, "traceparent": PARENT})
    # A browser's trace has no span: ours is its root.
    app.test_client().get("/", headers={"x-datadog-trace-id": "7", "x-datadog-parent-id": "0"})
    servers = [span for span in agent() if span.kind == "server"]
    assert [(span.trace_id, span.parent) for span in servers] == [(TRACE, SPAN), (TRACE, SPAN), (f"{7:032x}", "")]


def test_what_datadog_says_goes_on_to_every_service(configured):
    configured(propagators_inject="tracecontext,datadog")
    given = {**FORMATS["datadog"], "x-datadog-sampling-priority": "2", "x-datadog-origin": "rum"}
    with tracer.start_as_current_span("served", parent=_native.extract(given)) as span:
        headers = injected()
    assert headers["tracestate"] == f"dd=s:2;o:rum;p:{SPAN};t.dm:-0"
    assert headers["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
    assert headers["x-datadog-parent-id"] == str(int(span.span_id, 16))
    for name in ("x-datadog-trace-id", "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags"):
        assert headers[name] == given[name]


def test_several_headers_of_a_list_are_one(agent):
    pairs = [
        (b"traceparent", PARENT.encode()),
        (b"tracestate", b"a=1"),
        (b"TraceState", b"b=2"),
        (b"baggage", b"c=3"),
        (b"baggage", b"d=4"),
    ]
    context = _native.extract(pairs)
    assert (context.trace_state, context.baggage) == ("a=1,b=2", {"c": "3", "d": "4"})


def test_what_cannot_be_read_is_counted(agent):
    before = _native.stats()
    assert _native.extract({"traceparent": "00-1-2-3"}) is None
    assert _native.extract({"baggage": "a=1,b, =2," + ",".join(f"k{n}=v" for n in range(70))}).baggage["a"] == "1"
    after = _native.stats()
    assert after["invalid_context_fields"] - before["invalid_context_fields"] == 1
    # No members: two; beyond 64: seven.
    assert after["dropped_baggage"] - before["dropped_baggage"] == 9


def test_baggage_flows_through_a_service(configured, http):
    configured(baggage_attributes=["user.id"])
    app = flask.Flask("shop")

    @app.get("/")
    def index():
        baggage.set("added", "b=c é")
        with tracer.start_as_current_span("work"):
            requests.get(http.url, timeout=10)
        return baggage.get_all()

    response = app.test_client().get("/", headers={"traceparent": PARENT, "baggage": "user.id=42;level=1,tenant=a%20b"})
    assert response.json == {"user.id": "42", "tenant": "a b", "added": "b=c é"}
    (seen,) = http.seen
    assert seen["baggage"] == "user.id=42;level=1,tenant=a%20b,added=b=c%20%C3%A9"
    # It ends with the request.
    assert baggage.get_all() == {} and injected() == {}
    pitviper.flush(10)
    app.test_client().get("/")
    assert http.seen[-1]["baggage"] == "added=b=c%20%C3%A9"


def test_chosen_keys_of_baggage_are_attributes(configured, agent):
    given = {"traceparent": PARENT, "baggage": "user.id=42,tenant=a"}
    for keys in (["user.id"], ["*"], []):
        configured(baggage_attributes=keys)
        with (
            tracer.start_as_current_span("outer", parent=_native.extract(given)),
            tracer.start_as_current_span("inner"),
        ):
            pass
    shown = [{key: value for key, value in span.attributes.items() if key.startswith("baggage.")} for span in agent()]
    both = {"baggage.user.id": "42", "baggage.tenant": "a"}
    assert shown == [{"baggage.user.id": "42"}] * 2 + [both] * 2 + [{}] * 2


def test_baggage_without_a_trace_begins_one(agent):
    with tracer.start_as_current_span("served", parent=_native.extract({"baggage": "a=1"})) as span:
        assert injected() == {"traceparent": f"00-{span.trace_id}-{span.span_id}-03", "baggage": "a=1"}
    (span,) = agent()
    assert span.parent == ""


def test_changes_hold_where_they_were_made(agent):
    baggage.clear()
    with tracer.start_as_current_span("outer"):
        baggage.set("a", "1")
        with tracer.start_as_current_span("inner"):
            assert baggage.get("a") == "1"
            baggage.set("a", "2")
            baggage.set("b", "3")
            baggage.remove("nothing")
            assert baggage.get_all() == {"a": "2", "b": "3"}
        assert baggage.get_all() == {"a": "1"}
        baggage.remove("a")
        assert "baggage" not in injected()
    with tracer.start_as_current_span("next"):
        assert baggage.get_all() == {}


def test_baggage_of_concurrent_tasks_and_threads_is_their_own(agent):
    async def task(name):
        with tracer.start_as_current_span(
            "task", parent=_native.extract({"traceparent": PARENT, "baggage": f"n={name}"})
        ):
            await asyncio.sleep(0)
            baggage.set("own", name)
            await asyncio.sleep(0)
            in_thread = await asyncio.to_thread(baggage.get_all) if sys.version_info >= (3, 9) else None
            return baggage.get_all(), in_thread

    async def main():
        return await asyncio.gather(*[task(str(number)) for number in range(5)])

    expected = [{"n": str(number), "own": str(number)} for number in range(5)]
    assert asyncio.run(main()) == [(both, both) for both in expected]
    with tracer.start_as_current_span("pool", parent=_native.extract({"traceparent": PARENT, "baggage": "n=1"})):
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(baggage.get_all).result(10) == {"n": "1"}
        seen = []
        thread = threading.Thread(target=lambda: seen.append(baggage.get_all()))
        thread.start()
        thread.join()
    assert seen == [{}]


OTEL = """
from opentelemetry import baggage as api, context, propagate, trace
import pitviper
from pitviper import _native, baggage, tracer

parent = {"traceparent": "%s", "baggage": "a=1;p=2,b=2"}
assert type(propagate.get_global_textmap()).__module__ == "pitviper.opentelemetry._propagate"

def injected():
    headers, by_api = {}, {}
    _native.inject_into(headers)
    propagate.inject(by_api)
    assert headers == by_api
    return headers.get("baggage")

with tracer.start_as_current_span("served", parent=_native.extract(parent)) as served:
    assert dict(api.get_all()) == {"a": "1", "b": "2"} and trace.get_current_span() is served
    token = context.attach(api.set_baggage("c", 3))
    assert dict(api.get_all()) == {"a": "1", "b": "2", "c": 3} and injected() == "a=1;p=2,b=2,c=3"
    with trace.get_tracer("x").start_as_current_span("own"):
        assert injected() == "a=1;p=2,b=2,c=3" and baggage.get("c") == "3"
        baggage.set("d", "4")
        assert api.get_baggage("d") == "4"
    context.detach(token)
    assert injected() == "a=1;p=2,b=2"
    token = context.attach(context.Context())
    assert injected() is None and not api.get_all()
    with trace.get_tracer("x").start_as_current_span("elsewhere", context=api.set_baggage("e", "5", context.Context())):
        assert injected() == "e=5"
    context.detach(token)
assert injected() is None and dict(api.get_all()) == {}

found = propagate.extract({"Traceparent".lower(): parent["traceparent"], "tracestate": "v=1", "baggage": "a=1"})
assert trace.get_current_span(found).get_span_context().trace_state["v"] == "1" and api.get_baggage("a", found) == "1"
carrier = {}
propagate.inject(carrier, context=found)
assert carrier == {"traceparent": parent["traceparent"], "tracestate": "v=1", "baggage": "a=1"}
assert propagate.get_global_textmap().fields == {"traceparent", "tracestate", "baggage"}
"""


def test_baggage_and_propagators_of_opentelemetry_are_ours(run):
    done = run(OTEL % PARENT)
    assert (done.returncode, done.stderr) == (0, "")


CHOSEN = """
from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator
from pitviper import _native, tracer

class Own(TextMapPropagator):
    fields = {"x-own"}
    def extract(self, carrier, context=None, getter=None):
        ids = carrier["x-own"].split(":")
        span = trace.NonRecordingSpan(trace.SpanContext(int(ids[0], 16), int(ids[1], 16), True, trace.TraceFlags(1)))
        return trace.set_span_in_context(span, context)
    def inject(self, carrier, context=None, setter=None):
        context = trace.get_current_span(context).get_span_context()
        carrier["x-own"] = f"{context.trace_id:x}:{context.span_id:x}"

propagate.set_global_textmap(Own())
for carrier, names in (({"x-own": "a:b"}, 0), ([(b"X-Own", b"a:b")], 0), ({"HTTP_X_OWN": "a:b", "wsgi.input": 1}, 1)):
    context = _native.extract(carrier, names)
    assert (context.trace_id, context.span_id) == (10, 11)
with tracer.start_as_current_span("served", parent=context) as span:
    headers = {"x-own": "old"}
    _native.inject_into(headers, None, 0, True)
    assert headers == {"x-own": f"a:{int(span.span_id, 16):x}"}
# One that fails costs the context and nothing else.
assert _native.extract({"traceparent": "%s"}) is None
propagate.set_global_textmap(type(propagate.get_global_textmap()).__mro__[1] and __import__("pitviper.opentelemetry._propagate", fromlist=["x"]).Propagator())
assert _native.extract({"traceparent": "%s"}).is_valid
"""


def test_a_propagator_of_the_applications_is_respected(run):
    done = run(CHOSEN % (PARENT, PARENT))
    assert (done.returncode, done.stderr) == (0, "")


def test_programs_that_are_started_take_trace_and_baggage_over(run, sink):
    child = "from pitviper import baggage, tracer; tracer.start_as_current_span('child').__enter__().end(); print(baggage.get_all())"
    done = run(
        f"""
import subprocess, sys
from pitviper import baggage, tracer
with tracer.start_as_current_span("parent"):
    baggage.set("a", "1")
    print(subprocess.run([sys.executable, "-c", {child!r}], capture_output=True, text=True, check=True).stdout, end="")
""",
        PITVIPER_SUBPROCESS_LINKING="true",
        PITVIPER_PROPAGATORS="b3,baggage",
        TRACEPARENT=PARENT,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "{'a': '1'}\n")
    child, parent = sorted(sink.wait_for(2), key=lambda span: span.name)
    assert (child.trace_id, child.parent, parent.parent) == (parent.trace_id, parent.span_id, "")


def formats(environ):
    config = load(environ, {})
    return config.formats("extract"), config.formats("inject")


def test_settings_in_the_words_of_all():
    assert formats({}) == (None, None)
    assert formats({"OTEL_PROPAGATORS": "b3,baggage, b3"}) == (["b3", "baggage"],) * 2
    assert formats({"DD_TRACE_PROPAGATION_STYLE": "datadog,b3 single header"}) == (["datadog", "b3"],) * 2
    assert formats({"DD_TRACE_PROPAGATION_STYLE_EXTRACT": "B3MULTI"}) == (["b3multi"], None)
    assert formats({"OTEL_PROPAGATORS": "none"}) == ([], [])
    # Ours before OpenTelemetry's before Datadog's, and one direction before both of the same source.
    both = {"OTEL_PROPAGATORS": "b3", "DD_TRACE_PROPAGATION_STYLE_INJECT": "datadog"}
    assert formats(both) == (["b3"], ["b3"])
    both = {"PITVIPER_PROPAGATORS": "b3", "PITVIPER_PROPAGATORS_INJECT": "x-dynatrace"}
    assert formats(both) == (["b3"], ["dynatrace"])


def test_unknown_names_are_left_out_with_one_line():
    (problem,) = load({"OTEL_PROPAGATORS": "xray,b3,jaeger"}, {}).problems
    assert problem.startswith(
        "OTEL_PROPAGATORS='xray,b3,jaeger' is followed without xray, jaeger, which nobody here knows: use tracecontext,"
    )
    setting = Setting("x", None, propagators, "X", "")
    resolved = resolve(setting, {"X": "xray"})
    assert resolved.value is None and "the default applies" in resolved.problems[0]


def test_none_hands_nothing_over(configured):
    configured(propagators="none")
    with tracer.start_as_current_span("alone"):
        assert injected() == {}
    assert _native.extract({"traceparent": PARENT, **FORMATS["datadog"]}) is None


def test_init_refuses_what_it_does_not_know(configured):
    with pytest.raises(ValueError, match="unknown propagator"):
        configured(propagators=["xray"])


def test_a_message_that_is_sent_again_names_its_last_sender(configured):
    from pitviper.integrations import _messaging

    configured(propagators="datadog")
    headers = {**FORMATS["datadog"], "x-datadog-origin": "rum", "kept": 1}
    with tracer.start_as_current_span("again") as span:
        _messaging.inject(span, headers)
    assert (headers["x-datadog-parent-id"], headers["kept"]) == (str(int(span.span_id, 16)), 1)
    assert "x-datadog-origin" not in headers and _messaging.is_carrying(headers)


def test_entry_points_name_the_formats_that_the_api_lacks(tmp_path):
    source = "from opentelemetry import propagate; print(type(propagate.get_global_textmap()).__name__)"
    done = subprocess.run([sys.executable, "-c", source], env={"OTEL_PROPAGATORS": "datadog,dynatrace,tracecontext"}, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "CompositePropagator\n"), done.stderr
