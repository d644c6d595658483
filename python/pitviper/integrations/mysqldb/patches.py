"""Wrappers for mysqlclient. Its connections are written in C and forget where they went, so that is kept
from what they are made with."""

from typing import Any, Callable

from pitviper._guard import internal_error
from pitviper.integrations._mysql import Driver

#: Attribute of a connection: its database, its host or socket, its port, the server's version.
_PLACE = "_pitviper_place"
#: The positional arguments of ``MySQLdb.connect``.
_ARGUMENTS = ("host", "user", "password", "database", "port", "unix_socket")

Method = Callable[..., Any]


def _where(connection: Any) -> "tuple[Any, Any, Any, Any]":
    return getattr(connection, _PLACE, (None, None, None, ""))


def _connection_of(cursor: Any) -> Any:
    return cursor.connection


_driver = Driver("pitviper.mysqldb", _where, _connection_of)

execute = _driver.execute
executemany = _driver.executemany
callproc = _driver.callproc
transaction = _driver.transaction


def connect(original: Method) -> Method:
    """``Connection.__init__``."""

    def connect_and_ask(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        try:
            # Only now: asking a connection that was not made ends the process.
            setattr(self, _PLACE, (*_where(self)[:3], self.get_server_info()))
        except Exception as error:
            internal_error(error)

    traced = _driver.connect(connect_and_ask)

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            given = {**dict(zip(_ARGUMENTS, args)), **kwargs}
            name = given.get("database") or given.get("db")
            setattr(self, _PLACE, (name, given.get("unix_socket") or given.get("host"), given.get("port"), ""))
        except Exception as error:
            internal_error(error)
        traced(self, *args, **kwargs)

    return wrapper
