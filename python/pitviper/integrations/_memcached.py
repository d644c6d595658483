"""What the clients of memcached share: a client span for each command, without keys and values."""

from typing import Any, Callable, Optional, cast

from pitviper import _native
from pitviper._guard import internal_error

_CLIENT = 3

Method = Callable[..., Any]
#: Gives the server a client talks to, as (host, port); None when it has several.
ServerOf = Callable[[Any], "Optional[tuple[Any, Any]]"]


def commands(scope: str, server_of: ServerOf) -> Callable[[Method], Method]:
    """Makes the wrapper factory for the methods of a client."""

    def factory(original: Method) -> Method:
        name = original.__name__
        several = name.endswith(("_many", "_multi"))

        def record(client: Any, args: "tuple[Any, ...]", start: int, error: Optional[BaseException] = None) -> None:
            try:
                attributes: dict[str, object] = {"db.system.name": "memcached", "db.operation.name": name}
                server = server_of(client)
                if server is not None:
                    host, port = server
                    attributes["server.address"] = host
                    if port:
                        attributes["server.port"] = int(port)
                if several and args and isinstance(args[0], (list, tuple, dict, set)):
                    attributes["db.operation.batch.size"] = len(cast("list[Any]", args[0]))
                _native.finish_leaf(name, _CLIENT, start, attributes, error, scope)
            except Exception as failure:
                internal_error(failure)

        def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            start = _native.now()
            try:
                result = original(self, *args, **kwargs)
            except BaseException as error:
                record(self, args, start, error)
                raise
            record(self, args, start)
            return result

        return wrapper

    return factory
