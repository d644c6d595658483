"""Wrappers for Pyramid's router."""

from typing import Any, Callable, Optional

from pitviper._guard import internal_error
from pitviper.integrations._server import is_answer, request_of
from pitviper.integrations.wsgi.patches import handle

_SCOPE = "pitviper.pyramid"

Method = Callable[..., Any]


def call(original: Method) -> Method:
    """``Router.__call__``, outside of all tweens."""

    def wrapper(self: Any, environ: Any, start_response: Any) -> Any:
        if request_of(environ) is not None:
            return original(self, environ, start_response)
        return handle(original.__get__(self), environ, start_response, _SCOPE)

    return wrapper


def handle_request(original: Method) -> Method:
    """``Router.handle_request``, inside of all tweens: finds the view and calls it."""

    def wrapper(self: Any, request: Any) -> Any:
        failure: Optional[BaseException] = None
        try:
            return original(self, request)
        except BaseException as error:
            failure = error
            raise
        finally:
            _note(request, failure)
            # It would refer to its own frame.
            del failure

    return wrapper


def _note(request: Any, failure: Optional[BaseException]) -> None:
    try:
        found = request_of(request.environ)
        if found is None:
            return
        route = getattr(request, "matched_route", None)
        if route is not None:
            found.matched(f"{found.prefix}/{route.pattern.lstrip('/')}")
        if failure is not None and not is_answer(failure):
            found.suspect(failure)
    except Exception as error:
        internal_error(error)
