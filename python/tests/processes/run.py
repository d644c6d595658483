"""Runs patterns, and judges them: no hang, no crash, no lost span, nothing left over."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sink import Sink

from pitviper.cli import environment
from processes.pattern import Pattern

#: Seconds for one program, beside what each repetition may take. On a busy machine all takes its time;
#: what hangs hangs for ever.
_PATIENCE, _PATIENCE_EACH = 60.0, 30.0
#: Kilobytes a program may grow by between its first repetitions and its last: what Python's own free lists do.
_GROWTH_KB = 6 * 1024
_HERE = Path(__file__).parent


@dataclass
class Outcome:
    """What became of a pattern."""

    pattern: Pattern
    problems: "list[str]" = field(default_factory=lambda: [])
    expected: int = 0
    arrived: int = 0
    grown_kb: int = 0
    seconds: float = 0.0


def run(pattern: Pattern, iterations: int) -> Outcome:
    """Runs a pattern that often, against a receiver of its own."""
    outcome = Outcome(pattern)
    began = time.monotonic()
    sink = Sink()
    try:
        with tempfile.TemporaryDirectory() as folder:
            _run(outcome, iterations, sink, Path(folder))
    finally:
        sink.close()
    outcome.seconds = time.monotonic() - began
    return outcome


def _run(outcome: Outcome, iterations: int, sink: Sink, folder: Path) -> None:
    pattern, problems = outcome.pattern, outcome.problems
    program, report = folder / "program.py", folder / "report"
    program.write_text(pattern.source())
    report.touch()
    runs, iterations = (1, iterations) if pattern.repeat else (iterations, 1)
    patience = _PATIENCE + _PATIENCE_EACH * iterations
    command = [sys.executable, str(program)]
    variables = _variables(pattern, sink, report, iterations)
    # What runs in the background of a shell ignores Ctrl-C, and so would all that it starts.
    command = ["env", "--default-signal=INT", *command]
    for _ in range(runs):
        started = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=variables, cwd=folder
        )
        try:
            said = started.communicate(timeout=patience)[1]
        except subprocess.TimeoutExpired:
            problems.append("it hangs")
            _abort_all(report)
            said = started.communicate()[1]
        ended = time.time()
        if not _all_gone(report, patience):
            problems.append("a process it left behind hangs")
            _abort_all(report)
        if started.returncode != pattern.returncode:
            problems.append(f"it ended with status {started.returncode}")
        if pattern.says is not None and ((pattern.says not in said) if pattern.says else said):
            problems.append("it said what it should not, or nothing")
        if problems:
            problems.append(said)
        lines = [json.loads(line) for line in report.read_text().splitlines()]
        problems += [line["problem"] for line in lines if "problem" in line]
        outcome.grown_kb = max([0, *(line["grown_kb"] for line in lines if "grown_kb" in line)])
        took = ended - max([ended, *(line["ending"] for line in lines if "ending" in line)][-1:])
        if pattern.ends_within and took > pattern.ends_within:
            problems.append(f"its end took {took:.1f} s")
    if outcome.grown_kb > _GROWTH_KB:
        problems.append(f"it grew by {outcome.grown_kb} KB")
    extra = sum(line.get("extra", 0) for line in lines)
    outcome.expected = runs * (pattern.spans * iterations + pattern.last_spans) + extra
    try:
        sink.wait_for(outcome.expected, _PATIENCE)
    except AssertionError:
        problems.append("spans are lost")
    _judge_spans(outcome, sink)


def _judge_spans(outcome: Outcome, sink: Sink) -> None:
    outcome.arrived = len(sink.spans)
    if outcome.arrived < outcome.expected or (outcome.arrived > outcome.expected and not outcome.pattern.more):
        outcome.problems.append(f"of {outcome.expected} spans {outcome.arrived} arrived")
    if len({span.span_id for span in sink.spans}) != outcome.arrived:
        outcome.problems.append("span ids repeat")
    instances = {(span.resource["process.pid"], span.resource["service.instance.id"]) for span in sink.spans}
    if len({instance for _, instance in instances}) != len(instances):
        outcome.problems.append(f"processes share an instance: {sorted(instances)}")


def _variables(pattern: Pattern, sink: Sink, report: Path, iterations: int) -> "dict[str, str]":
    paths = [str(_HERE), os.environ.get("PYTHONPATH", "")]
    variables = {
        **os.environ,
        "PITVIPER_ENDPOINT": sink.endpoint,
        "PITVIPER_SERVICE": "pattern",
        # So late that only what the end of a process does can send the last spans.
        "OTEL_BSP_SCHEDULE_DELAY": "60000",
        # No end is so slow on a busy machine that it loses spans, and no request: at the end each is made
        # once more, and then no more.
        "PITVIPER_EXIT_TIMEOUT": "60000",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "60000",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONFAULTHANDLER": "1",
        "PROBE_REPORT": str(report),
        "PROBE_ITERATIONS": str(iterations),
        # Python warns of forks where there are threads; these are forks where there are threads.
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
        **pattern.environ,
    }
    # What `pitviper run` does before it becomes the program.
    return variables if pattern.bare else environment(variables)


def _left(report: Path) -> "list[int]":
    """The processes of a program that live, wherever they belong to by now."""
    mark = f"PROBE_REPORT={report}".encode()
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _all_gone(report: Path, patience: float) -> bool:
    until = time.monotonic() + patience
    while _left(report):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _abort_all(report: Path) -> None:
    """Ends what hangs; Python says where it was."""
    for number in (signal.SIGABRT, signal.SIGKILL):
        for process in _left(report):
            try:
                os.kill(process, number)
            except ProcessLookupError:
                continue
        time.sleep(1)
