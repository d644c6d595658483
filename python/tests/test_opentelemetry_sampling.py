"""OpenTelemetry's API on our provider: samplers, generators of ids, span processors."""

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from remote import REMOTE

import pitviper
from pitviper import _native, tracer
from pitviper.opentelemetry import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_ON,
    Decision,
    IdGenerator,
    ParentBased,
    Sampler,
    SamplingResult,
    SpanProcessor,
    TraceIdRatioBased,
    TracerProvider,
)

# Sampling


@pytest.mark.parametrize(
    ("name", "argument", "root", "below_sampled", "below_unsampled"),
    [
        ("always_on", "", 1, 1, 1),
        ("always_off", "", 0, 0, 0),
        ("traceidratio", "0", 0, 0, 0),
        ("traceidratio", "1", 1, 1, 1),
        ("parentbased_always_on", "", 1, 1, 0),
        ("parentbased_always_off", "", 0, 1, 0),
        ("parentbased_traceidratio", "0", 0, 1, 0),
        ("parentbased_traceidratio", "", 1, 1, 0),
    ],
)
def test_samplers_by_name_and_by_class_agree(sink, monkeypatch, name, argument, root, below_sampled, below_unsampled):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", name)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20)
    by_name = TracerProvider(shutdown_on_exit=False)
    monkeypatch.undo()
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20)
    by_class = TracerProvider(shutdown_on_exit=False, sampler=by_name.sampler)

    class Asked(Sampler):
        """The same rule, asked in Python."""

        def should_sample(self, *arguments):
            return by_name.sampler.should_sample(*arguments)

    unsampled = trace.SpanContext(REMOTE.trace_id, REMOTE.span_id, True, trace.TraceFlags(0))
    for provider in (by_class, TracerProvider(shutdown_on_exit=False, sampler=Asked())):
        shop = provider.get_tracer("shop")
        for parent, expected in ((None, root), (REMOTE, below_sampled), (unsampled, below_unsampled)):
            within = (
                context.Context()
                if parent is None
                else trace.set_span_in_context(trace.NonRecordingSpan(parent), context.Context())
            )
            span = shop.start_span("s", context=within)
            assert span.get_span_context().trace_flags.sampled == span.is_recording() == bool(expected)
            span.end()
    assert pitviper.flush(10)


def test_a_ratio_keeps_its_share_and_agrees_with_itself():
    sampler = TraceIdRatioBased(0.25)
    kept = [sampler.should_sample(None, trace_id << 62, "s").decision.is_sampled() for trace_id in range(4)]
    assert kept == [True, False, False, False]
    assert DEFAULT_ON.get_description().startswith(
        "ParentBased{root:AlwaysOnSampler,remoteParentSampled:AlwaysOnSampler"
    )
    with pytest.raises(ValueError):
        TraceIdRatioBased(2)


def test_a_sampler_of_the_applications(made, agent):
    asked = []

    class Choosy(Sampler):
        def should_sample(
            self, parent_context, trace_id, name, kind=None, attributes=None, links=None, trace_state=None
        ):
            asked.append((trace.get_current_span(parent_context).get_span_context(), name, kind, attributes, links))
            if name == "fails":
                raise RuntimeError("no")
            decision = {"drop": Decision.DROP, "look": Decision.RECORD_ONLY}.get(name, Decision.RECORD_AND_SAMPLE)
            return SamplingResult(decision, {**(attributes or {}), "chosen": True}, trace.TraceState([("s", "1")]))

        def get_description(self):
            return "Choosy"

    provider, memory = made(sampler=Choosy())
    shop = provider.get_tracer("shop")
    parent = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    link = trace.Link(REMOTE)
    for name in ("drop", "look", "keep", "fails"):
        shop.start_span(name, context=parent, kind=trace.SpanKind.CLIENT, attributes={"a": 1}, links=[link]).end()
    assert asked[0] == (REMOTE, "drop", trace.SpanKind.CLIENT, {"a": 1}, [link])
    assert sorted(span.name for span in agent()) == ["fails", "keep"]
    assert [span.name for span in memory.get_finished_spans()] == ["keep", "fails"]
    keep = memory.get_finished_spans()[0]
    assert dict(keep.attributes) == {"a": 1, "chosen": True} and keep.context.trace_state.to_header() == "s=1"


