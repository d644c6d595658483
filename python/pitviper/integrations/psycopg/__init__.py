"""psycopg 3: a client span for each statement, COPY, stream, FETCH of a server-side cursor, and end of a transaction.

Connections may be synchronous or asynchronous, from a pool or not. ``BEGIN`` that the driver sends before
a statement is part of that statement's span. In a pipeline a statement's span lasts until it is queued;
waiting for the answers is ``SYNC``. The span of a COPY or of a stream lasts until its block or loop ends.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "psycopg",
    distribution="psycopg",
    minimum=(3, 1),
    patches=(
        Patch("psycopg:Cursor.execute", "execute"),
        Patch("psycopg:Cursor.executemany", "executemany"),
        Patch("psycopg:Cursor.copy", "copy"),
        Patch("psycopg:Cursor.stream", "stream"),
        Patch("psycopg:AsyncCursor.execute", "execute_async"),
        Patch("psycopg:AsyncCursor.executemany", "executemany_async"),
        Patch("psycopg:AsyncCursor.copy", "copy_async"),
        Patch("psycopg:AsyncCursor.stream", "stream_async"),
        Patch("psycopg:ServerCursor.execute", "execute"),
        Patch("psycopg:AsyncServerCursor.execute", "execute_async"),
        Patch("psycopg:Connection._exec_command", "command"),
        Patch("psycopg:AsyncConnection._exec_command", "command"),
        Patch("psycopg:Connection._connect_gen", "connect"),
        Patch("psycopg:AsyncConnection._connect_gen", "connect"),
        Patch("psycopg:Transaction._enter_gen", "enter_transaction"),
        Patch("psycopg:AsyncTransaction._enter_gen", "enter_transaction"),
        Patch("psycopg:Pipeline.sync", "sync"),
        Patch("psycopg:Pipeline.__exit__", "sync"),
        Patch("psycopg:AsyncPipeline.sync", "sync_async"),
        Patch("psycopg:AsyncPipeline.__aexit__", "sync_async"),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
