"""Samples name the span that was worked on."""

import asyncio
import contextvars
import time
from collections.abc import Callable, Iterator

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
