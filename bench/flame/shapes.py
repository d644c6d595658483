"""A large profile as ``POST /api/v1/profiles/merge`` answers it, and what else the page asks for.

The shape is that of a day of a web service: a dozen threads, requests through a framework's layers into
own code, libraries below it, recursion, and a long tail of stacks that were seen once.
"""

import json
import random
from collections.abc import Callable
from typing import Any

#: Package, file's folder, whether it is own code.
PACKAGES = (
    ("", "/srv/shop/shop", True),
    ("flask", "/srv/venv/lib/python3.12/site-packages/flask", False),
    ("werkzeug", "/srv/venv/lib/python3.12/site-packages/werkzeug", False),
    ("sqlalchemy", "/srv/venv/lib/python3.12/site-packages/sqlalchemy", False),
    ("jinja2", "/srv/venv/lib/python3.12/site-packages/jinja2", False),
    ("redis", "/srv/venv/lib/python3.12/site-packages/redis", False),
    ("stdlib", "/usr/lib/python3.12", False),
)
NOUNS = [
    "order",
    "cart",
    "price",
    "stock",
    "user",
    "session",
    "template",
    "query",
    "row",
    "result",
    "cursor",
    "socket",
    "json",
    "token",
    "cache",
    "review",
]
VERBS = [
    "load",
    "save",
    "render",
    "parse",
    "fetch",
    "build",
    "check",
    "find",
    "send",
    "encode",
    "decode",
    "validate",
    "merge",
    "resolve",
    "apply",
]
DEEPEST = 70
STATES = ("cpu", "gil", "lock", "network", "sleep", "idle")
BUCKETS = 120


def frames(dice: random.Random, strings: "list[str]") -> "list[dict[str, Any]]":
    """Functions with their places in the code; their names go into the strings."""
    known = {text: index for index, text in enumerate(strings)}

    def index(text: str) -> int:
        if text not in known:
            known[text] = len(strings)
            strings.append(text)
        return known[text]

    made = []
    for package, folder, own in PACKAGES:
        for _ in range(300):
            noun, verb = dice.choice(NOUNS), dice.choice(VERBS)
            name = f"{noun.capitalize()}.{verb}_{noun}" if dice.random() < 0.4 else f"{verb}_{dice.choice(NOUNS)}"
            place = f"{folder}/{noun}s.py"
            line = dice.randrange(10, 900)
            made.append({"fn": index(name), "file": index(place), "line": line, "pkg": index(package), "in_app": own})
    return made


def merged(nodes: int) -> "dict[str, Any]":
    """A profile of so many nodes."""
    dice = random.Random(7)
    strings = [""]
    places = frames(dice, strings)
    depth, parent, frame = [0], [-1], [-1]
    at = 0
    while len(depth) < nodes:
        # A little more than one child on average, so that there are many levels.
        children = 12 if at == 0 else dice.choices((0, 1, 2, 4), (10, 74, 13, 3))[0] if depth[at] < DEEPEST else 0
        if children == 0 and at == len(depth) - 1:
            children = 1
        for _ in range(min(children, nodes - len(depth))):
            depth.append(depth[at] + 1)
            parent.append(at)
            # Code mostly stays within its package for some frames.
            stays = frame[at] >= 0 and dice.random() < 0.6
            start = frame[at] // 300 * 300 if stays else dice.randrange(len(PACKAGES)) * 300
            frame.append(start + dice.randrange(300))
        at += 1
    own = [int(dice.paretovariate(0.8) * 1e4) if dice.random() < 0.4 else 0 for _ in depth]
    whole = list(own)
    for row in range(nodes - 1, 0, -1):
        whole[parent[row]] += whole[row]
    # Rows of one parent lie together and a level's parents are in order, so these places are sorted.
    x, reached = [0] * nodes, [0] * nodes
    for row in range(1, nodes):
        x[row] = reached[row] = reached[parent[row]]
        reached[parent[row]] += whole[row]
    return {
        "type": "wall",
        "unit": "nanoseconds",
        "total": whole[0],
        "samples": 1_200_000,
        "strings": strings,
        "frames": places,
        "depth": depth,
        "x": x,
        "w": whole,
        "self": own,
        "n": [value // 15_000 + 1 for value in whole],
        "frame": frame,
        "parent": parent,
        "dropped_below": 0,
        "excluded": 0,
        "left_out_samples": 0,
        "may_repeat": False,
    }


def answers(nodes: int) -> "Callable[[str, dict[str, list[str]]], bytes | None]":
    """What the server would answer to the page's questions."""
    profile = merged(nodes)
    total = profile["total"]
    dice = random.Random(8)
    share = [[dice.random() * (5 if state in ("idle", "network") else 1) for _ in range(BUCKETS)] for state in STATES]
    scale = total / sum(map(sum, share))
    shares = ((name, total // (place + 2)) for place, name in enumerate(("GET /", "POST /cart", "GET /item")))
    known: dict[str, Any] = {
        "merge": profile,
        "values": {
            "types": [{"type": "wall", "unit": "nanoseconds", "value": total, "samples": profile["samples"]}],
            "services": [{"value": "shop", "total": total}],
            "endpoints": [{"value": name, "total": value} for name, value in shares],
            **{
                name: []
                for name in (
                    "threads",
                    "states",
                    "versions",
                    "environments",
                    "hosts",
                    "instances",
                    "exceptions",
                    "locks",
                )
            },
        },
        "series": {
            "from_us": 1_795_000_000_000_000,
            "step_us": 30_000_000,
            "series": [
                {"key": key, "values": [round(value * scale) for value in row]} for key, row in zip(STATES, share)
            ],
        },
        "spans": {"spans": []},
    }
    documents = {
        f"/api/v1/profiles/{name}": json.dumps({"data": data, "meta": {"exact": True}}, separators=(",", ":")).encode()
        for name, data in known.items()
    }
    return lambda path, _: documents.get(path)
