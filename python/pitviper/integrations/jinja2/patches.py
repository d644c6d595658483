"""Wrappers for Jinja2's templates."""

from typing import Any, Callable, Optional

from pitviper import _native

_SCOPE = "pitviper.jinja2"
_INTERNAL = 1

Method = Callable[..., Any]


def render(original: Method) -> Method:
    """``Template.render``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
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
