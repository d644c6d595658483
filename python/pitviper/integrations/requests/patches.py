"""Wraps the method through which requests sends, and one that is called for each redirect before it sends again."""

from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.requests"


#: Where a request that follows a redirect keeps how many led to it, until it is sent.
_RESEND = "_pitviper_resend"


class _Redirects:
    """What is known of all requests."""

    #: Whether any redirect was ever followed: until then nobody has to look.
    were_any = False


def send(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Session.send``; for each redirect it is called by the call that was redirected."""

    # Without names of its own: each argument that is given by name would be compared with all of them.
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        span = _start(args[1] if len(args) > 1 else kwargs.get("request"))
        if span is None:
            return original(*args, **kwargs)
        try:
            response = original(*args, **kwargs)
        except BaseException as error:
            _client.failed(span, error)
            raise
        try:
            _native.end_call(span, getattr(response, "status_code", None))
        except Exception as error:
            internal_error(error)
        return response

    return wrapper


def _start(request: Any) -> Optional[_native.Span]:
    """The span of a request; None when it is part of a call that has one, and when requests is to say what is wrong."""
    if request is None:
        return None
    try:
        resend: int = request.__dict__.pop(_RESEND, 0) if _Redirects.were_any else 0
        if _native.inside_call():
            if not _native.http_suppressed():
                _client.inject(request.headers)
            return None
        span = _native.start_http_call(request.method or "GET", request.url or "", _SCOPE, None, None, resend)
    except Exception as error:
        internal_error(error)
        return None
    try:
        _native.inject_into(request.headers)
    except Exception as error:
        # The call goes out as it was made.
        internal_error(error)
    return span


def rebuild_method(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Session.rebuild_method``: called for each redirect, with the request that follows and the response before.
    ``Session.resolve_redirects``, which is told of them first, is called for each response."""

    def wrapper(self: Any, prepared_request: Any, response: Any) -> Any:
        result = original(self, prepared_request, response)
        try:
            _Redirects.were_any = True
            setattr(prepared_request, _RESEND, len(response.history) + 1)
            # Its headers are here: the request that follows is not part of it.
            span = _native.current_call()
            if span is not None:
                _native.end_call(span, response.status_code)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper
