"""``ddtrace.profiling.profiler.Profiler``, by its other address."""

from . import Profiler

__all__ = ["Profiler"]
