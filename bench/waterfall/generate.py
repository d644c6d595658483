"""A large trace as ``GET /api/v1/traces/{id}?shape=columns`` answers it.

The shape is that of a nightly job: a root with hundreds of batches, each a call through several
services with statements below it; one batch that asks for every row by itself (wide), and one that
calls itself (deep). A few statements and calls fail.
"""

import random
from typing import Any

TRACE_ID = "5eed" * 8
#: Name and kind.
SERVICES = (
    ("scheduler", "worker"),
    ("orders-api", "web"),
    ("inventory", "web"),
    ("pricing", "web"),
    ("postgresql", "database"),
    ("redis", "cache"),
    ("mailer", "worker"),
)
#: How many colours the server tells services apart by.
COLORS = 20
SCHEDULER, ORDERS, INVENTORY, PRICING, POSTGRESQL, REDIS, MAILER = range(len(SERVICES))
INTERNAL, SERVER, CLIENT = 1, 2, 3
UNSET, ERROR = 0, 2
STATEMENTS = (
    "SELECT id, sku, quantity FROM stock WHERE warehouse = ? AND sku = ANY(?) ORDER BY sku",
    "UPDATE orders SET state = ?, updated_at = now() WHERE id = ? AND state <> ?",
    "INSERT INTO reservation (order_id, sku, quantity) VALUES (?, ?, ?)",
    "SELECT price, currency FROM price WHERE sku = ? AND valid @> now()",
)
FAILURES = ("OperationalError: canceling statement due to lock timeout", "ReadTimeout: no answer within 2.0 s")
#: Spans of the batch that asks for every row by itself, as a share of all.
WIDE_SHARE = 0.1
#: Depth of the batch that calls itself.
DEEP = 60


class Columns:
    """Collects spans, depth first, and keeps time."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.strings: dict[str, int] = {}
        self.rows: list[dict[str, Any]] = []
        self.open: list[int] = []
        self.now = 0

    def text(self, text: str) -> int:
        """The index of a text."""
        return self.strings.setdefault(text, len(self.strings))

    def begin(self, service: int, name: str, kind: int, detail: str = "") -> None:
        """Opens a span below the one that is open."""
        self.now += self.random.randrange(2_000, 40_000)
        row = {
            "id": f"{self.random.getrandbits(64):016x}",
            "parent": self.open[-1] if self.open else -1,
            "depth": len(self.open),
            "svc": service,
            "name": self.text(name),
            "kind": kind,
            "start": self.now,
            "status": UNSET,
            "desc": self.text(detail) if detail else -1,
        }
        self.open.append(len(self.rows))
        self.rows.append(row)

    def end(self, failure: str = "") -> None:
        """Closes the span that is open."""
        self.now += self.random.randrange(2_000, 40_000)
        row = self.rows[self.open.pop()]
        row["dur"] = self.now - row["start"]
        if failure:
            row["status"], row["desc"] = ERROR, self.text(failure)

    def leaf(self, service: int, name: str, kind: int, detail: str = "", failure: str = "") -> None:
        """A span with none below it."""
        self.begin(service, name, kind, detail)
        self.now += int(self.random.lognormvariate(12.6, 1.0))
        self.end(failure)

    def statement(self) -> None:
        """A statement; one in two hundred fails."""
        text = self.random.choice(STATEMENTS)
        failure = FAILURES[0] if self.random.random() < 0.005 else ""
        verb, rest = text.split(" ", 1)
        table = next(word for word in rest.split() if word in ("stock", "orders", "reservation", "price"))
        self.leaf(POSTGRESQL, f"{verb} {table}", CLIENT, text, failure)


def order(columns: Columns) -> None:
    """One order: two calls, some statements, a cache."""
    columns.begin(ORDERS, "orders.confirm", INTERNAL)
    columns.leaf(REDIS, "GET", CLIENT, f"order:{columns.random.randrange(10**6)}")
    columns.statement()
    for service, route in ((INVENTORY, "POST /reserve"), (PRICING, "GET /quote")):
        url = f"http://{SERVICES[service][0]}.internal{route.split()[1]}?order={columns.random.randrange(10**6)}"
        columns.begin(ORDERS, route.split()[0], CLIENT, url)
        columns.begin(service, route, SERVER)
        for _ in range(columns.random.randrange(1, 5)):
            columns.statement()
        failure = FAILURES[1] if columns.random.random() < 0.01 else ""
        columns.end(failure)
        columns.end(failure)
    if columns.random.random() < 0.5:
        columns.leaf(MAILER, "mail.send", INTERNAL)
    columns.end()


def batch(columns: Columns, number: int) -> None:
    """A batch of orders behind one request."""
    columns.begin(SCHEDULER, "POST", CLIENT, f"http://orders-api.internal/batches/{number}/confirm")
    columns.begin(ORDERS, "POST /batches/<id>/confirm", SERVER)
    for _ in range(columns.random.randrange(4, 14)):
        order(columns)
    columns.end()
    columns.end()


def wide(columns: Columns, spans: int) -> None:
    """A request that asks for every row by itself."""
    columns.begin(ORDERS, "orders.export", INTERNAL)
    for _ in range(spans):
        columns.statement()
    columns.end()


def deep(columns: Columns) -> None:
    """Work that calls itself."""
    for level in range(DEEP):
        columns.begin(PRICING, "rules.resolve", INTERNAL, f"rule {level}")
    columns.statement()
    for _ in range(DEEP):
        columns.end()


def self_times(rows: "list[dict[str, Any]]") -> "list[int]":
    """For each row, its duration without its children's; they do not overlap here."""
    own = [row["dur"] for row in rows]
    for row in rows:
        if row["parent"] >= 0:
            own[row["parent"]] -= row["dur"]
    return own


