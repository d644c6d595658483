"""Wrappers for psycopg 3. Its synchronous and asynchronous halves drive the same generators, and some of
those are wrapped: what the driver sends by itself, and connecting."""

import contextlib
import importlib
from collections.abc import AsyncGenerator, Generator
from typing import Any, Callable

from pitviper import _native
from pitviper.integrations import _dbapi

#: The library is here already: its import brought this one.
_conninfo: Any = importlib.import_module("psycopg.conninfo")

_SCOPE = "pitviper.psycopg"
_SYSTEM = "postgresql"
#: Attribute of a connection that holds the statements of its database.
_DATABASE = "_pitviper_database"
#: What libpq calls a connection that no transaction is open on.
_IDLE = 0

Method = Callable[..., Any]


def _database_of_connection(connection: Any) -> _native.Statements:
    found: Any = getattr(connection, _DATABASE, None)
    if found is None:
        found = _dbapi.database(_SCOPE, _SYSTEM, *_where(connection))
        setattr(connection, _DATABASE, found)
    return found


def _where(connection: Any) -> "tuple[object, object, object]":
    link = connection.pgconn
    host, port, name = link.host, link.port, link.db
    return name.decode(), host.decode(), int(port) if port else None


def _database_of_cursor(cursor: Any) -> _native.Statements:
    return _database_of_connection(cursor.connection)


def _database_of_part(part: Any) -> _native.Statements:
    """Of a transaction or a pipeline."""
    return _database_of_connection(part._conn)


def _connection_of(cursor: Any) -> Any:
    return cursor.connection


def execute(original: Method) -> Method:
    """``Cursor.execute``."""
    return _dbapi.execute(original, _database_of_cursor)


def execute_async(original: Method) -> Method:
    """``AsyncCursor.execute``."""
    return _dbapi.execute_async(original, _database_of_cursor)


def executemany(original: Method) -> Method:
    """``Cursor.executemany``; it has a pipeline of its own."""
    return _dbapi.executemany(original, _database_of_cursor, _connection_of)


def executemany_async(original: Method) -> Method:
    """``AsyncCursor.executemany``."""
    return _dbapi.executemany_async(original, _database_of_cursor, _connection_of)


def copy(original: Method) -> Method:
    """``Cursor.copy``: from the start of its block to the end."""

    @contextlib.contextmanager
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> "Generator[Any, None, None]":
        start = _native.now()
        try:
            with original(self, *args, **kwargs) as block:
                yield block
        except BaseException as error:
            _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start, error)
            raise
        _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start)

    return wrapper


def copy_async(original: Method) -> Method:
    """``AsyncCursor.copy``."""

    @contextlib.asynccontextmanager
    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> "AsyncGenerator[Any, None]":
        start = _native.now()
        try:
            async with original(self, *args, **kwargs) as block:
                yield block
        except BaseException as error:
            _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start, error)
            raise
        _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start)

    return wrapper


def stream(original: Method) -> Method:
    """``Cursor.stream``: from the first row to the last, or to where the loop was left."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> "Generator[Any, Any, None]":
        start = _native.now()
        try:
            yield from original(self, *args, **kwargs)
        except BaseException as error:
            _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start, error)
            raise
        _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start)

    return wrapper


def stream_async(original: Method) -> Method:
    """``AsyncCursor.stream``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> "AsyncGenerator[Any, None]":
        start = _native.now()
        try:
            rows = original(self, *args, **kwargs)
            try:
                async for row in rows:
                    yield row
            finally:
                await rows.aclose()
        except BaseException as error:
            _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start, error)
            raise
        _dbapi.record(_database_of_cursor, self, _dbapi.statement_of(args, kwargs), start)

    return wrapper


#: What the driver begins with what it was asked for; the span of that covers it.
_BEGINNINGS = (b"BEGIN", b"SAVEPOINT")


def _command(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    sent = args[0] if args else kwargs["command"]
    return None if isinstance(sent, bytes) and sent.startswith(_BEGINNINGS) else sent


def command(original: Method) -> Method:
    """``BaseConnection._exec_command``: COMMIT, ROLLBACK, FETCH of a server-side cursor and the like."""
    return _dbapi.call_generator(original, _database_of_connection, _command)


def _begin(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    return "BEGIN" if self.pgconn.transaction_status == _IDLE else "SAVEPOINT"


def enter_transaction(original: Method) -> Method:
    """``BaseTransaction._enter_gen``."""
    return _dbapi.call_generator(original, _database_of_part, _begin)


def _sync(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    return None if _dbapi.inside(self._conn) else "SYNC"


def sync(original: Method) -> Method:
    """``Pipeline.sync`` and ``Pipeline.__exit__``: the answers to what was queued."""
    return _dbapi.call(original, _database_of_part, _sync)


def sync_async(original: Method) -> Method:
    """``AsyncPipeline.sync`` and ``AsyncPipeline.__aexit__``."""
    return _dbapi.call_async(original, _database_of_part, _sync)


def connect(original: Callable[..., "Generator[Any, Any, Any]"]) -> Method:
    """``BaseConnection._connect_gen``, a class method: one attempt to connect."""

    def wrapper(cls: Any, *args: Any, **kwargs: Any) -> "Generator[Any, Any, Any]":
        start = _native.now()
        try:
            connection: Any = yield from original(cls, *args, **kwargs)
        except BaseException as error:
            _dbapi.connected(_SCOPE, _SYSTEM, _wanted(args, kwargs), start, error)
            raise
        _dbapi.connected(_SCOPE, _SYSTEM, _place(connection), start)
        return connection

    return wrapper


def _place(connection: Any) -> "dict[str, object]":
    try:
        return _dbapi.endpoint(*_where(connection))
    except Exception:
        # It may be lost already.
        return {}


def _wanted(args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> "dict[str, object]":
    """Where a connection that failed was to go."""
    try:
        given = _conninfo.conninfo_to_dict(args[0] if args else kwargs.get("conninfo", ""))
        return _dbapi.endpoint(given.get("dbname"), given.get("host"), given.get("port"))
    except Exception:
        # What the driver cannot read, it says itself.
        return {}
