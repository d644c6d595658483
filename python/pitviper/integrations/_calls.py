"""Spans around a function of the application: an endpoint, a view, a background task."""

import functools
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._server import INTERNAL, ServerRequest, described, is_answer

#: ``inspect.CO_COROUTINE``, without importing inspect.
_CO_COROUTINE = 0x80


def begin(
    function: Any, scope_name: str, prefix: str = "", parent: Optional[_native.Span] = None
) -> Optional[_native.Span]:
    """Starts the span of a function's call and makes it current; None if that failed."""
    try:
        name, attributes = described(function)
        return _native.start_as_current_span(prefix + name, INTERNAL, attributes, parent, None, None, scope_name)
    except Exception as error:
        internal_error(error)
        return None


def failed(
    span: _native.Span,
    error: BaseException,
    request: Optional[ServerRequest] = None,
    answers: Callable[[BaseException], bool] = is_answer,
) -> None:
    """Records the exception that left the function, unless it is an answer, a cancellation or an exit."""
    try:
        if isinstance(error, Exception) and not answers(error):
            if request is not None:
                request.recorded(error)
            span.__exit__(type(error), error, None)
    except Exception as failure:
        internal_error(failure)


def is_coroutine_function(function: Any) -> bool:
    """Whether calling it makes a coroutine, as far as can be seen from outside."""
    while isinstance(function, functools.partial):
        function = function.func
    code = getattr(function, "__code__", None)
    if code is None and not isinstance(function, type):
        code = getattr(getattr(function, "__call__", None), "__code__", None)  # noqa: B004 - its code is wanted
    if code is not None and code.co_flags & _CO_COROUTINE:
        return True
    # What asyncio and inspect mark by hand.
    return hasattr(function, "_is_coroutine_marker") or hasattr(function, "_is_coroutine")
