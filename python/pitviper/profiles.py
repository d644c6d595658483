"""The profiler of this process: its settings, and how it is started, kept through forks, and ended.

There is one. Who starts it last owns it: an application's :class:`pitviper.profiling.Profiler` takes over
from the one that ``pitviper run`` started.
"""

import os
import sys

from pitviper import _native, _tasks
from pitviper._guard import internal_error, say
from pitviper.settings import Setting, flag, pairs, url, within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Callable, Optional

    from pitviper.config import Config

#: A process is profiled from its first span, log record or measurement on, as no thread of ours is there before, and
#: only while the receiver takes profiles.
AUTO = "auto"

#: Samples of each thread in a second.
_MIN_RATE, _MAX_RATE = 1, 1_000
#: Length of a profile, in seconds.
_MIN_PERIOD, _MAX_PERIOD = 1.0, 3_600.0
#: How waits for locks may be told.
LOCKS = ("sampled", "exact", "off")
#: How long a loop may be blocked at most before that is told, in milliseconds.
_MAX_LOOPS = 60_000.0
#: The profiler may not take more than this part of one processor.
_MAX_BUDGET = 0.5
#: Mean number of allocated bytes between two samples.
_MIN_INTERVAL, _MAX_INTERVAL = 4_096, 1 << 40
_MAX_HEAP_RATE = 100_000


def switch(value: str) -> "bool | str":
    """true, false or auto."""
    return AUTO if value.strip().lower() == AUTO else _as_flag(value, f"use true, false or {AUTO}")


def rate(value: str) -> int:
    """Samples a second."""
    return within(value, int, _MIN_RATE, _MAX_RATE, f"use a whole number from {_MIN_RATE} to {_MAX_RATE}")


def seconds(value: str) -> float:
    """The length of a profile."""
    return within(value, float, _MIN_PERIOD, _MAX_PERIOD, f"use seconds from {_MIN_PERIOD:g} to {_MAX_PERIOD:g}")


def budget(value: str) -> float:
    """Part of a processor."""
    advice = f"use a number above 0, and up to {_MAX_BUDGET}"
    number = within(value, float, 0.0, _MAX_BUDGET, advice)
    if number == 0.0:
        raise ValueError(advice)
    return number


def locks(value: str) -> str:
    """How waits for locks are told."""
    lowered = value.strip().lower()
    if lowered not in ("sampled", "exact"):
        return "sampled" if _as_flag(lowered, f"use {', '.join(LOCKS)}") else "off"
    return lowered


def milliseconds(value: str) -> float:
    """How long a loop may be blocked, 0 for ever."""
    return within(value, float, 0.0, _MAX_LOOPS, f"use milliseconds up to {_MAX_LOOPS:g}, 0 for off")


def _as_flag(value: str, advice: str) -> bool:
    try:
        return flag(value)
    except ValueError:
        raise ValueError(advice) from None


def interval(value: str) -> int:
    """Bytes between two samples."""
    advice = f"use a whole number of bytes from {_MIN_INTERVAL} to {_MAX_INTERVAL}"
    return within(value, int, _MIN_INTERVAL, _MAX_INTERVAL, advice)


def heap_rate(value: str) -> int:
    """Samples of memory a second, at most."""
    return within(value, int, 0, _MAX_HEAP_RATE, f"use a whole number up to {_MAX_HEAP_RATE}; 0 for no bound")


