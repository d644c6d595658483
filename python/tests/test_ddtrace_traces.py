"""ddtrace's filters, sampling rules, variables and commands on the agent."""

import os
import re
import subprocess
import sys

import flask
import pytest
import requests
import urllib3
from sink import tree

import pitviper
from pitviper import _native
from pitviper.compat.ddtrace import config
from pitviper.compat.ddtrace.trace import Context, TraceFilter, tracer
from pitviper.integrations import _messaging


class Marks(TraceFilter):
    """Drops traces that ask for health; marks and renames the others."""

    def __init__(self):
        self.seen = []

    def process_trace(self, trace):
        self.seen.append([span.name for span in trace])
        if any(span.resource == "GET /health" for span in trace):
            return None
        for span in trace:
            span.set_tag("seen", "yes")
            if span.name == "old":
                span.resource = "new"
        return trace


@pytest.fixture
def filtered(agent):
    """A filter in place."""
    marks = Marks()
    tracer.configure(trace_processors=[marks])
    yield marks
    tracer.configure(trace_processors=[])


def test_filters_see_whole_traces(agent, filtered):
    with tracer.trace("root"):
        with pitviper.tracer.start_as_current_span("ours", kind=3, attributes={"a": 1}):
            pass
        with tracer.trace("old", service="other") as old:
            old.record_exception(ValueError("x"))
            old.link_span(Context(trace_id=1, span_id=2))
        assert agent() == []
    with pitviper.tracer.start_as_current_span("GET /health", kind=2), tracer.trace("below"):
        pass
    with pytest.raises(KeyError), tracer.trace("failing"):
        raise KeyError("k")
    spans = agent()
    assert tree(spans, ("seen",)) == [
        ["internal root", {"seen": "yes"}, ["client ours", {"seen": "yes"}], ["internal new", {"seen": "yes"}]],
        ["internal failing", {"seen": "yes"}],
    ]
    found = {span.name: span for span in spans}
    assert found["new"].resource["service.name"] == "other" and found["new"].links == [f"{2:016x}"]
    assert [name for name, _ in found["new"].events] == ["exception"]
    assert found["ours"].attributes == {"a": 1, "seen": "yes"}
    assert (found["failing"].status, found["failing"].status_message) == ("error", "'k'")
    assert filtered.seen[0] == ["root", "ours", "old"]


def test_a_filter_that_fails_costs_nothing(agent, caplog):
    class Fails(TraceFilter):
        def process_trace(self, trace):
            raise RuntimeError("no")

    tracer.configure(trace_processors=[Fails()])
    try:
        with tracer.trace("a"):
            pass
    finally:
        tracer.configure(trace_processors=[])
    assert [span.name for span in agent()] == ["a"]
    assert "error applying processor" in caplog.text


RULES = """
import logging, sys
import pitviper
from ddtrace.trace import tracer
from ddtrace.propagation.http import HTTPPropagator
logging.basicConfig(format="%(dd.service)s %(dd.trace_id)s %(message)s", level="INFO", stream=sys.stdout)
for name, resource, service in (("early", "a", "dropped"), ("late", "GET /health", None), ("late", "GET /", None),
                                ("kept", "GET /health", None)):
    with tracer.trace(name, service=service, resource="at first") as span:
        headers = {}
        HTTPPropagator.inject(span, headers)
        print(name, headers["x-datadog-sampling-priority"])
        with pitviper.tracer.start_as_current_span("below"):
            pass
        if name == "kept":
            span.set_tag("manual.keep")
        span.resource = resource
        logging.info("%s", True)
"""


def test_sampling_rules_decide_early_or_at_the_end(run, sink):
    rules = (
        '[{"service": "drop*", "sample_rate": 0}, {"resource": "get /health", "sample_rate": 0}, {"sample_rate": 1}]'
    )
    done = run(RULES, PITVIPER_COMPAT="ddtrace", DD_TRACE_SAMPLING_RULES=rules, DD_SPAN_SAMPLING_RULES="[]")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if not line.startswith("program")] == ["early -1", "late 1", "late 1", "kept 1"]
    assert len([line for line in lines if re.fullmatch("program [0-9a-f]{32} True", line)]) == 4, lines
    spans = sink.wait_for(4)
    assert tree(spans) == [["internal late", ["internal below"]], ["internal kept", ["internal below"]]]


