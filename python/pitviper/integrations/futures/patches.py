"""Wraps the one method through which executors take work."""

import contextvars
import sys
from typing import Any, Callable, Optional

from pitviper._guard import internal_error
from pitviper.integrations import _link


def submit_to_thread(original: Callable[..., Any]) -> Callable[..., Any]:
    """``ThreadPoolExecutor.submit``."""

    def wrapper(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        linked = _in_thread(self, fn)
        return original(self, fn if linked is None else linked, *args, **kwargs)

    return wrapper


def _in_thread(executor: Any, fn: Any) -> "Optional[Callable[..., Any]]":
    """What is run instead of the function; None when it runs as it is."""
    try:
        carry = _link.carried()
        function = getattr(fn, "func", fn)
        if carry is None or isinstance(getattr(function, "__self__", None), contextvars.Context):
            # asyncio.to_thread runs its function in a copy of the caller's context.
            return None
        if getattr(function, "__module__", None) == "asgiref.sync":
            # So does Django, also to close a response whose request has ended.
            return None
        interpreters = sys.modules.get("concurrent.futures.interpreter")
        if interpreters is not None and isinstance(executor, interpreters.InterpreterPoolExecutor):
            # Another interpreter takes only what can be pickled, and has a context of its own.
            return None
        return _link.bound(carry, fn)
    except Exception as error:
        internal_error(error)
        return None


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
