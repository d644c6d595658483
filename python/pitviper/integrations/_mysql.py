"""What the drivers of MySQL and MariaDB share."""

from collections.abc import Awaitable
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.integrations import _dbapi

#: Attribute of a connection that holds the statements of its database.
_DATABASE = "_pitviper_database"
#: Where a server listens unless it is told otherwise.
_HOST, _PORT = "localhost", 3306

Method = Callable[..., Any]
#: Gives a connection's database, host, port or socket, and the server's version if it said one.
Where = Callable[[Any], "tuple[Any, Any, Any, Any]"]


class Driver:
    """The wrappers for one driver.

    Args:
        scope: The scope of its spans.
        where: Tells of a connection what it is connected to.
        connection_of: Gives the connection of a cursor, or None when that is closed.
    """

    def __init__(self, scope: str, where: Where, connection_of: Callable[[Any], Any]) -> None:
        self._scope = scope
        self._where = where
        self._connection_of = connection_of

    def _of_connection(self, connection: Any) -> _native.Statements:
        found: Any = getattr(connection, _DATABASE, None)
        if found is None:
            system, where = self._place(connection)
            found = _dbapi.database(self._scope, system, *where)
            if connection is not None:
                setattr(connection, _DATABASE, found)
        return found

    def _of_cursor(self, cursor: Any) -> _native.Statements:
        return self._of_connection(self._connection_of(cursor))

    def _place(self, connection: Any) -> "tuple[str, tuple[Any, Any, Any]]":
        if connection is None:
            return "mysql", (None, None, None)
        name, host, port, version = self._where(connection)
        system = "mariadb" if "mariadb" in str(version).lower() else "mysql"
        return system, (name, host or _HOST, port or _PORT)

    def execute(self, original: Method) -> Method:
        """A cursor's ``execute``; ``executemany`` may call it."""
        return _dbapi.unless_inside(_dbapi.execute(original, self._of_cursor), original)

    def execute_async(self, original: Method) -> Method:
        """A cursor's ``execute`` as a coroutine."""
        return _dbapi.unless_inside(_dbapi.execute_async(original, self._of_cursor), original)

    def executemany(self, original: Method) -> Method:
        """A cursor's ``executemany``."""
        return _dbapi.executemany(original, self._of_cursor)

    def executemany_async(self, original: Method) -> Method:
        """A cursor's ``executemany`` as a coroutine."""
        return _dbapi.executemany_async(original, self._of_cursor)

    def callproc(self, original: Method) -> Method:
        """A cursor's ``callproc``."""
        return _dbapi.call(original, self._of_cursor, _dbapi.procedure)

    def callproc_async(self, original: Method) -> Method:
        """A cursor's ``callproc`` as a coroutine."""
        return _dbapi.call_async(original, self._of_cursor, _dbapi.procedure)

    def transaction(self, original: Method) -> Method:
        """A connection's ``begin``, ``commit`` and ``rollback``."""
        return _dbapi.call(original, self._of_connection, _dbapi.always(original.__name__.upper()))

    def transaction_async(self, original: Method) -> Method:
        """A connection's ``begin``, ``commit`` and ``rollback`` as coroutines."""
        return _dbapi.call_async(original, self._of_connection, _dbapi.always(original.__name__.upper()))

    def connect(self, original: Method) -> Method:
        """A connection's method that connects."""

        def wrapper(self_: Any, *args: Any, **kwargs: Any) -> Any:
            start = _native.now()
            try:
                result = original(self_, *args, **kwargs)
            except BaseException as error:
                self._connected(self_, start, error)
                raise
            self._connected(self_, start)
            return result

        return wrapper

    def connect_async(self, original: "Callable[..., Awaitable[Any]]") -> Method:
        """A connection's method that connects, as a coroutine."""

        async def wrapper(self_: Any, *args: Any, **kwargs: Any) -> Any:
            start = _native.now()
            try:
                result = await original(self_, *args, **kwargs)
            except BaseException as error:
                self._connected(self_, start, error)
                raise
            self._connected(self_, start)
            return result

        return wrapper

    def _connected(self, connection: Any, start: int, error: Optional[BaseException] = None) -> None:
        try:
            system, where = self._place(connection)
            _dbapi.connected(self._scope, system, _dbapi.endpoint(*where), start, error)
        except Exception as failure:
            internal_error(failure)
