"""Wrappers for sending tasks and for executing them."""

from typing import Any, Callable, Optional

from pitviper import _native, bootstrap
from pitviper._guard import internal_error
from pitviper.integrations import _messaging
from pitviper.integrations._messaging import CONSUMER, INTERNAL, PRODUCER, QUIET
from pitviper.integrations.celery import INTEGRATION
from pitviper.runtime import name_worker, process_name

_SCOPE = "pitviper.celery"
_ERROR = 2

quietly = _messaging.quietly
#: ``WorkController.start``: the main process of a worker.
loop = _messaging.between_jobs(INTEGRATION, "main")

_Call = Callable[..., Any]


def create_task_sender(original: _Call) -> _Call:
    """``AMQP._create_task_sender``: makes the function through which an application sends all tasks."""

    def wrapper(self: Any) -> _Call:
        return _traced_sender(self, original(self))

    return wrapper


def _traced_sender(amqp: Any, send: _Call) -> _Call:
    def send_task_message(producer: Any, name: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        span = _messaging.guarded(_start_sending, amqp, name, message, kwargs)
        if span is None:
            return send(producer, name, message, *args, **kwargs)
        token = QUIET.set(True)
        try:
            # Where the context could not be added the task is sent as it was.
            headers = _messaging.guarded(_messaging.with_context, span, kwargs.get("headers"))
            if headers is not None:
                kwargs["headers"] = headers
            return send(producer, name, message, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return send_task_message


def _start_sending(amqp: Any, name: str, message: Any, options: "dict[str, Any]") -> _native.Span:
    headers, _, body, _ = message
    # Protocol 1 has in the body what protocol 2 has in the headers.
    details: Any = headers if "id" in headers else body
    attributes: dict[str, Any] = {
        "messaging.system": "celery",
        "messaging.operation.name": "apply_async",
        "messaging.operation.type": "send",
        "messaging.message.id": details.get("id"),
        "messaging.destination.name": _destination(amqp, options),
        "celery.action": "apply_async",
        "celery.task_name": name,
    }
    retries = details.get("retries")
    if retries:
        attributes["celery.retries"] = retries
    for key in ("eta", "expires", "group"):
        value = details.get(key)
        if value:
            attributes[f"celery.{key}"] = value
    limits = details.get("timelimit")
    if limits and any(limits):
        attributes["celery.timelimit"] = str(tuple(limits))
    return _native.start_as_current_span(f"apply_async {name}", PRODUCER, attributes, None, None, None, _SCOPE)


def _destination(amqp: Any, options: "dict[str, Any]") -> Optional[str]:
    """The queue a task goes to, or the exchange and routing key it is sent with."""
    queue = options.get("queue")
    if queue is not None:
        return queue if isinstance(queue, str) else getattr(queue, "name", None)
    exchange, key = options.get("exchange"), options.get("routing_key")
    if exchange is None:
        return amqp.default_queue.name
    exchange = getattr(exchange, "name", exchange)
    return f"{exchange}:{key}" if exchange and key else exchange or key


def build_tracer(original: _Call) -> _Call:
    """``build_tracer``: makes the function that executes a task, stores its result and sends what depends
    on it. Workers of all kinds and eager application use it."""

    def wrapper(name: Any, task: Any, *args: Any, **kwargs: Any) -> Any:
        trace = original(name, task, *args, **kwargs)
        function = _messaging.guarded(_function_name, task)

        def trace_task(uuid: Any, args: Any, kwargs: Any, request: Any = None) -> Any:
            span = _messaging.guarded(_start_task, name, function, uuid, request)
            if span is None:
                return trace(uuid, args, kwargs, request)
            # What is sent by the task is its own.
            token = QUIET.set(False)
            try:
                outcome = trace(uuid, args, kwargs, request)
                _messaging.guarded(_note_outcome, span, task, outcome)
                return outcome
            except BaseException as error:
                _messaging.guarded(_note_escape, span, error)
                raise
            finally:
                QUIET.reset(token)
                span.end()

        return trace_task

    return wrapper


def _function_name(task: Any) -> Optional[str]:
    function = getattr(task, "__wrapped__", None) or getattr(task, "run", None)
    module, qualname = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    return f"{module}.{qualname}" if module and qualname else None


def _start_task(name: str, function: Optional[str], uuid: Any, request: Any) -> _native.Span:
    request = request or {}
    get = request.get
    eager = get("is_eager")
    attributes: dict[str, Any] = {
        "messaging.system": "celery",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.message.id": uuid,
        "celery.action": "run",
        "celery.task_name": name,
        "celery.hostname": get("hostname"),
        "code.function.name": function,
    }
    if get("retries"):
        attributes["celery.retries"] = get("retries")
    if eager:
        attributes["celery.action"] = "apply"
        return _native.start_as_current_span(f"run {name}", INTERNAL, attributes, None, None, None, _SCOPE)
    attributes["messaging.destination.name"] = _delivered(get("delivery_info"))
    return _messaging.processing(f"run {name}", attributes, _context(request), _SCOPE)


def _delivered(info: Any) -> Optional[str]:
    if not info:
        return None
    exchange, key = info.get("exchange"), info.get("routing_key")
    return f"{exchange}:{key}" if exchange and key else exchange or key


def _context(request: Any) -> Optional[_native.SpanContext]:
    # Headers of the message are keys of the request; with protocol 1 they are in a mapping of their own.
    return _messaging.extract(request) or _messaging.extract(request.get("headers"))


def _note_outcome(span: _native.Span, task: Any, outcome: Any) -> None:
    info = outcome[1]
    if info is None:
        span.set_attribute("celery.state", "SUCCESS")
        return
    span.set_attribute("celery.state", info.state)
    error = info.retval
    if info.state == "RETRY":
        cause = getattr(error, "exc", None)
        if isinstance(cause, BaseException):
            span.record_exception(cause)
    elif info.state == "FAILURE" and isinstance(error, BaseException):
        throws: Any = tuple(getattr(task, "throws", None) or ())
        if isinstance(error, throws):
            span.record_exception(error)
        else:
            _messaging.note_failure(span, error)


def _note_escape(span: _native.Span, error: BaseException) -> None:
    if not isinstance(error, Exception):
        # The task called exit(), or the pool told its child to leave in the middle of it.
        span.set_attribute("error.type", _messaging.error_name(error))
        span.set_status(_ERROR, f"the process was to leave: {error!r}")
    elif type(error).__name__ != "Reject":
        span.__exit__(type(error), error, None)


def process_initializer(original: _Call) -> _Call:
    """``process_initializer``: what a child of the pool does first."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        # billiard is what celery's pool runs on.
        _messaging.guarded(lambda: name_worker("celery", process_name("billiard.process") or "child"))
        return original(*args, **kwargs)

    return wrapper


def process_destructor(original: _Call) -> _Call:
    """``process_destructor``: a child of the pool is about to leave through ``os._exit``, which runs no
    exit handlers."""

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        finally:
            _messaging.guarded(bootstrap.shutdown, bootstrap.exit_timeout_ms() / 1_000)

    return wrapper


# The rest runs in the worker's main process.


def on_timeout(original: _Call) -> _Call:
    """``Request.on_timeout``: past the hard limit the child is told to leave, then killed."""

    def wrapper(self: Any, soft: Any, timeout: Any, *args: Any, **kwargs: Any) -> Any:
        if not soft:
            _messaging.guarded(_record_abort, self, "TimeLimitExceeded", f"hard time limit of {timeout} s exceeded")
        return original(self, soft, timeout, *args, **kwargs)

    return wrapper


def on_failure(original: _Call) -> _Call:
    """``Request.on_failure``: the pool reports a child that died together with its task."""

    def wrapper(self: Any, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            error = getattr(exc_info, "exception", None)
            error = getattr(error, "exc", error)
            if type(error).__name__ == "WorkerLostError":
                _record_abort(self, "WorkerLostError", str(error))
        except Exception as error:
            internal_error(error)
        return original(self, exc_info, *args, **kwargs)

    return wrapper


def _record_abort(request: Any, kind: str, message: str) -> None:
    attributes = {**_request_attributes(request, "abort"), "celery.state": "FAILURE", "error.type": kind}
    since = getattr(request, "time_start", None)
    start = int(since * 1e9) if since else None
    parent = _context(request.request_dict)
    span = _native.start_span(f"abort {request.name}", CONSUMER, attributes, parent, start, None, _SCOPE)
    span.set_status(_ERROR, f"{kind}: {message}")
    span.end()


def announce_revoked(original: _Call) -> _Call:
    """``Request._announce_revoked``: the task will not run, or was ended from outside."""

    def wrapper(self: Any, reason: Any, terminated: Any, signum: Any, *args: Any, **kwargs: Any) -> Any:
        _messaging.guarded(_record_revoked, self, reason, signum)
        return original(self, reason, terminated, signum, *args, **kwargs)

    return wrapper


def _record_revoked(request: Any, reason: Any, signum: Any) -> None:
    attributes = {**_request_attributes(request, "revoke"), "celery.state": "REVOKED", "celery.revoked.reason": reason}
    if signum is not None:
        attributes["celery.revoked.signal"] = str(signum)
    parent = _context(request.request_dict)
    _native.start_span(f"revoke {request.name}", CONSUMER, attributes, parent, None, None, _SCOPE).end()


def _request_attributes(request: Any, action: str) -> "dict[str, Any]":
    return {
        "messaging.system": "celery",
        "messaging.operation.name": action,
        "messaging.operation.type": "settle",
        "messaging.message.id": request.id,
        "messaging.destination.name": _delivered(request.delivery_info),
        "celery.action": action,
        "celery.task_name": request.name,
        "celery.hostname": getattr(request, "hostname", None),
    }
