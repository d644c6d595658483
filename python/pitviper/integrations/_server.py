"""What all integrations that serve HTTP share: the span of a request, whoever started it."""

import re
from collections.abc import Mapping
from typing import Any, Optional
from weakref import ref

from pitviper import _native
from pitviper._guard import internal_error

#: Where a request's :class:`ServerRequest` lies in its WSGI environ or ASGI scope.
REQUEST = "pitviper.request"

#: Kind of span: server.
SERVER = 2
#: Kind of span: internal.
INTERNAL = 1
_ERROR = 2
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))

#: What servers and frameworks raise when the client went away, which is no failure of the server.
_DISCONNECTS = frozenset(("ClientDisconnect", "ClientDisconnected", "WebSocketDisconnect"))

_FOR = re.compile(r'(?i)(?:^|[;,])\s*for="?(\[[^\]]*\]|[^";,\s]+)')


class ServerRequest:
    """A request under way, and its span.

    Frameworks find it in the environ or scope. None of its methods raises.
    """

    __slots__ = (
        "_failed",
        "_recorded",
        "_suspect",
        "client_left",
        "ended",
        "failure",
        "measured",
        "method",
        "prefix",
        "route",
        "span",
        "status",
    )

    def __init__(self, span: _native.Span, method: str, prefix: str = "") -> None:
        self.span = span
        #: What the span's name begins with.
        self.method = method
        #: What routes of the application begin with: where the server, or an application around it, mounted it.
        self.prefix = prefix
        #: Its route, once a framework told it.
        self.route = ""
        #: The status of the response; 0 before there is one.
        self.status = 0
        self.ended = False
        #: Whether sending failed because the client went away: errors of connections are then about that.
        self.client_left = False
        #: The type of what made it fail: an exception's, or its status from 500 on. Empty while nothing did.
        self.failure = ""
        #: What measures it besides; its ``end`` is called before the span's.
        self.measured: Any = None
        self._failed = False
        self._recorded: Optional[BaseException] = None
        self._suspect: Optional[BaseException] = None

    def matched(self, route: str) -> None:
        """Names the request by its route: the template of its path, prefix included."""
        try:
            if route != self.route:
                self.route = route
                _native.name_by_route(self.span, self.method, route)
        except Exception as error:
            internal_error(error)

    def handled_by(self, function: Any) -> None:
        """Notes the function that handles the request, for frameworks whose handler has no span of its own."""
        try:
            self.span.set_attributes(described(function)[1])
        except Exception as error:
            internal_error(error)

    def answered(self, status: int) -> None:
        """Notes the status of the response."""
        try:
            self.status = status
            self.span.set_attribute("http.response.status_code", status)
            if status >= 500:
                suspect = self._suspect
                if suspect is not None:
                    self.fail(suspect)
                # An exception says more than the status it became.
                elif not self._failed:
                    self.failure = str(status)
                    self.span.set_attribute("error.type", self.failure)
                    self.span.set_status(_ERROR)
        except Exception as error:
            internal_error(error)

    def fail(self, error: BaseException) -> None:
        """Marks the request as failed with an exception that nobody handled, and records it, unless another
        span of the request has it. That the client went away, or the server stops, is no failure."""
        try:
            if not self._is_failure(error):
                return
            self._failed = True
            if self._recorded is not error:
                self._recorded = error
                self.span.record_exception(error)
            self.failure = error_type(error)
            self.span.set_attribute("error.type", self.failure)
            self.span.set_status(_ERROR, f"{type(error).__name__}: {error}")
        except Exception as failure:
            internal_error(failure)

    def escaped(self, error: BaseException) -> None:
        """Marks the request as failed with an exception that left the application: servers answer 500 to that,
        if nothing was answered before."""
        if self.status == 0 and self._is_failure(error):
            self._failed = True
            self.answered(500)
        self.fail(error)

    def _is_failure(self, error: BaseException) -> bool:
        if not isinstance(error, Exception) or type(error).__name__ in _DISCONNECTS:
            return False
        return not (self.client_left and isinstance(error, OSError))

    def suspect(self, error: BaseException) -> None:
        """Remembers an exception that the framework turns into an answer: the cause, if that is a 5xx."""
        self._suspect = error

    def recorded(self, error: BaseException) -> None:
        """Says that a span of the request has recorded an exception."""
        self._recorded = error

    def end(self, end_time: Optional[int] = None) -> None:
        """Ends the span. Exceptions are let go of, with all that their frames hold."""
        self.ended = True
        self._recorded = self._suspect = None
        if self.measured is not None:
            self.measured.end(self)
        self.span.end(end_time)


def request_of(environ: "Optional[Mapping[str, Any]]") -> Optional[ServerRequest]:
    """The request that a WSGI environ or ASGI scope belongs to, if it has a span that has not ended."""
    request: Optional[ServerRequest] = environ.get(REQUEST) if environ is not None else None
    return None if request is None or request.ended else request


def method_attributes(method: str, attributes: "dict[str, object]") -> str:
    """Adds a method to the attributes.

    Returns:
        What the span's name begins with: names stay few whatever clients send.
    """
    if method in _METHODS:
        attributes["http.request.method"] = method
        return method
    attributes["http.request.method"] = "_OTHER"
    attributes["http.request.method_original"] = method
    return "HTTP"


def error_type(error: BaseException) -> str:
    """The qualified name of an exception's type, without the module for built-in ones."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def is_answer(error: BaseException) -> bool:
    """Whether an exception is a framework's way to answer with a status below 500."""
    for attribute in ("status_code", "code", "status"):
        status = getattr(error, attribute, None)
        if isinstance(status, int):
            return status < 500
    return False


def described(function: Any) -> "tuple[str, dict[str, object]]":
    """The name of a function or class, with its module, and the attributes that say where it is."""
    try:
        found = _descriptions.get(ref(function))
        if found is None:
            found = _descriptions[ref(function, _forget)] = _describe(function)
    except TypeError:
        # No weak references to it, or no hash: an object of the application's own.
        return _describe(function)
    return found


#: By weak references, as a ``WeakKeyDictionary`` has it, but for the calls that one takes.
_descriptions: "dict[ref[Any], tuple[str, dict[str, object]]]" = {}


def _forget(function: "ref[Any]") -> None:
    _descriptions.pop(function, None)


def _describe(function: Any) -> "tuple[str, dict[str, object]]":
    while hasattr(function, "func") and not hasattr(function, "__qualname__"):
        function = function.func  # functools.partial
    shown: Any = function if hasattr(function, "__qualname__") else function.__class__
    name = f"{getattr(shown, '__module__', '')}.{shown.__qualname__}"
    attributes: dict[str, object] = {"code.function.name": name}
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    if code is not None:
        attributes["code.file.path"] = code.co_filename
        attributes["code.line.number"] = code.co_firstlineno
    return name, attributes


def client_address(forwarded: str, forwarded_for: str, proxies: int) -> Optional[str]:
    """The client's address as the outermost of so many trusted proxies saw it.

    Args:
        forwarded: The header ``Forwarded`` (RFC 7239), or nothing.
        forwarded_for: The header ``X-Forwarded-For``, or nothing.
        proxies: How many proxies can be believed: each appended the address it was called from.
    """
    hops = _FOR.findall(forwarded) if forwarded else [hop.strip() for hop in forwarded_for.split(",")]
    hops = [hop for hop in hops if hop]
    if not hops:
        return None
    hop: str = hops[-proxies] if len(hops) >= proxies else hops[0]
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    # A port may follow an IPv4 address.
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
