"""``Context``: what a trace hands from one place to another."""

# What the modules of this package share is private to their users.
# pyright: reportPrivateUsage=false

from typing import Any, Optional

from pitviper import _native

#: The application's decision, among those who decide about traces.
MANUAL = "-4"
_DECISION = "_dd.p.dm"
_USER = "_dd.p.usr.id"
_ORIGIN = "_dd.origin"
_TAG = "_dd.p."


def parts_of(trace_state: str) -> "dict[str, str]":
    """What Datadog's member of a trace state says."""
    for member in trace_state.split(","):
        key, _, value = member.strip().partition("=")
        if key == "dd":
            return {name: rest for name, _, rest in (part.strip().partition(":") for part in value.split(";"))}
    return {}


def _written(value: str) -> str:
    """A value as it may stand in the member."""
    return "".join("~" if c == "=" else "_" if c in ",;~" or not " " <= c <= "}" else c for c in value)


class Context:
    """A place in a trace that may be another process's: ids, the decision about the trace, baggage.

    Args:
        trace_id: 128 bits.
        span_id: 64 bits.
        dd_origin: Where the trace began, such as ``rum``.
        sampling_priority: -1 and 0 for a trace that is not kept, 1 and 2 for one that is; None before anybody
            decided.
        meta: Tags of the trace, whose names begin with ``_dd.p.``.
        metrics: Accepted; a sampling priority among them counts.
        span_links: Accepted, and linked by no span.
        baggage: What the application passes along.
        is_remote: Whether it came from another process.
    """

    __slots__ = (
        "__weakref__",
        "_above",
        "_baggage",
        "_given",
        "_is_remote",
        "_meta",
        "_priority",
        "_reactivate",
        "_span",
        "span_id",
        "trace_id",
    )

    def __init__(
        self,
        trace_id: Optional[int] = None,
        span_id: Optional[int] = None,
        dd_origin: Optional[str] = None,
        sampling_priority: Optional[float] = None,
        meta: "Optional[dict[str, str]]" = None,
        metrics: "Optional[dict[str, float]]" = None,
        span_links: "Optional[list[Any]]" = None,
        baggage: "Optional[dict[str, Any]]" = None,
        is_remote: bool = True,
    ) -> None:
        if sampling_priority is None and metrics:
            sampling_priority = metrics.get("_sampling_priority_v1")
        self.trace_id = trace_id
        self.span_id = span_id
        self._meta: dict[str, str] = dict(meta or {})
        if dd_origin is not None:
            self._meta[_ORIGIN] = dd_origin
        self._priority = sampling_priority
        self._baggage: Optional[dict[str, Any]] = dict(baggage or {})
        self._is_remote = is_remote
        #: The span of this process whose context it is.
        self._span: Optional[_native.Span] = None
        #: The context that the trace came from elsewhere with: a decision is about the whole trace.
        self._above: Optional[Context] = None
        #: Whether it stays active when a span below it finishes.
        self._reactivate = False
        #: What was extracted, until something here is changed.
        self._given: Optional[_native.SpanContext] = None

    @property
    def sampling_priority(self) -> Optional[float]:
        """The decision about the trace: -1 or 0, 1 or 2; None before anybody decided."""
        if self._span is not None:
            told = _native.told(self._span)
            return None if told is None else told[3]
        return self._priority

    @sampling_priority.setter
    def sampling_priority(self, value: Optional[float]) -> None:
        if value is None:
            return
        self._priority = value
        self._given = None
        if self._span is not None:
            _native.decide(self._span, int(value), MANUAL)
        if self._above is not None:
            self._above.sampling_priority = value

    @property
    def dd_origin(self) -> Optional[str]:
        """Where the trace began, such as ``rum``."""
        return self._meta.get(_ORIGIN)

    @dd_origin.setter
    def dd_origin(self, value: Optional[str]) -> None:
        self._given = None
        if value is None:
            self._meta.pop(_ORIGIN, None)
        else:
            self._meta[_ORIGIN] = value

    @property
    def dd_user_id(self) -> Optional[str]:
        """The user of the request, where an application said so."""
        encoded = self._meta.get(_USER)
        if not encoded:
            return None
        import base64

        try:
            return base64.b64decode(encoded).decode("utf-8", "replace")
        except ValueError:
            return None

    @dd_user_id.setter
    def dd_user_id(self, value: Optional[str]) -> None:
        import base64

        self._given = None
        if value is None:
            self._meta.pop(_USER, None)
        else:
            self._meta[_USER] = base64.b64encode(value.encode("utf-8", "replace")).decode()

    # Baggage of a span of this process belongs to the process's baggage, which calls carry.

    def _members(self) -> "dict[str, Any]":
        if self._span is None:
            return self._baggage if self._baggage is not None else {}
        token = _native.activate(self._span)
        try:
            return dict(_native.get_baggage())
        finally:
            _native.deactivate(token)

    def _keep(self, members: "dict[str, Any]") -> None:
        self._given = None
        if self._span is None:
            self._baggage = members
            return
        token = _native.activate(self._span)
        try:
            _native.set_baggage(members)
        finally:
            _native.deactivate(token)

    def set_baggage_item(self, key: str, value: Any) -> None:
        """Passes something along to every service that is called."""
        self._keep({**self._members(), key: value})

    def get_baggage_item(self, key: str) -> Optional[Any]:
        """What is passed along under a key."""
        return self._members().get(key)

    def get_all_baggage_items(self) -> "dict[str, Any]":
        """All that is passed along."""
        return dict(self._members())

    def remove_baggage_item(self, key: str) -> None:
        """Passes a key along no more."""
        members = dict(self._members())
        if key in members:
            del members[key]
            self._keep(members)

    def remove_all_baggage_items(self) -> None:
        """Passes nothing along."""
        self._keep({})

    def copy(self, trace_id: Optional[int], span_id: Optional[int]) -> "Context":
        """The same with other ids, in this process."""
        other = Context(trace_id, span_id, None, self.sampling_priority, self._meta, None, None, None, False)
        other._baggage = dict(self._members())
        return other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return False
        mine = (self.trace_id, self.span_id, self._meta, self.sampling_priority, self._members())
        return mine == (other.trace_id, other.span_id, other._meta, other.sampling_priority, other._members())

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def __repr__(self) -> str:
        return (
            f"Context(trace_id={self.trace_id}, span_id={self.span_id}, _meta={self._meta}, "
            f"sampling_priority={self.sampling_priority}, _baggage={self._members()}, _is_remote={self._is_remote})"
        )

    # What is handed to another process or thread is a copy that knows no span.

    def __getstate__(self) -> "dict[str, Any]":
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "meta": self._meta,
            "sampling_priority": self.sampling_priority,
            "baggage": dict(self._members()),
            "is_remote": self._is_remote,
        }

    def __setstate__(self, state: "dict[str, Any]") -> None:
        self.__init__(**state)


