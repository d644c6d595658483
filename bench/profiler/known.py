"""Programs whose profile is known, because their functions measure themselves.

Each gives what its functions used, in the unit of its kind. All are of kinds that more than one profiler has.
"""

import asyncio
import itertools
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

Spent = dict[str, float]

#: Rounds of work for each function of ``shares``, and how often all are done.
SHARES = {"alpha": 500, "beta": 300, "gamma": 150, "delta": 50}
TURNS = 8_000
#: The same for ``shapes``.
SHAPES = {"deep": 400, "produces": 300, "awaited": 200, "key": 100}
TURNS_OF_SHAPES, DEPTH, AWAITS = 4_000, 300, 20
#: How long the functions of ``waits`` wait each time, in seconds, and how often.
WAITS = {"sleeps": 0.04, "receives": 0.03, "acquires": 0.02, "joins": 0.01}
TURNS_OF_WAITS = 60
#: The blocks of ``sites``: their size and number, in bytes.
SITES = {"small": (100, 8_000_000), "middle": (3_000, 200_000), "large": (200_000, 2_000), "huge": (5_000_000, 40)}
#: How long the lock is held while the functions of ``contention`` want it, in seconds, and how often.
CONTENTION = {"patient": 0.03, "hasty": 0.01}
TURNS_OF_CONTENTION = 100


def work(rounds: int) -> int:
    """Arithmetic of a length that rounds say; a profile tells it of who calls it."""
    total = 0
    for number in range(rounds * 20):
        total += number * number % 7
    return total


def alpha(rounds: int) -> int:
    """One of four functions that do nothing but calculate."""
    return work(rounds)


def beta(rounds: int) -> int:
    """Another."""
    return work(rounds)


def gamma(rounds: int) -> int:
    """Another."""
    return work(rounds)


def delta(rounds: int) -> int:
    """Another."""
    return work(rounds)


def shares() -> Spent:
    """CPU time of plain functions."""
    spent = dict.fromkeys(SHARES, 0.0)
    calls = {"alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
    for _ in range(TURNS):
        for name, rounds in SHARES.items():
            began = time.thread_time()
            calls[name](rounds)
            spent[name] += time.thread_time() - began
    return spent


def deep(depth: int, rounds: int) -> int:
    """Calculates at the bottom of a recursion."""
    return deep(depth - 1, rounds) if depth else work(rounds)


def produces(rounds: int) -> "Iterator[int]":
    """Calculates between two values that it gives."""
    while True:
        yield work(rounds)


async def awaited(depth: int, rounds: int) -> int:
    """Calculates at the end of a chain of coroutines."""
    if depth:
        return await awaited(depth - 1, rounds)
    return work(rounds)


def key(rounds: int) -> int:
    """Calculates when C code calls it."""
    return work(rounds)


def shapes() -> Spent:
    """CPU time of a recursion, a generator, a chain of coroutines and a callback."""
    spent = dict.fromkeys(SHAPES, 0.0)
    generator = produces(SHAPES["produces"])

    async def turns() -> None:
        for _ in range(TURNS_OF_SHAPES):
            marks = [time.thread_time()]
            deep(DEPTH, SHAPES["deep"])
            marks.append(time.thread_time())
            next(generator)
            marks.append(time.thread_time())
            await awaited(AWAITS, SHAPES["awaited"])
            marks.append(time.thread_time())
            sorted([SHAPES["key"]], key=key)
            marks.append(time.thread_time())
            for name, began, ended in zip(SHAPES, marks, marks[1:]):
                spent[name] += ended - began

    asyncio.run(turns())
    return spent


def sleeps(seconds: float) -> None:
    """Waits for the clock."""
    time.sleep(seconds)


def receives(seconds: float) -> None:
    """Waits for the other end of a connection."""
    here, there = socket.socketpair()
    with here, there:
        sender = threading.Timer(seconds, there.send, (b"x",))
        sender.start()
        here.recv(1)


def acquires(seconds: float) -> None:
    """Waits for a lock that another thread holds."""
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(seconds, lock.release).start()
    lock.acquire()


def joins(seconds: float) -> None:
    """Waits for the end of a thread."""
    other = threading.Thread(target=time.sleep, args=(seconds,))
    other.start()
    other.join()


def waits() -> Spent:
    """Time by the clock of functions that wait."""
    spent = dict.fromkeys(WAITS, 0.0)
    calls = {"sleeps": sleeps, "receives": receives, "acquires": acquires, "joins": joins}
    for _ in range(TURNS_OF_WAITS):
        for name, seconds in WAITS.items():
            began = time.monotonic()
            calls[name](seconds)
            spent[name] += time.monotonic() - began
    return spent


def allocate(size: int, number: int) -> None:
    """Blocks that nobody keeps, told of who calls it as well."""
    for _ in itertools.repeat(None, number):
        bytes(size)


def small(size: int, number: int) -> None:
    """Allocates."""
    allocate(size, number)


def middle(size: int, number: int) -> None:
    """Allocates larger blocks."""
    allocate(size, number)


def large(size: int, number: int) -> None:
    """Allocates yet larger ones."""
    allocate(size, number)


def huge(size: int, number: int) -> None:
    """Allocates the largest."""
    allocate(size, number)


def sites() -> Spent:
    """Bytes that functions allocate."""
    calls = {"small": small, "middle": middle, "large": large, "huge": huge}
    for name, (size, number) in SITES.items():
        calls[name](size, number)
    return {name: float(sys.getsizeof(bytes(size)) * number) for name, (size, number) in SITES.items()}


def patient(lock: threading.Lock) -> None:
    """Takes a lock that is held for long."""
    with lock:
        pass


def hasty(lock: threading.Lock) -> None:
    """Takes one that is held for a shorter time."""
    with lock:
        pass


def contention() -> Spent:
    """Time that functions wait for a lock."""
    spent = dict.fromkeys(CONTENTION, 0.0)
    calls = {"patient": patient, "hasty": hasty}
    for _ in range(TURNS_OF_CONTENTION):
        for name, seconds in CONTENTION.items():
            lock = threading.Lock()
            lock.acquire()
            threading.Timer(seconds, lock.release).start()
            began = time.monotonic()
            calls[name](lock)
            spent[name] += time.monotonic() - began
    return spent


class Known(NamedTuple):
    """A program and the kind of what its functions measure."""

    run: "Callable[[], Spent]"
    kind: str


KNOWN = {
    "shares": Known(shares, "cpu"),
    "shapes": Known(shapes, "cpu"),
    "waits": Known(waits, "wall"),
    "sites": Known(sites, "allocated"),
    "contention": Known(contention, "lock"),
}
