"""Wrappers for Flask's request handling."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations.wsgi.patches import RECORDED, SPAN, fail, handle

_SCOPE = "pitviper.flask"
_INTERNAL = 1

Method = Callable[..., Any]


def call(original: Method) -> Method:
    """``Flask.__call__``: the WSGI entry, outside of any middleware the application installed."""

    def wrapper(self: Any, environ: Any, start_response: Any) -> Any:
        if SPAN in environ:
            return original(self, environ, start_response)
        return handle(original.__get__(self), environ, start_response, _SCOPE)

    return wrapper


def _request() -> Any:
    from flask import request

    return request


def full_dispatch_request(original: Method) -> Method:
    """``Flask.full_dispatch_request``: the URL is matched, nothing of the application ran yet."""

    def wrapper(self: Any, *args: Any) -> Any:
        try:
            request = _request()
            rule = request.url_rule
            span: Optional[_native.Span] = request.environ.get(SPAN)
            if rule is not None and span is not None:
                route = request.environ.get("SCRIPT_NAME", "") + rule.rule
                span.update_name(f"{request.method} {route}")
                span.set_attribute("http.route", route)
        except Exception as error:
            internal_error(error)
        return original(self, *args)

    return wrapper


def dispatch_request(original: Method) -> Method:
    """``Flask.dispatch_request``: calls the view function."""
    names: dict[Any, tuple[str, dict[str, object]]] = {}

    def describe(view: Any) -> "tuple[str, dict[str, object]]":
        found = names.get(view)
        if found is None:
            function = getattr(view, "view_class", view)
            name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(view).__qualname__)}"
            attributes: dict[str, object] = {"code.function.name": name}
            code = getattr(getattr(view, "__wrapped__", view), "__code__", None)
            if code is not None:
                attributes["code.file.path"] = code.co_filename
                attributes["code.line.number"] = code.co_firstlineno
            found = names[view] = (name, attributes)
        return found

    def start(self: Any, request: Any) -> Optional[_native.Span]:
        rule = request.url_rule
        if rule is None or SPAN not in request.environ or request.routing_exception is not None:
            return None
        name, attributes = describe(self.view_functions[rule.endpoint])
        return _native.start_as_current_span(name, _INTERNAL, attributes, None, None, None, _SCOPE)

    def wrapper(self: Any, *args: Any) -> Any:
        try:
            request = _request()
            environ = request.environ
            span = start(self, request)
        except Exception as error:
            internal_error(error)
            return original(self, *args)
        if span is None:
            return original(self, *args)
        try:
            return original(self, *args)
        except Exception as error:
            # werkzeug's HTTP exceptions carry the status they become; below 500 they are answers.
            status = getattr(error, "code", None)
            if not isinstance(status, int) or status >= 500:
                environ[RECORDED] = error
                span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def handle_exception(original: Method) -> Method:
    """``Flask.handle_exception``: an exception nobody handled becomes a 500."""

    def wrapper(self: Any, *args: Any) -> Any:
        try:
            error = args[-1]
            environ = _request().environ
            span: Optional[_native.Span] = environ.get(SPAN)
            if span is not None:
                fail(environ, span, error)
        except Exception as failure:
            internal_error(failure)
        return original(self, *args)

    return wrapper
