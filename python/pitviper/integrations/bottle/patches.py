"""Wrappers for Bottle's applications."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._server import request_of
from pitviper.integrations.wsgi.patches import handle

_SCOPE = "pitviper.bottle"

Method = Callable[..., Any]


def call(original: Method) -> Method:
    """``Bottle.__call__``."""

    def wrapper(self: Any, environ: Any, start_response: Any) -> Any:
        if request_of(environ) is not None:
            return original(self, environ, start_response)
        return handle(original.__get__(self), environ, start_response, _SCOPE)

    return wrapper


def handle_request(original: Method) -> Method:
    """``Bottle._handle``: finds the callback and calls it; for mounted applications one within another."""

    def wrapper(self: Any, environ: Any) -> Any:
        mounted_at = environ.get("SCRIPT_NAME", "")
        result = original(self, environ)
        try:
            request = request_of(environ)
            if request is not None:
                _note(request, mounted_at, environ, result)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def _note(request: Any, mounted_at: str, environ: "dict[str, Any]", result: Any) -> None:
    route = environ.get("bottle.route")
    # The innermost application returns first, and knows best.
    if route is not None and not request.route:
        request.matched(mounted_at.rstrip("/") + route.rule)
        request.handled_by(route.callback)
    failure = getattr(result, "exception", None)
    if isinstance(failure, BaseException):
        request.suspect(failure)
