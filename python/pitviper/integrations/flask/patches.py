"""Wrappers for Flask's request handling."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._server import INTERNAL, ServerRequest, described, is_answer, request_of
from pitviper.integrations.wsgi.patches import handle

_SCOPE = "pitviper.flask"

Method = Callable[..., Any]


def call(original: Method) -> Method:
    """``Flask.__call__``: the WSGI entry, outside of any middleware the application installed."""

    def wrapper(self: Any, environ: Any, start_response: Any) -> Any:
        if request_of(environ) is not None:
            return original(self, environ, start_response)
        return handle(original.__get__(self), environ, start_response, _SCOPE)

    return wrapper


def _flask_request() -> Any:
    from flask import request

    return request


def full_dispatch_request(original: Method) -> Method:
    """``Flask.full_dispatch_request``: the URL is matched, nothing of the application ran yet."""

    def wrapper(self: Any, *args: Any) -> Any:
        try:
            flask_request = _flask_request()
            rule = flask_request.url_rule
            request = request_of(flask_request.environ)
            if rule is not None and request is not None:
                request.matched(flask_request.environ.get("SCRIPT_NAME", "") + rule.rule)
        except Exception as error:
            internal_error(error)
        return original(self, *args)

    return wrapper


def dispatch_request(original: Method) -> Method:
    """``Flask.dispatch_request``: calls the view function."""

    def start(self: Any, flask_request: Any) -> Optional[_native.Span]:
        rule = flask_request.url_rule
        if rule is None or flask_request.routing_exception is not None:
            return None
        view = self.view_functions[rule.endpoint]
        name, attributes = described(getattr(view, "view_class", view))
        return _native.start_as_current_span(name, INTERNAL, attributes, None, None, None, _SCOPE)

    def wrapper(self: Any, *args: Any) -> Any:
        request: Optional[ServerRequest] = None
        span: Optional[_native.Span] = None
        try:
            flask_request = _flask_request()
            request = request_of(flask_request.environ)
            if request is not None:
                span = start(self, flask_request)
        except Exception as error:
            internal_error(error)
        if span is None or request is None:
            return original(self, *args)
        try:
            return original(self, *args)
        except Exception as error:
            # werkzeug's HTTP exceptions carry the status they become; below 500 they are answers.
            if not is_answer(error):
                request.recorded(error)
                span.__exit__(type(error), error, None)
            raise
        finally:
            span.end()

    return wrapper


def handle_exception(original: Method) -> Method:
    """``Flask.handle_exception``: an exception nobody handled becomes a 500."""

    def wrapper(self: Any, *args: Any) -> Any:
        try:
            request = request_of(_flask_request().environ)
            if request is not None:
                request.fail(args[-1])
        except Exception as failure:
            internal_error(failure)
        return original(self, *args)

    return wrapper
