"""Traced subclasses of SQLite's connections and cursors."""

import functools
import os
import sqlite3
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _dbapi

_SCOPE = "pitviper.sqlite3"
_SYSTEM = "sqlite"
#: Position of ``factory`` among the arguments of ``sqlite3.connect``.
_FACTORY_POSITION = 5

#: Attribute of a traced connection that holds the statements of its database.
_DATABASE = "_pitviper_database"

_connection_classes: "dict[type, type]" = {}
_cursor_classes: "dict[type, type]" = {}


def connect(original: Callable[..., Any]) -> Callable[..., Any]:
    """``sqlite3.connect``."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            given = args[_FACTORY_POSITION] if len(args) > _FACTORY_POSITION else kwargs.get("factory")
            factory = sqlite3.Connection if given is None else given
            if isinstance(factory, type) and issubclass(factory, sqlite3.Connection):
                traced = _traced_connection(factory)
                if len(args) > _FACTORY_POSITION:
                    args = (*args[:_FACTORY_POSITION], traced, *args[_FACTORY_POSITION + 1 :])
                else:
                    kwargs = {**kwargs, "factory": traced}
        except Exception as error:
            internal_error(error)
        connection = original(*args, **kwargs)
        if isinstance(connection, sqlite3.Connection) and hasattr(connection, _DATABASE):
            try:
                name = _name(args[0] if args else kwargs.get("database", ""))
                setattr(connection, _DATABASE, _dbapi.database(_SCOPE, _SYSTEM, name))
            except Exception as error:
                internal_error(error)
        return connection

    return wrapper


def _name(database: object) -> str:
    """The database's name: the file's, without its folder."""
    try:
        return os.path.basename(os.fsdecode(database)) or ":memory:"  # pyright: ignore[reportArgumentType]
    except TypeError:
        return ""


def _database_of_connection(connection: Any) -> _native.Statements:
    # A subclass that never called its base's __init__ has no connection, and one made by its class
    # may have a connection that is not traced. SQLite's own error is the one to be seen.
    return getattr(connection, _DATABASE, None) or _dbapi.database(_SCOPE, _SYSTEM)


def _database_of_cursor(cursor: Any) -> _native.Statements:
    try:
        # The usual case, in one step.
        found: Any = cursor.connection._pitviper_database
    except AttributeError:
        found = None
    return _dbapi.database(_SCOPE, _SYSTEM) if found is None else found


def _like(method: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    return functools.update_wrapper(method, original)


def _traced_cursor(base: type) -> type:
    found = _cursor_classes.get(base)
    if found is None:
        originals: dict[str, Callable[..., Any]] = {
            name: getattr(base, name) for name in ("execute", "executemany", "executescript")
        }
        wrappers = {"executemany": _dbapi.executemany}
        methods = {
            name: _like(wrappers.get(name, _dbapi.execute)(original, _database_of_cursor), original)
            for name, original in originals.items()
        }
        found = _subclass(base, methods)
        _cursor_classes[base] = found
    return found


def _traced_connection(base: type) -> type:
    if hasattr(base, _DATABASE):
        return base
    found = _connection_classes.get(base)
    if found is not None:
        return found
    base_cursor: Any = getattr(base, "cursor")  # noqa: B009 - the base is any class of connections

    def cursor(self: Any, factory: Any = None) -> Any:
        if factory is None:
            factory = sqlite3.Cursor
        try:
            if isinstance(factory, type) and issubclass(factory, sqlite3.Cursor):
                factory = _traced_cursor(factory)
        except Exception as error:
            internal_error(error)
        return base_cursor(self, factory)

    methods: dict[str, Any] = {
        _DATABASE: None,
        "cursor": _like(cursor, base_cursor),
        "commit": _traced_transaction_end(base, "commit"),
        "rollback": _traced_transaction_end(base, "rollback"),
        "__exit__": _traced_transaction_end(base, "__exit__"),
    }
    for name in ("execute", "executemany", "executescript"):
        if getattr(base, name) is getattr(sqlite3.Connection, name):
            methods[name] = _through_cursor(name)
    found = _subclass(base, methods)
    _connection_classes[base] = found
    return found


def _through_cursor(method: str) -> Callable[..., Any]:
    """``Connection.execute`` and its siblings as they are documented: a new cursor's method. Whether
    the built-in ones call an overridden ``cursor`` depends on the version of Python."""

    def wrapper(self: Any, *args: Any) -> Any:
        cursor = self.cursor()
        getattr(cursor, method)(*args)
        return cursor

    return _like(wrapper, getattr(sqlite3.Connection, method))


def _traced_transaction_end(base: type, method: str) -> Callable[..., Any]:
    original = getattr(base, method)

    def sends(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
        if not self.in_transaction:
            return None
        # A block that an exception left is rolled back.
        return "ROLLBACK" if method == "rollback" or (args and args[0] is not None) else "COMMIT"

    return _like(_dbapi.call(original, _database_of_connection, sends), original)


def _subclass(base: type, namespace: "dict[str, Any]") -> type:
    """A subclass that looks like its base."""
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), {**named, **namespace})
