"""What a pattern is: a program whose function ``once`` is repeated under the agent."""

import sys
from dataclasses import dataclass, field
from typing import Optional

#: What a program imports if it uses it.
_MODULES = ("asyncio", "atexit", "gc", "multiprocessing", "signal", "socket", "subprocess", "threading")
_IMPORTS = """\
import os, sys, time
import pitviper, probe
from pitviper import _native, tracer
from probe import forked, join, program, span, wait
"""


@dataclass(frozen=True)
class Pattern:
    """One pattern. ``span``, ``forked`` and what else the code uses are those of :mod:`processes.probe`."""

    #: What it is called in the output of tests.
    name: str
    #: The body of the function that is repeated.
    once: str = "pass"
    #: Spans that one repetition makes, in whatever process.
    spans: int = 1
    #: What the program begins with, before it imports anything of ours.
    first: str = ""
    #: What comes before the function.
    setup: str = ""
    #: What follows the repetitions.
    last: str = ""
    #: Spans that the setup, ``last`` and exit handlers make.
    last_spans: int = 0
    #: Whether the program is not started by ``pitviper run``; ``first`` imports ``pitviper.auto`` then.
    bare: bool = False
    #: Variables for the program.
    environ: "dict[str, str]" = field(default_factory=lambda: {})
    #: The oldest Python that has what it needs.
    since: "tuple[int, int]" = (3, 9)
    #: The newest Python that allows it.
    until: "tuple[int, int]" = (3, 99)
    #: How the program ends.
    returncode: int = 0
    #: What is found in what it says on standard error; None for whatever it likes.
    says: "Optional[str]" = ""
    #: Whether more spans may arrive: threads make them while the process ends.
    more: bool = False
    #: Whether ``once`` is repeated in one process; else the program is run that often.
    repeat: bool = True
    #: The longest its end may take once ``last`` is done, in seconds; zero for as long as it likes.
    ends_within: float = 0.0

    def is_for_this_python(self) -> bool:
        """Whether this Python has what the pattern needs."""
        return self.since <= sys.version_info[:2] <= self.until

    def source(self) -> str:
        """The program."""
        code = "\n".join([self.setup, self.once, self.last])
        used = [module for module in _MODULES if f"{module}." in code]
        return "\n".join(
            [
                self.first,
                f"import {', '.join(used)}" if used else "",
                _IMPORTS,
                self.setup,
                "def once():",
                *_indented(self.once),
                "if __name__ == '__main__':",
                "    probe.loop(once)",
                *_indented(self.last),
                "    probe.ending()",
                "",
            ]
        )


def _indented(code: str) -> "list[str]":
    return ["    " + line for line in code.strip("\n").splitlines()]