def test_variables_switch_integrations_and_log_fields_off(run):
    source = """
import logging
from pitviper.instrument import engine
print(engine.states()["sqlite3"], "|", engine.states()["psycopg2"], "|", engine.states()["http_client"])
print("dd.trace_id" in logging.getLogger().makeRecord("a", 20, "f", 1, "m", (), None).__dict__)
"""
    done = run(
        source,
        PITVIPER_COMPAT="ddtrace",
        DD_TRACE_SQLITE3_ENABLED="false",
        DD_PATCH_MODULES="psycopg:false,httplib:true",
        DD_LOGS_INJECTION="false",
    )
    off = "disabled by configuration"
    assert done.stdout == f"{off} | {off} | waits for the library to be imported\nFalse\n", done.stderr


def test_the_commands_start_it(sink, tmp_path):
    # What is installed under the name comes second where this one is asked for.
    (tmp_path / "ddtrace.py").write_text("tracer = None\n")
    (tmp_path / "program.py").write_text("from ddtrace import tracer\nprint(tracer and tracer.trace('a').finish())\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DD_", "PITVIPER_", "OTEL_"))}
    variables = {**kept, "PITVIPER_ENDPOINT": sink.endpoint, "PYTHONPATH": str(tmp_path)}

    def start(*arguments):
        command = [sys.executable, "-m", "pitviper", "run", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=60)

    program = (sys.executable, str(tmp_path / "program.py"))
    assert start(*program).stdout == "None\n"
    assert sink.spans == []
    assert start("--compat", "ddtrace", *program).stdout == "None\n"
    assert start("--compat=ddtrace", "ddtrace-run", "-d", *program).stdout == "None\n"
    installed = [os.path.join(os.path.dirname(sys.executable), "pitviper-ddtrace-run"), *program]
    done = subprocess.run(installed, capture_output=True, text=True, env=variables, check=False, timeout=60)
    assert (done.stdout, done.returncode) == ("None\n", 0), done.stderr
    assert [span.name for span in sink.wait_for(3)] == ["a", "a", "a"]
    # Trying out every integration takes its time, and is not what this is about.
    variables["PITVIPER_ENABLED"] = "false"
    shown = start("--compat", "ddtrace", "ddtrace-run", "--info", *program)
    assert "compat" in shown.stdout and "['ddtrace']" in shown.stdout
    refused = start("--compat", "nonsense", *program)
    assert refused.returncode == 2 and "--compat takes ddtrace" in refused.stderr


def test_a_profiler_is_there(agent):
    from ddtrace import profiling

    assert profiling.is_available and not profiling.failure_msg
    profiler = profiling.Profiler(service="shop", tags={"team": "web"}, tracer=tracer, enable_code_provenance=True)
    profiler.start(stop_on_exit=False, profile_children=True)
    assert profiler.running or profiler.problem
    profiler.stop(flush=False)
    assert not profiler.running


def test_helpers_of_applications(agent):
    import asyncio

    from ddtrace.contrib.asgi import TraceMiddleware
    from ddtrace.contrib.trace_utils import activate_distributed_headers, set_flattened_tags, set_user
    from ddtrace.contrib.wsgi import DDWSGIMiddleware

    async def application(scope, receive, send):
        return scope, receive, send

    assert asyncio.run(TraceMiddleware(application, tracer=tracer)(1, 2, 3)) == (1, 2, 3)
    assert DDWSGIMiddleware(lambda environ, start: (environ, start))(1, 2) == (1, 2)
    activate_distributed_headers(tracer, None, {"x-datadog-trace-id": "5", "x-datadog-parent-id": "6"})
    with tracer.trace("root"), tracer.trace("below") as below:
        set_user(tracer, "ada", name="Ada", role="buyer", propagate=True)
        set_flattened_tags(below, [("order", {"items": ["a", {"n": 2}], "empty": []})])
    root, inner = sorted(agent(), key=lambda span: span.start_ns)
    assert root.parent == f"{6:016x}"
    assert root.attributes == {"user.id": "ada", "usr.name": "Ada", "usr.role": "buyer"}
    assert inner.attributes == {"order.items.0": "a", "order.items.1.n": 2, "order.empty": "[]"}


