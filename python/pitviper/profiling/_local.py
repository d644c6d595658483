"""A profile in a file, without a server: what ``pitviper profile`` asks of the processes it starts."""

import _thread
import gzip
import json
import os
import signal
import time
from typing import Any, Optional

from pitviper import _native, bootstrap, profiles
from pitviper._guard import internal_error, say
from pitviper.config import Config, command_line, guess_service

#: The variable that carries the plan to the processes of a command.
VARIABLE = "PITVIPER_PROFILE"

#: What files end with, by format; the first is the usual one.
ENDINGS = {
    "html": (".html", ".htm"),
    "speedscope": (".speedscope.json", ".json"),
    "pprof": (".pb.gz", ".pb", ".pprof", ".pprof.gz"),
    "collapsed": (".collapsed", ".folded", ".txt"),
}


class Plan:
    """Where the profile goes.

    Args:
        format: A key of :data:`ENDINGS`.
        output: Path of the first process's file; others have their process id in the name.
        pid: Process id of the first process.
        duration: Seconds after which it is written though the program goes on; None for its end.
    """

    def __init__(self, format: str, output: str, pid: int, duration: Optional[float] = None) -> None:
        self.format = format
        self.output = output
        self.pid = pid
        self.duration = duration

    def dump(self) -> str:
        """The plan as the value of :data:`VARIABLE`."""
        return json.dumps(vars(self))

    def path(self) -> str:
        """The file of this process."""
        pid = os.getpid()
        if pid == self.pid:
            return self.output
        ending = next((end for end in _all_endings() if self.output.endswith(end)), "")
        stem = self.output[: len(self.output) - len(ending)]
        return f"{stem}-{pid}{ending}"

    def write(self) -> None:
        """Writes what this process sampled, and says where it is."""
        title = f"{guess_service(command_line(), os.environ)}, process {os.getpid()}"
        taken = _native.take_profile(self.format, title)
        if taken is None:
            return
        content, samples, duration_ns = taken
        path = self.path()
        try:
            with open(path, "wb") as file:
                file.write(gzip.compress(content) if path.endswith(".gz") else content)
        except OSError as error:
            say(f"cannot write the profile to {path}: {error.strerror}")
            return
        say(f"wrote {path} ({duration_ns / 1e9:.1f} s, {samples} samples)")


def _all_endings() -> "list[str]":
    return sorted((ending for endings in ENDINGS.values() for ending in endings), key=len, reverse=True)


def start(config: Config, text: str) -> None:
    """Profiles this process as the plan in the variable says."""
    given: dict[str, Any] = json.loads(text)
    plan = Plan(**given)
    run = profiles.Run(config, {}, at_exit=plan.write, sends=False)
    problem = profiles.start(run)
    if problem is not None:
        say(f"not profiling process {os.getpid()}: {problem}")
        return
    bootstrap.watch_exit()
    bootstrap.flush_in_children()
    _write_at_sigterm(run, plan)
    if plan.duration is not None:
        _thread.start_new_thread(_write_after, (run, plan, plan.duration))


def _finish(run: profiles.Run, plan: Plan) -> None:
    if profiles.running() is run:
        profiles.name_threads()
        plan.write()
        profiles.stop(run, None)


def _write_after(run: profiles.Run, plan: Plan, duration: float) -> None:
    try:
        time.sleep(duration)
        _finish(run, plan)
    except Exception as error:
        internal_error(error)


def _write_at_sigterm(run: profiles.Run, plan: Plan) -> None:
    """Has the file written before SIGTERM ends the process, if the application leaves it at that."""

    def on_sigterm(number: int, _: object) -> None:
        try:
            _finish(run, plan)
        finally:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, on_sigterm)
    except ValueError:
        # Only the main thread may; what others start ends as it likes.
        return
