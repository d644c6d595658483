"""Types of profiles beside CPU and wall time: waits for locks, blocked event loops, collections, exceptions."""

import asyncio
import contextlib
import gc
import importlib
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pprof import Profile, Sample
from sampled import LIMIT_S, spin, threads

from pitviper import _native, config
from pitviper.profiling import _events, _exceptions


class Taken:
    """All samples since the profiler was started."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []

    def take(self) -> "list[Sample]":
        _native.profiler_name_threads()
        taken = _native.take_profile("pprof", "")
        assert taken is not None
        self.samples += Profile(taken[0]).samples
        return self.samples

    def until(self, done: "Callable[[list[Sample]], bool]") -> "list[Sample]":
        deadline = time.monotonic() + LIMIT_S
        while not done(self.take()):
            assert time.monotonic() < deadline, [(s.functions, s.values, s.labels) for s in self.samples[-50:]]
            time.sleep(0.02)
        return self.samples

    def total(self, kind: str, function: str = "") -> int:
        return sum(
            sample.values.get(kind, 0)
            for sample in self.samples
            if not function or any(name.rpartition(".")[2] == function for name in sample.functions)
        )


def keep(locks: str = "off", loops: float = 0.0, gc: bool = False, exceptions: bool = False) -> None:
    """Keeps these events and no others."""
    _events.start(
        config.load(
            {
                "PITVIPER_PROFILING_LOCKS": locks,
                "PITVIPER_PROFILING_LOOPS": str(loops),
                "PITVIPER_PROFILING_GC": str(gc),
                "PITVIPER_PROFILING_EXCEPTIONS": str(exceptions),
            }
        )
    )


@pytest.fixture
def taken() -> "Iterator[Taken]":
    assert _native.profiler_start(rate_hz=200.0, budget=1.0) is None
    yield Taken()
    _native.profiler_stop()
    _events.stop()


def wait_by_lock(samples: "list[Sample]") -> "dict[str, Counter[str]]":
    """Nanoseconds of waits by function of this file and kind of lock."""
    waits: dict[str, Counter[str]] = {}
    for sample in samples:
        if sample.values.get("lock_wait"):
            assert sample.labels["state"] == "lock" and sample.values["lock_wait"] == sample.values["wall"]
            for frame in sample.frames:
                if frame.file == __file__:
                    waits.setdefault(frame.function.rpartition(".")[2], Counter())[str(sample.labels["lock"])] += (
                        sample.values["lock_wait"]
                    )
    return waits


def test_waits_for_locks_are_a_type_and_say_what_for(taken: Taken) -> None:
    keep(locks="sampled")
    lock, event, condition = threading.Lock(), threading.Event(), threading.Condition()
    semaphore, items = threading.Semaphore(0), queue.Queue[int]()
    lock.acquire()

    def takes_lock() -> None:
        lock.acquire()

    def waits_for_event() -> None:
        event.wait()

    def waits_for_condition() -> None:
        with condition:
            condition.wait()

    def takes_semaphore() -> None:
        semaphore.acquire()

    def gets_item() -> None:
        items.get()

    expected = {
        takes_lock: "lock",
        waits_for_event: "threading.Event",
        waits_for_condition: "threading.Condition",
        takes_semaphore: "threading.Semaphore",
        gets_item: "queue.Queue",
    }

    def all_wait(samples: "list[Sample]") -> bool:
        waits = wait_by_lock(samples)
        return all(waits.get(body.__name__, Counter())[kind] > 50_000_000 for body, kind in expected.items())

    with threads(*((body.__name__, body) for body in expected)):
        try:
            samples = taken.until(all_wait)
        finally:
            lock.release()
            event.set()
            semaphore.release()
            items.put(1)
            with condition:
                condition.notify_all()
    waits = wait_by_lock(samples)
    for body, kind in expected.items():
        assert set(waits[body.__name__]) == {kind}, waits


def test_contention_of_two_threads_is_about_what_was_waited(taken: Taken) -> None:
    keep(locks="sampled")
    lock, waited, rounds = threading.Lock(), 0.0, 8

    def contends() -> None:
        nonlocal waited
        for _ in range(rounds):
            began = time.perf_counter()
            with lock:
                waited += time.perf_counter() - began
                time.sleep(0.02)

    with threads(("one", contends), ("other", contends)):
        pass
    taken.take()
    found = taken.total("lock_wait", "contends") / 1e9
    assert 0.7 * waited < found < 1.3 * waited, (found, waited)
    # Off is off.
    keep()
    rounds = 3
    with threads(("one", contends), ("other", contends)):
        pass
    before = len(taken.samples)
    later = taken.take()[before:]
    assert any(sample.labels["state"] == "lock" for sample in later)
    assert not any("lock_wait" in sample.values or "lock" in sample.labels for sample in later)


async def brief(rounds: int, steps: "list[float]") -> None:
    for _ in range(rounds):
        began = time.perf_counter()
        spin(0.005)
        steps.append(time.perf_counter() - began)
        await asyncio.sleep(0)


def blocks_busily() -> None:
    spin(0.25)


def blocks_asleep() -> None:
    time.sleep(0.25)


async def blocks_twice() -> "list[float]":
    """Waits, blocks, blocks, and does not block, unless the machine does: how long each short step took."""
    await asyncio.sleep(0.05)
    blocks_busily()
    await asyncio.sleep(0)
    blocks_asleep()
    steps: list[float] = []
    await asyncio.gather(brief(20, steps), brief(20, steps))
    return steps


@pytest.mark.parametrize("module", ["asyncio", "uvloop"])
def test_what_blocks_a_loop_is_named(taken: Taken, module: str) -> None:
    loop = importlib.import_module(module).new_event_loop()
    keep(loops=150.0)
    steps = loop.run_until_complete(blocks_twice())
    loop.close()
    taken.take()
    busy, asleep = taken.total("loop_block", "blocks_busily"), taken.total("loop_block", "blocks_asleep")
    # A busy processor makes them longer, never shorter than what is surely blocked.
    assert busy > 150_000_000 and asleep > 150_000_000, (busy, asleep)
    states: Counter[object] = Counter()
    for sample in taken.samples:
        if "blocks_asleep" in [name.rpartition(".")[2] for name in sample.functions]:
            states[sample.labels["state"]] += sample.values.get("loop_block", 0)
    assert states.most_common(1)[0][0] == "sleep", states
    # Neither waiting for work nor many short steps block.
    assert taken.total("loop_block", "select") == 0
    if max(steps) < 0.1 < sum(steps):
        assert taken.total("loop_block", "brief") == 0


def test_a_loop_may_be_blocked_for_as_long_as_is_allowed(taken: Taken) -> None:
    async def naps() -> None:
        time.sleep(0.1)

    keep()
    asyncio.run(naps())
    assert not any("loop_block" in sample.values for sample in taken.take())
    # Without a loop there is none to block.
    keep(loops=50.0)
    time.sleep(0.1)
    assert not any("loop_block" in sample.values for sample in taken.take())


class Node:
    """A part of a ring."""

    def __init__(self, other: "object" = None) -> None:
        self.other = other


def collects() -> None:
    gc.collect()


def test_collections_are_where_they_were_triggered(taken: Taken) -> None:
    pauses: list[float] = []
    began = 0.0

    def measure(phase: str, info: "dict[str, int]") -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        elif info["generation"] == 2:
            pauses.append(time.perf_counter() - began)

    nodes = [Node() for _ in range(100_000)]
    keep(gc=True)
    gc.callbacks.append(measure)
    try:
        for _ in range(3):
            collects()
    finally:
        gc.callbacks.remove(measure)
    samples = [sample for sample in taken.take() if sample.values.get("gc_pause")]
    del nodes
    found = taken.total("gc_pause", "collects") / 1e9
    # Each of them took a millisecond at least, so nothing was estimated.
    assert min(pauses) > 0.001 and 0.9 * sum(pauses) < found < 1.1 * sum(pauses), (pauses, found)
    forced = [sample for sample in samples if sample.frames[0].function == "collects"]
    assert {sample.labels["generation"] for sample in forced} == {"2"}
    assert {sample.labels["thread"] for sample in forced} == {"MainThread"}
    assert gc.callbacks.count(_native.gc_event) == 1
    keep()
    collects()
    assert taken.total("gc_pause", "collects") / 1e9 == found


def test_collections_that_the_interpreter_makes_add_up(taken: Taken) -> None:
    pauses: list[float] = []
    began = 0.0

    def measure(phase: str, info: "dict[str, int]") -> None:
        nonlocal began
        if phase == "start":
            began = time.perf_counter()
        else:
            pauses.append(time.perf_counter() - began)

    def allocates() -> "list[Node]":
        kept = [Node(Node()) for _ in range(150_000)]
        for node in kept:
            node.other = node
        return kept

    keep(gc=True)
    gc.callbacks.append(measure)
    try:
        allocates()
    finally:
        gc.callbacks.remove(measure)
    taken.take()
    found = taken.total("gc_pause") / 1e9
    assert taken.total("gc_pause", "allocates") / 1e9 > 0.9 * found
    assert len(pauses) > 10 and 0.5 * sum(pauses) < found < 2 * sum(pauses), (sum(pauses), len(pauses), found)


def test_a_forked_child_tells_its_own(taken: Taken) -> None:
    keep(gc=True, exceptions=True)
    nodes = [Node() for _ in range(30_000)]
    collects()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        collects()
        before = _native.take_profile("pprof", "") is None
        _native.profiler_resume()
        collects()
        mine = Taken()
        mine.take()
        found = [s.values["gc_pause"] for s in mine.samples if s.values.get("gc_pause") and "collects" in s.functions]
        os.write(writing, f"{before} {len(found)} {_native.profiler_figures()['events_lost']}".encode())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reading, 100) == b"True 1 0"
    os.close(reading)
    os.close(writing)
    del nodes
    taken.take()
    assert len([s for s in taken.samples if s.values.get("gc_pause") and "collects" in s.functions]) == 1


class AppError(Exception):
    """An application's."""


