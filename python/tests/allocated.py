"""What samples of allocations say, as tests and their programs ask of it."""

import collections
import os
import subprocess
import sys
import textwrap
from typing import Any, NamedTuple, Optional

from sampled import LIMIT_S

from pitviper import _native

#: Every allocation is sampled but those of a few bytes.
ALL = 1
#: One byte of so many is sampled where the sums are to be true on average.
SOME = 4_096
#: What an empty bytes object takes.
BYTES = sys.getsizeof(b"")


class Allocated(NamedTuple):
    """What samples of a function say."""

    alloc_space: int = 0
    alloc_objects: int = 0
    inuse_space: int = 0
    inuse_objects: int = 0


Samples = "list[tuple[list[tuple[str, str, int]], dict[str, str | int], dict[str, int]]]"


def take() -> Samples:
    """The samples of allocations since the last time."""
    samples = _native.profiler_take()
    assert samples is not None
    return [sample for sample in samples if "state" not in sample[1]]


def within(samples: Samples, function: str, **labels: "str | int") -> Allocated:
    """The sums of all samples whose innermost function this is, with these labels."""
    sums: collections.Counter[str] = collections.Counter()
    for frames, found, values in samples:
        if frames[0][0].rsplit(".", 1)[-1] == function and labels.items() <= found.items():
            sums.update(values)
    return Allocated(**{name: sums[name] for name in Allocated._fields})


def figures() -> "dict[str, Any]":
    return _native.profiler_figures()


def start(interval: int, rate_hz: float = 1.0) -> None:
    assert _native.profiler_start(rate_hz, 0.01, allocation_interval=interval) is None
    assert figures()["alloc_running"] is True


def length(size: int) -> int:
    # A frame of its own: the number is an allocation too, and Python 3.14 keeps freed ones for the next.
    return size - BYTES


# Python 3.10 and before make a function's frame when it is called first, and keep it.
length(0)


def makes(size: int) -> bytes:
    return bytes(length(size))


def grows(block: bytearray, by: bytes) -> None:
    block.extend(by)


def shrinks(block: bytearray, to: int) -> None:
    del block[to:]


def run(program: str, interval: Optional[int] = ALL, status: int = 0, **environ: str) -> None:
    """Runs a program to its good end, which has what tests ask with. It samples every allocation."""
    here = os.path.dirname(__file__)
    began = "import os, sys, threading\nfrom allocated import *\nfrom pitviper import _native\n"
    if interval:
        began += f"start({interval})\n"
    done = subprocess.run(
        [sys.executable, "-Wignore::DeprecationWarning", "-c", began + textwrap.dedent(program)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([here, *filter(None, sys.path)]), **environ},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stdout.endswith("fine\n"), (done.stdout, done.stderr)
