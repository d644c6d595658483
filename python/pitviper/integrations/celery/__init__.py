"""Celery: a producer span for each task that is sent, a consumer span for each execution of one.

The trace goes on through the broker, in the headers of the message: what a task sends, a chain's next
step, a chord's body and a retry among them, belongs to the trace that sent the task. Each attempt has
a span of its own. A task that is to be retried is no failure (``celery.state`` is ``RETRY``, the
exception that made it so is an event), and neither is an exception named in the task's ``throws``.
Applied eagerly, a task is an internal span.

What a worker's main process sees and the pool's child cannot tell is recorded there: a task ended by
its hard time limit and one whose child died (``abort``), one that was revoked or has expired
(``revoke``). Spans in a child that the operating system kills are lost with it. Works with every pool;
children of the prefork pool send their spans before they leave, also at ``--max-tasks-per-child``.

What a worker asks its broker between tasks makes no spans, unless ``PITVIPER_CELERY_LOOP_SPANS`` asks for them.
The transport and the messages that store results have no spans beside those of their client library,
such as Redis.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._worker_loop import loop_spans

_TASK = "messaging.system messaging.operation.name messaging.operation.type messaging.message.id celery.task_name"

INTEGRATION = Integration(
    "celery",
    distribution="celery",
    minimum=(4, 2),
    patches=(
        Patch("celery.app.amqp:AMQP._create_task_sender", "create_task_sender"),
        Patch("celery.app.trace:build_tracer", "build_tracer"),
        Patch("celery.worker.request:Request.on_timeout", "on_timeout"),
        Patch("celery.worker.request:Request.on_failure", "on_failure"),
        Patch("celery.worker.request:Request._announce_revoked", "announce_revoked"),
        Patch("celery.concurrency.prefork:process_initializer", "process_initializer"),
        Patch("celery.concurrency.prefork:process_destructor", "process_destructor"),
        Patch("celery.events.dispatcher:EventDispatcher._publish", "quietly"),
        Patch("celery.backends.rpc:RPCBackend.store_result", "quietly"),
        Patch("celery.worker.worker:WorkController.start", "loop"),
    ),
    spans=(
        SpanShape(
            "apply_async {task}",
            "producer",
            f"{_TASK} messaging.destination.name celery.action celery.retries celery.eta celery.expires "
            "celery.timelimit celery.group error.type",
            "handing the message to the broker",
        ),
        SpanShape(
            "run {task}",
            "consumer",
            f"{_TASK} messaging.destination.name celery.action celery.state celery.retries celery.hostname "
            "code.function.name error.type",
            "the task, its result stored, and the tasks sent that depend on it",
        ),
        SpanShape(
            "abort {task}",
            "consumer",
            f"{_TASK} messaging.destination.name celery.action celery.state error.type",
            "a task that the main process ended or saw die, from its start to its end",
        ),
        SpanShape(
            "revoke {task}",
            "consumer",
            f"{_TASK} celery.action celery.state celery.revoked.reason celery.revoked.signal",
            "no time: a worker dropped the message, or ended its task",
        ),
    ),
    options=(loop_spans("celery"),),
)
