"""What happens beside stacks, as the settings want it in profiles."""

from pitviper import _native, garbage
from pitviper._guard import internal_error
from pitviper.config import Config
from pitviper.profiling import _exceptions, _locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def start(config: Config) -> None:
    """Has those events told that are wanted, and no others. May be called again."""
    _apply(
        lambda: _native.profiler_events(
            locks=config["profiling_locks"] == "sampled",
            exact_locks=config["profiling_locks"] == "exact",
            loops_ms=config["profiling_loops"],
            collections=config["profiling_gc"],
            exceptions=config["profiling_exceptions"],
        ),
        lambda: garbage.watch("profiler", config["profiling_gc"]),
        _locks.start if config["profiling_locks"] == "exact" else _locks.stop,
        _exceptions.start if config["profiling_exceptions"] else _exceptions.stop,
    )


def stop() -> None:
    """Leaves everything as it was found."""
    _apply(
        lambda: _native.profiler_events(
            locks=False, exact_locks=False, loops_ms=0.0, collections=False, exceptions=False
        ),
        lambda: garbage.watch("profiler", False),
        _locks.stop,
        _exceptions.stop,
    )


def _apply(*steps: "Callable[[], object]") -> None:
    """Takes each step, whatever becomes of the others."""
    for step in steps:
        try:
            step()
        except Exception as error:
            internal_error(error)
