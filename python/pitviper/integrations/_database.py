"""The spans of SQL databases, for the declarations of their drivers."""

from pitviper.instrument import SpanShape

#: The attributes of a statement's span, for declarations.
_ATTRIBUTES = (
    "db.system.name db.namespace server.address server.port db.query.text db.query.summary "
    "db.operation.name db.response.status_code error.type"
)

STATEMENT = SpanShape(
    "{operation} {tables}", "client", _ATTRIBUTES, "the call that sends a statement, until its answer"
)
BATCH = SpanShape(
    "BATCH {operation} {tables}",
    "client",
    f"{_ATTRIBUTES} db.operation.batch.size",
    "a statement that is sent with several sets of parameters",
)
TRANSACTION = SpanShape("COMMIT", "client", _ATTRIBUTES, "the end of a transaction; `ROLLBACK` likewise")
CONNECT = SpanShape(
    "CONNECT",
    "client",
    "db.system.name db.namespace server.address server.port db.operation.name error.type",
    "opening a connection, authentication included",
)
MEMCACHED = SpanShape(
    "{command}",
    "client",
    "db.system.name server.address server.port db.operation.name db.operation.batch.size error.type",
    "a command, until its answer; `get_many` and its like are one span",
)