def critical_path(rows: "list[dict[str, Any]]") -> "list[list[int]]":
    """Every row's time without its children's, which is the critical path of work one after another."""
    segments = []
    reached = [row["start"] for row in rows]
    for row in rows:
        parent = row["parent"]
        if parent >= 0:
            segments.append([parent, reached[parent], row["start"]])
            reached[parent] = row["start"] + row["dur"]
    segments += [[index, reached[index], row["start"] + row["dur"]] for index, row in enumerate(rows)]
    return sorted((segment for segment in segments if segment[2] > segment[1]), key=lambda segment: segment[1])


def color(name: str) -> int:
    """The colour of a service, as the server computes it: 32-bit FNV-1a of its name."""
    value = 0x811C9DC5
    for byte in name.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value % COLORS


def trace(spans: int, seed: int = 7) -> "dict[str, Any]":
    """The data of the answer, with exactly this many spans."""
    columns = Columns(seed)
    columns.begin(SCHEDULER, "nightly.confirm_orders", INTERNAL)
    number = 0
    while len(columns.rows) < spans:
        if number == 3:
            deep(columns)
        if number == 20:
            wide(columns, int(spans * WIDE_SHARE))
        batch(columns, number)
        number += 1
    columns.end()
    # Rows come depth first, so what is cut off is the end of the last batch.
    rows = columns.rows[:spans]
    own = self_times(rows)
    names = [columns.text(name) for name, _ in SERVICES]
    services = [
        {
            "name": names[index],
            "color": color(name),
            "kind": kind,
            "self_ns": sum(ns for ns, row in zip(own, rows) if row["svc"] == index),
        }
        for index, (name, kind) in enumerate(SERVICES)
    ]
    keys = ("id", "parent", "depth", "svc", "name", "kind", "start", "dur", "status", "desc")
    critical = critical_path(rows)
    on_path = {segment[0] for segment in critical}
    return {
        "trace_id": TRACE_ID,
        "t0_us": 1_760_000_000_000_000,
        "dur_ns": max(row["start"] + row["dur"] for row in rows),
        "n": len(rows),
        "strings": list(columns.strings),
        "services": services,
        **{key: [row[key] for row in rows] for key in keys},
        "self": own,
        "flags": [
            (1 if row["status"] == ERROR else 0) | (2 if index in on_path else 0) for index, row in enumerate(rows)
        ],
        "critical": critical,
        "truncated": None,
    }
