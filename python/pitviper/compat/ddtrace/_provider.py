"""What is active: a span, or a context that came from elsewhere, in this thread or task."""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

import abc
from contextvars import ContextVar
from typing import Any, Optional, Union

from pitviper import _native

from . import _context
from ._context import Context
from ._face import face
from ._span import Span

#: What may be active.
Active = Union[Span, Context]

#: The active span of this API, or context, held as long as it is active. What the agent has as current counts;
#: this only keeps alive what stands for it.
_held: "ContextVar[Optional[Active]]" = ContextVar("pitviper_ddtrace_active", default=None)


class BaseContextProvider(abc.ABC):
    """Says what is active. An application may give the tracer one of its own."""

    def _has_active_context(self) -> bool:
        return self.active() is not None

    @abc.abstractmethod
    def activate(self, ctx: Optional[Active]) -> None:
        """Makes a span or a context active, or nothing."""

    @abc.abstractmethod
    def active(self) -> Optional[Active]:
        """What is active."""

    def __call__(self, *args: Any, **kwargs: Any) -> Optional[Active]:
        return self.active()


class DefaultContextProvider(BaseContextProvider):
    """The agent's current span is what is active, whoever made it."""

    def activate(self, ctx: Optional[Active]) -> None:
        """Makes a span or a context active, or nothing."""
        _held.set(ctx)
        if ctx is None:
            _native.activate(None)
        elif isinstance(ctx, Span):
            _native.activate(ctx._inner)
        else:
            _native.activate(_context.native_of(ctx))
            baggage = ctx.get_all_baggage_items()
            if baggage:
                _native.set_baggage(baggage)

    def active(self) -> Optional[Active]:
        """What is active: the innermost span that has not finished."""
        native = _native.current_span()
        held = _held.get()
        if native is None:
            return self._other(held)
        span = held if isinstance(held, Span) and held._inner is native else face(native)
        if span.finished:
            return self._unfinished(span)
        return span

    def _other(self, held: Optional[Active]) -> Optional[Context]:
        """The context that another process handed over, if one is current."""
        current = _context.of_native()
        if current is None or not current.trace_id:
            return None
        same = isinstance(held, Context) and (held.trace_id, held.span_id or None) == (
            current.trace_id,
            current.span_id,
        )
        return held if same else current  # pyright: ignore[reportReturnType]

    def _unfinished(self, span: Span) -> Optional[Active]:
        """Makes active what is around a span that has finished: spans may finish in any order."""
        around: Optional[Span] = span
        while around is not None and around.finished:
            around = around._parent
        if around is not span:
            self.activate(around)
        return around

    def enter(self, span: Span) -> None:
        """Makes a span active until it finishes."""
        before = span._parent_context
        if before is not None and before is _held.get() and not before._reactivate:
            # As in ddtrace, a context is active until the first span below it has finished.
            span._then = before
        _held.set(span)
        span._inner.__enter__()


def let_go(span: Span) -> None:
    """Holds a span that has finished no more. After one that was started below a given one, that one is active,
    as in ddtrace."""
    held = _held.get()
    if held is span:
        _held.set(span._parent)
    then = span._then
    if isinstance(then, Context):
        if _native.current_span() is None:
            DefaultContextProvider().activate(None)
    elif then is not None:
        before = _native.current_span()
        if before is None or before is span._inner:
            while then is not None and then.finished:
                then = then._parent
            if then is not None:
                DefaultContextProvider().activate(then)
