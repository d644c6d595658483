"""Adds up the CPU time of the innermost functions of pprof files, packed or not: ``leaves.py FILE…``, as JSON."""

import collections
import gzip
import json
import sys
from pathlib import Path

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python" / "tests"))
from pprof import MESSAGE

#: The names of CPU time, ours first.
CPU = ("cpu", "cpu-time")


def unpacked(body: bytes) -> bytes:
    """The file as protobuf."""
    if body.startswith(b"\x1f\x8b"):
        return gzip.decompress(body)
    if body.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def main() -> None:
    """Reads, adds up, prints."""
    found: collections.Counter[str] = collections.Counter()
    for name in sys.argv[1:]:
        read = MESSAGE.FromString(unpacked(Path(name).read_bytes()))
        texts = read.string_table
        types = [texts[kind.type] for kind in read.sample_type]
        names = {function.id: texts[function.name].rsplit(".", 1)[-1] for function in read.function}
        leaf = {location.id: names[location.line[0].function_id] for location in read.location if location.line}
        for sample in read.sample:
            values = dict(zip(types, sample.value))
            value = next((values[kind] for kind in CPU if values.get(kind)), 0)
            if value and sample.location_id:
                found[leaf.get(sample.location_id[0], "")] += value
                found["*"] += values.get("cpu-samples") or 1
    print(json.dumps(found))


if __name__ == "__main__":
    main()
