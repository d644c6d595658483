"""Helpers for tags that applications use."""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

from collections.abc import Iterable, Mapping
from typing import Any, Optional

from .._span import Span
from .._tracer import Tracer
from .._tracer import tracer as _tracer
from ..propagation.http import HTTPPropagator

#: Most levels of nested values that become tags, and most values of one.
_MAX_DEPTH, _MAX_VALUES = 8, 1_000


def set_user(
    tracer: Optional[Tracer] = None,
    user_id: str = "",
    name: Optional[str] = None,
    email: Optional[str] = None,
    scope: Optional[str] = None,
    role: Optional[str] = None,
    session_id: Optional[str] = None,
    propagate: bool = False,
    span: Optional[Span] = None,
    **others: Any,
) -> None:
    """Says whose request it is, on the local root.

    Args:
        tracer: The tracer; the one there is when not given.
        user_id: The user.
        name: Their name.
        email: Their address.
        scope: What they may do.
        role: Who they act as.
        session_id: Their session.
        propagate: Accepted; called services are not told. Use baggage for that.
        span: The span to say it on.
        **others: Accepted.
    """
    span = span or (tracer or _tracer).current_root_span()
    if span is None:
        return
    given = {"name": name, "email": email, "scope": scope, "role": role, "session_id": session_id}
    if user_id:
        span.set_tag("usr.id", str(user_id))
    for key, value in given.items():
        if value:
            span.set_tag(f"usr.{key}", value)


def set_flattened_tags(
    span: Span, items: "Iterable[tuple[str, Any]]", sep: str = ".", exclude_policy: Any = None, processor: Any = None
) -> None:
    """Sets nested values as tags, ``a.b.0`` for what is in ``{"a": {"b": [...]}}``.

    Args:
        span: The span.
        items: Names and values.
        sep: What stands between the names of levels.
        exclude_policy: Says of a name whether its value is left out.
        processor: Makes a tag's value of a value.
    """
    waiting: list[tuple[str, Any, int]] = [(key, value, 0) for key, value in items]
    for _ in range(_MAX_VALUES):
        if not waiting:
            return
        key, value, depth = waiting.pop(0)
        if exclude_policy is not None and exclude_policy(key):
            continue
        below: Any = ()
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            below = value.items()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        elif depth < _MAX_DEPTH and isinstance(value, (list, tuple)):
            below = list(enumerate(value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if below:
            waiting += [(f"{key}{sep}{name}", inner, depth + 1) for name, inner in below]
        else:
            span.set_tag(key, processor(value) if processor is not None else value)


def activate_distributed_headers(
    tracer: Tracer, int_config: Any = None, request_headers: "Optional[Mapping[str, str]]" = None, override: Any = None
) -> None:
    """Makes active what a caller handed over, unless something is active.

    Args:
        tracer: The tracer.
        int_config: Accepted.
        request_headers: The caller's headers.
        override: Whether to; false for not.
    """
    if override is False or not request_headers or tracer.current_span() is not None:
        return
    context = HTTPPropagator.extract(request_headers)
    if context.trace_id:
        tracer.context_provider.activate(context)
