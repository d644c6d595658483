"""Wrappers for the ways out of a process that run no exit handlers."""

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import exit_timeout_ms

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    _Call = Callable[..., Any]


def leave(original: "_Call") -> "_Call":
    """``os._exit``."""

    def wrapper(*args: "Any", **kwargs: "Any") -> "Any":
        try:
            _native.shutdown(exit_timeout_ms())
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper


def replace(original: "_Call") -> "_Call":
    """``os.execv`` and ``os.execve``, which return only if they fail; then the agent goes on."""

    def wrapper(*args: "Any", **kwargs: "Any") -> "Any":
        try:
            _native.flush_once(exit_timeout_ms())
        except Exception as error:
            internal_error(error)
        return original(*args, **kwargs)

    return wrapper
