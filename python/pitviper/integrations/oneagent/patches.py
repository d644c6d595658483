"""Hands the SDK our library in place of its own."""

from typing import Any, Callable

from pitviper import _native


def initialize(original: Callable[..., Any]) -> Callable[..., Any]:
    """``nativeagent.initialize(sdkinit)``: the name of a library, an interface, or nothing for the default."""

    def wrapper(sdkinit: Any = None) -> Any:
        # An interface is one that the application, or the SDK where no library can be loaded, has chosen.
        if sdkinit is None or isinstance(sdkinit, str):
            sdkinit = _native.__file__
        return original(sdkinit)

    return wrapper
