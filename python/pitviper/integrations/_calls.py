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


def traced_function(
    function: Any,
    scope_name: str,
    request_of_args: "Callable[[tuple[Any, ...]], Optional[ServerRequest]]",
    shown: Any = None,
    answers: Callable[[BaseException], bool] = is_answer,
) -> Any:
    """A function, or coroutine function, whose calls have spans below the request they belong to.

    Args:
        function: What is called.
        scope_name: Name of the integration's scope.
        request_of_args: Finds the request in the positional arguments. Calls without one have no span.
        shown: What the span is named after; the function when not given.
        answers: Whether an exception is an answer of the application's, no error.
    """
    named = function if shown is None else shown

    def start(args: "tuple[Any, ...]") -> "tuple[Optional[_native.Span], Optional[ServerRequest]]":
        try:
            request = request_of_args(args)
        except Exception as error:
            internal_error(error)
            request = None
        return (None, None) if request is None else (begin(named, scope_name), request)

    if is_coroutine_function(function):

        async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
            span, request = start(args)
            if span is None:
                return await function(*args, **kwargs)
            try:
                return await function(*args, **kwargs)
            except BaseException as error:
                failed(span, error, request, answers)
                raise
            finally:
                span.end()

        return traced_coroutine

    def traced(*args: Any, **kwargs: Any) -> Any:
        span, request = start(args)
        if span is None:
            return function(*args, **kwargs)
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            failed(span, error, request, answers)
            raise
        finally:
            span.end()

    return traced


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
