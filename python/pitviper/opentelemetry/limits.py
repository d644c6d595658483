"""Bounds on what a span may hold."""

import os
from typing import Optional

#: How many attributes, events and links there may be when nothing says otherwise.
DEFAULT_COUNT = 128

_UNSET_WORD = "unset"


def _limit(given: Optional[int], *variables: str, default: Optional[int] = None) -> Optional[int]:
    """What was given, what the first variable says that is set, or the default; None for no limit.

    Raises:
        ValueError: A number is negative, or a variable holds none.
    """
    if given == SpanLimits.UNSET:
        return None
    if given is not None:
        if given < 0:
            raise ValueError(f"a limit must not be negative: {given}")
        return given
    for variable in variables:
        text = os.environ.get(variable, "").strip().lower()
        if text == _UNSET_WORD:
            return None
        if text:
            if not text.isdigit():
                raise ValueError(f"{variable} must be a non-negative integer, or unset, but is {text!r}")
            return int(text)
    return default


class SpanLimits:
    """Bounds on a span. What is not given comes from OpenTelemetry's variables, then from their defaults.

    Beyond a count, new entries are dropped and counted in the span; texts are cut at the length, which is
    in characters.

    Raises:
        ValueError: A limit is negative or no number.
    """

    #: In the place of a number: no limit, whatever variables say.
    UNSET = -1

    def __init__(
        self,
        max_attributes: Optional[int] = None,
        max_events: Optional[int] = None,
        max_links: Optional[int] = None,
        max_span_attributes: Optional[int] = None,
        max_event_attributes: Optional[int] = None,
        max_link_attributes: Optional[int] = None,
        max_attribute_length: Optional[int] = None,
        max_span_attribute_length: Optional[int] = None,
    ) -> None:
        self.max_events = _limit(max_events, "OTEL_SPAN_EVENT_COUNT_LIMIT", default=DEFAULT_COUNT)
        self.max_links = _limit(max_links, "OTEL_SPAN_LINK_COUNT_LIMIT", default=DEFAULT_COUNT)
        # Of a number given for all, the variable of one kind still counts more, as in the SDK.
        common = _limit(max_attributes, "OTEL_ATTRIBUTE_COUNT_LIMIT")
        self.max_attributes = DEFAULT_COUNT if common is None else common
        fallback = self.max_attributes
        self.max_span_attributes = _limit(max_span_attributes, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", default=fallback)
        self.max_event_attributes = _limit(max_event_attributes, "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", default=fallback)
        self.max_link_attributes = _limit(max_link_attributes, "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", default=fallback)
        self.max_attribute_length = _limit(max_attribute_length, "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
        self.max_span_attribute_length = _limit(
            max_span_attribute_length, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", default=self.max_attribute_length
        )

    def __repr__(self) -> str:
        return f"SpanLimits({', '.join(f'{name}={value}' for name, value in vars(self).items())})"


def native_form(limits: SpanLimits) -> "tuple[Optional[int], ...]":
    """The limits, ours or the SDK's, in the order the native half wants."""
    return (
        limits.max_span_attributes,
        limits.max_event_attributes,
        limits.max_link_attributes,
        limits.max_span_attribute_length,
        limits.max_attribute_length,
        limits.max_events,
        limits.max_links,
    )
