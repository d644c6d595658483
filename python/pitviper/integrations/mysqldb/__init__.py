"""mysqlclient (MySQLdb): a client span for each statement, batch, procedure, and end of a transaction, and for
connecting.

``executemany`` is one span, also when the driver sends several statements for it. The rows of an
unbuffered cursor (``SSCursor``) are read in the application's time, after its span.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "mysqldb",
    distribution="mysqlclient",
    minimum=(1, 4),
    patches=(
        Patch("MySQLdb.cursors:BaseCursor.execute", "execute"),
        Patch("MySQLdb.cursors:BaseCursor.executemany", "executemany"),
        Patch("MySQLdb.cursors:BaseCursor.callproc", "callproc"),
        Patch("MySQLdb.connections:Connection.__init__", "connect"),
        Patch("MySQLdb.connections:Connection.begin", "transaction", optional=True),
        Patch("MySQLdb.connections:Connection.commit", "transaction"),
        Patch("MySQLdb.connections:Connection.rollback", "transaction"),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
