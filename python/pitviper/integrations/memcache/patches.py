"""Wrappers for python-memcached."""

from typing import Any, Optional

from pitviper.integrations import _memcached


def _server_of(client: Any) -> "Optional[tuple[Any, Any]]":
    servers: Any = client.servers
    if len(servers) != 1:
        return None
    address: Any = servers[0].address
    return (address, None) if isinstance(address, str) else (address[0], address[1])


command = _memcached.commands("pitviper.memcache", _server_of)
