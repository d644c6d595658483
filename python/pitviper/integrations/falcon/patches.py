"""Wrappers for Falcon's applications."""

from typing import Any, Callable, Optional

from pitviper._guard import internal_error
from pitviper.integrations._server import ServerRequest, request_of
from pitviper.integrations.asgi.patches import handle as handle_asgi
from pitviper.integrations.wsgi.patches import handle as handle_wsgi

_SCOPE = "pitviper.falcon"

Method = Callable[..., Any]


def wsgi_call(original: Method) -> Method:
    """``falcon.App.__call__``."""

    def wrapper(self: Any, env: Any, start_response: Any) -> Any:
        if request_of(env) is not None:
            return original(self, env, start_response)
        return handle_wsgi(original.__get__(self), env, start_response, _SCOPE)

    return wrapper


def asgi_call(original: Method) -> Method:
    """``falcon.asgi.App.__call__``."""

    async def wrapper(self: Any, scope: Any, receive: Any, send: Any) -> None:
        await handle_asgi(original.__get__(self), scope, receive, send, _SCOPE)

    return wrapper


def _request_of(req: Any) -> Optional[ServerRequest]:
    scope = getattr(req, "scope", None)
    return request_of(getattr(req, "env", None) if scope is None else scope)


def get_responder(original: Method) -> Method:
    """``App._get_responder``: finds the function that answers."""

    def wrapper(self: Any, req: Any) -> Any:
        result = original(self, req)
        try:
            request = _request_of(req)
            template = result[3]
            if request is not None and template is not None:
                request.matched(request.prefix + template)
                # A bound method is made anew each time; its function stays.
                request.handled_by(getattr(result[0], "__func__", result[0]))
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def _suspect(req: Any, error: BaseException) -> None:
    try:
        request = _request_of(req)
        if request is not None:
            request.suspect(error)
    except Exception as failure:
        internal_error(failure)


def handle_exception(original: Method) -> Method:
    """``App._handle_exception``: an exception becomes an answer, if a handler says so."""

    def wrapper(self: Any, req: Any, resp: Any, ex: BaseException, *args: Any, **kwargs: Any) -> Any:
        _suspect(req, ex)
        return original(self, req, resp, ex, *args, **kwargs)

    return wrapper


def handle_exception_async(original: Method) -> Method:
    """The same in ``falcon.asgi.App``."""

    async def wrapper(self: Any, req: Any, resp: Any, ex: BaseException, *args: Any, **kwargs: Any) -> Any:
        _suspect(req, ex)
        return await original(self, req, resp, ex, *args, **kwargs)

    return wrapper
