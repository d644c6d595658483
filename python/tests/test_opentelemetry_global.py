"""OpenTelemetry's global provider and context under ``pitviper run``: ours, the application's, both."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from sink import tree


def test_who_does_not_use_it_does_not_load_it(run, sink):
    done = run("""
import sqlite3, sys
from pitviper import tracer
with tracer.start_as_current_span("own"):
    sqlite3.connect(":memory:").execute("SELECT 1")
loaded = [name for name in sys.modules if name.partition(".")[0] == "opentelemetry" or "pitviper.opentelemetry" in name]
assert not loaded, loaded
""")
    assert done.returncode == 0, done.stderr
    assert len(sink.wait_for(2)) == 2


def test_without_the_api_the_agent_works(run, sink):
    done = run("""
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "opentelemetry":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from pitviper import tracer
try:
    import pitviper.opentelemetry
    raise SystemExit("it was importable")
except ModuleNotFoundError:
    pass
with tracer.start_as_current_span("own", kind=3) as span:
    assert span.kind == 3 and span.context.trace_id_hex == span.trace_id
    assert dict(span.attributes) == {} and span.parent is None
""")
    assert done.returncode == 0, done.stderr
    assert [span.name for span in sink.wait_for(1)] == ["own"]


NESTED = """
import flask, sqlite3
from opentelemetry import baggage, context, trace
before = trace.get_tracer("taken.early")
app = flask.Flask("shop")

@app.get("/items/<int:number>")
def item(number):
    view = trace.get_current_span()
    assert view.name == "__main__.item" and view.is_recording()
    view.set_attribute("shop.item", number)
    with before.start_as_current_span("price", kind=trace.SpanKind.CLIENT) as price:
        assert price.parent == view.get_span_context()
        sqlite3.connect(":memory:").execute("SELECT 1")
        token = context.attach(baggage.set_baggage("user", "ada"))
        with trace.get_tracer("other").start_as_current_span("inner"):
            assert baggage.get_baggage("user") == "ada"
        context.detach(token)
    assert trace.get_current_span() is view
    return format(trace.get_current_span().get_span_context().trace_id, "032x")

assert app.test_client().get("/items/7").status_code == 200
"""


def test_spans_of_its_tracers_and_of_integrations_nest_both_ways(run, sink):
    done = run(NESTED)
    assert done.returncode == 0, done.stderr
    spans = sink.wait_for(5)
    assert tree(spans, ("shop.item",)) == [
        [
            "server GET /items/<int:number>",
            ["internal __main__.item", {"shop.item": 7}, ["client price", ["client SELECT"], ["internal inner"]]],
        ]
    ]
    assert {span.scope for span in spans} == {"pitviper.flask", "taken.early", "pitviper.sqlite3", "other"}


def test_it_can_be_left_alone(run, sink):
    done = run(
        """
from opentelemetry import trace
assert type(trace.get_tracer_provider()).__name__ == "ProxyTracerProvider"
assert not trace.get_tracer("x").start_span("s").is_recording()
""",
        PITVIPER_INTEGRATIONS_DISABLED="opentelemetry",
    )
    assert done.returncode == 0, done.stderr
    assert sink.spans == []


SDK = """
import json, sqlite3
from opentelemetry import trace
early = trace.get_tracer("early", "1")
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

memory = InMemorySpanExporter()
provider = TracerProvider(resource=Resource.create({"team": "a"}))
provider.add_span_processor(SimpleSpanProcessor(memory))
trace.set_tracer_provider(provider)
assert trace.get_tracer_provider() is provider

from pitviper import tracer
with tracer.start_as_current_span("own outer"):
    with early.start_as_current_span("early", attributes={"k": (1, 2)}, links=[trace.Link(trace.SpanContext(1, 2, True))]) as span:
        span.add_event("happened", {"n": 1})
        sqlite3.connect(":memory:").execute("SELECT 1")
        with trace.get_tracer("late").start_as_current_span("late", kind=trace.SpanKind.CONSUMER) as late:
            late.set_status(trace.StatusCode.ERROR, "why")
    try:
        with early.start_as_current_span("broken"):
            raise ValueError("no")
    except ValueError:
        pass
