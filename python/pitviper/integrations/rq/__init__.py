"""RQ: a producer span for each job that is enqueued or scheduled, a consumer span for each attempt at one.

The trace goes on through Redis: the context is two entries, ``traceparent`` and ``tracestate``, of the
job's ``meta``. Retries, jobs that wait for others and scheduled jobs belong to the trace that enqueued
them first. The span of an attempt covers the job, its result stored and its callbacks. Workers that fork
for each job send the child's spans before it leaves; what such a child could not tell because it was
killed, the worker does (``abort``). Queues that are not asynchronous run the job below its producer span.
What a worker asks Redis between jobs makes no spans, unless ``PITVIPER_RQ_LOOP_SPANS`` asks for them.
"""

from pitviper.instrument import Integration, Patch, SpanShape
from pitviper.integrations._worker_loop import loop_spans

_ALL = (
    "messaging.system messaging.operation.name messaging.operation.type messaging.destination.name "
    "messaging.message.id code.function.name"
)

INTEGRATION = Integration(
    "rq",
    distribution="rq",
    minimum=(1, 10),
    patches=(
        Patch("rq.queue:Queue.enqueue_job", "enqueue"),
        Patch("rq.queue:Queue._enqueue_job", "enqueue_inner", optional=True),
        Patch("rq.queue:Queue.schedule_job", "schedule"),
        Patch("rq.job:Job.perform", "perform"),
        # In the base of all workers, where there is one.
        Patch("rq.worker:BaseWorker.perform_job", "perform_job", optional=True),
        Patch("rq.worker:Worker.perform_job", "perform_job"),
        Patch("rq.worker:Worker.handle_work_horse_killed", "killed", optional=True),
        Patch("rq.worker:BaseWorker.main_work_horse", "work_horse", optional=True),
        Patch("rq.worker:Worker.main_work_horse", "work_horse"),
        Patch("rq.worker:BaseWorker.work", "loop", optional=True),
        Patch("rq.worker:Worker.work", "loop"),
    ),
    spans=(
        SpanShape("enqueue {function}", "producer", f"{_ALL} error.type", "handing the job to Redis"),
        SpanShape("schedule {function}", "producer", f"{_ALL} error.type", "handing a job for later to Redis"),
        SpanShape(
            "perform {function}", "consumer", f"{_ALL} rq.worker.name error.type", "one attempt, with its callbacks"
        ),
        SpanShape("abort {function}", "consumer", f"{_ALL} error.type", "no time: the child was killed"),
    ),
    options=(loop_spans("rq"),),
)
