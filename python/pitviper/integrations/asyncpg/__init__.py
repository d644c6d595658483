"""asyncpg: a client span for each statement, prepared or not, for each batch a cursor fetches, and for COPY.

The spans are those of the protocol: ``PREPARE SELECT post`` the first time a statement is used on a
connection, then ``SELECT post``; ``BEGIN`` and ``COMMIT`` of transactions; what a pool sends when a
connection is given back.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "asyncpg",
    distribution="asyncpg",
    minimum=(0, 22),
    patches=(
        Patch("asyncpg.protocol.protocol:Protocol.query", "query"),
        Patch("asyncpg.protocol.protocol:Protocol.prepare", "prepare"),
        Patch("asyncpg.protocol.protocol:Protocol.bind_execute", "run"),
        Patch("asyncpg.protocol.protocol:Protocol.bind_execute_many", "run_many"),
        Patch("asyncpg.protocol.protocol:Protocol.execute", "run"),
        Patch("asyncpg.protocol.protocol:Protocol.copy_in", "query"),
        Patch("asyncpg.protocol.protocol:Protocol.copy_out", "query"),
        Patch("asyncpg.connection:Connection.__init__", "connection"),
        Patch("asyncpg.connect_utils:_connect", "connect", optional=True),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
