"""What all drivers of SQL databases share: a client span for each call that sends a statement.

A span covers the call as the application sees it. It has no children, so it is recorded in one native
call when the statement is answered: ``_native.Statements`` masks and names each statement once.

Source of names and attributes: OpenTelemetry semantic conventions for database client spans.
"""

from collections.abc import Awaitable, Generator
from typing import Any, Callable, Optional, cast

from pitviper import _native
from pitviper._guard import internal_error

_CLIENT = 3

Method = Callable[..., Any]
#: Gives the statements of the database that a connection or cursor belongs to.
DatabaseOf = Callable[[Any], _native.Statements]

#: Databases whose statements are remembered. A process that talks to more forgets them all and begins anew.
_MAX_DATABASES = 64
_databases: "dict[tuple[object, ...], _native.Statements]" = {}

#: Set on a cursor while a call of the driver runs that sends its statements through others.
_INSIDE = "_pitviper_inside"
#: What drivers call the parameter that holds the statement.
_STATEMENT_NAMES = ("query", "sql", "operation", "statement", "procname")


def database(
    scope: str, system: str, namespace: object = None, host: object = None, port: object = None
) -> _native.Statements:
    """The statements of one database; those of equal databases are the same."""
    key = (scope, system, namespace, host, port)
    found = _databases.get(key)
    if found is None:
        if len(_databases) >= _MAX_DATABASES:
            _databases.clear()
        found = _databases[key] = _native.Statements(scope, system, endpoint(namespace, host, port))
    return found


def endpoint(namespace: object, host: object, port: object) -> "dict[str, object]":
    """The attributes that say where a database is."""
    attributes: dict[str, object] = {}
    if namespace:
        attributes["db.namespace"] = namespace.decode(errors="replace") if isinstance(namespace, bytes) else namespace
    if host:
        attributes["server.address"] = host
        # A socket of the file system has no port.
        if port and not str(host).startswith("/"):
            attributes["server.port"] = int(cast("Any", port))
    return attributes


def execute(original: Method, database_of: DatabaseOf) -> Method:
    """A method whose first argument is a statement."""
    now = _native.now

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = now()
        try:
            # An empty mapping is not handed on: this is what applications spend their requests with.
            result = original(self, *args, **kwargs) if kwargs else original(self, *args)
        except BaseException as error:
            record(database_of, self, statement_of(args, kwargs), start, error)
            raise
        try:
            statement = args[0] if args else statement_of(args, kwargs)
            if type(statement) is not str:
                statement = _as_text(statement, self)
            database_of(self).finish(statement, start)
        except Exception as error:
            internal_error(error)
        return result

    return wrapper


def execute_async(original: "Callable[..., Awaitable[Any]]", database_of: DatabaseOf) -> Method:
    """A coroutine whose first argument is a statement."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            record(database_of, self, statement_of(args, kwargs), start, error)
            raise
        record(database_of, self, statement_of(args, kwargs), start)
        return result

    return wrapper


def unless_inside(traced: Method, original: Method) -> Method:
    """The traced method, except while another one that has a span calls it."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, _INSIDE, False):
            return original(self, *args, **kwargs)
        return traced(self, *args, **kwargs)

    return wrapper


def inside(owner: Any) -> bool:
    """Whether a call that has a span sends its statements through this cursor or connection."""
    return getattr(owner, _INSIDE, False)


class outer:
    """While this block runs, :func:`inside` is true of the object."""

    __slots__ = ("_owner",)

    def __init__(self, owner: Any) -> None:
        self._owner = owner

    def __enter__(self) -> None:
        try:
            setattr(self._owner, _INSIDE, True)
        except Exception as error:
            internal_error(error)

    def __exit__(self, *_: object) -> None:
        try:
            setattr(self._owner, _INSIDE, False)
        except Exception as error:
            internal_error(error)


#: Gives the object whose other methods a call sends its statements through.
Through = Callable[[Any], Any]


def itself(cursor: Any) -> Any:
    """For a driver whose ``executemany`` calls ``execute`` of the same cursor."""
    return cursor


def executemany(original: Method, database_of: DatabaseOf, through: Through = itself) -> Method:
    """A method that sends a statement with each of several sets of parameters."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            with outer(through(self)):
                result = original(self, *args, **kwargs)
        except BaseException as error:
            record(database_of, self, statement_of(args, kwargs), start, error, batch_of(args, kwargs))
            raise
        record(database_of, self, statement_of(args, kwargs), start, None, batch_of(args, kwargs))
        return result

    return wrapper


def executemany_async(
    original: "Callable[..., Awaitable[Any]]", database_of: DatabaseOf, through: Through = itself
) -> Method:
    """A coroutine that sends a statement with each of several sets of parameters."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            with outer(through(self)):
                result = await original(self, *args, **kwargs)
        except BaseException as error:
            record(database_of, self, statement_of(args, kwargs), start, error, batch_of(args, kwargs))
            raise
        record(database_of, self, statement_of(args, kwargs), start, None, batch_of(args, kwargs))
        return result

    return wrapper


