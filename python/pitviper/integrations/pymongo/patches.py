"""A listener of PyMongo's own command monitoring, given to each client as it is made."""

import importlib
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error

_SCOPE = "pitviper.pymongo"
_CLIENT = 3
_ERROR = 2

#: Commands that are about the connection, or hold secrets.
_UNTOLD = frozenset(
    ("hello", "ismaster", "isMaster", "authenticate", "saslStart", "saslContinue", "getnonce", "copydbgetnonce")
)
#: Commands under way that are remembered. More are forgotten, so that lost answers cannot fill the memory.
_MAX_UNDER_WAY = 4_096
#: What a command sends several of.
_BATCHES = ("documents", "updates", "deletes")

_monitoring: Any = importlib.import_module("pymongo.monitoring")


def client(original: Callable[..., None]) -> Callable[..., None]:
    """``MongoClient.__init__`` and ``AsyncMongoClient.__init__``."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given: Any = kwargs.get("event_listeners") or ()
            kwargs = {**kwargs, "event_listeners": [*given, _Listener()]}
        except Exception as error:
            internal_error(error)
        original(self, *args, **kwargs)

    return wrapper


class _Listener(_monitoring.CommandListener):
    """Told of each command in the thread or task that sends it."""

    def __init__(self) -> None:
        self._under_way: dict[Any, tuple[str, dict[str, object], int]] = {}

    def started(self, event: Any) -> None:
        """A command is about to be sent."""
        try:
            if event.command_name in _UNTOLD:
                return
            if len(self._under_way) >= _MAX_UNDER_WAY:
                self._under_way.clear()
            self._under_way[event.request_id] = (*_describe(event), _native.now())
        except Exception as error:
            internal_error(error)

    def succeeded(self, event: Any) -> None:
        """A command was answered."""
        self._finish(event, None)

    def failed(self, event: Any) -> None:
        """A command was refused, or its answer was lost."""
        self._finish(event, event.failure)

    def _finish(self, event: Any, failure: Any) -> None:
        try:
            found = self._under_way.pop(event.request_id, None)
            if found is None:
                return
            name, attributes, start = found
            if failure is None:
                _native.finish_leaf(name, _CLIENT, start, attributes, None, _SCOPE)
                return
            span = _native.start_span(name, _CLIENT, attributes, None, start, None, _SCOPE)
            code: Optional[Any] = failure.get("code")
            if code is not None:
                span.set_attribute("db.response.status_code", str(code))
            kind = failure.get("codeName") or failure.get("errtype") or code or "OperationFailure"
            span.set_attribute("error.type", str(kind))
            span.set_status(_ERROR, str(failure.get("errmsg", "")))
            span.end()
        except Exception as error:
            internal_error(error)


def _describe(event: Any) -> "tuple[str, dict[str, object]]":
    """The name and attributes of a command's span."""
    operation: str = event.command_name
    command: Any = event.command
    attributes: dict[str, object] = {
        "db.system.name": "mongodb",
        "db.namespace": event.database_name,
        "db.operation.name": operation,
    }
    collection: Any = command.get("collection") if operation == "getMore" else command.get(operation)
    name = operation
    if isinstance(collection, str):
        attributes["db.collection.name"] = collection
        name = f"{operation} {collection}"
    host, port = event.connection_id
    attributes["server.address"] = host
    if port:
        attributes["server.port"] = port
    for key in _BATCHES:
        several: Any = command.get(key)
        if isinstance(several, list):
            size = len(several)  # pyright: ignore[reportUnknownArgumentType]
            if size > 1:
                attributes["db.operation.batch.size"] = size
    return name, attributes
