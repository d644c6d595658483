"""SQLAlchemy: a span while a connection pool has no connection to give.

Statements, transactions and connecting are spans of the drivers below it, and are not recorded twice.
``wait for connection`` is recorded when a pool made the application wait for a millisecond or more, or to
no avail; it holds nothing of the time that opening a new connection takes.

The instrumentation that OpenTelemetry publishes for SQLAlchemy traces statements above the drivers, those of
drivers that nobody here knows included, so it is not kept from working. Beside a driver that is traced here each
statement then has two spans, one below the other: leave it out, or name the driver, such as
``PITVIPER_INTEGRATIONS_DISABLED=psycopg2``.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "sqlalchemy",
    distribution="SQLAlchemy",
    minimum=(1, 4),
    patches=(
        Patch("sqlalchemy.util.queue:Queue.get", "wait"),
        Patch("sqlalchemy.util.queue:AsyncAdaptedQueue.get", "wait", optional=True),
    ),
    spans=(
        SpanShape(
            "wait for connection",
            "internal",
            "error.type",
            "from asking a pool that is used up to getting a connection that was given back",
        ),
    ),
)
