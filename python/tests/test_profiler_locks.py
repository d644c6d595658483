"""Exact waits for locks: what is told of them, and that they work as without."""

import asyncio
import copy
import os
import pickle
import queue
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sampled import LIMIT_S, threads
from test_profiler_events import Taken, keep

from pitviper import _native
from pitviper.profiling import _events

LOCK, RLOCK = threading.Lock, threading.RLock
HERE = os.path.join(os.path.basename(os.path.dirname(__file__)), os.path.basename(__file__))


@pytest.fixture
def taken() -> "Iterator[Taken]":
    assert _native.profiler_start(rate_hz=100.0, budget=1.0) is None
    keep(locks="exact")
    yield Taken()
    _events.stop()
    _native.profiler_stop()
    assert (threading.Lock, threading.RLock) == (LOCK, RLOCK)


def by_lock(taken: Taken, kind: str) -> "Counter[tuple[str, str]]":
    """Seconds by function and lock, which is named without its line."""
    found: Counter[tuple[str, str]] = Counter()
    for sample in taken.samples:
        if sample.values.get(kind):
            function = next((frame.function for frame in sample.frames if frame.file == __file__), "")
            name, _, line = str(sample.labels["lock"]).partition(f" at {HERE}:")
            assert not line or line.isdigit(), sample.labels
            found[function.rpartition(".")[2], name] += sample.values[kind] / 1e9  # type: ignore[assignment]
    return found


class Measured:
    """What the threads of a test found themselves."""

    def __init__(self) -> None:
        self.waited = self.held = 0.0


def test_a_class_may_have_the_function_that_makes_locks(taken: Taken) -> None:
    # As werkzeug's maps do. Before Python 3.13 what is built in is no method, and takes no instance.
    class Map:
        lock_class = threading.Lock

        def __init__(self) -> None:
            self.lock = self.lock_class()

    with Map().lock:
        pass
    assert type(Map().lock) is _native.ExactLock
    assert threading.Lock.__name__ == LOCK.__name__


@pytest.mark.parametrize(("make", "kind"), [("Lock", "threading.Lock"), ("RLock", "threading.RLock")])
def test_contention_of_two_threads_is_what_was_waited(taken: Taken, make: str, kind: str) -> None:
    lock: Any = getattr(threading, make)()
    measured = [Measured(), Measured()]
    # Starting a thread may wait as well. This one is none of those that are measured.
    begins = LOCK()
    begins.acquire()

    def contends(own: Measured) -> None:
        with begins:
            pass
        for _ in range(10):
            began = time.perf_counter()
            with lock:
                entered = time.perf_counter()
                own.waited += entered - began
                time.sleep(0.01)
                own.held += time.perf_counter() - entered

    with threads(("one", lambda: contends(measured[0])), ("other", lambda: contends(measured[1]))):
        taken.take().clear()
        begins.release()
    taken.take()
    for told, found in (("lock_wait", "waited"), ("lock_hold", "held")):
        expected = sum(getattr(own, found) for own in measured)
        assert 0.9 * expected < by_lock(taken, told)["contends", kind] < 1.1 * expected + 0.01, told
    line = test_contention_of_two_threads_is_what_was_waited.__code__.co_firstlineno + 2
    names = {sample.labels["lock"] for sample in taken.samples if sample.values.get("lock_hold")}
    assert f"{kind} at {HERE}:{line}" in names
    # The stack is that of the code that waits, and nothing of ours.
    waits = [sample for sample in taken.samples if sample.values.get("lock_wait")]
    assert waits and not any("pitviper/profiling" in frame.file for wait in waits for frame in wait.frames)


def test_free_locks_are_not_waited_for(taken: Taken) -> None:
    lock, again = threading.Lock(), threading.RLock()
    for _ in range(2_000):
        with lock, again, again:
            pass
    taken.take()
    assert by_lock(taken, "lock_wait") == Counter()


def test_what_is_made_of_locks_is_named_and_counted_once(taken: Taken) -> None:
    event, condition, semaphore = threading.Event(), threading.Condition(), threading.Semaphore(0)
    items, begun = queue.Queue[int](), threading.Semaphore(0)
    measured: dict[str, float] = {}

    def measure(name: str, wait: "Callable[[], object]") -> None:
        begun.release()
        began = time.perf_counter()
        wait()
        measured[name] = time.perf_counter() - began

    def waits_for_event() -> None:
        measure("threading.Event", event.wait)

    def waits_for_condition() -> None:
        with condition:
            measure("threading.Condition", condition.wait)

    def takes_semaphore() -> None:
        measure("threading.Semaphore", semaphore.acquire)

    def gets_item() -> None:
        measure("queue.Queue", items.get)

    bodies = [waits_for_event, waits_for_condition, takes_semaphore, gets_item]
    with threads(*((body.__name__, body) for body in bodies)):
        for _ in bodies:
            assert begun.acquire(timeout=LIMIT_S)
        time.sleep(0.1)
        event.set()
        semaphore.release()
        items.put(1)
        with condition:
            condition.notify_all()
    taken.take()
    found = by_lock(taken, "lock_wait")
    for name, expected in measured.items():
        total = sum(waited for (function, lock), waited in found.items() if function == "measure" and lock == name)
        assert 0.9 * expected < total < 1.1 * expected, (name, found, measured)