#: Says what a call sends: a statement, or None when it sends nothing.
Sends = Callable[[Any, "tuple[Any, ...]", "dict[str, Any]"], Any]


def call(original: Method, database_of: DatabaseOf, sends: Sends) -> Method:
    """A method that sends what ``sends`` says before it runs."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        statement = _sent(sends, self, args, kwargs)
        if statement is None:
            return original(self, *args, **kwargs)
        start = _native.now()
        try:
            result = original(self, *args, **kwargs)
        except BaseException as error:
            record(database_of, self, statement, start, error)
            raise
        record(database_of, self, statement, start)
        return result

    return wrapper


def call_async(original: "Callable[..., Awaitable[Any]]", database_of: DatabaseOf, sends: Sends) -> Method:
    """A coroutine that sends what ``sends`` says before it runs."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        statement = _sent(sends, self, args, kwargs)
        if statement is None:
            return await original(self, *args, **kwargs)
        start = _native.now()
        try:
            result = await original(self, *args, **kwargs)
        except BaseException as error:
            record(database_of, self, statement, start, error)
            raise
        record(database_of, self, statement, start)
        return result

    return wrapper


def call_generator(
    original: "Callable[..., Generator[Any, Any, Any]]", database_of: DatabaseOf, sends: Sends
) -> Method:
    """A generator that sends what ``sends`` says while it runs, and waits where it yields."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> "Generator[Any, Any, Any]":
        statement = _sent(sends, self, args, kwargs)
        start = _native.now()
        try:
            result = yield from original(self, *args, **kwargs)
        except BaseException as error:
            if statement is not None:
                record(database_of, self, statement, start, error)
            raise
        if statement is not None:
            record(database_of, self, statement, start)
        return result

    return wrapper


def _sent(sends: Sends, self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    try:
        return sends(self, args, kwargs)
    except Exception as error:
        internal_error(error)
        return None


def always(statement: str) -> Sends:
    """For a method that always sends the same."""
    return lambda self, args, kwargs: statement


def procedure(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> str:
    """For a method whose first argument is the name of a stored procedure."""
    return f"CALL {statement_of(args, kwargs)}"


def record(
    database_of: DatabaseOf,
    owner: Any,
    statement: Any,
    start: int,
    error: Optional[BaseException] = None,
    batch: int = 0,
) -> None:
    """Records the span of a statement that was answered."""
    try:
        if type(statement) is not str:
            statement = _as_text(statement, owner)
        status = None if error is None else status_of(error)
        database_of(owner).finish(statement, start, error, batch, status)
    except Exception as failure:
        internal_error(failure)


def connected(
    scope: str, system: str, where: "dict[str, object]", start: int, error: Optional[BaseException] = None
) -> None:
    """Records the span of a connection that was opened, or was not."""
    try:
        attributes = {"db.system.name": system, "db.operation.name": "CONNECT", **where}
        if error is not None:
            status = status_of(error)
            if status is not None:
                attributes["db.response.status_code"] = status
        _native.finish_leaf("CONNECT", _CLIENT, start, attributes, error, scope)
    except Exception as failure:
        internal_error(failure)


def statement_of(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    """The statement among a call's arguments."""
    if args:
        return args[0]
    for name in _STATEMENT_NAMES:
        if name in kwargs:
            return kwargs[name]
    return ""


def batch_of(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> int:
    """How many sets of parameters a call has; 0 when that cannot be told without using them up."""
    rest = args[1:2] or tuple(value for name, value in kwargs.items() if name not in _STATEMENT_NAMES)
    for parameters in rest:
        if isinstance(parameters, (list, tuple)):
            return len(cast("list[Any]", parameters))
    return 0


def _as_text(statement: Any, owner: Any) -> Any:
    """Statements that psycopg composes of parts need a connection to become text; of bytes, and of objects
    with a text of their own, the native half makes one."""
    as_string = getattr(statement, "as_string", None)
    return statement if as_string is None else as_string(owner)


def status_of(error: BaseException) -> Optional[str]:
    """The database's own code for an error: an SQLSTATE, a number of MySQL's, a name of SQLite's."""
    if error.args and isinstance(error.args[0], int):
        for base in type(error).__mro__:
            if base.__name__ == "MySQLError":
                return str(error.args[0])
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str):
            return code
    return None
