"""Keeps, beside the items of a queue, which span each was put by.

All is done in the methods that store and take items, which a queue calls while it holds its lock.
"""

import threading
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import option
from pitviper.integrations import _link
from pitviper.integrations.queue import INTEGRATION

#: Where a queue keeps the spans, in the order of its items.
_SPANS = "_pitviper_spans"


class _Working(threading.local):
    """What the thread continues since its last item, and what undoes it."""

    carry: Optional[_link.Carried] = None
    token: Any = None


_working = _Working()


def init(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Queue._init``: a queue without items."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any, maxsize: Any) -> Any:
        self.__dict__[_SPANS] = []
        return original(self, maxsize)

    return wrapper


def put_item(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Queue._put``."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any, item: Any) -> Any:
        result = original(self, item)
        try:
            spans = self.__dict__.get(_SPANS)
            if spans is not None:
                # Only while items and spans match one to one; someone may store items in another way.
                if len(spans) == len(self.queue) - 1:
                    spans.append(_link.carried())
                else:
                    del self.__dict__[_SPANS]
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def get_item(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Queue._get``."""
    return _getter(original, 0)


def get_last_item(original: Callable[..., Any]) -> Callable[..., Any]:
    """``LifoQueue._get``."""
    return _getter(original, -1)


def _getter(original: Callable[..., Any], position: int) -> Callable[..., Any]:
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any) -> Any:
        item = original(self)
        try:
            spans = self.__dict__.get(_SPANS)
            if spans is not None:
                if len(spans) == len(self.queue) + 1:
                    _continue(spans.pop(position))
                else:
                    del self.__dict__[_SPANS]
        except Exception as error:
            internal_error(error)
        return item

    return wrapper


def _continue(carry: Optional[_link.Carried]) -> None:
    # Who asks a worker for a result within a request of its own goes on with that.
    if carry is not None and _native.current_span() is None:
        _working.carry = carry
        _working.token = _native.activate(carry)


def leave_item(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Queue.get`` and ``Queue.task_done``: the item before is done."""
    if not option(INTEGRATION, "linking"):
        return original

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if _working.carry is not None:
                if _native.current_span() is _working.carry:
                    _native.deactivate(_working.token)
                _working.carry = _working.token = None
        except Exception as error:
            internal_error(error)
        return original(self, *args, **kwargs)

    return wrapper
