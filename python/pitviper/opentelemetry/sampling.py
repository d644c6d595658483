"""Which traces are kept.

The samplers defined here decide natively. One written by the application is a :class:`Sampler` of its
own, and is asked in Python for each span.
"""

import enum
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Optional

from pitviper.opentelemetry._api import trace

_LOW_BITS = (1 << 64) - 1


class Decision(enum.Enum):
    """What becomes of a span."""

    #: Nothing is recorded.
    DROP = 0
    #: Processors see it; it is not exported, and its children do not count as sampled.
    RECORD_ONLY = 1
    RECORD_AND_SAMPLE = 2

    def is_recording(self) -> bool:
        """Whether the span records what it is told."""
        return self is not Decision.DROP

    def is_sampled(self) -> bool:
        """Whether the span is exported."""
        return self is Decision.RECORD_AND_SAMPLE


class SamplingResult:
    """A decision, the attributes the span begins with, and its trace state."""

    __slots__ = ("attributes", "decision", "trace_state")

    def __init__(
        self,
        decision: Decision,
        attributes: Optional[Mapping[str, Any]] = None,
        trace_state: Any = None,
    ) -> None:
        self.decision = decision
        self.attributes = MappingProxyType(dict(attributes or {}))
        self.trace_state = trace_state

    def __repr__(self) -> str:
        return f"SamplingResult({self.decision}, attributes={dict(self.attributes)})"


class Sampler:
    """Decides about each span as it starts."""

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Optional[Mapping[str, Any]] = None,
        links: Optional[Sequence[Any]] = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        """Decides about a span whose parent is the span in ``parent_context``, or in the current context."""
        raise NotImplementedError

    def get_description(self) -> str:
        """A name that tells the sampler's parameters."""
        raise NotImplementedError


def _parent(context: Any) -> Any:
    parent = trace.get_current_span(context).get_span_context()
    return parent if parent.is_valid else None


def _result(sampled: bool, context: Any, attributes: Optional[Mapping[str, Any]]) -> SamplingResult:
    parent = _parent(context)
    decision = Decision.RECORD_AND_SAMPLE if sampled else Decision.DROP
    return SamplingResult(decision, attributes if sampled else None, parent.trace_state if parent else None)


class StaticSampler(Sampler):
    """Decides the same about every span."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Optional[Mapping[str, Any]] = None,
        links: Optional[Sequence[Any]] = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        result = _result(self._decision.is_recording(), parent_context, attributes)
        result.decision = self._decision
        return result

    def get_description(self) -> str:
        return "AlwaysOffSampler" if self._decision is Decision.DROP else "AlwaysOnSampler"


class TraceIdRatioBased(Sampler):
    """Keeps a share of traces, the same ones in every process.

    Raises:
        ValueError: The rate is not between 0 and 1.
    """

    def __init__(self, rate: float) -> None:
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"use a rate from 0 to 1, not {rate}")
        self._rate = rate

    @property
    def rate(self) -> float:
        """The share of traces kept."""
        return self._rate

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Optional[Mapping[str, Any]] = None,
        links: Optional[Sequence[Any]] = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        kept = trace_id & _LOW_BITS < round(self._rate * (_LOW_BITS + 1))
        return _result(kept, parent_context, attributes)

    def get_description(self) -> str:
        return f"TraceIdRatioBased{{{self._rate}}}"


ALWAYS_OFF = StaticSampler(Decision.DROP)
ALWAYS_ON = StaticSampler(Decision.RECORD_AND_SAMPLE)


class ParentBased(Sampler):
    """Does as the parent did; another sampler decides about roots."""

    def __init__(
        self,
        root: Sampler,
        remote_parent_sampled: Sampler = ALWAYS_ON,
        remote_parent_not_sampled: Sampler = ALWAYS_OFF,
        local_parent_sampled: Sampler = ALWAYS_ON,
        local_parent_not_sampled: Sampler = ALWAYS_OFF,
    ) -> None:
        self.root = root
        #: By whether the parent is remote and whether it is sampled.
        self.delegates = {
            (True, True): remote_parent_sampled,
            (True, False): remote_parent_not_sampled,
            (False, True): local_parent_sampled,
            (False, False): local_parent_not_sampled,
        }

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: Any = None,
        attributes: Optional[Mapping[str, Any]] = None,
        links: Optional[Sequence[Any]] = None,
        trace_state: Any = None,
    ) -> SamplingResult:
        parent = _parent(parent_context)
        sampler = self.root if parent is None else self.delegates[parent.is_remote, parent.trace_flags.sampled]
        return sampler.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        names = ("remoteParentSampled", "remoteParentNotSampled", "localParentSampled", "localParentNotSampled")
        described = (sampler.get_description() for sampler in self.delegates.values())
        rest = ",".join(f"{name}:{description}" for name, description in zip(names, described))
        return f"ParentBased{{root:{self.root.get_description()},{rest}}}"


class ParentBasedTraceIdRatio(ParentBased):
    """Does as the parent did; of roots a share is kept."""

    def __init__(self, rate: float) -> None:
        super().__init__(TraceIdRatioBased(rate))


DEFAULT_OFF = ParentBased(ALWAYS_OFF)
DEFAULT_ON = ParentBased(ALWAYS_ON)

#: The delegates for which the native half need not ask Python.
_USUAL = list(DEFAULT_ON.delegates.values())


def named(name: str, argument: float) -> Sampler:
    """The sampler that OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG name."""
    rule = name.rpartition("parentbased_")[2]
    root = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF}.get(rule) or TraceIdRatioBased(argument)
    return ParentBased(root) if rule != name else root


def native_form(sampler: Any) -> Any:
    """What the native half is given: a name and an argument where it knows the rule, or the sampler."""
    if type(sampler) in (ParentBased, ParentBasedTraceIdRatio) and list(sampler.delegates.values()) == _USUAL:
        root = native_form(sampler.root)
        return (f"parentbased_{root[0]}", root[1]) if isinstance(root, tuple) else sampler
    if sampler is ALWAYS_ON or sampler is ALWAYS_OFF:
        return ("always_on" if sampler is ALWAYS_ON else "always_off", 1.0)
    if type(sampler) is TraceIdRatioBased:
        return ("traceidratio", sampler.rate)
    return sampler
