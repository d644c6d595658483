"""The programs that are profiled, each a fixed amount of work: ``programs.py PROFILER PROGRAM PORT``.

Prints, as JSON, the CPU time of the work in seconds, the process's peak memory in MB, and what the program
knows of itself.
"""

import asyncio
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from known import KNOWN, work
from profilers import PROFILERS

#: How much work there is: some seconds of CPU time in each program.
THREADS, ROUNDS_A_THREAD = 4, 600_000
TASKS, STEPS = 50, 3_500
OBJECTS = 350
ACQUIRED, RAISED = 6_000_000, 1_000_000


def nested(depth: int, rounds: int) -> int:
    """The same below some calls."""
    return nested(depth - 1, rounds) if depth else work(rounds)


def thread_step(number: int) -> None:
    """What a thread of ``threads`` does again and again."""
    nested(number % 30, 10)


async def task_step() -> None:
    """What a task of ``tasks`` does again and again."""
    nested(10, 6)
    hashlib.sha256(b"x" * 10_000).hexdigest()
    await asyncio.sleep(0)


def allocated(objects: int) -> "list[Any]":
    """What ``allocations`` makes again and again."""
    return [{"number": number, "text": f"{number:x}", "list": [number] * 5} for number in range(objects)]


def threads() -> None:
    """CPU-bound threads that contend for the interpreter lock."""

    def run() -> None:
        for number in range(ROUNDS_A_THREAD // 10):
            thread_step(number)

    running = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def tasks() -> None:
    """Tasks that take turns with short steps, and hash now and then."""

    async def task() -> None:
        for _ in range(STEPS):
            await task_step()

    async def all_of_them() -> None:
        await asyncio.gather(*[task() for _ in range(TASKS)])

    asyncio.run(all_of_them())


def allocations() -> None:
    """Objects, lists, dictionaries and texts that come and go."""
    kept: list[Any] = []
    for turn in range(OBJECTS):
        made = allocated(12_000)
        kept.append(made[turn % 100])
        del made
    assert len(kept) == OBJECTS


def locks() -> None:
    """A lock that is free, taken and let go."""
    lock = threading.Lock()
    for _ in range(ACQUIRED):
        with lock:
            pass


def exceptions() -> None:
    """An exception that comes through two frames and is handled."""

    def fails() -> None:
        raise ValueError("no")

    def calls() -> None:
        fails()

    for _ in range(RAISED):
        try:
            calls()
        except ValueError:
            continue


PROGRAMS: "dict[str, Callable[[], Any]]" = {
    "threads": threads,
    "tasks": tasks,
    "allocations": allocations,
    "locks": locks,
    "exceptions": exceptions,
    **{name: known.run for name, known in KNOWN.items()},
}


def peak_memory() -> float:
    """Peak resident memory of this process, in MB."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def main() -> None:
    """Does the work under a profiler."""
    profiler, program, port = sys.argv[1:4]
    stop = PROFILERS[profiler].start(port)
    # Profilers have threads of their own, which begin some time later.
    time.sleep(0.5)
    began = time.process_time()
    known = PROGRAMS[program]()
    spent = time.process_time() - began
    figures = {"spent": spent, "memory": peak_memory(), "known": known, "samples": stop()}
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
