"""pymemcache: a client span for each command. Keys and values are not recorded.

Pooled, hashing and retrying clients are traced at the plain clients they use, so a command of theirs that
goes to several servers has a span for each, and one that is tried again has one for each attempt.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

_METHODS = (
    "set set_many set_multi add replace append prepend cas get get_many get_multi gets gets_many delete delete_many "
    "delete_multi incr decr touch flush_all"
)

INTEGRATION = Integration(
    "pymemcache",
    distribution="pymemcache",
    minimum=(3, 0),
    patches=tuple(Patch(f"pymemcache.client.base:Client.{name}", "command") for name in _METHODS.split()),
    spans=(_database.MEMCACHED,),
)
