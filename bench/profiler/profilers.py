"""The profilers, as each is started within a process or beside it. All send to the same sink."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

#: What all are asked for, in samples a second.
RATE = 100


class Profiler(NamedTuple):
    """How a profiler is started."""

    #: Within the process; gives what stops it and has it send the rest, and may know how many samples it took.
    start: "Callable[[str], Callable[[], Any]]"
    #: The command in front of the program, if the profiler is a process of its own.
    command: "tuple[str, ...]" = ()
    #: Whether what it sends is read here.
    is_read: bool = True


def _none(port: str) -> "Callable[[], Any]":
    return lambda: None


def _pitviper(port: str) -> "Callable[[], Any]":
    os.environ.update(
        PITVIPER_ENDPOINT=f"http://127.0.0.1:{port}",
        PITVIPER_PROFILING_RATE=str(RATE),
        PITVIPER_METRICS_ENABLED="false",
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


PROFILERS = {
    "none": Profiler(_none, is_read=False),
    "Pitviper": Profiler(_pitviper),
    "ddtrace, stacks alone": Profiler(
        _ddtrace(
            DD_PROFILING_MEMORY_ENABLED="false", DD_PROFILING_HEAP_ENABLED="false", DD_PROFILING_LOCK_ENABLED="false"
        )
    ),
    "ddtrace": Profiler(_ddtrace()),
    "pyroscope-io": Profiler(_pyroscope, is_read=False),
    "py-spy": Profiler(
        _none,
        ("py-spy", "record", "--nonblocking", "--format", "raw", "--rate", str(RATE), "--output", "{output}", "--"),
    ),
}
