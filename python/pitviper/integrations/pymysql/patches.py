"""Wrappers for PyMySQL."""

from typing import Any

from pitviper.integrations._mysql import Driver


def _where(connection: Any) -> "tuple[Any, Any, Any, Any]":
    socket: Any = connection.unix_socket
    return connection.db, socket or connection.host, connection.port, getattr(connection, "server_version", "")


def _connection_of(cursor: Any) -> Any:
    return cursor.connection


_driver = Driver("pitviper.pymysql", _where, _connection_of)

execute = _driver.execute
executemany = _driver.executemany
callproc = _driver.callproc
connect = _driver.connect
transaction = _driver.transaction
