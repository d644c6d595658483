"""``tracer.wrap``: a span for each call of a function."""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

import functools
import inspect
import os
import sys
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar

from pitviper import _native
from pitviper._tracer import Stepwise
from pitviper.settings import flag

from ._deprecations import deprecate

if TYPE_CHECKING:
    from ._tracer import Tracer

_F = TypeVar("_F", bound=Callable[..., Any])
_INCLUDE_CLASS = "DD_TRACE_WRAP_SPAN_NAME_INCLUDE_CLASS"


def _default_name(function: "Callable[..., Any]") -> str:
    """Module and name; of a method without its class, unless a variable asks for it."""
    scope = function.__qualname__.split(".")
    plain = f"{function.__module__}.{function.__name__}"
    if len(scope) < 2 or scope[-2] == "<locals>":
        return plain
    full = f"{function.__module__}.{function.__qualname__.rpartition('<locals>.')[2]}"
    try:
        if flag(os.environ.get(_INCLUDE_CLASS) or "false"):
            return full
    except ValueError:
        pass
    deprecate(
        "the name of a method's span without its class",
        f"it will be {full!r} instead of {plain!r}; set {_INCLUDE_CLASS}=true to have that now",
        stacklevel=5,
    )
    return plain


def _generator(tracer: "Tracer", function: Any, operation: str, details: "dict[str, Any]") -> Any:
    """A span from the first item to the end, active only while the generator runs: what its consumer does
    between items is not part of it."""

    def generator(*args: Any, **kwargs: Any) -> Any:
        span = tracer.start_span(operation, tracer.context_provider.active(), **details)
        try:
            steps: Any = Stepwise(function(*args, **kwargs), span._inner)
            return (yield from steps)  # pyright: ignore[reportUnknownVariableType]
        except GeneratorExit:
            raise
        except BaseException:
            span.set_exc_info(*sys.exc_info())
            raise
        finally:
            span.finish()

    return generator


def _async_generator(tracer: "Tracer", function: Any, operation: str, details: "dict[str, Any]") -> Any:
    """The same for ``async def`` with ``yield``; what is sent and thrown into it reaches the original."""

    async def async_generator(*args: Any, **kwargs: Any) -> Any:
        span = tracer.start_span(operation, tracer.context_provider.active(), **details)
        items = function(*args, **kwargs)
        sent: Any = None
        thrown: Optional[BaseException] = None
        try:
            while True:
                token = _native.activate(span._inner)
                try:
                    item = await (items.asend(sent) if thrown is None else items.athrow(thrown))
                except StopAsyncIteration:
                    return
                finally:
                    _native.deactivate(token)
                sent = thrown = None
                try:
                    sent = yield item  # pyright: ignore[reportUnknownVariableType]
                except GeneratorExit:
                    raise
                except BaseException as error:
                    thrown = error
        except GeneratorExit:
            raise
        except BaseException:
            span.set_exc_info(*sys.exc_info())
            raise
        finally:
            await items.aclose()
            span.finish()

    return async_generator


def decorator(
    tracer: "Tracer",
    name: Optional[str],
    service: Optional[str],
    resource: Optional[str],
    span_type: Optional[str],
) -> "Callable[[_F], _F]":
    """What ``tracer.wrap`` returns."""

    def decorate(function: _F) -> _F:
        operation = name or _default_name(function)
        details: dict[str, Any] = {"service": service, "resource": resource, "span_type": span_type}
        wrapper: Any
        if inspect.isgeneratorfunction(function):
            wrapper = _generator(tracer, function, operation, details)
        elif inspect.isasyncgenfunction(function):
            wrapper = _async_generator(tracer, function, operation, details)
        elif inspect.iscoroutinefunction(function):

            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with tracer.trace(operation, **details):
                    return await function(*args, **kwargs)

            wrapper = coroutine
        else:

            def call(*args: Any, **kwargs: Any) -> Any:
                executor = tracer._wrap_executor
                if executor is not None:
                    return executor(tracer, function, args, kwargs, operation, **details)
                with tracer.trace(operation, **details):
                    return function(*args, **kwargs)

            wrapper = call
        functools.update_wrapper(wrapper, function)
        return wrapper

    return decorate