def native_of(context: Context) -> "Optional[_native.Span | _native.SpanContext]":
    """A context as the agent takes it; None when it names no trace."""
    if context._span is not None:
        return context._span
    if context._given is not None:
        return context._given
    if not context.trace_id:
        return None
    priority, meta = context.sampling_priority, context._meta
    parts: list[str] = []
    if priority is not None:
        parts.append(f"s:{int(priority)}")
    for key, value in meta.items():
        if key == _ORIGIN:
            parts.append(f"o:{_written(value)}")
        elif key.startswith(_TAG) and key != "_dd.p.tid":
            parts.append(f"t.{key[len(_TAG) :]}:{_written(value)}")
    state = "dd=" + ";".join(parts) if parts else None
    sampled = priority is None or priority > 0
    return _native.SpanContext(context.trace_id, context.span_id or 0, True, int(sampled), state)


def of_native(given: "Optional[_native.Span | _native.SpanContext]" = None, is_said: bool = True) -> Optional[Context]:
    """The context of a span, or of what another process handed over; by default of what is current.

    ``is_said`` is whether the other process has said whether the trace is kept, in other ways than Datadog's.
    """
    told = _native.told(given)
    if told is None:
        return None
    trace_id, span_id, _, priority, state, is_remote = told
    parts = parts_of(state)
    meta = {_TAG + name[2:]: value.replace("~", "=") for name, value in parts.items() if name.startswith("t.")}
    context = Context(trace_id or None, span_id or None, parts.get("o"), None, meta, is_remote=is_remote)
    context._priority = priority if "s" in parts or not is_remote else None
    if isinstance(given, _native.Span):
        context._span = given
    elif given is not None:
        context._priority = priority if trace_id and (is_said or "s" in parts) else None
        context._given = given
        context._baggage = dict(given.baggage)
    return context
