"""``pitviper profile``: runs a command and writes what its processes did to files."""

import os
import sys
import time
from typing import Callable, Optional

from pitviper import profiles
from pitviper.config import guess_service
from pitviper.profiling._local import ENDINGS, VARIABLE, Plan

USAGE = """\
usage: pitviper profile [OPTION ...] [--] COMMAND [ARGUMENT ...]

Runs COMMAND as `pitviper run` does, profiled, and writes a file when it ends; no server is needed:
  pitviper profile python app.py
  pitviper profile -f speedscope -o out.json -- pytest -x tests

  -f, --format FORMAT    html (the default: a page with a flame graph), speedscope, pprof or
                         collapsed; when not given, what the output's name ends with says it
  -o, --output FILE      where to; profile-PROGRAM-TIME.html and the like when not given.
                         Further Python processes of COMMAND have their number in the name
  -r, --rate HZ          samples of each thread in a second, 1 to 1000; 100 when not given
  -d, --duration SECONDS write the file after that time, and let COMMAND go on without
  -n, --native           follow stacks into the C code that runs
"""


class _Wrong(Exception):
    """Raised for a command line that cannot be followed, with what to do."""


def profile(arguments: "list[str]", run: "Callable[[list[str], dict[str, str]], int]") -> int:
    """Runs the command of a command line by ``run``, which replaces this process; returns the exit status when
    there is nothing to run."""
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    try:
        options, command = _parse(arguments)
        plan = _plan(options, command)
        environ = _environment(options, plan)
    except _Wrong as error:
        sys.stderr.write(f"pitviper: {error}\n\n{USAGE}")
        return 2
    return run(command, environ)


_OPTIONS = {
    "-f": "format",
    "--format": "format",
    "-o": "output",
    "--output": "output",
    "-r": "rate",
    "--rate": "rate",
    "-d": "duration",
    "--duration": "duration",
}
#: Options without a value, and the variable that each sets.
_SWITCHES = {"-n": "PITVIPER_PROFILING_NATIVE", "--native": "PITVIPER_PROFILING_NATIVE"}


def _parse(arguments: "list[str]") -> "tuple[dict[str, str], list[str]]":
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        argument = rest.pop(0)
        if argument == "--":
            break
        name, separator, value = argument.partition("=")
        if argument in _SWITCHES:
            options[_SWITCHES[argument]] = "true"
            continue
        if name not in _OPTIONS:
            raise _Wrong(f"profile has no option {name}")
        if not separator:
            if not rest:
                raise _Wrong(f"{name} needs a value")
            value = rest.pop(0)
        options[_OPTIONS[name]] = value
    if not rest:
        raise _Wrong("profile needs a command")
    return options, rest


def _plan(options: "dict[str, str]", command: "list[str]") -> Plan:
    output = options.get("output")
    format = options.get("format") or _format_of(output)
    if format not in ENDINGS:
        raise _Wrong(f"no format {format!r}; use {', '.join(ENDINGS)}")
    if output is None:
        program = "".join(letter if letter.isalnum() else "-" for letter in guess_service(command, os.environ))
        output = f"profile-{program}-{time.strftime('%Y%m%d-%H%M%S')}{ENDINGS[format][0]}"
    output = os.path.abspath(output)
    if os.path.isdir(output) or not os.path.isdir(os.path.dirname(output)):
        raise _Wrong(f"cannot write to {output}; name a file in a folder that exists")
    return Plan(format, output, os.getpid(), _duration(options.get("duration")))


def _format_of(output: Optional[str]) -> str:
    for format, endings in ENDINGS.items():
        if output is not None and output.endswith(endings):
            return format
    return "html"


def _duration(value: Optional[str]) -> Optional[float]:
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise _Wrong(f"no duration {value!r}; use a number of seconds")
    return seconds


def _environment(options: "dict[str, str]", plan: Plan) -> "dict[str, str]":
    environ = {**os.environ, VARIABLE: plan.dump()}
    environ.update((variable, value) for variable, value in options.items() if variable in _SWITCHES.values())
    # Where there is no server nothing is to be sent.
    environ["PITVIPER_ENABLED"] = "false"
    if "rate" in options:
        try:
            environ["PITVIPER_PROFILING_RATE"] = str(profiles.rate(options["rate"]))
        except ValueError as error:
            raise _Wrong(f"no rate {options['rate']!r}; {error}") from None
    return environ
