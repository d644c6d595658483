"""python-memcached: a client span for each command. Keys and values are not recorded.

The server's address is recorded when a client has only one; with several the library chooses. The library
answers for a server that is down as if it had nothing, so such a command is no error.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

_METHODS = (
    "set set_multi add replace append prepend cas get get_multi gets delete delete_multi incr decr touch flush_all"
)

INTEGRATION = Integration(
    "memcache",
    distribution="python-memcached",
    minimum=(1, 57),
    patches=tuple(Patch(f"memcache:Client.{name}", "command", optional=True) for name in _METHODS.split()),
    spans=(_database.MEMCACHED,),
)
