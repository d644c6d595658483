"""``pitviper-ddtrace-run``, which takes what ``ddtrace-run`` takes."""

import os
import sys
from typing import Optional

USAGE = """\
usage: pitviper-ddtrace-run [-h] [-d] [-i] [-p] [-v] [-nc] COMMAND [ARGUMENT ...]

  COMMAND          starts COMMAND traced by Pitviper, for code written for ddtrace
  -i, --info       shows the settings in force and what is instrumented; starts nothing
  -p, --profiling  starts COMMAND with the profiler
  -d, --debug      accepted
  -nc, --no-crash  accepted
  -v, --version    shows the version
"""


def ddtrace_run(arguments: "Optional[list[str]]" = None) -> int:
    """Runs the command line; returns the exit status."""
    rest = list(sys.argv[1:] if arguments is None else arguments)
    variables = {**os.environ, "PITVIPER_COMPAT": "ddtrace"}
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in ("-h", "--help"):
            sys.stdout.write(USAGE)
            return 0
        if option in ("-v", "--version"):
            from pitviper import __version__

            from .version import __version__ as served

            sys.stdout.write(f"pitviper {__version__}, with the API of ddtrace {served}\n")
            return 0
        if option in ("-i", "--info"):
            os.environ["PITVIPER_COMPAT"] = "ddtrace"
            from pitviper.info import show

            return show(rest)
        if option in ("-p", "--profiling"):
            variables["DD_PROFILING_ENABLED"] = "true"
        elif option == "--":
            break
        elif option not in ("-d", "--debug", "-nc", "--no-crash", "--no-colors"):
            sys.stderr.write(f"pitviper-ddtrace-run: unknown option {option!r}\n\n{USAGE}")
            return 2
    if not rest:
        sys.stderr.write(USAGE)
        return 2
    from pitviper.cli import execute

    return execute(rest, variables)
