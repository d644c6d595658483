"""sqlite3: a client span for each statement, with its literals masked, and for the end of a transaction.

A span covers the call that executes the statement; SQLite computes further rows while they are fetched, in
the application's time. ``db.namespace`` is the file's name without its folder. ``COMMIT`` and ``ROLLBACK``
have spans when a transaction was open.

Connections and cursors stay instances of ``sqlite3.Connection`` and ``sqlite3.Cursor``, and of the
application's own subclasses when it uses factories.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "sqlite3",
    patches=(
        Patch("sqlite3:connect", "connect"),
        Patch("sqlite3.dbapi2:connect", "connect"),
    ),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION),
)
