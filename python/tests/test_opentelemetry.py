"""OpenTelemetry's API on our provider: its conformance points, one by one; and the current context."""

import asyncio
import contextvars
import json
import logging
import threading
import time

import pytest
from opentelemetry import baggage, context, trace
from remote import REMOTE
from sink import tree

import pitviper
from pitviper import _native, tracer
from pitviper.opentelemetry import Resource, SpanLimits, TracerProvider

# Tracer provider


def test_a_tracer_is_the_same_for_the_same_scope(made):
    provider, _ = made()
    first = provider.get_tracer("shop", "1", "https://schema", {"a": 1})
    assert first is provider.get_tracer("shop", "1", "https://schema", {"a": 1})
    assert first is not provider.get_tracer("shop", "1", "https://schema", {"a": 2})
    assert first is not provider.get_tracer("shop", "2")
    assert isinstance(first, trace.Tracer) and isinstance(provider, trace.TracerProvider)


def test_the_scope_is_read_and_sent(agent, made):
    provider, memory = made()
    provider.get_tracer("shop", "1.2", "https://schema", {"a": 1}).start_span("s").end()
    scope = memory.get_finished_spans()[0].instrumentation_scope
    assert (scope.name, scope.version, scope.schema_url, dict(scope.attributes)) == (
        "shop",
        "1.2",
        "https://schema",
        {"a": 1},
    )
    assert [span.scope for span in agent()] == ["shop"]


@pytest.mark.parametrize("name", ["", None])
def test_a_tracer_without_a_name_works_and_is_complained_of_once(made, capfd, name):
    provider, memory = made()
    for _ in range(2):
        provider.get_tracer(name).start_span("nameless").end()
    assert len(memory.get_finished_spans()) == 2
    assert capfd.readouterr().err.count("without a name") <= 1


def test_a_disabled_sdk_gives_tracers_that_do_nothing(monkeypatch, agent):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    span = TracerProvider(shutdown_on_exit=False).get_tracer("x").start_span("nothing")
    assert not span.is_recording() and not span.get_span_context().is_valid
    assert agent() == []


def test_a_shut_down_provider_sends_nothing_more(agent, made):
    provider, memory = made()
    shop = provider.get_tracer("shop")
    shop.start_span("before").end()
    assert provider.force_flush(5_000)
    provider.shutdown()
    shop.start_span("after").end()
    tracer.start_span("of an integration").end()
    assert sorted(span.name for span in agent()) == ["before", "of an integration"]
    assert [span.name for span in memory.get_finished_spans()] == ["before"]


def test_the_resource_is_the_providers(agent, made):
    provider, memory = made(resource=Resource({"service.name": "given", "team": "a"}))
    provider.get_tracer("shop").start_span("s").end()
    plain, _ = made()
    plain.get_tracer("shop").start_span("t").end()
    assert memory.get_finished_spans()[0].resource.attributes["team"] == "a"
    given, own = sorted(agent(), key=lambda span: span.name)
    assert (given.resource["service.name"], given.resource["team"]) == ("given", "a")
    assert given.resource["service.instance.id"] == own.resource["service.instance.id"]
    assert own.resource["service.name"] == "test" == plain.resource.attributes["service.name"]
    merged = plain.resource.merge(Resource({"service.name": "other"}))
    assert merged.attributes["service.name"] == "other" and merged != plain.resource


# Tracer


def test_spans_nest_and_say_what_they_are(otel, agent):
    shop, memory = otel
    with shop.start_as_current_span("outer", kind=trace.SpanKind.SERVER, attributes={"a": 1}) as outer:
        assert trace.get_current_span() is outer and isinstance(outer, trace.Span)
        with shop.start_as_current_span(
            "inner", kind=trace.SpanKind.CLIENT, links=[trace.Link(REMOTE, {"l": 1})]
        ) as inner:
            inner.add_link(outer.get_span_context())
    assert trace.get_current_span() is trace.INVALID_SPAN
    inner, outer = memory.get_finished_spans()
    assert (inner.name, inner.kind, outer.kind) == ("inner", trace.SpanKind.CLIENT, trace.SpanKind.SERVER)
    assert inner.parent == outer.context == outer.get_span_context() and outer.parent is None
    assert outer.context.trace_flags == 3 and not outer.context.is_remote and outer.context.trace_flags.sampled
    (remote, attributes), (local, _) = [(link.context, dict(link.attributes)) for link in inner.links]
    assert (remote, attributes) == (REMOTE, {"l": 1}) and local == outer.context
    assert outer.attributes == {"a": 1} and outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time
    assert tree(agent()) == [["server outer", ["client inner"]]]


