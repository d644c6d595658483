"""Counts what agents add to each operation in instructions, and writes ``instructions.md``::

instructions.py [--row NAME] [--agent NAME] [--python PATH] [--dry]

CPU time differs by several percent from process to process, with how memory happens to lie; instructions do not.
Those of the kernel are not among them. They are counted by Valgrind (Debian's package ``valgrind``).
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from agents import AGENTS
from report import table
from run import HERE, VERSION, Bench, find, matrix, serving
from works import ROWS

#: The part of a row's operations that is done here: it takes fifty times as long.
PART = 5
COMPARED = ("none", "Pitviper", "ddtrace")


def count(bench: Bench, agent: str, row: str, times: int) -> int:
    """The instructions of a process that does an operation so often, after a warm-up."""
    counting = ["valgrind", "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={os.devnull}"]
    command = [*counting, *bench.command(agent, row), str(times)]
    environ = {**bench.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=HERE, timeout=1_800)
    found = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode != 0 or found is None:
        sys.exit(f"{agent}, {row} failed:\n{done.stderr[-4_000:]}")
    return int(found[1].replace(",", ""))


def each(bench: Bench, agent: str, row: str) -> float:
    """The instructions of one operation."""
    times = ROWS[row].times_of(agent) // PART
    with ThreadPoolExecutor(2) as pool:
        without, with_them = pool.map(lambda times: count(bench, agent, row, times), (0, times))
    return (with_them - without) / times


def main() -> None:
    """Counts everything and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="count only this; may be repeated")
    parser.add_argument("--agent", action="append", choices=list(AGENTS), help="only this one, beside none")
    parser.add_argument("--python", type=Path, help="an interpreter with all requirements and the agent")
    parser.add_argument("--dry", action="store_true", help="write no instructions.md")
    given = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is missing; apt-get install valgrind")
    agents = ["none", *given.agent] if given.agent else list(COMPARED)
    python = given.python or matrix.environment(VERSION, find()[VERSION], HERE / "requirements.txt")
    rows: list[list[str]] = []
    with serving(python) as bench:
        for row in given.row or ROWS:
            print(row, file=sys.stderr, flush=True)
            found = {agent: each(bench, agent, row) for agent in agents}
            added = {agent: found[agent] - found["none"] for agent in agents if agent != "none"}
            cells = [row, f"{found['none']:,.0f}", *(f"{more:,.0f}" for more in added.values())]
            if "Pitviper" in added and "ddtrace" in added:
                cells.append(f"{added['Pitviper'] / added['ddtrace']:.3f}")
            rows.append(cells)
    head = ["", "without an agent", *(f"{agent} adds" for agent in agents if agent != "none"), "Pitviper : ddtrace"]
    lines = ["# Instructions an operation", "", f"CPython {VERSION}; [README.md](README.md) says what is done.", ""]
    text = "\n".join([*lines, *table(head[: len(rows[0])], rows)])
    if not given.dry:
        (HERE / "instructions.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
