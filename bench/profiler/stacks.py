"""What looking at stacks costs, by whose CPU time it is::

stacks.py [--seconds N] [--program NAME] [--python PATH] [--dry]

Our own threads' CPU time can be read, so that is done, with the profiler as it is by default but for stacks alone. What
sampling costs the program's own threads (another one shares their caches) is too little to be seen where a machine's
speed changes by a third. So it samples ten times as often there, in short turns with no sampling at all, and what that
adds is divided by how many more rounds there were. Writes ``stacks.md``.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path

from profilers import PROFILERS, RATE
from turns import PROGRAMS, Work, measured, spread

#: How long our own threads are looked at, and how long before that, in seconds.
OWN, STEADY = 20.0, 2.0
#: For how long the program's threads are looked at.
SECONDS = 200.0
#: How often it is sampled then, and how long each turn is, and how long before that it settles.
OFTEN, TURN, SETTLING = 10 * RATE, 0.05, 0.02
STACKS = "Pitviper, stacks alone"


def program_cpu() -> float:
    """CPU time of the program's threads, in seconds."""
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in others if thread.ident is not None]
    return sum(time.clock_gettime(clock) for clock in clocks)


def own_share(port: str) -> float:
    """CPU time of our threads over that of the program's."""
    stop = PROFILERS[STACKS].start(port)
    time.sleep(STEADY)
    # This thread is neither ours nor the program's.
    began, program, this = time.process_time(), program_cpu(), time.thread_time()
    time.sleep(OWN)
    program = program_cpu() - program
    ours = time.process_time() - began - program - (time.thread_time() - this)
    stop()
    return ours / program


def turn(work: Work, is_sampled: bool) -> "tuple[float, float]":
    """CPU time of a step of the program's own threads, and rounds of the sampler in a second of that time."""
    from pitviper import _native

    if is_sampled:
        problem = _native.profiler_start(OFTEN, 1.0)
        assert problem is None, problem
    time.sleep(SETTLING)
    rounds, steps, began = _native.profiler_figures()["rounds"], sum(work.steps), program_cpu()
    time.sleep(TURN)
    elapsed = program_cpu() - began
    steps, rounds = sum(work.steps) - steps, _native.profiler_figures()["rounds"] - rounds
    if is_sampled:
        _native.profiler_stop()
    return elapsed / steps, rounds / elapsed


def added(work: Work, seconds: float) -> "tuple[list[float], float]":
    """What sampling ten times as often adds, turn by turn, and how many rounds a second those were."""
    found: list[float] = []
    rates: list[float] = []
    before, _ = turn(work, False)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        sampled, rate = turn(work, True)
        after, _ = turn(work, False)
        found.append(sampled / ((before + after) / 2) - 1)
        rates.append(rate)
        before = after
    return found, statistics.fmean(rates)


def figures(program: str, port: str, seconds: float) -> "dict[str, float]":
    """Both, of a program that goes on meanwhile."""
    work = Work()
    worker = threading.Thread(target=PROGRAMS[program], args=(work,))
    worker.start()
    ours = own_share(port)
    found, rate = added(work, seconds)
    work.is_done = True
    worker.join()
    middle, error = spread(found)
    return {"ours": ours, "added": middle * RATE / rate, "error": error * RATE / rate, "turns": len(found)}


def main() -> None:
    """Measures all programs, each in a process of its own, and writes the table."""
    from run import HERE, VERSION, Sink, find, matrix

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the program's threads are looked at")
    parser.add_argument("--program", action="append", choices=list(PROGRAMS), help="only this one")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--dry", action="store_true", help="write no stacks.md")
    given = parser.parse_args()
    python = given.python or matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    sink = Sink()
    lines = [
        "# What looking at stacks costs",
        "",
        f"CPython {VERSION}, {os.cpu_count()} processors, {RATE} rounds a second; shares of the program's CPU time."
        f" What is added to its own threads is a tenth of what {OFTEN} rounds a second add, with its standard error.",
        "",
        "| program | CPU time of our threads | added to the program's own | | together |",
        "|---|---|---|---|---|",
    ]
    for program in given.program or PROGRAMS:
        found = measured(python, Path(__file__), program, sink.port, str(given.seconds))
        ours, own, error = (100 * found[name] for name in ("ours", "added", "error"))
        lines.append(f"| {program} | {ours:.2f} % | {own:+.2f} % | ± {error:.2f} | {ours + own:.2f} % |")
        print(lines[-1], file=sys.stderr, flush=True)
    sink.close()
    text = "\n".join([*lines, ""])
    print(text)
    if not given.dry:
        (HERE / "stacks.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        name, sink_port, length = sys.argv[2:]
        print(json.dumps(figures(name, sink_port, float(length))), flush=True)
    else:
        main()
