"""Wraps the method through which requests sends, and the one that sends again for each redirect."""

import threading
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _client

_SCOPE = "pitviper.requests"


#: What requests follows, if there is a place to go to.
_REDIRECTS = frozenset((301, 302, 303, 307, 308))


class _Redirects(threading.local):
    """How many redirects led to the request that is about to be sent."""

    count = 0
    #: Whether any redirect was ever followed, in any thread: until then nobody has to look.
    were_any = False


_redirects = _Redirects()


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
        resend = 0
        if _Redirects.were_any:
            resend, _redirects.count = _redirects.count, 0
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


def resolve_redirects(original: Callable[..., Any]) -> Callable[..., Any]:
    """``Session.resolve_redirects``: a generator of the responses that follow a response, if any do."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        responses = original(*args, **kwargs)
        try:
            resp = args[1] if len(args) > 1 else kwargs["resp"]
            # The status first: looking for a header takes longer.
            if resp.status_code not in _REDIRECTS or not resp.is_redirect or kwargs.get("yield_requests"):
                return responses
            # Its headers are here: the request that follows is not part of it.
            span = _native.current_call()
            if span is not None:
                _native.end_call(span, resp.status_code)
            return _counted(responses)
        except Exception as error:
            internal_error(error)
            return responses

    return wrapper


def _counted(responses: Any) -> Any:
    _Redirects.were_any = True
    count = 0
    while True:
        count += 1
        _redirects.count = count
        try:
            response = next(responses)
        except StopIteration:
            return
        finally:
            _redirects.count = 0
        yield response