SETTINGS = (
    Setting(
        "profiling_enabled",
        AUTO,
        switch,
        "PITVIPER_PROFILING_ENABLED DD_PROFILING_ENABLED",
        "Whether the process is profiled: which functions take its time and memory, and what threads wait for. true "
        "from the start on; auto from the first span on, where the receiver takes profiles.",
    ),
    Setting(
        "profiling_rate",
        100,
        rate,
        "PITVIPER_PROFILING_RATE",
        "Samples of each thread in a second; fewer where that would take more than the budget.",
    ),
    Setting(
        "profiling_cpu_budget",
        0.01,
        budget,
        "PITVIPER_PROFILING_CPU_BUDGET",
        "How much of one processor's time the profiler may take.",
    ),
    Setting(
        "profiling_locks",
        "sampled",
        locks,
        "PITVIPER_PROFILING_LOCKS DD_PROFILING_LOCK_ENABLED",
        "How waits for locks are told: sampled with the stacks at no cost, exact by counting each, or off.",
    ),
    Setting(
        "profiling_loops",
        100.0,
        milliseconds,
        "PITVIPER_PROFILING_LOOPS",
        "How many milliseconds a callback may block an event loop before the profile has it; 0 for off.",
    ),
    Setting(
        "profiling_gc",
        True,
        flag,
        "PITVIPER_PROFILING_GC",
        "Whether profiles have the pauses for garbage collections.",
    ),
    Setting(
        "profiling_exceptions",
        True,
        flag,
        "PITVIPER_PROFILING_EXCEPTIONS DD_PROFILING_EXCEPTION_ENABLED",
        "Whether profiles have the exceptions that are raised, handled ones too.",
    ),
    Setting(
        "profiling_heap",
        True,
        flag,
        "PITVIPER_PROFILING_HEAP DD_PROFILING_MEMORY_ENABLED DD_PROFILING_HEAP_ENABLED",
        "Whether a profile tells what memory is allocated where, and what of it is still there.",
    ),
    Setting(
        "profiling_heap_sample_bytes",
        524_288,
        interval,
        "PITVIPER_PROFILING_HEAP_SAMPLE_BYTES DD_PROFILING_HEAP_SAMPLE_SIZE",
        "How many bytes are allocated between two samples, on average.",
    ),
    Setting(
        "profiling_heap_rate",
        250,
        heap_rate,
        "PITVIPER_PROFILING_HEAP_RATE",
        "How many samples of memory there may be in a second; where there would be more, they lie further apart. "
        "0 for any number.",
    ),
    Setting(
        "profiling_native",
        False,
        flag,
        "PITVIPER_PROFILING_NATIVE",
        "Whether stacks go on into C code that runs; running threads then get a signal (SIGURG) for each sample.",
    ),
    Setting(
        "profiling_upload_period",
        60.0,
        seconds,
        "PITVIPER_PROFILING_UPLOAD_PERIOD DD_PROFILING_UPLOAD_INTERVAL",
        "How long a profile lasts before it is sent, in seconds; the first is sent after a sixth of that.",
    ),
    Setting(
        "profiling_endpoint",
        None,
        url,
        "PITVIPER_PROFILING_ENDPOINT",
        "Full URL for profiles; used as it is. When not set, /v1/pprof at the endpoint.",
    ),
    Setting(
        "profiling_headers",
        {},
        pairs,
        "PITVIPER_HEADERS OTEL_EXPORTER_OTLP_HEADERS",
        "Headers sent with profiles, as a=b,c=d. Never shown.",
        secret=True,
    ),
)


class Run:
    """A profiler that is running.

    Args:
        config: The settings.
        attributes: What its profiles have beside the attributes of the process, or instead.
        children: Whether forked children are profiled too.
        at_exit: Called when the interpreter ends, to do something with what was sampled; by default it is sent.
            None to throw it away.
    """

    __slots__ = ("at_exit", "attributes", "children", "config", "is_agents", "sends")

    def __init__(
        self,
        config: "Config",
        attributes: "Mapping[str, str]",
        children: bool = True,
        at_exit: "Optional[Callable[[], object]]" = _native.end_profile,
        sends: bool = True,
    ) -> None:
        self.config = config
        self.attributes = dict(attributes)
        self.children = children
        self.at_exit = at_exit
        #: Whether profiles are sent at all; else they stay until they are taken.
        self.sends = sends
        #: Whether settings started it, and not the application.
        self.is_agents = False


_running: "Optional[Run]" = None
#: What is to be profiled with once the exporter runs.
_waiting: "Optional[Config]" = None
#: Whether the process that this one was forked from was profiled then.
_inherited = False
#: Whether forks of this process are watched.
_watches_forks = False


def running() -> "Optional[Run]":
    """The profiler that runs in this process, if any."""
    return _running


def start(run: Run) -> "Optional[str]":
    """Starts a profiler, or lets it take over from the one that runs.

    Returns:
        None when it samples, else why that is not possible here.
    """
    global _watches_forks
    problem = try_out(run.config, run.children)
    if problem is None:
        _adopt(run)
    if not _watches_forks:
        _watches_forks = True
        os.register_at_fork(after_in_child=_after_fork)
    return problem


def follow(config: "Config") -> None:
    """Profiles the process, or does no longer, as the settings say. A profiler that the application started
    itself is its own."""
    run, wanted = _running, config["profiling_enabled"] if config["enabled"] else False
    if run is not None and not run.is_agents:
        return
    _wait(config if wanted == AUTO and run is None else None)
    if wanted == AUTO and run is None:
        return
    if wanted:
        _start_own(config)
    elif run is not None:
        # What was sampled so far is sent with the rest.
        stop(run, 0.0)


def is_waiting() -> bool:
    """Whether the process is to be profiled and is not yet."""
    return _waiting is not None


def begin() -> None:
    """Profiles the process if that was to begin with its first span."""
    config = _waiting
    if config is not None and _running is None:
        _start_own(config)
    if _waiting is config:
        _wait(None)


