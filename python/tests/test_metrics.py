"""Metrics: OpenTelemetry's instruments on the native registry, and their way to a receiver."""

import os
import threading
import time

import pytest
from opentelemetry import metrics

import pitviper
from pitviper import _native
from pitviper.opentelemetry.metrics import (
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    MeterProvider,
    SumAggregation,
    View,
)


@pytest.fixture
def collect(sink):
    """The agent reporting to the receiver, with runtime metrics off; call it for the points of a collection."""

    def start(**settings):
        # Collections come when they are asked for, unless a test wants the interval.
        settings = {"metrics_interval_ms": 600_000, "runtime_metrics": False, "libraries": False, **settings}
        pitviper.init(endpoint=sink.endpoint, service="test", **settings)

        def points(name=None):
            sink.points.clear()
            assert pitviper.flush(10)
            return [point for point in sink.points if name is None or point.name == name]

        return points

    yield start
    pitviper.init(endpoint=sink.endpoint, service="test", metrics_interval_ms=10_000)


@pytest.fixture
def name(request):
    """A name for an instrument that no other test has."""
    return "".join(c if c.isalnum() else "_" for c in request.node.name)[:200]


def test_a_counter_adds_up_by_attributes(collect, name):
    points = collect()
    counter = MeterProvider().get_meter("shop", "1.2").create_counter(name, "{order}", "Orders")
    counter.add(2, {"paid": True, "shop": "a"})
    counter.add(3, {"shop": "a", "paid": True})
    counter.add(1.5, {"shop": "b"})
    before = time.time_ns()
    found = {point.attributes.get("shop"): point for point in points(name)}
    assert (found["a"].value, found["b"].value) == (5, 1.5)
    point = found["a"]
    assert (point.kind, point.temporality, point.is_monotonic) == ("sum", "cumulative", True)
    assert (point.unit, point.description, point.scope, point.scope_version) == ("{order}", "Orders", "shop", "1.2")
    assert point.attributes == {"paid": True, "shop": "a"}
    assert point.start_ns < before <= point.time_ns
    assert point.resource["service.name"] == "test" and point.resource["process.pid"] == os.getpid()
    # Cumulative: reported again, from the same start.
    again = {point.attributes.get("shop"): point for point in points(name)}
    assert again["a"].value == 5 and again["a"].start_ns == point.start_ns


def test_delta_counts_from_the_collection_before(collect, name):
    points = collect(metrics_temporality="delta")
    meter = MeterProvider().get_meter("shop")
    counter, both_ways = meter.create_counter(name), meter.create_up_down_counter(name + "_ud")
    counter.add(2)
    both_ways.add(5)
    first = points()
    (one,) = [point for point in first if point.name == name]
    assert (one.value, one.temporality) == (2, "delta")
    counter.add(1)
    both_ways.add(-2)
    second = points()
    (two,) = [point for point in second if point.name == name]
    assert (two.value, two.start_ns) == (1, one.time_ns)
    (sum_,) = [point for point in second if point.name == name + "_ud"]
    assert (sum_.value, sum_.temporality, sum_.is_monotonic) == (3, "cumulative", False)
    assert points(name) == []


def test_histograms_with_bounds(collect, name):
    points = collect()
    meter = MeterProvider().get_meter("shop")
    histogram = meter.create_histogram(name, "s", explicit_bucket_boundaries_advisory=[1, 2, 5])
    for value in (0.5, 1, 1.5, 5, 7):
        histogram.record(value)
    histogram.record(-1)
    histogram.record(float("nan"))
    (found,) = points(name)
    point = found.point
    assert found.kind == "histogram"
    assert list(point.explicit_bounds) == [1, 2, 5] and list(point.bucket_counts) == [2, 1, 1, 1]
    assert (point.count, point.sum, point.min, point.max) == (5, 15.0, 0.5, 7)


def test_exponential_histograms(collect, name):
    points = collect(metrics_histogram="base2_exponential_bucket_histogram")
    histogram = MeterProvider().get_meter("shop").create_histogram(name)
    values = [0.0, 0.001, 0.5, 1.0, 2.0, 1000.0]
    for value in values:
        histogram.record(value)
    (found,) = points(name)
    point = found.point
    assert found.kind == "exponential_histogram"
    assert (point.count, point.zero_count, point.sum, point.max) == (6, 1, sum(values), 1000.0)
    # Every value lies in the bucket that its formula says, by the scale that was sent.
    base = 2.0 ** (2.0**-point.scale)
    counts = list(point.positive.bucket_counts)
    for value in values[1:]:
        index = next(
            index for index in range(len(counts)) if value <= base ** (point.positive.offset + index + 1) * (1 + 1e-9)
        )
        assert counts[index] >= 1, value
    assert sum(counts) == 5 and len(counts) <= 160


