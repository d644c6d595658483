"""psycopg2: a client span for each statement, procedure, COPY, and end of a transaction.

Connections and cursors stay instances of psycopg2's classes, and of the application's own subclasses when
it uses ``connection_factory`` and ``cursor_factory``: ``register_type``, ``register_adapter``,
``quote_ident`` and ``sql`` get the real connection. The driver fetches all rows of a plain cursor while it
executes, so fetching them has no spans; a cursor with a name has one, ``FETCH``, for each ``fetchone``,
``fetchmany`` and ``fetchall``. A connection that never waits (``async_=True``) returns before the answer,
and so ends its span. Both distributions are covered, ``psycopg2`` and ``psycopg2-binary``.
"""

from pitviper.instrument import Integration, Patch
from pitviper.integrations import _database

INTEGRATION = Integration(
    "psycopg2",
    patches=(Patch("psycopg2:connect", "connect"),),
    spans=(_database.STATEMENT, _database.BATCH, _database.TRANSACTION, _database.CONNECT),
)
