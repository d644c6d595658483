"""``import ddtrace.profiling.auto``: starts the profiler."""

from . import Profiler


def start_profiler() -> Profiler:
    """Starts the profiler again, such as in a child that was made without Python's knowing."""
    profiler = Profiler()
    profiler.start()
    return profiler


profiler = start_profiler()