def test_opentelemetry_goes_on_in_the_same_tree(run, sink):
    source = """
from opentelemetry import trace
from ddtrace import tracer
from ddtrace.opentelemetry import TracerProvider
assert TracerProvider
with tracer.trace("outer") as outer:
    with trace.get_tracer("shop").start_as_current_span("otel") as span:
        assert span.get_span_context().trace_id == outer.trace_id
        assert tracer.current_span().span_id == span.get_span_context().span_id
        assert outer.context.span_id == outer.span_id and outer.parent_id is None
        with tracer.trace("inner") as inner:
            assert inner.parent_id == span.get_span_context().span_id
            assert trace.get_current_span().get_span_context().span_id == inner.span_id
"""
    done = run(source)
    assert done.returncode == 0, done.stderr
    assert tree(sink.wait_for(3)) == [["internal outer", ["internal otel", ["internal inner"]]]]


def test_patch_leaves_alone_what_it_is_told_to(run, sink):
    source = """
import sqlite3
from ddtrace import patch, patch_all, tracer
from pitviper.instrument import engine
patch(sqlite3=True, nothing=True)
with tracer.trace("before"):
    sqlite3.connect(":memory:").execute("select 1")
patch(sqlite3=False)
patch_all(redis=False)
with tracer.trace("after"):
    sqlite3.connect(":memory:").execute("select 1")
print(engine.states()["sqlite3"], "|", engine.states()["redis"])
"""
    done = run(source)
    alone = "failed: the application asked for it to be left alone"
    assert done.stdout == f"{alone} | {alone}\n", done.stderr
    assert tree(sink.wait_for(3)) == [["internal before", ["client SELECT"]], ["internal after"]]


#: What another process hands over.
REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def distributed():
    """Says whether an integration is part of other processes' traces; afterwards all are."""
    names = []

    def say(name, value, key="distributed_tracing"):
        names.append((name, key))
        getattr(config, name)[key] = value

    yield say
    for name, key in names:
        del getattr(config, name)[key]


def test_a_client_may_keep_its_traces_to_itself(agent, http, distributed):
    with tracer.trace("job"):
        requests.get(http.url)
        distributed("requests", False)
        requests.get(http.url)
        urllib3.PoolManager().request("GET", http.url)
        distributed("requests", True)
        requests.get(http.url)
    carried = [sorted({"traceparent", "tracestate"} & set(seen)) for seen in http.seen]
    assert carried == [["traceparent"], [], ["traceparent"], ["traceparent"]]
    assert tree(agent()) == [["internal job", *[["client GET"]] * 4]], "what it calls is recorded all the same"


def test_a_server_may_ignore_its_callers(agent, http, distributed):
    app = flask.Flask("shop")

    @app.get("/")
    def index():
        return requests.get(http.url).text

    def serve():
        app.test_client().get("/", headers={"traceparent": REMOTE})
        return [span for span in agent() if span.kind == "server"][-1]

    trace_id = REMOTE.split("-")[1]
    assert serve().trace_id == trace_id
    distributed("flask", False, "distributed_tracing_enabled")
    served = serve()
    assert served.trace_id != trace_id and served.parent == ""
    # What is called for the request is part of its trace.
    assert served.trace_id in http.seen[-1]["traceparent"]


def test_a_consumer_may_ignore_its_producers(agent, distributed):
    contexts = [_native.extract({"traceparent": REMOTE})]
    scope = "pitviper.confluent_kafka"

    def consume():
        known = len(agent())
        _messaging.received("receive one", {}, contexts, _native.now(), scope)
        _messaging.received("receive two", {}, contexts * 2, _native.now(), scope)
        _messaging.processing("process", {}, contexts[0], scope).end()
        return [(REMOTE.split("-")[1] == span.trace_id, len(span.links)) for span in agent()[known:]]

    assert consume() == [(True, 0), (False, 2), (True, 0)]
    distributed("kafka", False)
    assert consume() == [(False, 0)] * 3


def test_variables_say_who_is_part_of_other_processes_traces(run, sink):
    program = """
import logging, flask, pitviper
app = flask.Flask("shop")
app.add_url_rule("/", view_func=lambda: "")
pitviper.init()
app.test_client().get("/", headers={"traceparent": "REMOTE"})
"""
    for value in ("false", "true", "what"):
        result = run(program.replace("REMOTE", REMOTE), DD_FLASK_DISTRIBUTED_TRACING=value)
        assert result.returncode == 0, result.stderr
    trace_id = REMOTE.split("-")[1]
    assert [span.trace_id == trace_id for span in sink.spans if span.kind == "server"] == [False, True, True]
