"""Sampling rules as ``DD_TRACE_SAMPLING_RULES`` has them: which traces are kept, by what their root is.

The first rule that fits decides, by the trace's id, so that services with the same rate keep the same traces.
What is kept is bounded by ``DD_TRACE_RATE_LIMIT`` traces a second.
"""

import json
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, Optional

from pitviper._guard import say

from ._span import Span

#: Multiplied with an id, it spreads ids evenly; the number all of Datadog's tracers use.
_FACTOR = 1_111_111_111_111_111_111
_LOW = 2**64 - 1
#: Traces a second that rules keep, when no variable says otherwise.
_DEFAULT_LIMIT = 100
_KEEP, _DROP = 2, -1


def _pattern(glob: str) -> "Optional[re.Pattern[str]]":
    """A glob of ``*`` and ``?``, in any case; None for one that fits all."""
    if glob in ("", "*"):
        return None
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c) or re.escape(c) for c in glob), re.IGNORECASE | re.DOTALL)


class Rule:
    """One rule: a rate, and what a root must be like."""

    __slots__ = ("_late", "_name", "_resource", "_service", "_tags", "rate")

    def __init__(self, given: "Mapping[str, Any]") -> None:
        self.rate = float(given["sample_rate"])
        if not 0.0 <= self.rate <= 1.0:
            raise ValueError("sample_rate is a number from 0 to 1")
        self._service = _pattern(str(given.get("service") or "*"))
        self._name = _pattern(str(given.get("name") or "*"))
        self._resource = _pattern(str(given.get("resource") or "*"))
        tags: Mapping[str, Any] = given.get("tags") or {}
        self._tags = {str(key): _pattern(str(glob)) for key, glob in tags.items()}
        #: Whether it asks for what is known at the end only.
        self._late = self._resource is not None or bool(self._tags)

    def fits(self, root: Span, early: bool) -> Optional[bool]:
        """Whether it fits; None if that will be known at the end."""
        for pattern, value in ((self._service, root.service), (self._name, root.name)):
            if pattern is not None and not pattern.fullmatch(value or ""):
                return False
        if not self._late:
            return True
        if early:
            return None
        if self._resource is not None and not self._resource.fullmatch(root.resource):
            return False
        for key, pattern in self._tags.items():
            value = root.get_tag(key)
            if value is None:
                number = root.get_metric(key)
                value = None if number is None else f"{number:g}"
            if value is None or (pattern is not None and not pattern.fullmatch(value)):
                return False
        return True

    def keeps(self, trace_id: int) -> bool:
        """Whether its rate keeps a trace."""
        return (trace_id & _LOW) * _FACTOR % 2**64 <= self.rate * _LOW


class Rules:
    """All rules, and the bound of what they keep."""

    def __init__(self, rules: "list[Rule]", limit: int) -> None:
        self._rules = rules
        self._limit = limit
        self._lock = threading.Lock()
        self._left = float(limit)
        self._since = time.monotonic()

    def decide(self, root: Span, early: bool) -> Optional[int]:
        """The priority of a trace, by its root here; None if no rule fits, or that will be known at the end."""
        for rule in self._rules:
            fits = rule.fits(root, early)
            if fits is None:
                return None
            if fits:
                return _KEEP if rule.keeps(root.trace_id) and self._has_room() else _DROP
        return None

    def _has_room(self) -> bool:
        if self._limit < 0:
            return True
        with self._lock:
            now = time.monotonic()
            self._left = min(float(self._limit), self._left + (now - self._since) * self._limit)
            self._since = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


def read(environ: "Mapping[str, str]") -> Optional[Rules]:
    """The rules that the variables hold; None without any. What cannot be read is said once, and left out."""
    text = environ.get("DD_TRACE_SAMPLING_RULES", "").strip()
    if not text:
        return None
    rules: list[Rule] = []
    try:
        given: Any = json.loads(text)
        if not isinstance(given, list):
            raise ValueError("not a list")
        for item in given:  # pyright: ignore[reportUnknownVariableType]
            rules.append(Rule(item))  # pyright: ignore[reportUnknownArgumentType]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        say(f"DD_TRACE_SAMPLING_RULES is followed up to its rule {len(rules)}: {error or 'sample_rate is missing'}")
    limit = environ.get("DD_TRACE_RATE_LIMIT", "")
    return Rules(rules, int(limit) if limit.lstrip("-").isdigit() else _DEFAULT_LIMIT) if rules else None