def fails(error: "type[BaseException]") -> None:
    raise error("no")


def passes_on(error: "type[BaseException]") -> None:
    try:
        fails(error)
    finally:
        len("x")


def handles(count: int, error: "type[BaseException]") -> None:
    for _ in range(count):
        with contextlib.suppress(error):
            passes_on(error)


def misses() -> None:
    {}.get("a")
    with contextlib.suppress(KeyError):
        {}["a"]


def counts(samples: "list[Sample]") -> "Counter[tuple[str, str]]":
    """Exceptions by class and function."""
    found: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        if sample.values.get("exceptions") and sample.frames[0].file == __file__:
            found[str(sample.labels["exception"]), sample.frames[0].function] += sample.values["exceptions"]
    return found


def test_exceptions_count_once_where_they_were_raised(taken: Taken) -> None:
    keep(exceptions=True)
    handles(40, AppError)
    for _ in range(20):
        misses()
    # What ends a generator is no exception.
    list(iter(range(3)))
    [*(number for number in range(3))]
    samples = [sample for sample in taken.take() if sample.values.get("exceptions")]
    assert counts(samples) == {(f"{__name__}.AppError", "fails"): 40, ("KeyError", "misses"): 20}
    (sample,) = [sample for sample in samples if sample.frames[0].function == "fails"]
    assert sample.functions[:3] == ["fails", "passes_on", "handles"]
    assert sample.frames[0].line == fails.__code__.co_firstlineno + 1
    assert sample.labels["thread"] == "MainThread"


