"""Wrappers for sending and processing messages."""

import sys
from contextvars import ContextVar
from typing import Any, Callable, Optional

from pitviper import _native
from pitviper.integrations import _messaging
from pitviper.integrations._messaging import PRODUCER, QUIET
from pitviper.integrations.dramatiq import INTEGRATION

_SCOPE = "pitviper.dramatiq"

#: The message that is processed here, and the span of that.
_attempt: "ContextVar[Optional[tuple[Any, _native.Span]]]" = ContextVar("pitviper_dramatiq_attempt", default=None)

quietly = _messaging.quietly
#: ``run`` of the threads that fetch messages and process them.
loop = _messaging.between_jobs(INTEGRATION)

_Call = Callable[..., Any]


def _attributes(operation: str, kind: str, message: Any) -> "dict[str, Any]":
    return {
        "messaging.system": "dramatiq",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": message.queue_name,
        "messaging.message.id": message.message_id,
        "dramatiq.actor.name": message.actor_name,
        "dramatiq.retries": message.options.get("retries"),
    }


def enqueue(original: _Call) -> _Call:
    """``Broker.enqueue`` of each broker."""

    def wrapper(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        # A delayed message that is due is moved to its queue by a thread that does nothing else.
        if QUIET.get() or (_native.current_span() is None and _messaging.is_carrying(message.options)):
            return original(self, message, *args, **kwargs)
        span = _messaging.guarded(_start_sending, message, kwargs.get("delay"))
        if span is None:
            return original(self, message, *args, **kwargs)
        token = QUIET.set(True)
        try:
            carrying = _messaging.guarded(_with_context, span, message) or message
            return original(self, carrying, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            QUIET.reset(token)
            span.end()

    return wrapper


def _start_sending(message: Any, delay: Any) -> _native.Span:
    attributes = _attributes("enqueue", "send", message)
    attributes["dramatiq.delay_ms"] = delay
    name = f"enqueue {message.actor_name}"
    return _native.start_as_current_span(name, PRODUCER, attributes, None, None, None, _SCOPE)


def _with_context(span: _native.Span, message: Any) -> Any:
    # The options given to copy() are added to those there are, so what is old is overwritten.
    context = _messaging.with_context(span, None)
    for name in _native.injected_fields():
        if name in message.options:
            context.setdefault(name, "")
    return message.copy(options=context)


def process_message(original: _Call) -> _Call:
    """``process_message`` of a worker's thread: the actor and the middleware around it."""

    def wrapper(self: Any, message: Any, *args: Any, **kwargs: Any) -> Any:
        span = _messaging.guarded(_start_processing, message)
        if span is None:
            return original(self, message, *args, **kwargs)
        token = _attempt.set((message, span))
        try:
            return original(self, message, *args, **kwargs)
        except BaseException as error:
            span.__exit__(type(error), error, None)
            raise
        finally:
            _attempt.reset(token)
            span.end()

    return wrapper


def _start_processing(message: Any) -> _native.Span:
    attributes = _attributes("process", "process", message)
    return _messaging.processing(
        f"process {message.actor_name}", attributes, _messaging.extract(message.options), _SCOPE
    )


def stuff_exception(original: _Call) -> _Call:
    """``MessageProxy.stuff_exception``: the worker found that the actor raised."""

    def wrapper(self: Any, exception: Any, *args: Any, **kwargs: Any) -> Any:
        attempt = _attempt.get()
        if attempt is not None and attempt[0] is self:
            _messaging.guarded(_note, attempt[1], self, exception)
        return original(self, exception, *args, **kwargs)

    return wrapper


def _note(span: _native.Span, message: Any, error: BaseException) -> None:
    errors: Any = sys.modules["dramatiq.errors"]
    middleware: Any = sys.modules["dramatiq.middleware"]
    if isinstance(error, middleware.SkipMessage):
        return
    if isinstance(error, errors.Retry) or _is_expected(message, error):
        span.record_exception(error)
    else:
        _messaging.note_failure(span, error)


def _is_expected(message: Any, error: BaseException) -> bool:
    throws = message.options.get("throws")
    if not throws:
        library: Any = sys.modules["dramatiq"]
        try:
            throws = library.get_broker().get_actor(message.actor_name).options.get("throws")
        except library.ActorNotFound:
            # An actor that this worker does not know.
            return False
    return bool(throws) and isinstance(error, throws)