def refused() -> None:
    """The receiver has no place for profiles: unless somebody asked for them, it costs less to make none."""
    run = _running
    if run is not None and _is_auto(run):
        stop(run, None)


def _is_auto(run: Run) -> bool:
    return run.is_agents and run.config["profiling_enabled"] == AUTO


def _wait(config: "Optional[Config]") -> None:
    global _waiting
    if config is not None or _waiting is not None:
        # Imported now: in a child that is forked while another thread imports, that module is locked for ever.
        _events()
        _waiting = config
        _native.companion_wanted(begins=config is not None)


def _start_own(config: "Config") -> None:
    """Starts the profiler that the settings want."""
    run = Run(config, {})
    run.is_agents = True
    problem = start(run)
    # Who did not ask for it need not know that it cannot be had; `pitviper run --info` says it.
    if problem is not None and config.resolved["profiling_enabled"].source != "default":
        say(f"not profiling: {problem}")


def _adopt(run: Run) -> None:
    global _running
    _running = run
    _events().start(run.config)
    name_threads()
    _native.companion_wanted(profiling=True)
    _configure(run)


def try_out(config: "Config", children: bool = False) -> "Optional[str]":
    """Begins to sample and does nothing with it; None, or why that is not possible."""
    return _native.profiler_start(
        float(config["profiling_rate"]),
        config["profiling_cpu_budget"],
        standard_library=[os.path.dirname(os.__file__)],
        children=children,
        allocation_interval=config["profiling_heap_sample_bytes"] if config["profiling_heap"] else 0,
        allocation_rate_hz=config["profiling_heap_rate"],
        native=config["profiling_native"],
    )


def stop(run: Run, timeout: "Optional[float]") -> bool:
    """Stops a profiler, unless another has taken over.

    Args:
        run: The profiler.
        timeout: How long to wait for what it sampled to be sent, in seconds; None to throw that away.

    Returns:
        Whether a server took what was sent.
    """
    global _running
    if _running is not run:
        return True
    is_sent = timeout is not None and run.sends
    if is_sent:
        name_threads()
        _native.end_profile()
        _native.queue_profile()
    _running = None
    _native.companion_wanted(profiling=False)
    _configure(run, enabled=False)
    _events().stop()
    _native.profiler_stop()
    _tasks.unwatch()
    return _native.flush(int((timeout or 0.0) * 1000)) if is_sent else True


def ending() -> None:
    """The interpreter is about to end, and what waits is about to be sent."""
    _wait(None)
    run = _running
    if run is None:
        return
    name_threads()
    if run.at_exit is None:
        _configure(run, enabled=False)
    else:
        run.at_exit()


def ended() -> None:
    """All was sent. Nothing is sampled while the interpreter takes itself apart."""
    global _running
    if _running is not None:
        _running = None
        _events().stop()
        _native.profiler_stop()


def name_threads() -> None:
    """Tells the native half what the threads are called that live now, and where tasks are."""
    if _running is not None:
        _native.profiler_name_threads()
        _tasks.watch()


def _events() -> "Any":
    # Its package needs this module.
    from pitviper.profiling import _events

    return _events


def _configure(run: Run, enabled: bool = True) -> None:
    config = run.config
    headers = dict(config["profiling_headers"])
    if config.resolved["headers"].source == "init()" and config.resolved["profiling_headers"].source != "init()":
        headers = dict(config["headers"])
    if config["token"]:
        headers["authorization"] = f"Bearer {config['token']}"
    _native.configure_profiles(
        enabled=enabled and run.sends,
        url=config["profiling_endpoint"] or config["endpoint"].rstrip("/") + "/v1/pprof",
        headers=list(headers.items()),
        period_ms=int(config["profiling_upload_period"] * 1000),
        attributes=run.attributes,
    )


def begin_worker() -> None:
    """A child that ``multiprocessing`` forked is there to compute, with spans or without: it is profiled as its parent
    is."""
    if _inherited:
        begin()


def _after_fork() -> None:
    """Goes on in a forked child, or waits, or does not."""
    global _running, _inherited
    run, _inherited = _running, False
    if run is None:
        return
    try:
        if not run.children or _is_auto(run):
            _running = None
            _configure(run, enabled=False)
            _events().stop()
            # No thread of ours is there before the first span of the child.
            _wait(run.config if run.children else None)
            _inherited = run.children
        elif not _is_about_to_exec():
            _native.profiler_resume()
            _adopt(run)
    except Exception as error:
        internal_error(error)


def _is_about_to_exec() -> bool:
    """Whether the child was forked by ``subprocess`` to run a program: what is done in between, such as entering
    a namespace, may need a process of one thread."""
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    return frame.f_code.co_name == "_execute_child" and frame.f_code.co_filename.endswith("subprocess.py")
