"""PyMySQL: a client span for each statement, batch, procedure, and end of a transaction, and for connecting.

``executemany`` is one span, also when the driver sends several statements for it. The rows of an
unbuffered cursor (``SSCursor``) are read in the application's time, after its span.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "pymysql",
    distribution="PyMySQL",
    minimum=(0, 9),
    patches=(
        Patch("pymysql.cursors:Cursor.execute", "execute"),
        Patch("pymysql.cursors:Cursor.executemany", "executemany"),
        Patch("pymysql.cursors:Cursor.callproc", "callproc"),
        Patch("pymysql.connections:Connection.connect", "connect"),
        Patch("pymysql.connections:Connection.begin", "transaction"),
        Patch("pymysql.connections:Connection.commit", "transaction"),
        Patch("pymysql.connections:Connection.rollback", "transaction"),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
