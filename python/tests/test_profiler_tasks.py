"""Samples name the task of asyncio they are of, and tasks that wait are sampled where they do."""

import asyncio
import collections
import contextlib
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from sampled import LIMIT_S, Sampler, spin, threads

from pitviper import _native, _tasks, tracer

#: How a program of asyncio is run: by the standard library's loop, and by uvloop's.
RUNS = [asyncio.run, uvloop.run]

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture
def sampler(agent: object) -> "Iterator[Sampler]":
    assert _native.profiler_start(rate_hz=500.0, budget=1.0) is None
    assert _tasks.watch() is None
    assert _native.profiler_figures()["tasks"] is True
    yield Sampler()
    _native.profiler_stop()


def named(coroutine: "Coroutine[Any, Any, None]", name: str) -> "asyncio.Task[None]":
    return asyncio.get_running_loop().create_task(coroutine, name=name)


@pytest.mark.parametrize("run", RUNS)
def test_samples_are_of_the_task_that_runs(sampler: Sampler, run: Run) -> None:
    """With what awaited it, down to the loop; work that no task does is of none."""

    def step() -> None:
        spin(0.005)

    def without() -> None:
        spin(0.1)

    async def inner() -> None:
        step()
        await asyncio.sleep(0)

    async def outer() -> None:
        for _ in range(10):
            await inner()

    async def main() -> None:
        await asyncio.gather(*(named(outer(), name) for name in ("import", "export é")))
        asyncio.get_running_loop().call_soon(without)
        await asyncio.sleep(0)

    run(main())
    without()
    samples = sampler.take(last=True)
    found = [sample for sample in samples if "step" in sample.functions]
    assert {sample.task for sample in found} == {"import", "export é"}
    for sample in found:
        chain = sample.functions[sample.functions.index("step") :]
        assert chain[:3] == ("step", "inner", "outer") and len(chain) > 5
    assert {sample.task for sample in samples if "without" in sample.functions} == {""}


@pytest.mark.parametrize("run", RUNS)
def test_tasks_that_wait_are_seen_where_they_do(sampler: Sampler, run: Run) -> None:
    """With all that awaits what they wait for, their own span, and a reason."""
    spans: dict[str, str] = {}

    async def waits_for(what: "Awaitable[object]") -> None:
        await what

    async def numbers() -> "AsyncIterator[int]":
        await asyncio.sleep(60)
        yield 1

    class Later:
        """Waits by way of what `__await__` of a coroutine gives."""

        def __await__(self) -> "Iterator[Any]":
            return asyncio.sleep(60).__await__()

    async def consumes() -> None:
        async for _ in numbers():
            pass

    async def in_span(name: str, body: "Awaitable[object]") -> None:
        with tracer.start_as_current_span(name) as span:
            spans[name] = span.span_id
            await waits_for(body)

    def done() -> bool:
        seen: collections.Counter[str] = collections.Counter()
        for sample in sampler.take():
            if sample.thread.endswith(" (waiting tasks)"):
                seen[sample.task] += sample.wall_ns
        return all(seen[name] > 300_000_000 for name in expected)

    expected = {
        "sleeper": ("sleep", ("sleep", "waits_for", "in_span")),
        "locked": ("lock", ("acquire", "waits_for", "in_span")),
        "consumer": ("idle", ("get", "waits_for", "in_span")),
        "generator": ("sleep", ("sleep", "numbers", "consumes", "waits_for", "in_span")),
        "later": ("sleep", ("sleep", "waits_for", "in_span")),
        "future": ("other", ("waits_for", "in_span")),
    }

    async def main() -> None:
        lock = asyncio.Lock()
        await lock.acquire()
        bodies: dict[str, Awaitable[object]] = {
            "sleeper": asyncio.sleep(60),
            "locked": lock.acquire(),
            "consumer": asyncio.Queue[int]().get(),
            "generator": consumes(),
            "later": Later(),
            "future": asyncio.get_running_loop().create_future(),
        }
        tasks = [named(in_span(name, body), name) for name, body in bodies.items()]
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < deadline, sampler.samples[-20:]
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    began = time.monotonic()
    run(main())
    took_ns = (time.monotonic() - began) * 1e9
    waits = [sample for sample in sampler.samples if sample.thread.endswith(" (waiting tasks)")]
    for name, (state, functions) in expected.items():
        of_task = [sample for sample in waits if sample.task == name]
        assert {(sample.state, sample.functions, sample.span_id) for sample in of_task} == {
            (state, functions, spans[name])
        }
        assert {sample.endpoint for sample in of_task} == {name} and {sample.cpu_ns for sample in of_task} == {0}
        assert sum(sample.wall_ns for sample in of_task) < 1.1 * took_ns
    assert _native.profiler_figures()["waiting_tasks"]


def test_loops_of_several_threads_have_their_own_tasks(sampler: Sampler) -> None:
    def work(name: str) -> None:
        spin(0.001)

    async def steps(name: str) -> None:
        for _ in range(50):
            work(name)
            await asyncio.sleep(0)

    async def main(thread: str) -> None:
        waiter = named(asyncio.sleep(60), f"waiter of {thread}")
        await asyncio.gather(*(named(steps(thread), f"{thread} {number}") for number in range(3)))
        _native.profiler_name_threads()
        waiter.cancel()

    names = ("one", "two")
    with threads(*((name, lambda name=name: asyncio.run(main(name))) for name in names)):
        pass
    samples = [sample for sample in sampler.take(last=True) if sample.task]
    found = {(sample.thread, sample.task) for sample in samples if "work" in sample.functions}
    assert found == {(name, f"{name} {number}") for name in names for number in range(3)}
    waiting = {(sample.thread, sample.task) for sample in samples if sample.task.startswith("waiter")}
    assert waiting <= {(f"{name} (waiting tasks)", f"waiter of {name}") for name in names} and waiting


def test_no_stack_is_of_another_task(sampler: Sampler) -> None:
    """Whatever switches, ends and begins: a chain has its own task's functions and no others."""
    kinds = 4
    wanted = 3_000
    over = threading.Event()
    namespace: dict[str, Any] = {"asyncio": asyncio, "random": random}
    source = """
async def leaf{0}(depth):
    if depth:
        await leaf{0}(depth - 1)
    else:
        await asyncio.sleep(random.choice((0, 0, 0.001)))
async def root{0}(over):
    for _ in range(random.randrange(1, 20)):
        await leaf{0}(random.randrange(6))
"""
    for kind in range(kinds):
        exec(source.format(kind), namespace)

    async def keeps(kind: int) -> None:
        while not over.is_set():
            await named(namespace[f"root{kind}"](over), f"kind {kind}")

    async def main() -> None:
        await asyncio.gather(*(keeps(kind % kinds) for kind in range(kinds * 8)))

    assert _native.profiler_start(rate_hz=1_000.0, budget=1.0) is None
    with threads(("loop", lambda: asyncio.run(main()))):
        deadline = time.monotonic() + LIMIT_S
        with contextlib.suppress(AssertionError):
            while _native.profiler_figures()["waiting_tasks"] < wanted:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        over.set()
    found = 0
    for sample in sampler.take(last=True):
        own = [name for name in sample.functions if name.startswith(("leaf", "root"))]
        if sample.task.startswith("kind "):
            kind = sample.task[-1]
            assert own[-1] == f"root{kind}" and set(own[:-1]) <= {f"leaf{kind}"}, sample
            found += 1
    assert found > 50
    assert _native.profiler_figures()["waiting_tasks"] >= wanted, _native.profiler_figures()
