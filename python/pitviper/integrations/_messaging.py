"""What integrations of brokers and job queues share: carrying the context in a message, and spans of
sending, receiving and processing one.

Names and attributes are OpenTelemetry's messaging conventions (1.30 and later). A message that one
call processes continues its sender's trace: the span is a child of the sender's. Who receives several
at once gets links, because a span has one parent.
"""

import atexit
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any, Callable, Optional, TypeVar

from pitviper import _native
from pitviper._guard import internal_error
from pitviper.instrument import Integration, option
from pitviper.integrations._propagation import HEADERS
from pitviper.integrations._worker_names import named

INTERNAL, CLIENT, PRODUCER, CONSUMER = 1, 3, 4, 5
_ERROR = 2

#: Whether a library further up traces the message that is being sent here, or sends it for its own
#: purposes, such as a worker's heartbeat. Transports below then make no span.
QUIET: "ContextVar[bool]" = ContextVar("pitviper_messaging_quiet", default=False)

#: Most messages of a batch that its span links.
MAX_LINKS = 128

_R = TypeVar("_R")


def quietly(original: "Callable[..., _R]") -> "Callable[..., _R]":
    """A function during which transports make no spans."""

    def wrapper(*args: Any, **kwargs: Any) -> _R:
        token = QUIET.set(True)
        try:
            return original(*args, **kwargs)
        finally:
            QUIET.reset(token)

    return wrapper


def between_jobs(
    integration: Integration, name: Optional[str] = None
) -> "Callable[[Callable[..., Any]], Callable[..., Any]]":
    """A factory for a worker's loop: calls of clients that it makes by itself are no traces. What is processed has
    a span, and calls below it are spans as ever. The process is called a worker of the library, by ``name`` or by the
    number that ``multiprocessing`` gave it."""
    named_process = named(integration.name, name)

    def factory(inner: "Callable[..., Any]") -> "Callable[..., Any]":
        original = named_process(inner)
        if option(integration, "loop_spans"):
            return original

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            # Whoever runs a worker within a span of its own wants to see what it does.
            token = _native.activate(_native.worker_loop()) if _native.current_span() is None else None
            try:
                return original(*args, **kwargs)
            finally:
                if token is not None:
                    _native.deactivate(token)

        return wrapper

    return factory


def extract(headers: Any) -> Optional[_native.SpanContext]:
    """The context among a message's headers: a mapping of text or bytes, pairs as Kafka has them, or nothing."""
    return _native.extract(headers) if headers else None


def is_carrying(headers: Any) -> bool:
    """Whether a message has a context already: it has been sent before."""
    return extract(headers) is not None


def inject(span: _native.Span, headers: "MutableMapping[str, Any]") -> None:
    """Puts a span's context into headers that are ours to change, in the place of any other."""
    # What was there is that of the message this one was made of, by a retry for instance.
    _native.inject_into(headers, span, HEADERS, True)


def with_context(span: _native.Span, headers: "Optional[Mapping[str, Any]]") -> "dict[str, Any]":
    """A copy of headers with a span's context."""
    own: dict[str, Any] = dict(headers) if headers else {}
    inject(span, own)
    return own


def error_name(error: BaseException) -> str:
    """``error.type`` of an exception."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def processing(
    name: str, attributes: "dict[str, Any]", parent: Optional[_native.SpanContext], scope: str
) -> _native.Span:
    """Starts the span of processing one message and makes it current. It continues the sender's trace,
    whatever is current here; without a sender's context it is a child of what is current."""
    if parent is not None and not parent.is_valid and _native.current_span() is not None:
        # Baggage alone makes nobody a parent.
        parent = None
    return _native.start_as_current_span(name, CONSUMER, attributes, parent, None, None, scope)


def received(
    name: str,
    attributes: "dict[str, Any]",
    contexts: "list[_native.SpanContext]",
    start: int,
    scope: str,
) -> None:
    """Records that messages were fetched, from ``start`` until now.

    One message that is fetched where nothing is current continues its sender's trace, at the moment it
    is there: the wait for it began before it was sent. In all other cases the span is part of what is
    current, and links the senders.
    """
    if len(contexts) == 1 and _native.current_span() is None:
        span = _native.start_span(name, CLIENT, attributes, contexts[0], None, None, scope)
    else:
        span = _native.start_span(name, CLIENT, attributes, None, start, contexts[:MAX_LINKS], scope)
    span.end()


class Turn:
    """What a loop that asks for one message after the other does with one: a consumer span that is
    current until the next message is asked for, the consumer is closed, or the process ends."""

    __slots__ = ("_span",)

    def __init__(self) -> None:
        self._span: Optional[_native.Span] = None

    def begin(self, name: str, attributes: "dict[str, Any]", parent: Optional[_native.SpanContext], scope: str) -> None:
        """Begins the turn of a message."""
        self.end()
        self._span = processing(name, attributes, parent, scope)
        if not _open_turns:
            # Handlers run in reverse order, so before the one that sends the last spans.
            atexit.register(_end_turns)
        _open_turns.add(self)

    def end(self) -> None:
        """Ends the turn under way, if there is one."""
        span, self._span = self._span, None
        if span is not None:
            span.end()
            _open_turns.discard(self)


_open_turns: "set[Turn]" = set()
#: Attribute of a consumer that holds the turn of the loop over it.
_TURN = "_pitviper_turn"


def turn_of(consumer: Any) -> Turn:
    """The turn of the loop over a consumer."""
    found: Optional[Turn] = consumer.__dict__.get(_TURN)
    if found is None:
        found = consumer.__dict__[_TURN] = Turn()
    return found


def end_turn(consumer: Any) -> None:
    """Ends the turn of the loop over a consumer, if there is one under way."""
    turn = consumer.__dict__.get(_TURN)
    if turn is not None:
        turn.end()


def _end_turns() -> None:
    for turn in list(_open_turns):
        turn.end()


def guarded(describe: "Callable[..., _R]", *args: Any) -> "Optional[_R]":
    """The result of a function of ours; None if it fails, which must not reach the application."""
    try:
        return describe(*args)
    except Exception as error:
        internal_error(error)
        return None


def note_failure(span: _native.Span, error: BaseException) -> None:
    """Marks a span as failed by an exception that the library dealt with; the span goes on."""
    span.record_exception(error)
    span.set_attribute("error.type", error_name(error))
    span.set_status(_ERROR, f"{type(error).__name__}: {error}")