provider.force_flush()
print(json.dumps([(span.name, span.parent is not None, [event.name for event in span.events]) for span in memory.get_finished_spans()]))
"""


def test_an_sdk_of_the_applications_stays_and_its_spans_come_here_too(run, sink):
    done = run(SDK)
    assert done.returncode == 0, done.stderr
    assert "Overriding" not in done.stderr
    assert json.loads(done.stdout) == [
        ["late", True, []],
        ["early", True, ["happened"]],
        ["broken", True, ["exception"]],
    ]
    spans = sink.wait_for(5)
    assert tree(spans) == [
        ["internal own outer", ["internal early", ["client SELECT"], ["consumer late"]], ["internal broken"]]
    ]
    by_name = {span.name: span for span in spans}
    early, late, broken = by_name["early"], by_name["late"], by_name["broken"]
    assert (early.scope, early.attributes, early.events) == ("early", {"k": [1, 2]}, [("happened", {"n": 1})])
    assert early.links == ["0000000000000002"]
    assert (late.status, late.status_message) == ("error", "why")
    assert broken.events[0][1]["exception.message"] == "no"
    # One process is one service and one instance, whoever makes its spans.
    own = by_name["own outer"].resource
    assert early.resource["team"] == "a" and "team" not in own
    for key in ("service.name", "service.instance.id", "process.pid", "telemetry.sdk.name"):
        assert early.resource[key] == own[key]


def test_a_provider_set_before_the_agent_starts_is_found(sink, tmp_path):
    source = """
import pitviper
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
provider = TracerProvider()
trace.set_tracer_provider(provider)
with trace.get_tracer("x").start_as_current_span("before") as before:
    pitviper.init()
    assert trace.get_tracer_provider() is provider and trace.get_current_span() is before
    with pitviper.tracer.start_as_current_span("own"):
        trace.get_tracer("x").start_span("inner").end()
assert trace.get_current_span() is trace.INVALID_SPAN
"""
    environ = {**os.environ, "PITVIPER_ENDPOINT": sink.endpoint, "PITVIPER_SERVICE": "program"}
    done = subprocess.run([sys.executable, "-c", source], env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert tree(sink.wait_for(3)) == [["internal before", ["internal own", ["internal inner"]]]]


def test_the_variable_that_names_another_provider_is_followed(run, sink):
    done = run(
        """
from opentelemetry import trace
assert type(trace.get_tracer_provider()).__module__ == "opentelemetry.sdk.trace"
with trace.get_tracer("x").start_as_current_span("of the sdk"):
    pass
""",
        OTEL_PYTHON_TRACER_PROVIDER="sdk_tracer_provider",
    )
    assert done.returncode == 0, done.stderr
    assert [span.name for span in sink.wait_for(1)] == ["of the sdk"]


@pytest.mark.parametrize("started", [True, False])
def test_the_variable_that_names_ours_starts_the_agent(sink, tmp_path, started):
    source = """
from opentelemetry import trace
with trace.get_tracer("x", "1").start_as_current_span("by variable"):
    import sqlite3
    sqlite3.connect(":memory:").execute("SELECT 1")
assert type(trace.get_tracer_provider()).__module__ == "pitviper.opentelemetry.provider"
"""
    environ = {
        **os.environ,
        "PITVIPER_ENDPOINT": sink.endpoint,
        "PITVIPER_SERVICE": "program",
        "OTEL_PYTHON_TRACER_PROVIDER": "pitviper",
    }
    command = [sys.executable, "-c", ("import pitviper.auto\n" if started else "") + source]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert tree(sink.wait_for(2)) == [["internal by variable", ["client SELECT"]]]


def test_the_entry_points_are_there():
    every = entry_points()
    group = "opentelemetry_tracer_provider"
    points = every.select(group=group) if hasattr(every, "select") else every[group]
    assert "pitviper" in {point.name for point in points}


def test_a_provider_of_ours_serves_integrations_too(run, sink):
    done = run(
        """
import json, os, sqlite3
from opentelemetry import trace
from pitviper import tracer
from pitviper.opentelemetry import IdGenerator, InMemorySpanExporter, Resource, SimpleSpanProcessor, SpanLimits, TracerProvider

early = trace.get_tracer("early")

class Ids(IdGenerator):
    last = 0
    def generate_trace_id(self):
        return 77
    def generate_span_id(self):
        Ids.last += 1
        return Ids.last

memory = InMemorySpanExporter()
provider = TracerProvider(resource=Resource({"service.name": "given"}), id_generator=Ids(), span_limits=SpanLimits(max_span_attributes=1))
provider.add_span_processor(SimpleSpanProcessor(memory))
trace.set_tracer_provider(provider)
with tracer.start_as_current_span("own", attributes={"a": 1, "b": 2}) as own:
    assert own.resource is provider.resource
    with early.start_as_current_span("early"):
        sqlite3.connect(":memory:").execute("SELECT 1")
print(json.dumps([(s.name, s.context.trace_id, s.kind.name, s.instrumentation_scope.name, len(s.attributes)) for s in memory.get_finished_spans()]))
"""
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        ["SELECT", 77, "CLIENT", "pitviper.sqlite3", 1],
        ["early", 77, "INTERNAL", "early", 0],
        ["own", 77, "INTERNAL", "pitviper", 1],
    ]
    spans = sink.wait_for(3)
    assert tree(spans) == [["internal own", ["internal early", ["client SELECT"]]]]
    assert {span.resource["service.name"] for span in spans} == {"given"}


def test_processors_added_to_the_global_provider_hear_of_integrations(run, sink):
    done = run("""
