"""Wrappers for aiomysql."""

from typing import Any

from pitviper.integrations._mysql import Driver


def _where(connection: Any) -> "tuple[Any, Any, Any, Any]":
    socket: Any = connection.unix_socket
    return connection.db, socket or connection.host, connection.port, getattr(connection, "server_version", "")


def _connection_of(cursor: Any) -> Any:
    return cursor.connection


_driver = Driver("pitviper.aiomysql", _where, _connection_of)

execute = _driver.execute_async
executemany = _driver.executemany_async
callproc = _driver.callproc_async
connect = _driver.connect_async
transaction = _driver.transaction_async
