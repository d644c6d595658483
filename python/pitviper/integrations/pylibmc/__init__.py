"""pylibmc: a client span for each command. Keys and values are not recorded.

The server's address is recorded when a client has only one; with several the library chooses.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

_METHODS = (
    "set set_multi add add_multi replace append prepend cas get get_multi gets delete delete_multi incr incr_multi "
    "decr touch flush_all"
)

INTEGRATION = Integration(
    "pylibmc",
    distribution="pylibmc",
    minimum=(1, 5),
    patches=tuple(Patch(f"pylibmc.client:Client.{name}", "command", optional=True) for name in _METHODS.split()),
    spans=(_database.MEMCACHED,),
)