def test_the_context_argument_is_the_parent(otel):
    shop, memory = otel
    remote = trace.set_span_in_context(trace.NonRecordingSpan(REMOTE))
    with shop.start_as_current_span("current"):
        shop.start_span("below remote", context=remote).end()
        shop.start_span("root", context=context.Context()).end()
        shop.start_span("invalid parent", context=trace.set_span_in_context(trace.INVALID_SPAN)).end()
    below, root, invalid, _ = memory.get_finished_spans()
    assert below.parent == REMOTE and below.context.trace_id == REMOTE.trace_id
    assert below.context.trace_state == REMOTE.trace_state
    assert root.parent is invalid.parent is None


def test_start_and_end_may_be_given(otel, agent):
    shop, memory = otel
    shop.start_span("timed", start_time=1_000).end(5_000)
    (span,) = memory.get_finished_spans()
    assert (span.start_time, span.end_time) == (1_000, 5_000)
    assert agent()[0].start_ns == 1_000


def test_a_decorated_function_makes_a_span_a_call(otel):
    shop, memory = otel

    @shop.start_as_current_span("plain")
    def plain(x):
        """Doubles."""
        return x * 2, trace.get_current_span().name

    @shop.start_as_current_span("coroutine")
    async def coroutine():
        await asyncio.sleep(0)
        return trace.get_current_span().name

    assert plain(2) == (4, "plain") == plain(2) and plain.__doc__ == "Doubles."
    assert asyncio.run(coroutine()) == "coroutine"
    assert [span.name for span in memory.get_finished_spans()] == ["plain", "plain", "coroutine"]
    assert len({span.context.trace_id for span in memory.get_finished_spans()}) == 3


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("status", [True, False])
def test_an_exception_that_leaves_a_block(otel, record, status):
    shop, memory = otel
    flags = {"record_exception": record, "set_status_on_exception": status}
    with pytest.raises(ValueError, match="no"), shop.start_as_current_span("current", **flags):
        raise ValueError("no")
    with pytest.raises(ValueError, match="no"), shop.start_span("plain", **flags) as plain:
        assert trace.get_current_span() is not plain
        raise ValueError("no")
    for span, escaped in zip(memory.get_finished_spans(), ("False", "True")):
        shown = [(event.name, {**event.attributes, "exception.stacktrace": ""}) for event in span.events]
        expected = {
            "exception.type": "ValueError",
            "exception.message": "no",
            "exception.stacktrace": "",
            "exception.escaped": escaped,
        }
        assert shown == ([("exception", expected)] if record else [])
        assert span.status.is_ok is not status
        assert span.status.description == ("ValueError: no" if status else None)


def test_a_block_may_leave_its_span_open(otel):
    shop, memory = otel
    with shop.start_as_current_span("open", end_on_exit=False) as span:
        pass
    assert span.is_recording() and memory.get_finished_spans() == ()
    with trace.use_span(span, end_on_exit=True):
        assert trace.get_current_span() is span
    assert not span.is_recording() and memory.get_finished_spans() == (span,)


def test_leaving_without_error_is_no_failure(otel):
    shop, memory = otel

    def steps():
        with shop.start_as_current_span("generator"):
            yield

    generator = steps()
    next(generator)
    generator.close()
    (span,) = memory.get_finished_spans()
    assert span.events == () and span.status.is_unset


# Span


def test_only_the_first_end_counts(otel):
    shop, memory = otel
    span = shop.start_span("once")
    span.end(10**18)
    span.end(2 * 10**18)
    assert span.end_time == 10**18 and len(memory.get_finished_spans()) == 1


def test_an_ended_span_takes_no_more(otel):
    shop, _ = otel
    span = shop.start_span("ended", attributes={"a": 1})
    span.end()
    span.set_attribute("late", 1)
    span.add_event("late")
    span.add_link(REMOTE)
    span.set_status(trace.StatusCode.ERROR)
    span.update_name("late")
    assert not span.is_recording()
    assert (span.name, span.attributes, span.events, span.links) == ("ended", {"a": 1}, (), ())
    assert span.status.is_unset


def test_status_rules(otel):
    shop, _ = otel
    span = shop.start_span("s")
    span.set_status(trace.StatusCode.UNSET)
    assert span.status.is_unset
    span.set_status(trace.Status(trace.StatusCode.ERROR, "own"), "ignored")
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "own")
    span.set_status(trace.StatusCode.ERROR, "other")
    assert span.status.description == "other"
    span.set_status(trace.StatusCode.OK, "not kept")
    span.set_status(trace.StatusCode.ERROR, "too late")
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.OK, None)


