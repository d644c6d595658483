"""What integrations share that carry the current span to where work goes on: threads, pools, processes.

Whoever takes work over makes the span current for as long as the work lasts. While the span is open its
new spans are children; once it has ended, the native half starts a trace of their own for them, with a
link. So work that goes on for ever makes no trace long.
"""

import functools
from typing import Any, Callable, Optional, Union

from pitviper import _native
from pitviper._guard import internal_error
from pitviper._native import begin_work, end_work, fail_work

Carried = Union[_native.Span, _native.SpanContext]

#: What the process that started this one handed over.
_handed_over: Optional[_native.SpanContext] = None


#: What work that is handed to someone else continues: the current span, if there is one.
carried: "Callable[[], Optional[Carried]]" = _native.current_span


def _carried_or_handed_over() -> Optional[Carried]:
    return _native.current_span() or _handed_over


def run(carry: Carried, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Calls a function as part of a span. If that has ended, the call gets a span of its own, linked to it."""
    # The function is called by Python code and not by native code of ours: a thread that is still in it when
    # the interpreter ends could not be unwound then.
    work = begin_work(carry, function)
    try:
        # Without names a dictionary less.
        return function(*args, **kwargs) if kwargs else function(*args)
    except BaseException as error:
        fail_work(work, error)
        raise
    finally:
        end_work(work)


def bound(carry: Carried, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called elsewhere in this process as part of a span."""
    return functools.partial(run, carry, function)


def as_text() -> "Optional[dict[str, str]]":
    """The current trace and baggage as text; None when there is nothing to carry."""
    headers: dict[str, str] = {}
    _native.inject_into(headers)
    return headers or None


class Elsewhere:
    """A function, to be called in another process as part of a span of this one."""

    __slots__ = ("_function", "_trace")

    def __init__(self, trace: "dict[str, str]", function: Callable[..., Any]) -> None:
        self._trace = trace
        self._function = function

    def __reduce__(self) -> Any:
        return Elsewhere, (self._trace, self._function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        carry = None
        try:
            carry = _native.extract(self._trace)
        except Exception as error:
            internal_error(error)
        return self._function(*args, **kwargs) if carry is None else run(carry, self._function, *args, **kwargs)


def take_over(handed_over: Optional[_native.SpanContext]) -> None:
    """Makes what another process handed over, or nothing, the beginning of all work of this process.

    Requests that it serves later stay traces of their own.
    """
    global _handed_over, carried
    _handed_over = handed_over
    carried = _native.current_span if handed_over is None else _carried_or_handed_over
    _native.activate(_handed_over)
