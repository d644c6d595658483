"""Samples name the span that was worked on."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sampled import Sample, Sampler, spin, threads

from pitviper import _native, tracer


@pytest.fixture
def sampler(agent: object) -> "Iterator[Sampler]":
    assert _native.profiler_start(rate_hz=500.0, budget=1.0) is None
    yield Sampler()
    _native.profiler_stop()


def spans_of(samples: "list[Sample]", function: str) -> "set[tuple[str, str]]":
    """The trace and span ids of samples that have this function."""
    return {(sample.trace_id, sample.span_id) for sample in samples if function in sample.functions}


def test_samples_name_the_span_they_are_of(sampler: Sampler) -> None:
    expected: dict[str, tuple[str, str]] = {}

    def in_span(name: str, body: "Callable[[], object]") -> None:
        with tracer.start_as_current_span(name) as span:
            expected[name] = (span.trace_id, span.span_id)
            body()

    def outer_work() -> None:
        spin(0.1)

    def inner_work() -> None:
        spin(0.1)

    def waits() -> None:
        time.sleep(0.2)

    def without() -> None:
        spin(0.1)

    def other_thread() -> None:
        in_span("other", waits)

    def nested() -> None:
        outer_work()
        in_span("inner", inner_work)

    assert _native.profiler_figures()["linked"] is True
    with threads(("other", other_thread)):
        in_span("outer", nested)
        without()
    samples = sampler.take(last=True)
    assert spans_of(samples, "outer_work") == {expected["outer"]}
    assert spans_of(samples, "inner_work") == {expected["inner"]}
    assert spans_of(samples, "waits") == {expected["other"]}
    assert spans_of(samples, "without") == {("", "")}
    assert expected["inner"][0] == expected["outer"][0] != expected["other"][0]


def test_samples_of_tasks_are_of_their_own_spans(sampler: Sampler) -> None:
    """Also among many context variables, whose tree then has nodes of every kind."""
    variables = [contextvars.ContextVar[int](f"variable {number}") for number in range(600)]
    expected: dict[int, tuple[str, str]] = {}

    def work0() -> None:
        spin(0.01)

    def work1() -> None:
        spin(0.01)

    def work2() -> None:
        spin(0.01)

    works = [work0, work1, work2]

    async def task(number: int) -> None:
        for variable in variables[: number * 300]:
            variable.set(number)
        with tracer.start_as_current_span(f"task {number}") as span:
            expected[number] = (span.trace_id, span.span_id)
            for _ in range(10):
                works[number]()
                await asyncio.sleep(0)

    async def all_tasks() -> None:
        await asyncio.gather(*(task(number) for number in range(3)))

    asyncio.run(all_tasks())
    samples = sampler.take(last=True)
    for number in range(3):
        assert spans_of(samples, f"work{number}") == {expected[number]}


def test_a_span_that_ended_has_no_samples(sampler: Sampler) -> None:
    def work() -> None:
        spin(0.1)

    span = tracer.start_span("request")
    token = _native.activate(span)
    span.end()
    work()
    _native.deactivate(token)
    assert spans_of(sampler.take(last=True), "work") == {("", "")}


def roots_of(samples: "list[Sample]", function: str) -> "set[tuple[str, str]]":
    """The local roots of samples that have this function, and what their requests are called."""
    return {(sample.root_id, sample.endpoint) for sample in samples if function in sample.functions}


def test_samples_name_the_request_they_are_of(sampler: Sampler) -> None:
    """Also when its name is known last of all, or it has not ended; a trace of another process has a root here."""

    def early() -> None:
        spin(0.05)

    def late() -> None:
        spin(0.05)

    def unfinished() -> None:
        spin(0.05)

    def again() -> None:
        spin(0.05)

    parent = _native.extract({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    with tracer.start_as_current_span("GET", kind=2, parent=parent) as root:
        early()
        with tracer.start_as_current_span("step"), tracer.start_as_current_span("inner"):
            late()
        root.update_name("GET /posts/{id}")
    with tracer.start_as_current_span("job") as job:
        unfinished()
        samples = list(sampler.take())
        job.update_name("job again")
        with tracer.start_as_current_span("step"):
            again()
        sampler.samples.clear()
        sampler.take(last=True)
    of_request = {(root.span_id, "GET /posts/{id}")}
    assert roots_of(samples, "early") == roots_of(samples, "late") == of_request
    assert roots_of(samples, "unfinished") == {(job.span_id, "job")}
    assert roots_of(sampler.samples, "again") == {(job.span_id, "job again")}
    assert {sample.trace_id for sample in samples if "late" in sample.functions} == {"a" * 32}
    assert _native.profiler_figures()["unnamed_requests"] == 0


def by_oneagent(work: "Callable[[], None]") -> str:
    import oneagent

    assert not oneagent.initialize().error
    try:
        sdk = oneagent.get_sdk()
        with sdk.create_web_application_info("shop", "Shop", "/") as application:
            request = sdk.trace_incoming_web_request(application, "http://shop/cart", "POST")
            with request, sdk.trace_custom_service("check", "Fraud"):
                work()
    finally:
        oneagent.shutdown()
    return "POST"


def by_ddtrace(work: "Callable[[], None]") -> str:
    from pitviper.compat.ddtrace.trace import tracer as ddtracer

    with ddtracer.trace("web.request", resource="GET /cart", span_type="web"), ddtracer.trace("step"):
        work()
    return "GET /cart"


def by_opentelemetry(work: "Callable[[], None]") -> str:
    from opentelemetry import trace

    from pitviper.opentelemetry import TracerProvider

    otel = TracerProvider(shutdown_on_exit=False).get_tracer("shop")
    with otel.start_as_current_span("GET /cart", kind=trace.SpanKind.SERVER):
        inner = otel.start_span("step")
        with trace.use_span(inner, end_on_exit=True):
            work()
    return "GET /cart"


@pytest.mark.parametrize("api", [by_oneagent, by_ddtrace, by_opentelemetry])
def test_spans_of_other_apis_are_linked_alike(
    sampler: Sampler, agent: "Callable[[], list[Any]]", api: "Callable[[Callable[[], None]], str]"
) -> None:
    def work() -> None:
        spin(0.1)

    name = api(work)
    (sampled,) = {
        (sample.trace_id, sample.span_id, sample.root_id, sample.endpoint)
        for sample in sampler.take(last=True)
        if "work" in sample.functions
    }
    root, inner = sorted(agent(), key=lambda span: str(span.parent))
    assert (root.name, inner.parent) == (name, root.span_id)
    assert sampled == (root.trace_id, inner.span_id, root.span_id, name)
