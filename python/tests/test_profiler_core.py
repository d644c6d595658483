"""The sampler: what threads do is found where it is, and what they wait for."""

import collections
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, Optional

import pytest

from pitviper import _native

#: How long anything may take on a machine that does other things as well.
LIMIT_S = 60.0


class Sample(NamedTuple):
    """A sample, as the tests ask of it."""

    functions: "tuple[str, ...]"
    thread: str
    state: str
    cpu_ns: int
    wall_ns: int
    lines: "tuple[int, ...]"


class Sampler:
    """The sampler, and all it has given so far."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def take(self, last: bool = False) -> "list[Sample]":
        for frames, labels, cpu_ns, wall_ns in _native.profiler_take(last) or ():
            # Before Python 3.11 a function's name is not qualified.
            functions = tuple(function.rsplit(".", 1)[-1] for function, _, _ in frames)
            lines = tuple(line for _, _, line in frames)
            thread, state = str(labels["thread"]), str(labels["state"])
            self.samples.append(Sample(functions, thread, state, cpu_ns, wall_ns, lines))
        return self.samples

    def until(self, done: "Callable[[list[Sample]], bool]") -> "list[Sample]":
        """Waits until what was sampled is enough."""
        deadline = time.monotonic() + LIMIT_S
        while not done(self.take()):
            assert time.monotonic() < deadline, self.samples[-50:]
            time.sleep(0.02)
        return self.samples


@pytest.fixture
def sampler() -> "Iterator[Sampler]":
    assert _native.profiler_start(rate_hz=200.0, budget=1.0) is None
    yield Sampler()
    _native.profiler_stop()
    assert _native.profiler_figures()["running"] is False


@contextlib.contextmanager
def threads(*bodies: "tuple[str, Callable[[], object]]") -> "Iterator[list[threading.Thread]]":
    """Threads of these names, which have ended when the block has."""
    started = [threading.Thread(target=body, name=name) for name, body in bodies]
    for thread in started:
        thread.start()
    try:
        yield started
    finally:
        for thread in started:
            thread.join(LIMIT_S)
            assert not thread.is_alive()


def test_it_finds_what_the_interpreter_says_of_itself() -> None:
    def inner(depth: int) -> "Optional[str]":
        return inner(depth - 1) if depth else _native.profiler_start()

    def generator() -> "Iterator[Optional[str]]":
        yield inner(20)

    assert next(generator()) is None
    _native.profiler_stop()
    # However the code came to be, with any name and on any line.
    made = compile(
        "\n" * 300 + "def é\u0416\U00020000():\n    return start()\nresult = é\u0416\U00020000()", "\u4e2d.py", "exec"
    )
    names: dict[str, object] = {"start": _native.profiler_start}
    exec(made, names)
    assert names["result"] is None
    _native.profiler_stop()


def spin(seconds: float) -> None:
    """Uses this much CPU time of the calling thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def small() -> None:
    spin(0.003)


def large() -> None:
    spin(0.009)


def test_cpu_time_is_where_it_was_used(sampler: Sampler) -> None:
    used = 0.0

    def work() -> None:
        nonlocal used
        for _ in range(200):
            small()
            large()
        used = time.thread_time()

    with threads(("worker", work)):
        pass
    samples = [sample for sample in sampler.take(last=True) if sample.thread == "worker" or "work" in sample.functions]
    by_function: collections.Counter[str] = collections.Counter()
    for sample in samples:
        for name in ("small", "large"):
            if name in sample.functions:
                by_function[name] += sample.cpu_ns
    total = sum(sample.cpu_ns for sample in samples)
    # All of it is there, and a quarter of it in the function that used a quarter.
    assert 0.9 * used < total / 1e9 < 1.1 * used
    assert 0.18 < by_function["small"] / sum(by_function.values()) < 0.32, by_function