def test_gauges_and_observables(collect, name):
    points = collect()
    provider = MeterProvider()
    meter = provider.get_meter("shop")
    gauge = meter.create_gauge(name + "_gauge")
    gauge.set(3)
    gauge.set(4)
    queue = [1, 2, 3]
    calls = []

    def length(options):
        calls.append(options.timeout_millis)
        return [metrics.Observation(len(queue), {"queue": "jobs"})]

    def broken(options):
        raise RuntimeError("the application's own")

    def rounds():
        number = 0
        options = yield
        while True:
            number += 10
            options = yield [metrics.Observation(number)]
            assert options is not None

    meter.create_observable_gauge(name + "_length", [broken, length])
    meter.create_observable_counter(name + "_rounds", [rounds()])
    try:
        first = {point.name: point for point in points()}
        queue.clear()
        second = {point.name: point for point in points()}
    finally:
        provider.stop_observing()
    assert first[name + "_gauge"].value == 4 and first[name + "_gauge"].kind == "gauge"
    assert [p[name + "_length"].value for p in (first, second)] == [3, 0]
    assert first[name + "_length"].attributes == {"queue": "jobs"}
    assert [p[name + "_rounds"].value for p in (first, second)] == [10, 20]
    assert calls[0] > 0


def test_observed_sums_as_delta(collect, name):
    points = collect(metrics_temporality="delta")
    provider = MeterProvider()
    total = [100]
    provider.get_meter("shop").create_observable_counter(name, [lambda _: [metrics.Observation(total[0])]])
    try:
        values = [point.value for point in points(name)]
        total[0] = 130
        values += [point.value for point in points(name)]
    finally:
        provider.stop_observing()
    assert values == [100, 30]


def test_callbacks_run_by_themselves_every_interval(collect, sink, name):
    collect(metrics_interval_ms=100)
    provider = MeterProvider()
    threads = set()

    def callback(_):
        threads.add(threading.get_ident())
        return [metrics.Observation(len(threads))]

    provider.get_meter("shop").create_observable_gauge(name, [callback])
    try:
        # Observables alone start no thread; the first span does.
        pitviper.tracer.start_span("anything").end()
        sink.wait_until(lambda: sum(point.name == name for point in sink.points) >= 3)
    finally:
        provider.stop_observing()
    assert threads and threading.main_thread().ident not in threads


def test_views(collect, name):
    points = collect()
    provider = MeterProvider(
        views=[
            View(
                instrument_name=name + "_time*",
                attribute_keys={"route"},
                aggregation=ExponentialBucketHistogramAggregation(max_size=10),
            ),
            View(instrument_name=name + "_secret", aggregation=DropAggregation()),
            View(instrument_type=metrics.Histogram, meter_name="sizes", aggregation=SumAggregation()),
            View(
                instrument_name=name + "_old", name=name + "_new", aggregation=ExplicitBucketHistogramAggregation([1.0])
            ),
        ]
    )
    meter = provider.get_meter("shop")
    times = meter.create_histogram(name + "_times")
    times.record(1.0, {"route": "/a", "user": 1})
    times.record(2.0, {"route": "/a", "user": 2})
    meter.create_counter(name + "_secret").add(1)
    provider.get_meter("sizes").create_histogram(name + "_size").record(7)
    meter.create_histogram(name + "_old").record(3)
    found = {point.name: point for point in points()}
    assert found[name + "_times"].attributes == {"route": "/a"}
    assert found[name + "_times"].point.count == 2 and found[name + "_times"].kind == "exponential_histogram"
    assert name + "_secret" not in found and name + "_old" not in found
    assert (found[name + "_size"].kind, found[name + "_size"].value) == ("sum", 7)
    assert list(found[name + "_new"].point.bucket_counts) == [0, 1]
    with pytest.raises(ValueError, match="criterion"):
        View()
    with pytest.raises(ValueError, match="several"):
        View(instrument_name="*", name="one")


