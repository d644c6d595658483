"""Wraps the start of processes, the first thing that runs in them, and the methods that give pools work."""

import sys
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.bootstrap import exit_timeout_ms
from pitviper.instrument import option
from pitviper.integrations import _link
from pitviper.integrations.multiprocessing import INTEGRATION

#: Where a process object carries the trace to the child, which may get it pickled.
_TRACE = "_pitviper_trace"
#: Packages whose processes serve everyone, whoever happened to need the first one.
_POOLS = ("multiprocessing.", "concurrent.")


def start(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Process.start``."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any) -> Any:
        try:
            target = getattr(self, "_target", None)
            if not (getattr(target, "__module__", None) or "").startswith(_POOLS):
                trace = _link.as_text()
                if trace is not None:
                    self.__dict__[_TRACE] = trace
        except Exception as error:
            internal_error(error)
        try:
            return original(self)
        finally:
            self.__dict__.pop(_TRACE, None)

    return wrapper


def bootstrap(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Process._bootstrap``: runs in the child."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            # A pool ends its workers so as soon as it has their results.
            _native.send_before_sigterm(exit_timeout_ms())
            _link.take_over(_native.extract(self.__dict__.pop(_TRACE, None)))
        except Exception as error:
            internal_error(error)
        return original(self, *args, **kwargs)

    return wrapper


def submit(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Pool.apply_async`` and its like."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        linked = func
        try:
            if isinstance(self, sys.modules["multiprocessing.pool"].ThreadPool):
                carry = _link.carried()
                linked = func if carry is None else _link.bound(carry, func)
            else:
                trace = _link.as_text()
                linked = func if trace is None else _link.Elsewhere(trace, func)
        except Exception as error:
            internal_error(error)
        return original(self, linked, *args, **kwargs)

    return wrapper
