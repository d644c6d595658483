"""Traced subclasses of psycopg2's connections and cursors.

Its functions in C insist on instances of their own types, so nothing can stand in front of them. A
subclass can: ``connection`` makes it through ``connection_factory``. What an application's own subclass
calls by ``super()`` arrives here, since its classes come first in the method resolution order.
"""

import functools
from typing import Any, Callable

from psycopg2 import extensions

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _dbapi

_SCOPE = "pitviper.psycopg2"
_SYSTEM = "postgresql"
#: Positions of the arguments of ``psycopg2.connect`` and of ``connection.cursor``.
_CONNECTION_FACTORY = 1
_CURSOR_FACTORY = 1

_Connection: Any = extensions.connection
_Cursor: Any = extensions.cursor

_connection_classes: "dict[type, type]" = {}
_cursor_classes: "dict[tuple[type, bool], type]" = {}


def connect(original: Callable[..., Any]) -> Callable[..., Any]:
    """``psycopg2.connect``."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            args, kwargs = _with_factory(args, kwargs, _CONNECTION_FACTORY, "connection_factory", _traced_connection)
        except Exception as error:
            internal_error(error)
        try:
            connection = original(*args, **kwargs)
        except BaseException as error:
            _dbapi.connected(_SCOPE, _SYSTEM, _wanted(args, kwargs), start, error)
            raise
        try:
            where = _where(connection)
            _dbapi.connected(_SCOPE, _SYSTEM, _dbapi.endpoint(*where), start)
            if isinstance(connection, TracedConnection):
                connection.pitviper_database = _dbapi.database(_SCOPE, _SYSTEM, *where)
        except Exception as error:
            internal_error(error)
        return connection

    return wrapper


def _with_factory(
    args: "tuple[Any, ...]", kwargs: "dict[str, Any]", position: int, name: str, traced: Callable[[Any], Any]
) -> "tuple[tuple[Any, ...], dict[str, Any]]":
    """The arguments with a traced class in the place of the one they name."""
    if len(args) > position:
        return (*args[:position], traced(args[position]), *args[position + 1 :]), kwargs
    return args, {**kwargs, name: traced(kwargs.get(name))}


def _where(connection: Any) -> "tuple[Any, Any, Any]":
    parameters: Any = connection.info
    return parameters.dbname, parameters.host, parameters.port


def _wanted(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "dict[str, object]":
    """Where a connection that failed was to go."""
    try:
        given = {name: value for name, value in kwargs.items() if not name.endswith("_factory") and name != "async_"}
        dsn: Any = extensions.make_dsn(args[0] if args else given.pop("dsn", None), **given)
        parsed: dict[str, str] = extensions.parse_dsn(dsn)
        return _dbapi.endpoint(parsed.get("dbname"), parsed.get("host"), parsed.get("port"))
    except Exception:
        # What the driver cannot read, it says itself.
        return {}


def _database_of_connection(connection: Any) -> _native.Statements:
    found: Any = connection.pitviper_database
    if found is None:
        found = connection.pitviper_database = _dbapi.database(_SCOPE, _SYSTEM, *_where(connection))
    return found


def _database_of_cursor(cursor: Any) -> _native.Statements:
    connection: Any = cursor.connection
    if isinstance(connection, TracedConnection):
        return _database_of_connection(connection)
    return _dbapi.database(_SCOPE, _SYSTEM)


def _ends_transaction(statement: str) -> _dbapi.Sends:
    # Without a transaction nothing is sent.
    return lambda self, args, kwargs: None if self.status == extensions.STATUS_READY else statement


class TracedConnection(_Connection):
    """What a traced connection has beside its own class."""

    pitviper_database: Any = None

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """A traced cursor of the class that was asked for."""
        try:
            named = bool(args[0] if args else kwargs.get("name"))

            def traced(given: Any) -> Any:
                return _traced_cursor(given or self.cursor_factory or _Cursor, named)

            args, kwargs = _with_factory(args, kwargs, _CURSOR_FACTORY, "cursor_factory", traced)
        except Exception as error:
            internal_error(error)
        parent: Any = super()
        return parent.cursor(*args, **kwargs)


def _name_as(method: Any, base: Any) -> Any:
    return functools.update_wrapper(method, base)


for _name in ("commit", "rollback"):
    _base = getattr(_Connection, _name)
    _method = _dbapi.call(_base, _database_of_connection, _ends_transaction(_name.upper()))
    setattr(TracedConnection, _name, _name_as(_method, _base))
_name_as(TracedConnection.cursor, _Connection.cursor)


def _copy_statement(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> str:
    table = args[1] if len(args) > 1 else kwargs.get("table", "")
    # The driver quotes it as one name.
    return 'COPY "' + str(table).replace('"', '""') + '"'


_CURSOR_METHODS: "dict[str, Callable[[Any], Any]]" = {
    "execute": lambda base: _dbapi.execute(base, _database_of_cursor),
    "executemany": lambda base: _dbapi.executemany(base, _database_of_cursor),
    "callproc": lambda base: _dbapi.call(base, _database_of_cursor, _dbapi.procedure),
    "copy_expert": lambda base: _dbapi.execute(base, _database_of_cursor),
    "copy_from": lambda base: _dbapi.call(base, _database_of_cursor, _copy_statement),
    "copy_to": lambda base: _dbapi.call(base, _database_of_cursor, _copy_statement),
}
_NAMED_CURSOR_METHODS: "dict[str, Callable[[Any], Any]]" = {
    name: lambda base: _dbapi.call(base, _database_of_cursor, _dbapi.always("FETCH"))
    for name in ("fetchone", "fetchmany", "fetchall")
}


def _traced_connection(given: Any) -> Any:
    base: Any = _Connection if given is None else given
    if not _is_untraced(base, _Connection, TracedConnection):
        # A function that makes connections as it likes.
        return given
    found = _connection_classes.get(base)
    if found is None:
        bases: tuple[Any, ...] = (TracedConnection,) if base is _Connection else (base, TracedConnection)
        found = _connection_classes[base] = type(base.__name__, bases, _look_of(base))
    return found


def _traced_cursor(base: Any, named: bool) -> Any:
    if not isinstance(base, type) or not issubclass(base, _Cursor) or hasattr(base, "_pitviper_traced"):
        return base
    found = _cursor_classes.get((base, named))
    if found is None:
        namespace: dict[str, Any] = {**_look_of(base), "_pitviper_traced": True}
        methods = {**_CURSOR_METHODS, **_NAMED_CURSOR_METHODS} if named else _CURSOR_METHODS
        for name, wrap in methods.items():
            method: Any = getattr(base, name)
            namespace[name] = _name_as(wrap(method), method)
        found = _cursor_classes[base, named] = type(base.__name__, (base,), namespace)
    return found


def _is_untraced(given: Any, base: type, traced: type) -> bool:
    return isinstance(given, type) and issubclass(given, base) and not issubclass(given, traced)


def _look_of(base: type) -> "dict[str, Any]":
    return {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