def test_many_exceptions_add_up_and_few_are_looked_at(taken: Taken) -> None:
    keep(exceptions=True)
    before = _native.profiler_figures()["events"]
    with threads(("one", lambda: handles(100_000, AppError)), ("other", lambda: handles(100_000, ValueError))):
        pass
    found = counts(taken.take())
    assert set(found) == {(f"{__name__}.AppError", "fails"), ("ValueError", "fails")}
    assert 0.6 * 200_000 < sum(found.values()) < 1.5 * 200_000, found
    assert _native.profiler_figures()["events"] - before < 5_000


def keeps_itself() -> None:
    try:
        fails(AppError)
    except AppError as error:
        kept = error
        del error
    assert kept


def yields() -> "Iterator[int]":
    yield 1
    fails(AppError)


def generates() -> None:
    with contextlib.suppress(AppError):
        list(yields())


def raises_again() -> None:
    try:
        fails(AppError)
    except AppError as error:
        raise error


def asks_a_thread() -> None:
    with ThreadPoolExecutor(1) as pool, contextlib.suppress(AppError):
        pool.submit(passes_on, AppError).result()


def test_exceptions_are_told_of_whatever_becomes_of_them(taken: Taken) -> None:
    keep(exceptions=True)
    # It is in a cycle with the frame that it was caught in.
    keeps_itself()
    generates()
    with contextlib.suppress(AppError):
        raises_again()
    asks_a_thread()
    # Nobody raises this one.
    repr(AppError("never"))
    gc.collect()
    samples = [s for s in taken.take() if s.values.get("exceptions") and s.frames[0].function == "fails"]
    assert [s.values["exceptions"] for s in samples] == [1] * 4
    stacks = {tuple(s.functions[1:3]): s for s in samples}
    here = "test_exceptions_are_told_of_whatever_becomes_of_them"
    assert set(stacks) >= {("keeps_itself", here), ("raises_again", here), ("yields", "generates")}
    (of_thread,) = (s for s in samples if s.functions[1] == "passes_on")
    # From 3.14 on a work item runs a task, which is one frame more.
    names = [name.rpartition(".")[2] for name in of_thread.functions]
    assert names[2] == "run" and "_worker" in names[3:5] and here not in names


