"""Repeats every process model: ``stress.py [ROUNDS]``. Run by ``make stress`` on every CPython found.

A hang shows as a time-out with the stacks, a crash as an exit status, a leak as files, threads or memory that
grew over the rounds, a lost span as a count.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from processes import HERE
from processes.run import run

_ROUNDS = 20
_AT_ONCE = 4


def main() -> int:
    """Runs the command line."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else _ROUNDS
    began = time.monotonic()
    failed, expected, arrived, grown_kb = 0, 0, 0, 0
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in as_completed([pool.submit(run, pattern, rounds) for pattern in HERE]):
            outcome = future.result()
            expected += outcome.expected
            arrived += outcome.arrived
            grown_kb = max(grown_kb, outcome.grown_kb)
            if outcome.problems:
                failed += 1
                print(f"FAILED {outcome.pattern.name} ({outcome.seconds:.1f} s)", *outcome.problems, sep="\n  ")
    version = ".".join(map(str, sys.version_info[:3]))
    print(
        f"CPython {version}: {len(HERE)} patterns, {rounds} rounds, {failed} failed; {arrived} of {expected} spans; "
        f"largest growth {grown_kb} KB; {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
