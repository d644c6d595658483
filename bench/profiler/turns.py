"""What our profiler costs a program that goes on, with the profiler off and on in turns::

turns.py [--turns N] [--profiler NAME] [--program NAME] [--python PATH] [--dry]

Processes of the same program differ by several percent, with how memory happens to lie. So here one process does the
same work all the time, and its CPU time for a piece of that is compared with the profiler on and off, over and over.
Only the profiler is new with each turn, and what it does when it starts and ends is left out. Writes ``turns.md``.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from profilers import PROFILERS
from programs import TASKS, THREADS, allocated, task_step, thread_step

TURNS = 150
#: How long each turn is, and how long before that a program settles that a profiler has just left alone, in seconds.
TURN, SETTLING = 0.3, 0.05
#: How long a profiler needs at first to find out what it may do at which cost: ours half a second.
STARTING = 0.7
COMPARED = ("none", "Pitviper, stacks alone", "Pitviper")
#: Objects made in one step: a turn has many steps.
OBJECTS = 1_200


class Work:
    """Goes on until it is done, and counts its steps."""

    def __init__(self) -> None:
        self.steps = [0] * THREADS
        self.is_done = False

    def threads(self) -> None:
        """As the program ``threads``."""
        others = [threading.Thread(target=self._thread, args=(place,)) for place in range(1, THREADS)]
        for other in others:
            other.start()
        self._thread(0)
        for other in others:
            other.join()

    def _thread(self, place: int) -> None:
        while not self.is_done:
            thread_step(self.steps[place])
            self.steps[place] += 1

    def tasks(self) -> None:
        """As the program ``tasks``."""

        async def task() -> None:
            while not self.is_done:
                await task_step()
                self.steps[0] += 1

        async def all_of_them() -> None:
            await asyncio.gather(*[task() for _ in range(TASKS)])

        asyncio.run(all_of_them())

    def allocations(self) -> None:
        """As the program ``allocations``."""
        while not self.is_done:
            allocated(OBJECTS)
            self.steps[0] += 1

    def step(self, settling: float = SETTLING) -> float:
        """The CPU time of a step, over the next turn."""
        time.sleep(settling)
        steps, began = sum(self.steps), time.process_time()
        time.sleep(TURN)
        return (time.process_time() - began) / (sum(self.steps) - steps)


PROGRAMS: "dict[str, Callable[[Work], None]]" = {
    "threads": Work.threads,
    "tasks": Work.tasks,
    "allocations": Work.allocations,
}


def ratios(profiler: str, program: str, port: str, turns: int) -> "list[float]":
    """CPU time of a step with the profiler, over that without right before and after."""
    work = Work()
    worker = threading.Thread(target=PROGRAMS[program], args=(work,))
    worker.start()
    found: list[float] = []
    before = work.step()
    for _ in range(turns):
        stop = PROFILERS[profiler].start(port)
        own = work.step(STARTING)
        stop()
        after = work.step()
        found.append(own / ((before + after) / 2))
        before = after
    work.is_done = True
    worker.join()
    return found


def spread(found: "list[float]") -> "tuple[float, float]":
    """The median and its standard error, of what is spread as its quartiles say if it is spread normally."""
    lower, middle, upper = statistics.quantiles(found, n=4)
    return middle, 1.2533 * (upper - lower) / 1.349 / len(found) ** 0.5


def row(profiler: str, program: str, found: "list[float]") -> str:
    """A line of the table: the median and how far it may be off by chance."""
    middle, error = spread(found)
    return f"| {program} | {profiler} | {(middle - 1) * 100:+.1f} % | ± {error * 100:.1f} |"


def measured(python: Path, script: Path, *arguments: str) -> Any:
    """What a script here says of one row, in a process of its own."""
    command = [str(python), str(script.resolve()), "--one", *arguments]
    environ = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=Path(__file__).parent)
    if done.returncode != 0:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stderr[-4_000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures everything and writes the table."""
    from run import HERE, VERSION, Sink, find, matrix

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=TURNS)
    parser.add_argument("--profiler", action="append", choices=list(PROFILERS), help="only this one")
    parser.add_argument("--program", action="append", choices=list(PROGRAMS), help="only this one")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--dry", action="store_true", help="write no turns.md")
    given = parser.parse_args()
    python = given.python or matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    sink = Sink()
    lines = [
        "# The profiler on and off in turns",
        "",
        f"CPython {VERSION}, {os.cpu_count()} processors; medians of {given.turns} turns of {TURN} s, and their"
        " standard error in points. Without a profiler it shows how far off chance alone can be.",
        "",
        "| program | profiler | CPU time added | |",
        "|---|---|---|---|",
    ]
    for program in given.program or PROGRAMS:
        for profiler in given.profiler or COMPARED:
            found = measured(python, Path(__file__), profiler, program, sink.port, str(given.turns))
            lines.append(row(profiler, program, found))
            print(lines[-1], file=sys.stderr, flush=True)
    sink.close()
    text = "\n".join([*lines, ""])
    print(text)
    if not given.dry:
        (HERE / "turns.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        name, work_name, sink_port, count = sys.argv[2:]
        print(json.dumps(ratios(name, work_name, sink_port, int(count))), flush=True)
    else:
        main()
