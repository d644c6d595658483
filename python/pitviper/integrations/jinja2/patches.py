"""Wrappers for Jinja2's templates."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.tracer import SpanBlock

_SCOPE = "pitviper.jinja2"
_INTERNAL = 1

Method = Callable[..., Any]


def render(original: Method) -> Method:
    """``Template.render``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.environment.is_async:
            # It calls render_async, which has the span.
            return original(self, *args, **kwargs)
        name = self.name or "<string>"
        span = _native.start_as_current_span(
            f"render {name}", _INTERNAL, {"template.name": name}, None, None, None, _SCOPE
        )
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def generate(original: Method) -> Method:
    """``Template.generate``, and so ``Template.stream``: the span is current while the template runs,
    not while what it made is being sent."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.environment.is_async:
            # It calls generate_async, which has the span.
            yield from original(self, *args, **kwargs)
        else:
            yield from _spanning(self)(original)(self, *args, **kwargs)

    return wrapper


def render_async(original: Method) -> Method:
    """``Template.render_async``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        with _spanning(self):
            return await original(self, *args, **kwargs)

    return wrapper


def generate_async(original: Method) -> Method:
    """``Template.generate_async``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _spanning(self)(original)(self, *args, **kwargs)

    return wrapper


def _spanning(template: Any) -> SpanBlock:
    name = template.name or "<string>"
    return SpanBlock(f"render {name}", {"kind": _INTERNAL, "attributes": {"template.name": name}, "scope": _SCOPE})


def compile_template(original: Method) -> Method:
    """``Environment.compile``."""

    def wrapper(self: Any, source: Any, name: Optional[str] = None, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        label = name or "<string>"
        failure: Optional[BaseException] = None
        try:
            return original(self, source, name, *args, **kwargs)
        except BaseException as error:
            failure = error
            raise
        finally:
            _native.finish_leaf(f"compile {label}", _INTERNAL, start, {"template.name": label}, failure, _SCOPE)

    return wrapper