def test_what_is_only_recorded_reaches_processors_alone(made, agent):
    class Recorder(SpanProcessor):
        def __init__(self):
            self.names = []

        def on_end(self, span):
            self.names.append(span.name)

    class Look(Sampler):
        def should_sample(self, *arguments):
            return SamplingResult(Decision.RECORD_ONLY)

    provider, _ = made(sampler=Look())
    recorder = Recorder()
    provider.add_span_processor(recorder)
    span = provider.get_tracer("shop").start_span("seen")
    assert span.is_recording() and not span.get_span_context().trace_flags.sampled
    span.end()
    assert recorder.names == ["seen"] and agent() == []


def test_delegates_of_a_parent_based_sampler(made):
    provider, _ = made(sampler=ParentBased(ALWAYS_ON, remote_parent_sampled=ALWAYS_OFF))
    shop = provider.get_tracer("shop")
    assert not shop.start_span("s", context=trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))).is_recording()
    assert shop.start_span("s").is_recording()


def test_an_unsampled_span_hands_its_context_on(made):
    provider, memory = made(sampler=ALWAYS_OFF)
    carrier = {}
    with provider.get_tracer("shop").start_as_current_span("s") as span:
        TraceContextTextMapPropagator().inject(carrier)
        headers = {}
        _native.inject_into(headers)
        assert headers == carrier
        with tracer.start_as_current_span("of an integration") as own:
            assert not own.is_recording() and own.get_span_context().trace_id == span.get_span_context().trace_id
    assert carrier["traceparent"].endswith("-02") and memory.get_finished_spans() == ()


# Ids


def test_an_id_generator_of_the_applications(made, agent):
    class Counting(IdGenerator):
        def __init__(self):
            self.last = 0

        def generate_span_id(self):
            self.last += 1
            return self.last

        def generate_trace_id(self):
            return 0xABC

    provider, _ = made(id_generator=Counting())
    with provider.get_tracer("shop").start_as_current_span("s") as span:
        assert span.get_span_context().trace_id == 0xABC and span.get_span_context().span_id == 1
        assert not span.get_span_context().trace_flags & 2
    assert agent()[0].trace_id == f"{0xABC:032x}"


def test_a_parents_random_flag_is_kept(otel):
    shop, _ = otel
    for flags in (1, 3):
        parent = trace.SpanContext(1, 2, True, trace.TraceFlags(flags))
        span = shop.start_span("s", context=trace.set_span_in_context(trace.NonRecordingSpan(parent)))
        assert span.get_span_context().trace_flags == flags
        span.end()


# Processors


def test_processors_hear_of_spans_in_order(made):
    heard = []

    class Listener(SpanProcessor):
        def __init__(self, name):
            self.name = name

        def on_start(self, span, parent_context=None):
            span.set_attribute(f"from.{self.name}", True)
            heard.append((self.name, "start", dict(span.attributes), baggage.get_all(parent_context)))

        def _on_ending(self, span):
            span.set_attribute("ending", self.name)

        def on_end(self, span):
            heard.append((self.name, "end", span.attributes["ending"], span.is_recording()))

        def shutdown(self):
            heard.append((self.name, "shutdown"))

        def force_flush(self, timeout_millis=30_000):
            heard.append((self.name, "flush"))
            return self.name != "b"

    provider, _ = made()
    for name in "ab":
        provider.add_span_processor(Listener(name))
    provider.get_tracer("shop").start_span("s", context=baggage.set_baggage("k", "v"), attributes={"x": 1}).end()
    assert not provider.force_flush()
    provider.shutdown()
    assert heard == [
        ("a", "start", {"x": 1, "from.a": True}, {"k": "v"}),
        ("b", "start", {"x": 1, "from.a": True, "from.b": True}, {"k": "v"}),
        ("a", "end", "b", False),
        ("b", "end", "b", False),
        ("a", "flush"),
        ("b", "flush"),
        ("a", "shutdown"),
        ("b", "shutdown"),
    ]


def test_a_processor_that_fails_is_not_the_applications_problem(made, capfd):
    class Broken(SpanProcessor):
        def on_start(self, span, parent_context=None):
            raise RuntimeError("start")

        on_end = on_start

    provider, memory = made()
    provider.add_span_processor(Broken())
    for _ in range(3):
        provider.get_tracer("shop").start_span("s").end()
    assert len(memory.get_finished_spans()) == 3
    assert capfd.readouterr().err.count("Broken fails: RuntimeError") == 1
