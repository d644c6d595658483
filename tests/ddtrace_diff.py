"""Compares what one application looks like under ddtrace and under Pitviper's face of it.

Of each trace the spans are put side by side by what a reader of the waterfall sees: service, kind, name, whether it
failed and with what, and what it is part of. Differences are lines of text; those that are meant are in
``tests/clients/ddtrace_differences.toml``, each with its reason.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import tomllib

Span = dict[str, Any]


def described(span: Span) -> str:
    """A span as it is compared, but for its place."""
    error = span["attributes"].get("error.type", "") if span["status"] == "error" else ""
    failed = f" failed {error}".rstrip() if span["status"] == "error" else ""
    told = [event["attributes"].get("exception.type") for event in span["events"] if event["name"] == "exception"]
    tells = f" tells {','.join(map(str, told))}" if told else ""
    return f"{span['service']}: {span['kind']} {span['name']}{failed}{tells}"


def identity(span: Span) -> tuple[str, str, str]:
    """What makes two spans the same step of the application."""
    return span["service"], span["kind"], span["name"]


def placed(spans: list[Span], common: "Counter[tuple[str, str, str]]") -> "Counter[tuple[str, str]]":
    """Each span that both have, with the nearest span around it that both have."""
    by_id = {span["span_id"]: span for span in spans}

    def around(span: Span) -> str:
        parent = by_id.get(span["parent_span_id"])
        while parent is not None and identity(parent) not in common:
            parent = by_id.get(parent["parent_span_id"])
        if parent is not None:
            return " ".join(identity(parent)[1:])
        return "a span elsewhere" if has_parent(span, by_id) else "nothing"

    def has_parent(span: Span, by_id: dict[str, Span]) -> bool:
        while span["parent_span_id"] in by_id:
            span = by_id[span["parent_span_id"]]
        return bool(span["parent_span_id"])

    return Counter((described(span), around(span)) for span in spans if identity(span) in common)


def differences(name: str, theirs: list[Span], ours: list[Span]) -> list[str]:
    """How a trace differs, a line each, in order."""
    left, right = Counter(map(identity, theirs)), Counter(map(identity, ours))
    common = left & right
    lines = [f"{name}: only ddtrace: {' '.join(one)}" for one in (left - right).elements()]
    lines += [f"{name}: only pitviper: {' '.join(one)}" for one in (right - left).elements()]
    before, after = placed(theirs, common), placed(ours, common)
    lines += [f"{name}: ddtrace: {one} in {place}" for one, place in (before - after).elements()]
    lines += [f"{name}: pitviper: {one} in {place}" for one, place in (after - before).elements()]
    return sorted(lines)


def explained(path: Path) -> dict[str, str]:
    """The differences that are meant, and why."""
    entries = tomllib.loads(path.read_text())["difference"]
    return {line: entry["why"] for entry in entries for line in entry["lines"]}
