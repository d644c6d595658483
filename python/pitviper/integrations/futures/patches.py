"""Wraps the one method through which executors take work."""

import sys
from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations import _link

_HAS_INTERPRETERS = sys.version_info >= (3, 14)


def submit_to_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ThreadPoolExecutor.submit``."""

    def wrapper(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            carry = None if _HAS_INTERPRETERS and _is_of_interpreters(self) else _link.carried()
        except Exception as error:
            internal_error(error)
            carry = None
        if carry is None:
            return original(self, fn, *args, **kwargs)
        if kwargs:
            return original(self, _link.run, carry, fn, *args, **kwargs)
        return original(self, _link.run, carry, fn, *args)

    return wrapper


def _is_of_interpreters(executor: Any) -> bool:
    """Whether work runs in other interpreters, which take only what can be pickled and have contexts of their own."""
    interpreters = sys.modules.get("concurrent.futures.interpreter")
    return interpreters is not None and isinstance(executor, interpreters.InterpreterPoolExecutor)


def submit_to_process(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ProcessPoolExecutor.submit``."""

    def wrapper(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            trace = _link.as_text()
            linked = fn if trace is None else _link.Elsewhere(trace, fn)
        except Exception as error:
            internal_error(error)
            linked = fn
        return original(self, linked, *args, **kwargs)

    return wrapper
