"""What happens beside stacks, as the settings want it in profiles."""

from pitviper import _native, garbage
from pitviper.config import Config
from pitviper.profiling import _exceptions, _locks


def start(config: Config) -> None:
    """Has those events told that are wanted, and no others. May be called again."""
    _native.profiler_events(
        locks=config["profiling_locks"] == "sampled",
        exact_locks=config["profiling_locks"] == "exact",
        loops_ms=config["profiling_loops"],
        collections=config["profiling_gc"],
        exceptions=config["profiling_exceptions"],
    )
    garbage.watch("profiler", config["profiling_gc"])
    if config["profiling_locks"] == "exact":
        _locks.start()
    else:
        _locks.stop()
    if config["profiling_exceptions"]:
        _exceptions.start()
    else:
        _exceptions.stop()


def stop() -> None:
    """Leaves everything as it was found."""
    _native.profiler_events(locks=False, exact_locks=False, loops_ms=0.0, collections=False, exceptions=False)
    garbage.watch("profiler", False)
    _locks.stop()
    _exceptions.stop()