def test_waits_of_tasks(taken: Taken) -> None:
    async def takes(lock: Any, seconds: float) -> None:
        async with lock:
            await asyncio.sleep(seconds)

    async def gets(items: "asyncio.Queue[int]") -> None:
        await items.get()

    async def main() -> None:
        # Python 3.9 wants them made where the loop is.
        lock, semaphore, items = asyncio.Lock(), asyncio.BoundedSemaphore(1), asyncio.Queue[int]()
        waiting = asyncio.ensure_future(gets(items))
        await asyncio.gather(takes(lock, 0.05), takes(lock, 0.05))
        await asyncio.gather(takes(semaphore, 0.05), takes(semaphore, 0.05))
        items.put_nowait(1)
        await waiting

    asyncio.run(main())
    taken.take()
    found, held = by_lock(taken, "lock_wait"), by_lock(taken, "lock_hold")
    assert found["takes", "asyncio.Lock"] > 0.04 and found["takes", "asyncio.Semaphore"] > 0.04, found
    assert found["gets", "asyncio.Queue"] > 0.19, found
    assert found["takes", "asyncio.Lock"] < held["takes", "asyncio.Lock"], held
    assert asyncio.iscoroutinefunction(asyncio.Lock.acquire)


def outcome(work: "Callable[[], object]") -> object:
    """What it gives, or how it fails."""
    try:
        return work()
    except Exception as error:
        return type(error), str(error)


def elsewhere(work: "Callable[[], object]") -> object:
    """What it gives in another thread."""
    got: list[object] = []
    with threads(("elsewhere", lambda: got.append(outcome(work)))):
        pass
    return got[0]


def subclass(base: Any) -> Any:
    return type("Own", (base,), {})


def of_one(make: Any, earlier: Any) -> "Iterator[object]":
    """Everything that a lock does that this makes."""
    lock: Any = make()
    yield outcome(lambda: lock.acquire())
    yield elsewhere(lambda: lock.acquire(False))
    yield elsewhere(lambda: lock.acquire(timeout=0.001))
    yield elsewhere(lambda: lock.acquire(True, 0.001))
    yield elsewhere(lambda: lock.acquire(blocking=0))
    yield outcome(lambda: lock.acquire(False, 1))
    yield outcome(lambda: lock.acquire(True, -5))
    yield outcome(lambda: lock.acquire(timeout="x"))
    yield "locked" in repr(lock), "unlocked" in repr(lock)
    yield outcome(lambda: lock.release())
    yield outcome(lambda: lock.release())
    yield "unlocked" in repr(lock)
    yield outcome(lambda: pickle.dumps(lock)), outcome(lambda: copy.copy(lock))
    yield type(weakref.ref(lock)), len({lock, lock}), bool(lock)
    with lock as entered:
        yield entered
    for name in ("locked", "_is_owned", "_release_save", "_acquire_restore", "acquire_lock", "nothing"):
        yield hasattr(lock, name)
    yield isinstance(lock, type(earlier)), lock.__class__.__name__
    # A function that is none of C says it in other words.
    yield isinstance(outcome(lambda: subclass(make)), tuple)
    yield outcome(lambda: bool(make(1, 2, 3))), make.__name__, make.__doc__
    lock.acquire()
    yield lock._at_fork_reinit()
    yield lock.acquire(False), lock.release()


def of_condition(condition: threading.Condition) -> "Iterator[object]":
    """What a condition does."""
    yield outcome(lambda: condition.notify()), outcome(lambda: condition.wait(0))
    with condition:
        yield condition.wait(0.001), condition.wait_for(lambda: True)


def behaviour() -> "Iterator[object]":
    """Everything that locks do, and what is made of them."""
    earlier = LOCK()
    yield from of_one(threading.Lock, earlier)
    yield from of_one(threading.RLock, RLOCK())
    kind: Any = threading.Lock
    yield outcome(lambda: isinstance(threading.Lock(), kind))
    yield outcome(lambda: isinstance(earlier, kind))
    yield outcome(lambda: isinstance(1, kind))
    again = threading.RLock()
    with again, again:
        yield elsewhere(lambda: again.acquire(False)), elsewhere(lambda: again.release())
        yield from of_condition(threading.Condition(again))
        yield elsewhere(lambda: again.acquire(False))
    yield elsewhere(lambda: (again.acquire(False), again.release()))
    yield from of_condition(threading.Condition())
    yield from of_condition(threading.Condition(threading.Lock()))

    class Own(threading.Condition):
        pass

    with Own() as entered:
        yield entered, isinstance(Own(), threading.Condition)
    bounded = threading.BoundedSemaphore(1)
    with bounded:
        yield bounded.acquire(False)
    yield outcome(lambda: bounded.release())
    event = threading.Event()
    yield event.wait(0.001), event.set(), event.wait(0.001)
    items: queue.Queue[int] = queue.Queue(1)
    yield items.put(1), outcome(lambda: items.put(2, timeout=0.001)), items.get(), outcome(lambda: items.get(False))
    barrier = threading.Barrier(1)
    yield barrier.wait()


def test_locks_do_as_without(taken: Taken) -> None:
    exact = list(behaviour())
    made = threading.Lock()
    keep()
    assert list(behaviour()) == exact
    # What was made meanwhile works on.
    with made:
        assert made.locked() and isinstance(made, type(LOCK()))
    assert not made.locked()


def test_a_fork_has_locks_of_its_own(taken: Taken) -> None:
    lock = threading.Lock()
    held, over = threading.Event(), threading.Event()

    def holds() -> None:
        with lock:
            held.set()
            over.wait(LIMIT_S)

    with threads(("holds", holds)):
        assert held.wait(LIMIT_S)
        child = os.fork()
        if child == 0:
            free: Any = lock
            free._at_fork_reinit()
            os._exit(0 if lock.acquire(False) and threading.Lock().acquire(timeout=1) else 1)
        over.set()
    assert os.waitpid(child, 0)[1] == 0
