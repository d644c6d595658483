"""sqlite3 (standard library): a client span for each statement, with its literals masked.

Spans: ``{operation} {table}``, such as ``SELECT post``; ``COMMIT`` and ``ROLLBACK`` when a
transaction was open. A span covers the call that executes the statement; SQLite computes further
rows while they are fetched, in the application's time. Attributes: db.system.name, db.namespace (the
file's name), db.query.text (masked), db.operation.name, db.query.summary, error.type.

Connections and cursors stay instances of ``sqlite3.Connection`` and ``sqlite3.Cursor``, and of the
application's own subclasses when it uses factories.
"""

from pitviper.instrument import Integration, Patch

INTEGRATION = Integration(
    "sqlite3",
    patches=(
        Patch("sqlite3:connect", "connect"),
        Patch("sqlite3.dbapi2:connect", "connect"),
    ),
)
