"""Wraps the start of a thread, and the first thing that runs in it.

From Python 3.14 on a thread runs in a context of its own: an empty one, one that it was given, or, with
``-X thread_inherit_context`` and in builds without an interpreter lock, a copy of its starter's. What the
option says of spans holds there too; everything else in the context is inherited as ever.
"""

import contextvars
import sys
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
    links = option(INTEGRATION, "linking")
    inherits = bool(getattr(sys.flags, "thread_inherit_context", False))
    if not links and not inherits:
        return original

    def wrapper(self: Any) -> Any:
        token = None
        try:
            # Who gives a thread a context says what is in it.
            if getattr(self, "_context", None) is None:
                if links and not self.ident and not _serves_all(self):
                    carry = _link.carried()
                    if carry is not None:
                        self.__dict__[_CARRIED] = carry
                if inherits:
                    # A copy of the context would keep the span for as long as the thread lives.
                    token = _native.activate(None)
        except Exception as error:
            internal_error(error)
        try:
            return original(self)
        except BaseException:
            self.__dict__.pop(_CARRIED, None)
            raise
        finally:
            if token is not None:
                _native.deactivate(token)

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
                context = getattr(self, "_context", None)
                if isinstance(context, contextvars.Context):
                    context.run(_native.activate, carry)
                else:
                    _native.activate(carry)
        except Exception as error:
            internal_error(error)
        return original(self)

    return wrapper
