"""The profilers, as each is started within a process or beside it. All send to the same sink."""

import os
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

#: What all are asked for, in samples a second.
RATE = 100
#: What a profile may tell of functions; see ``known.py``.
ALL = ("cpu", "wall", "allocated", "lock")


class Profiler(NamedTuple):
    """How a profiler is started."""

    #: Within the process; gives what stops it and has it send the rest, and may know how many samples it took.
    start: "Callable[[str], Callable[[], Any]]"
    #: How the program is started.
    command: "tuple[str, ...]" = ("{python}", "{program}")
    #: Whether the profiler is a process of its own.
    is_beside: bool = False
    #: Of which kinds what it sends is read here, and compared with what is known.
    kinds: "tuple[str, ...]" = ()


def _none(port: str) -> "Callable[[], Any]":
    return lambda: None


def _pitviper(**settings: str) -> "Callable[[str], Callable[[], Any]]":
    def start(port: str) -> "Callable[[], Any]":
        os.environ.update(
            PITVIPER_ENDPOINT=f"http://127.0.0.1:{port}",
            **{"PITVIPER_PROFILING_RATE": str(RATE), "PITVIPER_METRICS_ENABLED": "false", **settings},
        )
        from pitviper import _native
        from pitviper.profiling import Profiler as Ours

        profiler = Ours(service="bench")
        profiler.start()
        assert profiler.running, profiler.problem

        def stop() -> int:
            samples = int(_native.profiler_figures()["samples"])
            profiler.stop()
            return samples

        return stop

    return start


def _ddtrace(**settings: str) -> "Callable[[str], Callable[[], Any]]":
    def start(port: str) -> "Callable[[], Any]":
        os.environ.update(
            DD_TRACE_AGENT_URL=f"http://127.0.0.1:{port}",
            DD_TRACE_ENABLED="false",
            DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false",
            DD_SERVICE="bench",
            **settings,
        )
        from ddtrace.profiling import Profiler as Theirs  # pyright: ignore

        profiler: Any = Theirs()
        profiler.start()
        return profiler.stop

    return start


def _pyroscope(port: str) -> "Callable[[], Any]":
    import pyroscope  # pyright: ignore

    configure: Any = pyroscope.configure
    configure(application_name="bench", server_address=f"http://127.0.0.1:{port}", sample_rate=RATE)
    shutdown: Any = pyroscope.shutdown
    return shutdown


def _tracemalloc(port: str) -> "Callable[[], Any]":
    import tracemalloc

    tracemalloc.start()
    return tracemalloc.stop


def _memray(port: str) -> "Callable[[], Any]":
    import memray  # pyright: ignore

    scratch = tempfile.TemporaryDirectory()
    tracker: Any = memray.Tracker(os.path.join(scratch.name, "profile"))
    tracker.__enter__()

    def stop() -> None:
        tracker.__exit__(None, None, None)
        scratch.cleanup()

    return stop


PROFILERS = {
    "none": Profiler(_none),
    "Pitviper": Profiler(_pitviper(), kinds=ALL),
    "Pitviper, memory alone": Profiler(
        _pitviper(
            PITVIPER_PROFILING_RATE="1",
            PITVIPER_PROFILING_LOCKS="off",
            PITVIPER_PROFILING_LOOPS="0",
            PITVIPER_PROFILING_GC="false",
            PITVIPER_PROFILING_EXCEPTIONS="false",
        )
    ),
    "Pitviper, without memory": Profiler(_pitviper(PITVIPER_PROFILING_HEAP="false")),
    "Pitviper, stacks alone": Profiler(
        _pitviper(
            PITVIPER_PROFILING_HEAP="false",
            PITVIPER_PROFILING_LOCKS="off",
            PITVIPER_PROFILING_LOOPS="0",
            PITVIPER_PROFILING_GC="false",
            PITVIPER_PROFILING_EXCEPTIONS="false",
        )
    ),
    "Pitviper, exact locks": Profiler(_pitviper(PITVIPER_PROFILING_LOCKS="exact")),
    "ddtrace, stacks alone": Profiler(
        _ddtrace(
            DD_PROFILING_MEMORY_ENABLED="false", DD_PROFILING_HEAP_ENABLED="false", DD_PROFILING_LOCK_ENABLED="false"
        ),
        kinds=("cpu",),
    ),
    "ddtrace": Profiler(_ddtrace(), kinds=ALL),
    "pyroscope-io": Profiler(_pyroscope),
    "py-spy": Profiler(
        _none,
        (
            *("py-spy", "record", "--nonblocking", "--format", "raw", "--rate", str(RATE), "--output", "{output}"),
            *("--", "{python}", "{program}"),
        ),
        is_beside=True,
        kinds=("cpu",),
    ),
    "tracemalloc": Profiler(_tracemalloc),
    "memray": Profiler(_memray),
    "scalene": Profiler(_none, ("{python}", "-m", "scalene", "run", "-o", "{output}", "{program}", "---")),
}
