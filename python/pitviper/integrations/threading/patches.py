"""Wraps the start of a thread, and the first thing that runs in it."""

from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations import _link
from pitviper.integrations.threading import INTEGRATION

#: Where a thread that was started and does not run yet keeps the span.
_CARRIED = "_pitviper_carried"
#: Packages whose threads serve everyone, whoever happened to need the first one.
_POOLS = frozenset(("concurrent", "multiprocessing", "logging", "socketserver", "asyncio", "pitviper"))


def start(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Thread.start``."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any) -> Any:
        try:
            carry = _link.carried()
            if carry is not None and not self.ident and not _serves_all(self):
                self.__dict__[_CARRIED] = carry
        except Exception as error:
            internal_error(error)
        try:
            return original(self)
        except BaseException:
            self.__dict__.pop(_CARRIED, None)
            raise

    return wrapper


def _serves_all(thread: Any) -> bool:
    target = getattr(thread, "_target", None)
    modules = (type(thread).__module__, getattr(target, "__module__", None))
    return any(module is not None and module.partition(".")[0] in _POOLS for module in modules)


def bootstrap_inner(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Thread._bootstrap_inner``: calls ``run``, whoever overrides that."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any) -> Any:
        try:
            carry = self.__dict__.pop(_CARRIED, None)
            if carry is not None:
                # The context is the thread's own, and ends with it.
                _native.activate(carry)
        except Exception as error:
            internal_error(error)
        return original(self)

    return wrapper