def test_exemplars_lead_to_traces(collect, name):
    points = collect()
    provider = MeterProvider(views=[View(instrument_name=name, attribute_keys=["route"])])
    histogram = provider.get_meter("shop").create_histogram(name)
    histogram.record(1, {"route": "/"})
    with pitviper.tracer.start_as_current_span("request") as span:
        histogram.record(70, {"route": "/", "user": 7})
    (found,) = points(name)
    (exemplar,) = found.point.exemplars
    assert (exemplar.trace_id.hex(), exemplar.span_id.hex()) == (
        f"{span.get_span_context().trace_id:032x}",
        f"{span.get_span_context().span_id:016x}",
    )
    assert (exemplar.as_int, [pair.key for pair in exemplar.filtered_attributes]) == (70, ["user"])
    assert points(name)[0].point.exemplars == [] or not points(name)[0].point.exemplars


def test_misuse_measures_nothing_and_raises_nothing(collect, name, capfd):
    points = collect()
    meter = MeterProvider().get_meter("shop")
    counter = meter.create_counter(name)
    before = _native.stats()["metrics_invalid"]
    counter.add(-1)
    counter.add("three")
    counter.add(1, {"a": object(), 7: "x", "": 1})
    counter.add(1, attributes="not a mapping")
    meter.create_counter("0 bad name").add(1)
    meter.create_counter(name + "_unit", unit="ü").add(1)
    meter.create_histogram(name + "_bounds", explicit_bucket_boundaries_advisory=[2, 1]).record(1)
    found = points()
    assert [(point.value, point.attributes) for point in found if point.name == name] == [(2, {})]
    assert _native.stats()["metrics_invalid"] == before + 1
    assert not [point for point in found if point.name in ("0 bad name", name + "_unit", name + "_bounds")]
    assert capfd.readouterr().err.count("is not measured") == 3


def test_threads_lose_nothing(collect, name):
    points = collect()
    counter = MeterProvider().get_meter("shop").create_counter(name)

    def work():
        for number in range(5_000):
            counter.add(1, {"kind": number % 3})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(point.value for point in points(name)) == 20_000


def test_series_are_bounded(collect, name):
    points = collect()
    counter = MeterProvider().get_meter("shop").create_counter(name)
    for number in range(2_500):
        counter.add(1, {"user": number})
    found = points(name)
    assert len(found) == 2_000
    (beyond,) = [point for point in found if point.attributes == {"otel.metric.overflow": True}]
    assert beyond.value == 501


def test_a_busy_receiver_gets_metrics_later_and_every_point_has_one_outcome(collect, sink, name):
    points = collect()
    counter = MeterProvider().get_meter("shop").create_counter(name)
    counter.add(1)
    points()
    before = _native.stats()
    sink.refusals_by_path["/v1/metrics"] = [503, 429]
    assert len(points(name)) == 1
    sink.refusals_by_path["/v1/metrics"] = [400]
    assert points(name) == []
    after = _native.stats()
    assert after["retries"] - before["retries"] == 2
    sent = after["metrics_exported"] - before["metrics_exported"]
    assert sent == after["metrics_dropped_export_failed"] - before["metrics_dropped_export_failed"] > 0
    assert after["metrics_pending"] == 0


def test_spans_do_not_wait_for_metrics_nobody_takes(collect, sink, name):
    collect()
    sink.refusals_by_path["/v1/metrics"] = [503] * 1_000
    MeterProvider().get_meter("shop").create_counter(name).add(1)
    assert not pitviper.flush(0.3)
    pitviper.tracer.start_span("undelayed").end()
    sink.wait_until(lambda: "undelayed" in [span.name for span in sink.spans], timeout=3)
    sink.refusals_by_path.clear()
    assert pitviper.flush(10)


def test_a_forked_child_measures_itself(run, sink):
    source = """
import os, pitviper
from opentelemetry import metrics
counter = metrics.get_meter("shop").create_counter("orders")
metrics.get_meter("shop").create_observable_gauge("pid", [lambda _: [metrics.Observation(os.getpid())]])
counter.add(5)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        counter.add(1)
        os._exit(0 if pitviper.flush(10) else 1)
    children.append(pid)
print(*children)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
    done = run(source, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert (done.returncode, done.stderr) == (0, "")
    children = set(map(int, done.stdout.split()))
    orders = [point for point in sink.points if point.name == "orders"]
    assert {
        p.resource["process.pid"]: p.value for p in orders if p.resource["process.pid"] in children
    } == dict.fromkeys(children, 1)
    assert [p.value for p in orders if p.resource["process.pid"] not in children] == [5]
    observed = [point for point in sink.points if point.name == "pid"]
    assert all(point.value == point.resource["process.pid"] for point in observed)
    assert children < {point.value for point in observed}


def test_forks_while_threads_measure(run, sink):
    source = """
