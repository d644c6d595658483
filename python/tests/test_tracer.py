"""``pitviper.tracer``: blocks, decorators, and what a span carries."""

import asyncio
import contextvars
import threading

import pytest
from sink import tree

from pitviper import _native, tracer


def injected():
    headers = {}
    _native.inject_into(headers)
    return headers["traceparent"]


def test_blocks_nest_and_carry_what_was_set(agent):
    with tracer.start_as_current_span("outer", attributes={"a": 1, "b": [1, "x"]}) as outer:
        outer.set_attribute("a", 2)
        outer.set_attributes({"flag": True, "ratio": 0.5, "none": None, "big": 2**70, "map": {"k": ("v",)}})
        outer.add_event("step", {"n": 1})
        with tracer.start_as_current_span("inner", kind=3):
            assert injected().split("-")[1] == outer.trace_id
    spans = agent()
    assert tree(spans) == [["internal outer", ["client inner"]]]
    span = next(span for span in spans if span.name == "outer")
    assert span.attributes == {
        "a": 2,
        "b": [1, "x"],
        "flag": True,
        "ratio": 0.5,
        "big": str(2**70),
        "map": {"k": ["v"]},
    }
    assert span.events == [("step", {"n": 1})]
    assert span.resource["service.name"] == "test"
    assert span.resource["telemetry.sdk.name"] == "pitviper"
    assert span.resource["service.instance.id"] and span.resource["process.pid"]


def test_an_exception_is_recorded_and_goes_on(agent):
    with pytest.raises(ValueError, match="no such thing"), tracer.start_as_current_span("failing"):
        raise ValueError("no such thing")
    (span,) = agent()
    assert (span.status, span.status_message) == ("error", "ValueError: no such thing")
    ((name, event),) = span.events
    assert (name, event["exception.type"], event["exception.message"]) == ("exception", "ValueError", "no such thing")
    assert "test_tracer.py" in event["exception.stacktrace"]


def test_leaving_early_is_no_failure(agent):
    def generator():
        with tracer.start_as_current_span("generator"):
            yield 1

    with pytest.raises(asyncio.CancelledError), tracer.start_as_current_span("cancelled"):
        raise asyncio.CancelledError
    steps = generator()
    next(steps)
    steps.close()
    assert {(span.name, span.status) for span in agent()} == {("cancelled", "unset"), ("generator", "unset")}


def test_misuse_raises_nothing(agent):
    class Hostile:
        def __str__(self):
            raise RuntimeError

    span = tracer.start_span("odd", attributes={"": 1, 5: 6, "hostile": Hostile(), "surrogate": "\ud800"})
    span.set_attribute(None, 1)
    span.set_attributes(7)
    span.set_status("nonsense")
    span.add_link("nothing")
    span.record_exception("no exception")
    span.end()
    span.end()
    span.set_attribute("late", 1)
    span.update_name("late")
    (arrived,) = agent()
    assert arrived.name == "odd"
    assert "late" not in arrived.attributes


def test_status_follows_opentelemetry(agent):
    for name, codes in (("ok is final", (1, 2)), ("error", (2, 0)), ("message only with error", (1,))):
        with tracer.start_as_current_span(name) as span:
            for code in codes:
                span.set_status(code, "why")
    assert {(s.name, s.status, s.status_message) for s in agent()} == {
        ("ok is final", "ok", ""),
        ("error", "error", "why"),
        ("message only with error", "ok", ""),
    }


def test_decorators(agent):
    @tracer.start_as_current_span()
    def plain(x):
        """Doubles."""
        return x * 2

    @tracer.start_as_current_span("named")
    async def coroutine():
        await asyncio.sleep(0)
        return _native.current_span().name

    @tracer.start_as_current_span("steps")
    def generator():
        received = yield _native.current_span().name
        yield received

    @tracer.start_as_current_span("async steps")
    async def async_generator():
        yield _native.current_span().name
        await asyncio.sleep(0)
        yield 2

    async def consume():
        return [item async for item in async_generator()]

    assert plain(4) == 8 and plain.__doc__ == "Doubles."
    assert asyncio.run(coroutine()) == "named"
    steps = generator()
    assert next(steps) == "steps"
    assert _native.current_span() is None
    assert steps.send("sent") == "sent"
    assert list(steps) == []
    assert asyncio.run(consume()) == ["async steps", 2]
    names = sorted(span.name for span in agent())
    assert names == ["async steps", "named", "steps", f"{__name__}.test_decorators.<locals>.plain"]


def test_tasks_and_threads_have_contexts_of_their_own(agent):
    async def worker(name):
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0.001)
            with tracer.start_as_current_span(f"{name} child"):
                await asyncio.sleep(0.001)

    async def main():
        with tracer.start_as_current_span("main"):
            await asyncio.gather(*(worker(f"task {number}") for number in range(5)))

    asyncio.run(main())
    with tracer.start_as_current_span("caller"):
        thread = threading.Thread(target=lambda: tracer.start_span("in thread").end())
        thread.start()
        thread.join()
    trees = tree(agent())
    (tasks,) = [node for node in trees if node[0] == "internal main"]
    assert sorted(node[0] for node in tasks[1:]) == [f"internal task {number}" for number in range(5)]
    assert all(len(node) == 2 and node[1][0].endswith("child") for node in tasks[1:])
    assert ["internal in thread"] in trees


def test_ended_in_another_thread(agent):
    # What is current in the context it was entered in stays so; only that context could change it.
    span = contextvars.copy_context().run(tracer.start_as_current_span("crossing").__enter__)
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    assert [s.name for s in agent()] == ["crossing"]


def test_a_given_parent_and_links(agent):
    remote = _native.extract(
        {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "tracestate": "vendor=1"}
    )
    cause = tracer.start_span("cause")
    span = tracer.start_span("served", parent=remote, links=[cause.context, (cause.get_span_context(), {"why": 1})])
    headers = {}
    with span:
        _native.inject_into(headers)
    cause.end()
    assert headers == {
        "traceparent": f"00-4bf92f3577b34da6a3ce929d0e0e4736-{span.span_id}-01",
        "tracestate": "vendor=1",
    }
    served = next(span for span in agent() if span.name == "served")
    assert (served.trace_id, served.parent) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert served.links == [cause.span_id] * 2


def test_an_unsampled_caller_is_followed(agent):
    before = _native.stats()
    parent = _native.extract({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"})
    with tracer.start_as_current_span("unsampled", parent=parent) as span, tracer.start_as_current_span("child"):
        assert not span.is_recording()
        assert injected().endswith("-00")
    assert agent() == []
    after = _native.stats()
    assert after["sampled_out"] - before["sampled_out"] == 2
