"""Watching event loops, for every kind of loop."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.runtime import watch_loop


def run_forever(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Loop.run_forever``, which everything that runs a loop ends up in."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        watch = None
        try:
            watch = watch_loop(self)
        except Exception as error:
            internal_error(error)
        try:
            return original(self, *args, **kwargs)
        finally:
            if watch is not None:
                try:
                    watch.stop()
                except Exception as error:
                    internal_error(error)

    return wrapper
