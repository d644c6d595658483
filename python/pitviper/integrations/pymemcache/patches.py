"""Wrappers for pymemcache."""

from typing import Any

from pitviper.integrations import _memcached


def _server_of(client: Any) -> "tuple[Any, Any]":
    server: Any = client.server
    # A socket of the file system is one text.
    return (server, None) if isinstance(server, str) else (server[0], server[1])


command = _memcached.commands("pitviper.pymemcache", _server_of)