import sqlite3, threading
from opentelemetry import trace
from pitviper.opentelemetry import BatchSpanProcessor, InMemorySpanExporter, SpanProcessor
class Listener(SpanProcessor):
    def on_start(self, span, parent_context=None):
        span.set_attribute("heard", True)
memory = InMemorySpanExporter()
provider = trace.get_tracer_provider()
provider.add_span_processor(Listener())
provider.add_span_processor(BatchSpanProcessor(memory))
with trace.get_tracer("x").start_as_current_span("outer"):
    try:
        sqlite3.connect(":memory:").execute("SELECT nothing FROM nowhere")
    except sqlite3.OperationalError:
        pass
assert provider.force_flush()
query, outer = memory.get_finished_spans()
assert query.parent == outer.context and query.status.description.startswith("OperationalError"), query.to_json()
assert query.events[0].name == "exception" and dict(outer.attributes) == {"heard": True}
""")
    assert done.returncode == 0, done.stderr
    assert all(span.attributes["heard"] for span in sink.wait_for(2))


def test_the_sdks_processors_and_exporters_work_on_ours(run, sink):
    done = run("""
import io, json, sqlite3
from opentelemetry import trace
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
out = io.StringIO()
provider = trace.get_tracer_provider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\\n")))
with trace.get_tracer("x").start_as_current_span("outer"):
    sqlite3.connect(":memory:").execute("SELECT 1")
assert provider.force_flush()
query, outer = map(json.loads, out.getvalue().splitlines())
assert query["parent_id"] == outer["context"]["span_id"] and query["kind"] == "SpanKind.CLIENT"
""")
    assert done.returncode == 0, done.stderr
    assert len(sink.wait_for(2)) == 2


def test_a_batch_processor_survives_a_fork(run, sink):
    done = run(
        """
import os, warnings
from opentelemetry import trace
from pitviper.opentelemetry import BatchSpanProcessor, SpanExporter
class Writer(SpanExporter):
    def export(self, spans):
        os.write(1, "".join(f"{os.getpid() == parent} {span.name}\\n" for span in spans).encode())
parent = os.getpid()
provider = trace.get_tracer_provider()
provider.add_span_processor(BatchSpanProcessor(Writer()))
tracer = trace.get_tracer("x")
tracer.start_span("before").end()
pid = os.fork()
tracer.start_span("after").end()
assert provider.force_flush(10_000)
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
""",
        PYTHONWARNINGS="ignore::DeprecationWarning",
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "False after", "True after", "True before"]
    names = sorted(span.name for span in sink.wait_for(3))
    assert names == ["after", "after", "before"]


def test_exports_of_the_application_are_not_traced(run, sink):
    """A Python exporter that sends over HTTP must not make spans of its own requests."""
    done = run("""
import os, urllib3
from opentelemetry import trace
from pitviper.opentelemetry import SimpleSpanProcessor, SpanExporter
class Poster(SpanExporter):
    def export(self, spans):
        assert urllib3.PoolManager().request("POST", os.environ["PITVIPER_ENDPOINT"] + "/v1/traces", body=b"").status == 200
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(Poster()))
with trace.get_tracer("x").start_as_current_span("one"):
    pass
""")
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in sink.wait_for(1)] == ["one"]


def test_resource_detectors_of_others_are_asked(run, tmp_path):
    """By their entry points, as the SDK does it."""
    (tmp_path / "detectors.py").write_text(
        "class Found:\n    attributes = {'cloud.region': 'here'}\n"
        "class Detector:\n    def detect(self):\n        return Found\n"
        "class Broken:\n    def detect(self):\n        raise OSError('no cloud')\n"
    )
    info = tmp_path / "detectors-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: detectors\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_resource_detector]\ncloud = detectors:Detector\nbroken = detectors:Broken\n"
    )
    done = run(
        """
from pitviper.opentelemetry import Resource
attributes = Resource.create({"team": "a"}).attributes
assert (attributes["cloud.region"], attributes["team"], attributes["service.name"]) == ("here", "a", "program")
""",
        PYTHONPATH=str(tmp_path),
        OTEL_EXPERIMENTAL_RESOURCE_DETECTORS="otel, cloud,broken,nobody",
    )
    assert done.returncode == 0, done.stderr
    assert "the resource detector broken fails: OSError: no cloud" in done.stderr
    assert "the resource detector nobody fails: LookupError" in done.stderr
