"""Wrappers for asyncpg, at its protocol: all of its API, and its pool, send through that."""

from collections.abc import Awaitable
from typing import Any, Callable

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _dbapi

_SCOPE = "pitviper.asyncpg"
_SYSTEM = "postgresql"
#: Attribute of a protocol that holds the statements of its database.
_DATABASE = "_pitviper_database"

Method = Callable[..., Any]
Coroutine = Callable[..., Awaitable[Any]]


def _database_of(protocol: Any) -> _native.Statements:
    found: Any = getattr(protocol, _DATABASE, None)
    return _dbapi.database(_SCOPE, _SYSTEM) if found is None else found


def connection(original: Method) -> Method:
    """``Connection.__init__(protocol, transport, loop, addr, config, params)``."""

    def wrapper(self: Any, protocol: Any, *args: Any, **kwargs: Any) -> None:
        original(self, protocol, *args, **kwargs)
        try:
            setattr(protocol, _DATABASE, _dbapi.database(_SCOPE, _SYSTEM, *_where(self)))
        except Exception as error:
            internal_error(error)

    return wrapper


def _where(connection: Any) -> "tuple[Any, Any, Any]":
    address: Any = connection._addr
    # A socket of the file system is one text.
    host, port = (address, None) if isinstance(address, str) else address[:2]
    return connection._params.database, host, port


def query(original: Coroutine) -> Method:
    """``Protocol.query``, ``copy_in`` and ``copy_out``: what they send is their first argument."""
    return _dbapi.execute_async(original, _database_of)


def prepare(original: Coroutine) -> Method:
    """``Protocol.prepare(stmt_name, query, …)``."""

    def sends(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
        return f"PREPARE {args[1] if len(args) > 1 else kwargs['query']}"

    return _dbapi.call_async(original, _database_of, sends)


def _query_of_state(self: Any, args: "tuple[Any, ...]", kwargs: "dict[str, Any]") -> Any:
    return (args[0] if args else kwargs["state"]).query


def run(original: Coroutine) -> Method:
    """``Protocol.bind_execute`` and ``Protocol.execute``: a prepared statement, or more rows of it."""
    return _dbapi.call_async(original, _database_of, _query_of_state)


def run_many(original: Coroutine) -> Method:
    """``Protocol.bind_execute_many(state, args, …)``."""

    async def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        failure = None
        try:
            return await original(self, *args, **kwargs)
        except BaseException as error:
            failure = error
            raise
        finally:
            statement = _query_of_state(self, args, kwargs)
            parameters = args[1] if len(args) > 1 else kwargs.get("args")
            _dbapi.record(_database_of, self, statement, start, failure, _dbapi.batch_of((None, parameters), {}))

    return wrapper


def connect(original: Coroutine) -> Method:
    """``connect_utils._connect``, for single connections and those of pools."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        start = _native.now()
        try:
            made = await original(*args, **kwargs)
        except BaseException as error:
            where = _dbapi.endpoint(kwargs.get("database"), _plain(kwargs.get("host")), _plain(kwargs.get("port")))
            _dbapi.connected(_SCOPE, _SYSTEM, where, start, error)
            raise
        try:
            _dbapi.connected(_SCOPE, _SYSTEM, _dbapi.endpoint(*_where(made)), start)
        except Exception as error:
            internal_error(error)
        return made

    return wrapper


def _plain(value: Any) -> Any:
    """Hosts and ports may come as lists."""
    return value if isinstance(value, (str, int)) else None