#: Given back within each other these take more than a thread's stack.
HELD = 200_000


@pytest.mark.parametrize("classes", [(ValueError,), (AppError,), (ValueError, AppError)])
def test_exceptions_hold_each_other_to_any_depth(taken: Taken, classes: "tuple[type[Exception], ...]") -> None:
    keep(exceptions=True)
    last = None
    for number in range(HELD):
        try:
            raise classes[number % len(classes)] from last
        except Exception as error:
            last = error
    del last
    assert 0.6 * HELD < sum(counts(taken.take()).values()) < 1.5 * HELD


def test_no_exceptions_are_told_of_once_they_are_not_wanted(taken: Taken) -> None:
    keep(exceptions=True)
    keep(exceptions=True)
    handles(3, AppError)
    assert sum(counts(taken.take()).values()) == 3
    keep(exceptions=False)
    before = _native.profiler_figures()["events"]
    handles(3, AppError)
    assert _native.profiler_figures()["events"] == before
    keep(exceptions=True)
    handles(2, KeyError)
    assert counts(taken.take())["KeyError", "fails"] == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12")
def test_ids_of_tools_are_left_to_others() -> None:
    monitoring = sys.monitoring
    monitoring.use_tool_id(4, "other")
    try:
        assert _exceptions.start() and _exceptions.start()
        assert (monitoring.get_tool(4), monitoring.get_tool(3)) == ("other", "pitviper")
        # Somebody takes it away: it is theirs then.
        monitoring.free_tool_id(3)
        monitoring.use_tool_id(3, "another")
        _exceptions.stop()
        assert monitoring.get_tool(3) == "another"
        assert not _exceptions.start()
    finally:
        monitoring.set_events(3, 0)
        monitoring.register_callback(3, monitoring.events.RAISE, None)
        for tool in (3, 4):
            monitoring.free_tool_id(tool)
    assert _exceptions.start() and monitoring.get_tool(4) == "pitviper"
    _exceptions.stop()
    assert monitoring.get_tool(4) is None
