"""Wrappers for enqueuing and performing jobs."""

from typing import Any, Callable

from pitviper import _native, bootstrap
from pitviper.integrations import _messaging
from pitviper.integrations._messaging import CONSUMER, PRODUCER, QUIET
from pitviper.integrations._worker_names import named
from pitviper.integrations.rq import INTEGRATION

_SCOPE = "pitviper.rq"
_ERROR = 2
#: Attribute of a job, in the process that performs it, that holds the span of the attempt.
_SPAN = "_pitviper_span"

#: ``work`` of a worker.
loop = _messaging.between_jobs(INTEGRATION, "worker")
#: ``main_work_horse``: the child that a worker forks for one job.
work_horse = named("rq", "work-horse")

_Call = Callable[..., Any]


def _attributes(operation: str, kind: str, job: Any, queue: Any) -> "dict[str, Any]":
    return {
        "messaging.system": "rq",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": getattr(queue, "name", None) or job.origin,
        "messaging.message.id": job.id,
        "code.function.name": _function(job),
    }


def _function(job: Any) -> str:
    # Reading it may unpickle the job; one whose data is damaged is the worker's to report.
    try:
        return str(job.func_name)
    except Exception:
        return "unknown"


def _sender(operation: str, skip_if_sent: bool) -> "Callable[[_Call], _Call]":
    def factory(original: _Call) -> _Call:
        def wrapper(self: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
            # What is enqueued again, by a retry or once it is due, has been sent before.
            if QUIET.get() or (skip_if_sent and _messaging.is_carrying(job.meta)):
                return original(self, job, *args, **kwargs)
            span = _messaging.guarded(_start_sending, operation, self, job)
            if span is None:
                return original(self, job, *args, **kwargs)
            token = QUIET.set(True)
            try:
                return original(self, job, *args, **kwargs)
            except BaseException as error:
                span.__exit__(type(error), error, None)
                raise
            finally:
                QUIET.reset(token)
                span.end()

        return wrapper

    return factory


#: ``Queue.enqueue_job``, behind ``enqueue`` and its siblings.
enqueue = _sender("enqueue", skip_if_sent=False)
#: ``Queue._enqueue_job``, which ``enqueue_many`` calls directly.
enqueue_inner = _sender("enqueue", skip_if_sent=True)
#: ``Queue.schedule_job``, behind ``enqueue_at`` and ``enqueue_in``, and retries with a pause.
schedule = _sender("schedule", skip_if_sent=True)


def _start_sending(operation: str, queue: Any, job: Any) -> _native.Span:
    attributes = _attributes(operation, "send", job, queue)
    name = f"{operation} {attributes['code.function.name']}"
    span = _native.start_as_current_span(name, PRODUCER, attributes, None, None, None, _SCOPE)
    job.meta = _messaging.with_context(span, job.meta)
    return span


def perform_job(original: _Call) -> _Call:
    """``perform_job`` of a worker: the job and what follows from its outcome."""

    def wrapper(self: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        span = _messaging.guarded(_start_performing, job, queue, getattr(self, "name", None))
        if span is None:
            return original(self, job, queue, *args, **kwargs)
        setattr(job, _SPAN, span)
        # What the job enqueues is its own.
        token = QUIET.set(False)
        try:
            return original(self, job, queue, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()
            if getattr(self, "_is_horse", False):
                # A process for this one job; it leaves through os._exit, which runs no exit handlers.
                _messaging.guarded(bootstrap.shutdown, bootstrap.exit_timeout_ms() / 1_000)

    return wrapper


def _start_performing(job: Any, queue: Any, worker: Any) -> _native.Span:
    attributes = _attributes("perform", "process", job, queue)
    attributes["rq.worker.name"] = worker
    name = f"perform {attributes['code.function.name']}"
    return _messaging.processing(name, attributes, _messaging.extract(job.meta), _SCOPE)


def perform(original: _Call) -> _Call:
    """``Job.perform``: a worker deals with the exception. Without a worker the job runs where it was
    enqueued."""

    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        span = self.__dict__.pop(_SPAN, None)
        if span is not None:
            try:
                return original(self, *args, **kwargs)
            except BaseException as error:
                _messaging.guarded(_messaging.note_failure, span, error)
                raise
        span = _messaging.guarded(_start_performing, self, None, None)
        if span is None:
            return original(self, *args, **kwargs)
        token = QUIET.set(False)
        try:
            return original(self, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return wrapper


def killed(original: _Call) -> _Call:
    """``Worker.handle_work_horse_killed``: the worker found the child of a job dead."""

    def wrapper(self: Any, job: Any, retpid: Any, status: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.guarded(_record_killed, job, status)
        return original(self, job, retpid, status, *args, **kwargs)

    return wrapper


def _record_killed(job: Any, status: Any) -> None:
    attributes = {**_attributes("abort", "settle", job, None), "error.type": "WorkHorseKilled"}
    parent = _messaging.extract(job.meta)
    name = f"abort {attributes['code.function.name']}"
    span = _native.start_span(name, CONSUMER, attributes, parent, None, None, _SCOPE)
    span.set_status(_ERROR, f"the job's process ended with wait status {status}")
    span.end()
