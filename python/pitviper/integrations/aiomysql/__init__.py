"""aiomysql: a client span for each statement, batch, procedure, and end of a transaction, and for connecting.

``executemany`` is one span, also when the driver sends several statements for it. The rows of an
unbuffered cursor (``SSCursor``) are read in the application's time, after its span.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "aiomysql",
    distribution="aiomysql",
    minimum=(0, 1),
    patches=(
        Patch("aiomysql.cursors:Cursor.execute", "execute"),
        Patch("aiomysql.cursors:Cursor.executemany", "executemany"),
        Patch("aiomysql.cursors:Cursor.callproc", "callproc"),
        Patch("aiomysql.connection:Connection._connect", "connect"),
        Patch("aiomysql.connection:Connection.begin", "transaction"),
        Patch("aiomysql.connection:Connection.commit", "transaction"),
        Patch("aiomysql.connection:Connection.rollback", "transaction"),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
