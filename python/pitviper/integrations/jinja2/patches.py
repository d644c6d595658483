"""Wrappers for Jinja2's templates."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper._tracer import SpanBlock

_SCOPE = "pitviper.jinja2"
_INTERNAL = 1

Method = Callable[..., Any]


def render(original: Method) -> Method:
    """``Template.render``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = _start(self, False)
        if span is None:
            return original(self, *args, **kwargs)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def render_async(original: Method) -> Method:
    """``Template.render_async``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = _start(self, True)
        if span is None:
            return await original(self, *args, **kwargs)
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def _start(template: Any, asynchronous: bool) -> Optional[_native.Span]:
    """The span of a template that is about to be rendered; None if it has one already."""
    try:
        if template.environment.is_async and not asynchronous:
            # It calls the asynchronous method, which has the span.
            return None
        name = template.name or "<string>"
        return _native.start_as_current_span(
            f"render {name}", _INTERNAL, {"template.name": name}, None, None, None, _SCOPE
        )
    except Exception as error:
        internal_error(error)
        return None


def generate(original: Method) -> Method:
    """``Template.generate``, and so ``Template.stream``: the span is current while the template runs,
    not while what it made is being sent."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        yield from _spanning(self, original, False)(self, *args, **kwargs)

    return wrapper


def generate_async(original: Method) -> Method:
    """``Template.generate_async``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _spanning(self, original, True)(self, *args, **kwargs)

    return wrapper


def _spanning(template: Any, original: Method, asynchronous: bool) -> Method:
    """The original, with a span if it has none already."""
    try:
        if template.environment.is_async and not asynchronous:
            return original
        name = template.name or "<string>"
        arguments = {"kind": _INTERNAL, "attributes": {"template.name": name}, "scope": _SCOPE}
        return SpanBlock(f"render {name}", arguments)(original)
    except Exception as error:
        internal_error(error)
        return original


def compile_template(original: Method) -> Method:
    """``Environment.compile``."""

    def wrapper(self: Any, source: Any, name: Optional[str] = None, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            code = original(self, source, name, *args, **kwargs)
        except BaseException as error:
            _compiled(name, start, error)
            raise
        _compiled(name, start, None)
        return code

    return wrapper


def _compiled(name: Optional[str], start: int, failure: Optional[BaseException]) -> None:
    try:
        label = name or "<string>"
        _native.finish_leaf(f"compile {label}", _INTERNAL, start, {"template.name": label}, failure, _SCOPE)
    except Exception as error:
        internal_error(error)
