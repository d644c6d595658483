"""Dramatiq: a producer span for each message that is enqueued, a consumer span for each attempt at one.

The trace goes on in the message's ``options``, with every broker. Retries, pipelines and what an actor
sends belong to the trace that sent the message; each attempt has a span. An actor that asks for a retry,
and an exception named in its ``throws``, are no failures: the exception is an event. Spans cover what
middleware does around an actor. What a worker asks its broker between messages makes no spans, unless
``PITVIPER_DRAMATIQ_LOOP_SPANS`` asks for them.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._worker_loop import loop_spans

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.message.id dramatiq.actor.name dramatiq.retries"
)

INTEGRATION = Integration(
    "dramatiq",
    distribution="dramatiq",
    minimum=(1, 10),
    patches=(
        Patch("dramatiq.brokers.redis:RedisBroker.enqueue", "enqueue"),
        Patch("dramatiq.brokers.rabbitmq:RabbitmqBroker.enqueue", "enqueue"),
        Patch("dramatiq.brokers.stub:StubBroker.enqueue", "enqueue"),
        Patch("dramatiq.brokers.rabbitmq:_RabbitmqConsumer.__init__", "quietly"),
        Patch("dramatiq.worker:_WorkerThread.process_message", "process_message"),
        Patch("dramatiq.broker:MessageProxy.stuff_exception", "stuff_exception"),
        Patch("dramatiq.worker:_ConsumerThread.run", "loop"),
        Patch("dramatiq.worker:_WorkerThread.run", "loop"),
    ),
    spans=(
        SpanShape("enqueue {actor}", "producer", f"{_ALL} dramatiq.delay_ms error.type", "handing over the message"),
        SpanShape("process {actor}", "consumer", f"{_ALL} error.type", "one attempt, with middleware"),
    ),
    options=(loop_spans("dramatiq"),),
)