def test_attributes_are_cleaned(otel, agent):
    shop, _ = otel
    before = _native.stats()["invalid_attributes"]
    span = shop.start_span("s", attributes={"none": None, "": 1, 5: 6, "object": object()})
    span.set_attributes(
        {"list": [1, 2], "nested": [[1], {"k": "v"}], "map": {"k": [1]}, "bytes": b"\xff", "big": 2**80, "text": "x"}
    )
    span.set_attribute("text", "y")
    assert dict(span.attributes) == {
        "list": (1, 2),
        "nested": ((1,), {"k": "v"}),
        "map": {"k": (1,)},
        "bytes": b"\xff",
        "big": str(2**80),
        "text": "y",
    }
    with pytest.raises(TypeError):
        span.attributes["x"] = 1
    span.end()
    assert _native.stats()["invalid_attributes"] - before == 3


def test_record_exception(otel):
    shop, _ = otel
    span = shop.start_span("s")
    span.record_exception(
        json.JSONDecodeError("bad", "", 0), attributes={"exception.message": "mine", "more": 1}, timestamp=7
    )
    (event,) = span.events
    assert event.timestamp == 7 and event.attributes["exception.type"] == "json.decoder.JSONDecodeError"
    assert (event.attributes["exception.message"], event.attributes["more"]) == ("mine", 1)
    assert span.status.is_unset


def test_invalid_links_are_not_kept(otel):
    shop, _ = otel
    span = shop.start_span("s", links=[trace.Link(trace.INVALID_SPAN_CONTEXT), None])
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    assert span.links == ()
    span.add_link(trace.INVALID_SPAN_CONTEXT, {"why": "it has attributes"})
    assert len(span.links) == 1


def test_to_json_reads_like_the_sdks(otel):
    shop, memory = otel
    with shop.start_as_current_span("s", attributes={"a": (1, 2)}) as span:
        span.add_event("e", {"x": 1}, 1_700_000_000_123_456_000)
        span.set_status(trace.StatusCode.ERROR, "why")
    shown = json.loads(memory.get_finished_spans()[0].to_json())
    assert list(shown) == [
        "name",
        "context",
        "kind",
        "parent_id",
        "start_time",
        "end_time",
        "status",
        "attributes",
        "events",
        "links",
        "resource",
    ]
    assert shown["events"] == [{"name": "e", "timestamp": "2023-11-14T22:13:20.123456Z", "attributes": {"x": 1}}]
    assert shown["status"] == {"status_code": "ERROR", "description": "why"}
    assert shown["kind"] == "SpanKind.INTERNAL" and shown["context"]["span_id"].startswith("0x")
    assert "\n" not in span.to_json(indent=None)


# Limits


def test_limits_are_the_providers(made, agent):
    provider, _ = made(
        span_limits=SpanLimits(
            max_span_attributes=2,
            max_event_attributes=1,
            max_link_attributes=1,
            max_events=1,
            max_links=1,
            max_attribute_length=3,
        )
    )
    span = provider.get_tracer("shop").start_span("s", attributes={"a": "äöüß", "b": ["12345"], "c": 1})
    for number in range(2):
        span.add_event(f"e{number}", {"x": "12345", "y": 1})
        span.add_link(REMOTE, {"x": "12345", "y": 1})
    span.end()
    assert dict(span.attributes) == {"a": "äöü", "b": ("123",)}
    assert [(event.name, dict(event.attributes), event.dropped_attributes) for event in span.events] == [
        ("e0", {"x": "123"}, 1)
    ]
    assert [dict(link.attributes) for link in span.links] == [{"x": "123"}]
    assert (span.dropped_attributes, span.dropped_events, span.dropped_links) == (1, 1, 1)
    (sent,) = agent()
    assert sent.attributes == {"a": "äöü", "b": ["123"]}


def test_limits_from_variables(monkeypatch):
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "5")
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "6")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "7")
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "unset")
    limits = SpanLimits(max_links=8)
    assert (limits.max_span_attributes, limits.max_event_attributes, limits.max_link_attributes) == (6, 5, 5)
    assert (limits.max_attribute_length, limits.max_span_attribute_length) == (7, 7)
    assert (limits.max_events, limits.max_links) == (None, 8)
    assert SpanLimits(max_span_attributes=SpanLimits.UNSET).max_span_attributes is None
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "many")
    with pytest.raises(ValueError, match="OTEL_SPAN_LINK_COUNT_LIMIT"):
        SpanLimits()


