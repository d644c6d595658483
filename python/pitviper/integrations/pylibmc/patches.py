"""Wrappers for pylibmc."""

from typing import Any, Optional

from pitviper.integrations import _memcached


def _server_of(client: Any) -> "Optional[tuple[Any, Any]]":
    addresses: Any = client.addresses
    if len(addresses) != 1:
        return None
    address = str(addresses[0])
    host, separator, port = address.rpartition(":")
    return (host, port) if separator and port.isdigit() else (address, None)


command = _memcached.commands("pitviper.pylibmc", _server_of)
