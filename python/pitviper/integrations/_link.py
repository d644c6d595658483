"""What integrations share that carry the current span to where work goes on: threads, pools, processes.

Whoever takes work over makes the span current for as long as the work lasts. While the span is open its
new spans are children; once it has ended, the native half starts a trace of their own for them, with a
link. So work that goes on for ever makes no trace long.
"""

from typing import Any, Callable, Optional, Union

from pitviper import _native
from pitviper._guard import internal_error

_INTERNAL = 1
_SCOPE = "pitviper.linking"

Carried = Union[_native.Span, _native.SpanContext]

#: What the process that started this one handed over.
_handed_over: Optional[_native.SpanContext] = None


def carried() -> Optional[Carried]:
    """What work that is handed to someone else continues: the current span, if there is one."""
    return _native.current_span() or _handed_over


def call(carry: Carried, function: Callable[..., Any], args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    """Calls a function as part of a span. If that has ended, the call gets a span of its own, linked to it."""
    token = work = None
    try:
        token = _native.activate(carry)
        if isinstance(carry, _native.Span) and carry.is_ended():
            name = name_of(function)
            work = _native.start_as_current_span(
                name, _INTERNAL, {"code.function.name": name}, None, None, None, _SCOPE
            )
    except Exception as error:
        internal_error(error)
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        if work is not None:
            work.__exit__(type(error), error, None)
        raise
    finally:
        if work is not None:
            work.end()
        if token is not None:
            _native.deactivate(token)


def bound(carry: Carried, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called elsewhere in this process as part of a span."""

    def linked(*args: Any, **kwargs: Any) -> Any:
        return call(carry, function, args, kwargs)

    return linked


def name_of(function: Any) -> str:
    """``module.function`` of a callable."""
    # Partials of partials are one partial.
    function = getattr(function, "func", function)
    qualified = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or 'builtins'}.{qualified}"


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
        return self._function(*args, **kwargs) if carry is None else call(carry, self._function, args, kwargs)


def take_over(handed_over: Optional[_native.SpanContext]) -> None:
    """Makes what another process handed over, or nothing, the beginning of all work of this process.

    Requests that it serves later stay traces of their own.
    """
    global _handed_over
    _handed_over = handed_over
    _native.activate(_handed_over)
