"""Profiles as any program may post them: pprof, written from stacks."""

import urllib.parse
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field

from conftest import Server

#: Function, file, line.
Frame = tuple[str, str, int]
APP = "/srv/flaskr/flaskr"
LIBRARY = "/srv/venv/lib/python3.12/site-packages"


@dataclass
class Sample:
    """A stack, the innermost frame last, and what it took."""

    stack: "list[Frame]"
    values: "list[int]"
    labels: "dict[str, str | int]" = field(default_factory=dict)


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def number(tag: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(tag << 3) + varint(value)


def message(tag: int, *parts: bytes) -> bytes:
    """A field that is a message, a text or packed numbers."""
    body = b"".join(parts)
    return varint(tag << 3 | 2) + varint(len(body)) + body


class Table:
    """Things that are written once, by their numbers."""

    def __init__(self, first: int) -> None:
        self.numbers: dict[object, int] = {}
        self.first = first

    def number(self, thing: object) -> int:
        """The number of a thing."""
        return self.numbers.setdefault(thing, len(self.numbers) + self.first)


def pprof(types: "list[tuple[str, str]]", samples: "Iterable[Sample]", end_ns: int, seconds: int = 60) -> bytes:
    """A profile that ends at a moment; each sample has a value of each type."""
    strings, functions, locations = Table(0), Table(1), Table(1)
    strings.number("")
    out = [message(1, number(1, strings.number(name)), number(2, strings.number(unit))) for name, unit in types]
    for sample in samples:
        # The innermost comes first.
        stack = b"".join(varint(locations.number(frame)) for frame in reversed(sample.stack))
        labels = [
            message(
                3,
                number(1, strings.number(key)),
                number(2, strings.number(value)) if isinstance(value, str) else number(3, value),
            )
            for key, value in sample.labels.items()
        ]
        out.append(message(2, message(1, stack), message(2, *(varint(value) for value in sample.values)), *labels))
    for frame, location in locations.numbers.items():
        name, file, line = frame  # type: ignore[misc]
        function = functions.number((name, file))
        out.append(message(4, number(1, location), message(4, number(1, function), number(2, line))))
    for (name, file), function in functions.numbers.items():  # type: ignore[misc]
        out.append(message(5, number(1, function), number(2, strings.number(name)), number(4, strings.number(file))))
    out += [message(6, str(text).encode()) for text in strings.numbers]
    out += [number(9, end_ns - seconds * 10**9), number(10, seconds * 10**9)]
    return b"".join(out)


def post(server: Server, profile: bytes, **resource: str) -> None:
    """Posts a profile; the keywords are attributes of its resource, with ``_`` for dots."""
    query = urllib.parse.urlencode({key.replace("_", "."): value for key, value in resource.items()})
    request = urllib.request.Request(
        f"{server.otlp}/v1/pprof?{query}", profile, {"content-type": "application/x-protobuf"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == 200
