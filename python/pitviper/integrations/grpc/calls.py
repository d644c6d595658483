"""The span of a call, whoever makes it and however."""

from typing import Any, Optional

from pitviper import _native
from pitviper._guard import internal_error

_SCOPE = "pitviper.grpc"
_SERVER = 2
_CLIENT = 3
_ERROR = 2

OK, CANCELLED, UNKNOWN = 0, 1, 2

#: Status codes by number; an application may use numbers that have no name.
_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
#: Those that are the server's fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_SERVERS_FAULT = frozenset((2, 4, 12, 13, 14, 15))


def address(target: Any) -> "dict[str, object]":
    """Where a channel leads, from its target: ``host:port``, ``dns:///host:port``, ``unix:path``."""
    text = target.decode() if isinstance(target, bytes) else str(target)
    if text.startswith("unix"):
        return {"server.address": text.partition(":")[2].replace("///", "/")}
    name, _, port = text.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return {"server.address": text.rpartition("/")[2]}
    return {
        "server.address": name.rpartition(":")[2] if "[" not in name else name.strip("[]"),
        "server.port": int(port),
    }


def start(method: Any, kind: int, more: "dict[str, object]", parent: Any = None) -> _native.Span:
    """Starts the span of a call, which is not the current one.

    Args:
        method: ``/package.Service/Method``, as text or bytes.
        kind: The span's kind.
        more: Further attributes.
        parent: Who called, if that is in another process.
    """
    text = method.decode() if isinstance(method, bytes) else str(method)
    service, _, name = text.lstrip("/").rpartition("/")
    attributes: dict[str, object] = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, **more}
    return _native.start_span(text.lstrip("/"), kind, attributes, parent, None, None, _SCOPE)


def start_client(method: Any, where: "dict[str, object]") -> _native.Span:
    """Starts the span of a call that is made."""
    return start(method, _CLIENT, where)


def start_server(method: Any, metadata: Any) -> _native.Span:
    """Starts the span of a call that is handled."""
    return start(method, _SERVER, {}, _native.extract(metadata))


def number_of(code: Any) -> int:
    """A status code as a number; grpc has an enum whose values are pairs."""
    if code is None:
        return OK
    value = getattr(code, "value", code)
    if isinstance(value, tuple):
        return int(value[0])  # pyright: ignore[reportUnknownArgumentType]
    return value if isinstance(value, int) else UNKNOWN


def finish(span: _native.Span, code: Any, details: Optional[str] = None, server: bool = False) -> None:
    """Ends the span of a call with its status."""
    try:
        number = number_of(code)
        span.set_attribute("rpc.grpc.status_code", number)
        if number in _SERVERS_FAULT if server else number != OK:
            span.set_attribute("error.type", _NAMES[number] if number < len(_NAMES) else str(number))
            span.set_status(_ERROR, details or "")
    except Exception as error:
        internal_error(error)
    span.end()
