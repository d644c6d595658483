"""Traced subclasses of SQLite's connections and cursors."""

import functools
import os
import sqlite3
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations._sql import MAX_REMEMBERED_LENGTH, describe

_SCOPE = "pitviper.sqlite3"
_CLIENT = 3
#: Position of ``factory`` among the arguments of ``sqlite3.connect``.
_FACTORY_POSITION = 5

#: Attribute of a traced connection that holds the name of its database.
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
            setattr(connection, _DATABASE, _name(args[0] if args else kwargs.get("database", "")))
        return connection

    return wrapper


def _name(database: object) -> str:
    """The database's name: the file's, without its folder."""
    try:
        return os.path.basename(os.fsdecode(database)) or ":memory:"  # pyright: ignore[reportArgumentType]
    except TypeError:
        return ""


class _Statements:
    """Span names and attributes by statement, for one database."""

    __slots__ = ("_by_statement", "_database")

    _MAX = 512

    def __init__(self, database: str) -> None:
        self._database = database
        self._by_statement: dict[str, tuple[str, dict[str, object]]] = {}

    def of(self, statement: object) -> "tuple[str, dict[str, object]]":
        if not isinstance(statement, str):
            return "SQL", {"db.system.name": "sqlite"}
        found = self._by_statement.get(statement)
        if found is None:
            text, summary, operation = describe(statement)
            attributes: dict[str, object] = {
                "db.system.name": "sqlite",
                "db.namespace": self._database,
                "db.query.text": text,
                "db.query.summary": summary,
                "db.operation.name": operation,
            }
            found = (summary, attributes)
            if len(statement) <= MAX_REMEMBERED_LENGTH:
                if len(self._by_statement) >= self._MAX:
                    self._by_statement.clear()
                self._by_statement[statement] = found
        return found


_databases: "dict[str, _Statements]" = {}
_MAX_DATABASES = 64


def _statements(database: str) -> _Statements:
    found = _databases.get(database)
    if found is None:
        if len(_databases) >= _MAX_DATABASES:
            _databases.clear()
        found = _databases[database] = _Statements(database)
    return found


def _statements_of(cursor: Any) -> _Statements:
    # A subclass that never called its base's __init__ has no connection, and one made by its class
    # may have a connection that is not traced. SQLite's own error is the one to be seen.
    return _statements(getattr(getattr(cursor, "connection", None), _DATABASE, ""))


def _traced_method(base: type, method: str) -> Callable[..., Any]:
    original = getattr(base, method)

    def wrapper(self: Any, statement: Any, *args: Any) -> Any:
        start = _native.now()
        try:
            result = original(self, statement, *args)
        except BaseException as error:
            name, attributes = _statements_of(self).of(statement)
            _native.finish_leaf(name, _CLIENT, start, attributes, error, _SCOPE)
            raise
        name, attributes = _statements_of(self).of(statement)
        _native.finish_leaf(name, _CLIENT, start, attributes, None, _SCOPE)
        return result

    return functools.update_wrapper(wrapper, original)


def _traced_cursor(base: type) -> type:
    found = _cursor_classes.get(base)
    if found is None:
        methods = {name: _traced_method(base, name) for name in ("execute", "executemany", "executescript")}
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
        if isinstance(factory, type) and issubclass(factory, sqlite3.Cursor):
            factory = _traced_cursor(factory)
        return base_cursor(self, factory)

    methods: dict[str, Any] = {
        _DATABASE: "",
        "cursor": functools.update_wrapper(cursor, base_cursor),
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

    return functools.update_wrapper(wrapper, getattr(sqlite3.Connection, method))


def _traced_transaction_end(base: type, method: str) -> Callable[..., Any]:
    original = getattr(base, method)

    def wrapper(self: Any, *args: Any) -> Any:
        if not self.in_transaction:
            return original(self, *args)
        # A block that an exception left is rolled back.
        statement = "ROLLBACK" if method == "rollback" or (args and args[0] is not None) else "COMMIT"
        start = _native.now()
        failure = None
        try:
            return original(self, *args)
        except BaseException as error:
            failure = error
            raise
        finally:
            name, attributes = _statements(self._pitviper_database).of(statement)
            _native.finish_leaf(name, _CLIENT, start, attributes, failure, _SCOPE)

    return functools.update_wrapper(wrapper, original)


def _subclass(base: type, namespace: "dict[str, Any]") -> type:
    """A subclass that looks like its base."""
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return type(base.__name__, (base,), {**named, **namespace})
