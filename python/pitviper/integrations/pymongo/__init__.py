"""PyMongo, synchronous and asynchronous: a client span for each command, through the driver's own monitoring.

A command's values are not recorded. Fetching more of a cursor is a command of its own, ``getMore``.
Commands of authentication and of watching the servers are left out. Clients made before the integration was
in place, and after it was taken out, are not traced.
"""

from pitviper.instrument import Integration, Patch, SpanShape

INTEGRATION = Integration(
    "pymongo",
    distribution="pymongo",
    minimum=(4, 9),
    patches=(
        Patch("pymongo.synchronous.mongo_client:MongoClient.__init__", "client"),
        Patch("pymongo.asynchronous.mongo_client:AsyncMongoClient.__init__", "client"),
    ),
    spans=(
        SpanShape(
            "{command} {collection}",
            "client",
            "db.system.name db.namespace db.collection.name db.operation.name server.address server.port "
            "db.operation.batch.size db.response.status_code error.type",
            "a command, until its answer",
        ),
    ),
)
