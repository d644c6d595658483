"""Adds up what pprof files, packed or not, say of some functions: ``sums.py KIND NAME[,NAME…] FILE…``, as JSON.

A sample is of the first of these functions that its stack has, seen from its innermost frame.
"""

import collections
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python" / "tests"))
from pprof import MESSAGE

#: What kinds are called by ours, and by ddtrace. Ours tells waits for locks as time by the clock in that state.
TYPES = {
    "cpu": ("cpu", "cpu-time"),
    "wall": ("wall", "wall-time"),
    "allocated": ("alloc_space", "alloc-space"),
    "lock": ("wall", "lock-acquire-wait"),
}


def unpacked(body: bytes) -> bytes:
    """The file as protobuf."""
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def value(kind: str, values: "dict[str, int]", labels: "dict[str, str]") -> int:
    """What a sample says of a kind."""
    if kind == "lock" and "lock-acquire-wait" not in values:
        return values.get("wall", 0) if labels.get("state") == "lock" else 0
    return next((values[name] for name in TYPES[kind] if values.get(name)), 0)


def main() -> None:
    """Reads, adds up, prints; ``*`` has the number of samples where the profile says it."""
    kind, wanted = sys.argv[1], set(sys.argv[2].split(","))
    found: collections.Counter[str] = collections.Counter()
    for name in sys.argv[3:]:
        read: Any = MESSAGE.FromString(unpacked(Path(name).read_bytes()))
        texts = read.string_table
        types = [texts[of.type] for of in read.sample_type]
        names = {function.id: texts[function.name].rsplit(".", 1)[-1] for function in read.function}
        places = {location.id: names[location.line[0].function_id] for location in read.location if location.line}
        for sample in read.sample:
            values = dict(zip(types, sample.value))
            labels = {texts[label.key]: texts[label.str] for label in sample.label}
            functions = (places.get(location, "") for location in sample.location_id)
            known = next((function for function in functions if function in wanted), None)
            amount = value(kind, values, labels)
            if amount and known:
                found[known] += amount
                found["*"] += values.get("cpu-samples") or 1
    print(json.dumps(found))


if __name__ == "__main__":
    main()
