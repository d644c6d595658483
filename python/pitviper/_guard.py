"""The rule that no error of ours reaches the application, in one place.

An error inside the agent is counted and otherwise swallowed. With ``PITVIPER_TESTING_RAISE=1``,
which only our own tests set, it is raised.
"""

import os
import sys

_RAISE = os.environ.get("PITVIPER_TESTING_RAISE") == "1"

_errors = 0
_last_error: "str | None" = None


def internal_error(error: BaseException) -> None:
    """Counts an error of ours. To be called from an ``except Exception`` block."""
    global _errors, _last_error
    if _RAISE:
        raise error
    _errors += 1
    _last_error = f"{type(error).__name__}: {error}"


def internal_errors() -> "tuple[int, str | None]":
    """How many errors of ours were swallowed, and the last one's text."""
    return _errors, _last_error


def say(message: str) -> None:
    """Shows one line on standard error, if there is one."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None under pythonw and daemons
        try:
            sys.stderr.write(f"pitviper: {message}\n")
        except (OSError, ValueError):
            return
