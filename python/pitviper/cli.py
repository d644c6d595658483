"""The command ``pitviper``."""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

USAGE = """\
usage: pitviper run [--info] [--compat API] COMMAND [ARGUMENT ...]
       pitviper profile [OPTION ...] COMMAND [ARGUMENT ...]
       pitviper --version

  run COMMAND          starts COMMAND, traced:
                         pitviper run gunicorn app:app
                         pitviper run python app.py
                         pitviper run python -m module
  run --info [COMMAND] shows the settings in force, where each came from, whether the
                       server answers, and what is instrumented; starts nothing
  run --compat ddtrace COMMAND
                       the same for code written for ddtrace: `import ddtrace` is served by
                       this agent, also where ddtrace is installed
  run --compat oneagent COMMAND
                       the same for code written for the OneAgent SDK
  profile COMMAND      runs COMMAND and writes a page with its flame graph, without a server;
                       `pitviper profile --help` has the options

Settings are environment variables; PITVIPER_SERVICE and PITVIPER_ENDPOINT are the first to know.
"""

#: Exit statuses of shells for a command that is not there, or cannot be run.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def main(arguments: "Optional[list[str]]" = None) -> int:
    """Runs the command line; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        from pitviper._native import __version__

        sys.stdout.write(f"pitviper {__version__}\n")
        return 0
    if arguments[0] == "profile":
        from pitviper.profiling._command import profile

        return profile(arguments[1:], execute)
    if arguments[0] != "run":
        sys.stderr.write(f"pitviper: unknown command {arguments[0]!r}\n\n{USAGE}")
        return 2
    rest = arguments[1:]
    variables = dict(os.environ)
    if rest and rest[0].partition("=")[0] == "--compat":
        name, rest = _option(rest)
        from pitviper.compat import NAMES

        if name not in NAMES:
            sys.stderr.write(f"pitviper: --compat takes {' or '.join(NAMES)}, not {name!r}\n")
            return 2
        os.environ["PITVIPER_COMPAT"] = variables["PITVIPER_COMPAT"] = name
        if rest and os.path.basename(rest[0]) in ("ddtrace-run", "pitviper-ddtrace-run"):
            # What it would do is being done.
            from pitviper.compat.ddtrace.commands import ddtrace_run

            return ddtrace_run(rest[1:])
    if rest and rest[0] == "--info":
        from pitviper.info import show

        return show(rest[1:])
    if rest and rest[0] == "--":
        rest = rest[1:]
    if not rest or rest[0].startswith("-"):
        sys.stderr.write(f"pitviper: run needs a command\n\n{USAGE}")
        return 2
    return execute(rest, variables)


def environment(environ: "dict[str, str]") -> "dict[str, str]":
    """The environment in which Python starts the agent by itself."""
    site = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bootstrap", "site")
    others = [path for path in environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != site]
    return {**environ, "PYTHONPATH": os.pathsep.join([site, *others]), "PITVIPER_RUN": "1"}


def _option(arguments: "list[str]") -> "tuple[str, list[str]]":
    """The value of the first option, and what follows: ``--name value`` or ``--name=value``."""
    _, separator, value = arguments[0].partition("=")
    if separator:
        return value, arguments[1:]
    return (arguments[1] if len(arguments) > 1 else ""), arguments[2:]


def execute(command: "list[str]", variables: "dict[str, str]") -> int:
    """Becomes the command, traced; returns only where that cannot be."""
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment(variables))
    except FileNotFoundError:
        sys.stderr.write(f"pitviper: no command {command[0]!r}; is it installed, and is its folder on PATH?\n")
        return _NOT_FOUND
    except OSError as error:
        sys.stderr.write(f"pitviper: cannot run {command[0]!r}: {error.strerror}\n")
        return _NOT_EXECUTABLE
