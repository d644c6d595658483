"""redis-py, synchronous and asynchronous, clusters included: a client span for each command, one for a whole pipeline.

A pipeline's span is named ``PIPELINE``, or ``MULTI`` when it is a transaction, with the command if all of
its commands are the same: ``MULTI SET``. Values are never recorded, and keys only when the option asks for
them. Waiting for published messages has no spans: it may last as long as the process.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.settings import Setting, flag

_ATTRIBUTES = (
    "db.system.name db.namespace server.address server.port db.operation.name db.query.text "
    "db.stored_procedure.name db.response.status_code error.type"
)

INTEGRATION = Integration(
    "redis",
    distribution="redis",
    minimum=(4, 3),
    patches=(
        Patch("redis.client:Redis.execute_command", "command"),
        Patch("redis.client:Pipeline.execute", "pipeline"),
        Patch("redis.client:Pipeline.immediate_execute_command", "command"),
        Patch("redis.client:PubSub.execute_command", "command"),
        Patch("redis.cluster:RedisCluster.execute_command", "command"),
        Patch("redis.cluster:ClusterPipeline.execute", "pipeline"),
        Patch("redis.asyncio.client:Redis.execute_command", "command_async"),
        Patch("redis.asyncio.client:Pipeline.execute", "pipeline_async"),
        Patch("redis.asyncio.client:Pipeline.immediate_execute_command", "command_async"),
        Patch("redis.asyncio.client:PubSub.execute_command", "command_async"),
        Patch("redis.asyncio.cluster:RedisCluster.execute_command", "command_async"),
        Patch("redis.asyncio.cluster:ClusterPipeline.execute", "pipeline_async"),
    ),
    spans=(
        SpanShape("{command}", "client", _ATTRIBUTES, "a command, until its answer"),
        SpanShape(
            "PIPELINE {command}",
            "client",
            f"{_ATTRIBUTES} db.operation.batch.size",
            "a pipeline, until its last answer; `MULTI {command}` when it is a transaction",
        ),
    ),
    options=(Setting("keys", False, flag, "PITVIPER_REDIS_KEYS", "Whether `db.query.text` has the keys of commands."),),
)