import os, threading, pitviper
from opentelemetry import metrics
counter = metrics.get_meter("shop").create_counter("busy")
stop = False
def busy():
    while not stop:
        counter.add(1, {"a": 1})
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads: thread.start()
for number in range(15):
    pid = os.fork()
    if pid == 0:
        metrics.get_meter("shop").create_counter("forked").add(1)
        os._exit(0 if pitviper.flush(10) else 1)
    assert os.waitpid(pid, 0)[1] == 0, number
stop = True
for thread in threads: thread.join()
"""
    done = run(source, PYTHONWARNINGS="ignore::DeprecationWarning", PITVIPER_METRICS_INTERVAL="20")
    assert done.returncode == 0, done.stderr
    assert len({p.resource["process.pid"] for p in sink.points if p.name == "forked"}) == 15


def test_measurements_in_fork_hooks_count(run, sink):
    source = """
import os
counter = logger = None
def inside():
    if counter is not None:
        counter.add(1)
        logger.warning("in a fork")
        tracer.start_span("in a fork").end()
os.register_at_fork(before=inside, after_in_parent=inside, after_in_child=inside)
import pitviper, logging
from opentelemetry import metrics
tracer = pitviper.tracer
logger = logging.getLogger("shop")
logger.propagate = False
logger.addHandler(logging.NullHandler())
counter = metrics.get_meter("shop").create_counter("orders")
counter.add(1)
pid = os.fork()
if pid == 0:
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
print("done", pitviper._native.stats()["dropped_forking"])
"""
    program = "import sys; sys.argv = ['x']; " + "exec(" + repr(source) + ")"
    done = run(program, PITVIPER_ENABLED="true", PYTHONWARNINGS="ignore::DeprecationWarning")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert done.stdout == "done 0\n"
    assert [span.name for span in sink.spans] == ["in a fork"] * 3


def test_the_end_of_the_process_sends_what_was_measured(run, sink):
    source = """
from opentelemetry import metrics
metrics.get_meter("shop", "3").create_counter("last").add(7)
metrics.get_meter("shop", "3").create_observable_gauge("seen", [lambda _: [metrics.Observation(1)]])
"""
    assert run(source).returncode == 0
    (point,) = [point for point in sink.points if point.name == "last"]
    assert (point.value, point.scope, point.scope_version) == (7, "shop", "3")
    assert [point.value for point in sink.points if point.name == "seen"] == [1]


def test_an_application_keeps_the_provider_it_sets(run, sink):
    source = """
from opentelemetry import metrics
early = metrics.get_meter("early").create_counter("early")
early.add(1)
calls = []
class Own(metrics.MeterProvider):
    def get_meter(self, name, version=None, schema_url=None, attributes=None):
        calls.append(name)
        return metrics.NoOpMeter(name)
metrics.set_meter_provider(Own())
early.add(10)
metrics.get_meter("late").create_counter("late").add(1)
print(type(metrics.get_meter_provider()).__name__, calls)
"""
    done = run(source)
    assert done.stdout == "Own ['early', 'late']\n"
    assert [(point.name, point.value) for point in sink.points if point.scope == "early"] == [("early", 1)]
    assert not [point for point in sink.points if point.name == "late"]


def test_the_entry_point_gives_ours(run):
    source = "from opentelemetry import metrics\nprint(type(metrics.get_meter_provider()))"
    done = run(source, OTEL_PYTHON_METER_PROVIDER="pitviper")
    # Found by metadata of the installed wheel; of a wheel from before the entry point there is the default.
    assert "pitviper.opentelemetry.metrics" in done.stdout, done.stdout + done.stderr


def test_switched_off(run, sink):
    source = """
import threading
from opentelemetry import metrics
counter = metrics.get_meter("shop").create_counter("off")
counter.add(1)
import pitviper
pitviper.tracer.start_span("on").end()
"""
    assert run(source, OTEL_METRICS_EXPORTER="none").returncode == 0
    sink.wait_for(1)
    assert sink.points == [] and "/v1/metrics" not in sink.by_path


def test_a_receiver_of_spans_alone_is_no_trouble(run, sink):
    sink.refusals_by_path.update({"/v1/metrics": [404] * 9, "/v1/logs": [404] * 9})
    source = """
import pitviper, logging
logging.getLogger().warning("x")
with pitviper.tracer.start_as_current_span("fine"): pass
pitviper.flush()
stats = pitviper._native.stats()
print(stats["metrics_dropped_export_failed"] > 0, stats["logs_dropped_export_failed"])
"""
    done = run(source)
    assert done.stdout == "True 1\n" and done.stderr == "x\n"
    assert [span.name for span in sink.spans] == ["fine"]
