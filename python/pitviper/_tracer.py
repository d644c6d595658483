"""Spans of the application's own: ``pitviper.tracer``.

The names are OpenTelemetry's. Spans made here are children of the spans that integrations make,
and the other way round.
"""

import functools
import sys

from pitviper import _native
from pitviper._native import Span, SpanContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Callable, Optional, TypeVar

    _F = TypeVar("_F", bound=Callable[..., Any])

#: ``inspect.CO_GENERATOR``, ``CO_COROUTINE`` and ``CO_ASYNC_GENERATOR``, without importing inspect.
_CO_GENERATOR, _CO_COROUTINE, _CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200


class SpanBlock:
    """A span that begins with a ``with`` block or with each call of a decorated function."""

    __slots__ = ("_arguments", "_name", "_span")

    def __init__(self, name: "Optional[str]", arguments: "dict[str, Any]") -> None:
        self._name = name
        self._arguments = arguments
        self._span: Optional[Span] = None

    def _start(self, name: "Optional[str]" = None) -> Span:
        return _native.start_as_current_span(self._name or name or "span", **self._arguments)

    def __enter__(self) -> Span:
        self._span = self._start()
        return self._span

    def __exit__(self, exc_type: object, exc: object, traceback: object) -> None:
        span, self._span = self._span, None
        if span is not None:
            span.__exit__(exc_type, exc, traceback)

    def __call__(self, function: "_F") -> "_F":
        """Wraps a function, coroutine function or generator function: a span for each call.

        The span of a generator lasts from its first item to its end, and is current only while
        the generator runs.
        """
        name = self._name or f"{function.__module__}.{function.__qualname__}"
        flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
        start = self._start
        wrapper: Any

        if flags & _CO_COROUTINE:

            async def coroutine(*args: "Any", **kwargs: "Any") -> "Any":
                with start(name):
                    return await function(*args, **kwargs)

            wrapper = coroutine
        elif flags & _CO_ASYNC_GENERATOR:

            async def async_generator(*args: "Any", **kwargs: "Any") -> "Any":
                span = _native.start_span(name, **self._arguments)
                items = function(*args, **kwargs)
                try:
                    while True:
                        token = _native.activate(span)
                        try:
                            item = await items.__anext__()
                        except StopAsyncIteration:
                            break
                        finally:
                            _native.deactivate(token)
                        yield item
                except BaseException:
                    span.__exit__(*sys.exc_info())
                    raise
                finally:
                    await items.aclose()
                    span.end()

            wrapper = async_generator
        elif flags & _CO_GENERATOR:

            def generator(*args: "Any", **kwargs: "Any") -> "Any":
                span = _native.start_span(name, **self._arguments)
                try:
                    steps: Any = Stepwise(function(*args, **kwargs), span)
                    return (yield from steps)  # pyright: ignore[reportUnknownVariableType]
                except BaseException:
                    span.__exit__(*sys.exc_info())
                    raise
                finally:
                    span.end()

            wrapper = generator
        else:

            def call(*args: "Any", **kwargs: "Any") -> "Any":
                with start(name):
                    return function(*args, **kwargs)

            wrapper = call
        functools.update_wrapper(wrapper, function)
        return wrapper


class Stepwise:
    """A generator whose steps run with a span as the current one."""

    __slots__ = ("_generator", "_span")

    def __init__(self, generator: "Any", span: Span) -> None:
        self._generator = generator
        self._span = span

    def __iter__(self) -> "Stepwise":
        return self

    def __next__(self) -> "Any":
        return self.send(None)

    def send(self, value: "Any") -> "Any":
        token = _native.activate(self._span)
        try:
            return self._generator.send(value)
        finally:
            _native.deactivate(token)

    def throw(self, *exc_info: "Any") -> "Any":
        token = _native.activate(self._span)
        try:
            return self._generator.throw(*exc_info)
        finally:
            _native.deactivate(token)

    def close(self) -> None:
        self._generator.close()


class Tracer:
    """Starts spans."""

    __slots__ = ()

    def start_span(
        self,
        name: str,
        *,
        kind: object = None,
        attributes: "Optional[Mapping[str, object]]" = None,
        parent: "Span | SpanContext | None" = None,
        start_time: "Optional[int]" = None,
        links: "Optional[Iterable[object]]" = None,
    ) -> Span:
        """Starts a span that is not the current one; end it with :meth:`Span.end`.

        Args:
            name: What is done, with few distinct values.
            kind: 1 internal, 2 server, 3 client, 4 producer, 5 consumer; or OpenTelemetry's enum.
            attributes: Details that are known at the start.
            parent: The span it is part of; the current span when not given.
            start_time: Nanoseconds since the Unix epoch; now when not given.
            links: Spans, or their contexts, that caused it without being its parent.
        """
        return _native.start_span(name, kind, attributes, parent, start_time, links)

    def start_as_current_span(
        self,
        name: "Optional[str]" = None,
        *,
        kind: object = None,
        attributes: "Optional[Mapping[str, object]]" = None,
        parent: "Span | SpanContext | None" = None,
        start_time: "Optional[int]" = None,
        links: "Optional[Iterable[object]]" = None,
    ) -> SpanBlock:
        """A block, or a decorator, during which a new span is the current one.

        An exception that leaves the block is recorded and marks the span as failed. As a decorator
        it works on functions, coroutine functions and generator functions, and the name may be
        left out. The arguments are those of :meth:`start_span`.
        """
        arguments: dict[str, Any] = {}
        for key, value in (
            ("kind", kind),
            ("attributes", attributes),
            ("parent", parent),
            ("start_time", start_time),
            ("links", links),
        ):
            if value is not None:
                arguments[key] = value
        return SpanBlock(name, arguments)

    def current_span(self) -> "Optional[Span]":
        """The span that is current here, or None."""
        return _native.current_span()


tracer = Tracer()