@pytest.mark.parametrize(
    ("variable", "shown"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", [1, 2, 2, 2, 2, 5, 5]),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", [2, 2, 1, 2, 2, 5, 5]),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", [2, 2, 2, 2, 1, 5, 5]),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", [1, 2, 1, 2, 1, 5, 5]),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", [2, 1, 2, 2, 2, 5, 5]),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", [2, 2, 2, 1, 2, 5, 5]),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", [2, 2, 2, 2, 2, 1, 5]),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", [2, 2, 2, 2, 2, 1, 1]),
    ],
)
def test_every_limit_holds_for_integrations_too(sink, monkeypatch, variable, shown):
    monkeypatch.setenv(variable, "1")
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20)
    two = {"a": "12345", "b": "12345"}
    span = tracer.start_span("s", attributes=two, links=[(REMOTE, two), (REMOTE, two)])
    for _ in range(2):
        span.add_event("e", two)
    span.end()
    monkeypatch.delenv(variable)
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20)
    assert pitviper.flush(10)
    event, link = span.events[0], span.links[0]
    assert [
        len(span.attributes), len(span.events), len(event.attributes), len(span.links), len(link.attributes),
        len(span.attributes["a"]), len(event.attributes["a"]),
    ] == shown  # fmt: skip


# Context


def test_attach_and_detach_nest_with_our_own_spans(otel):
    shop, _ = otel
    with tracer.start_as_current_span("own") as own:
        token = context.attach(baggage.set_baggage("user", "ada"))
        with shop.start_as_current_span("api"), tracer.start_as_current_span("leaf") as leaf:
            assert baggage.get_baggage("user") == "ada" and trace.get_current_span() is leaf
            inner = context.attach(context.Context())
            assert trace.get_current_span() is trace.INVALID_SPAN and baggage.get_baggage("user") is None
            assert _native.current_span() is None
            context.detach(inner)
            assert _native.current_span() is leaf
        context.detach(token)
        assert trace.get_current_span() is own and baggage.get_baggage("user") is None


def test_contexts_are_immutable_and_coherent(agent):
    before = context.get_current()
    with tracer.start_as_current_span("own") as own:
        current = context.get_current()
        assert isinstance(current, context.Context) and trace.get_current_span(current) is own
        assert trace.get_current_span(before) is trace.INVALID_SPAN
        with pytest.raises(ValueError):
            current["x"] = 1
        with trace.use_span(trace.NonRecordingSpan(REMOTE)):
            with tracer.start_as_current_span("below remote") as below:
                assert below.parent == REMOTE
            headers = {}
            _native.inject_into(headers)
            assert headers["traceparent"] == f"00-{REMOTE.trace_id:032x}-{REMOTE.span_id:016x}-01"
    assert context.get_current() == before


def test_detaching_elsewhere_is_logged_and_not_raised(caplog):
    token = contextvars.copy_context().run(context.attach, context.set_value("k", "v"))
    with caplog.at_level(logging.ERROR):
        context.detach(token)
    assert "Failed to detach context" in caplog.text


def test_threads_and_tasks_have_their_own(otel):
    shop, memory = otel

    async def task(number):
        with shop.start_as_current_span(f"task {number}"):
            await asyncio.sleep(0.001)
            token = context.attach(baggage.set_baggage("n", number))
            await asyncio.sleep(0.001)
            with tracer.start_as_current_span(f"child {number}"):
                assert baggage.get_baggage("n") == number
            context.detach(token)

    async def main():
        with shop.start_as_current_span("main"):
            await asyncio.gather(*(task(number) for number in range(5)))

    asyncio.run(main())
    spans = {span.name: span for span in memory.get_finished_spans()}
    assert all(spans[f"task {number}"].parent == spans["main"].context for number in range(5))
    found = []
    with shop.start_as_current_span("caller"):
        thread = threading.Thread(target=lambda: found.append(trace.get_current_span()))
        thread.start()
        thread.join()
    assert found == [trace.INVALID_SPAN]


def test_suppression_is_honoured_by_integrations(otel, agent):
    shop, _ = otel
    for key in (context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"):
        with shop.start_as_current_span("api") as api:
            token = context.attach(context.set_value(key, True))
            assert trace.get_current_span() is api and context.get_value(key) is True
            with _native.start_as_current_span("suppressed", 3) as suppressed:
                assert not suppressed.is_recording()
                _native.finish_leaf("suppressed leaf", 3, time.time_ns())
                shop.start_span("by hand").end()
            context.detach(token)
            _native.finish_leaf("not suppressed", 3, time.time_ns())
    names = sorted(span.name for span in agent())
    assert names == ["api", "api", "not suppressed", "not suppressed"]


# What is current does not keep what is gone


def test_nothing_is_kept_of_a_finished_trace(agent):
    import gc
    import weakref

    shop = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    with tracer.start_as_current_span("own"), shop.start_as_current_span("api") as span:
        context.get_current()
        gone = weakref.ref(span)
    del span
    gc.collect()
    assert gone() is None
