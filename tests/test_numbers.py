"""What the screens say equals what was driven, and every span has one outcome."""

import signal
import subprocess
import time

from conftest import House, Server, eventually


def total(server: Server, outcome: str) -> int:
    """Spans with an outcome, over all transports and reasons."""
    samples = server.metric("pitviper_spans_total")
    return int(sum(value for labels, value in samples.items() if f'outcome="{outcome}"' in labels))


def test_counts_are_exact(house: House) -> None:
    visitor = house.visitor()
    for _ in range(25):
        visitor.request("/")
    for _ in range(4):
        visitor.request("/broken", expected=500)

    def operations() -> "dict[str, dict[str, float]] | None":
        rows = {row["name"]: row for row in house.server.get("services/flaskr/operations") if row["kind"] == "server"}
        # Two workers report at moments of their own: 26 index pages, 4 broken ones, and one each of
        # registering, the login page, and logging in.
        return rows if sum(row["hits"] for row in rows.values()) == 33 else None

    rows = eventually(operations)
    # Registering leads to the login page, logging in to the index.
    assert rows["GET /"]["hits"] == 26
    assert rows["GET /"]["errors"] == 0
    assert rows["GET /broken"]["errors"] == 4 and rows["GET /broken"]["err"] == 1.0
    assert rows["POST /auth/register"]["hits"] == rows["POST /auth/login"]["hits"] == 1
    requests = sum(row["hits"] for row in rows.values())
    (service,) = [row for row in house.server.get("services") if row["name"] == "flaskr"]
    assert (service["hits"], service["errors"], service["instances"]) == (requests, 4, service["instances"])
    assert service["framework"].startswith("flask 3.") and service["lang"].startswith("python 3.")
    series = house.server.get(
        "series",
        {
            "scope": {"service": "flaskr"},
            "queries": [{"metric": "count"}],
            "from": "now-1h",
            "to": "now",
            "max_points": 60,
        },
    )
    assert sum(value or 0 for value in series["series"][0]["v"]) == requests


def test_received_is_stored_rejected_and_dropped(house: House) -> None:
    house.load(40)
    time.sleep(1.5)
    received = eventually(lambda: total(house.server, "received"))
    assert received == sum(total(house.server, outcome) for outcome in ("stored", "rejected", "dropped"))
    assert total(house.server, "rejected") == total(house.server, "dropped") == 0
    assert house.server.get("meta")["spans_stored"] == received


AGENT = """
import sys, pitviper
from pitviper import _native
parent = _native.extract({"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"})
for number in range(1_000):
    pitviper.tracer.start_span("kept").end()
    pitviper.tracer.start_span("left out", parent=parent).end()
assert pitviper.flush(10)
stats = _native.stats()
print(stats["started"], stats["exported"], stats["sampled_out"], sum(v for k, v in stats.items() if k.startswith("dropped")))
"""


def test_the_agents_and_the_servers_books_agree(house: House) -> None:
    before = total(house.server, "stored")
    environ = {"PITVIPER_ENDPOINT": house.server.otlp, "PITVIPER_SERVICE": "bookkeeper"}
    command = [str(house.services / "pitviper"), "run", str(house.services / "python"), "-c", AGENT]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["2000", "1000", "1000", "0"], done.stderr
    assert total(house.server, "stored") == before + 1_000


def test_a_restart_loses_nothing(house: House) -> None:
    server = house.server
    house.load(30)
    time.sleep(1.5)
    stored = total(server, "stored")
    for how, status in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)):
        assert server.stop(how) == status
        server.start()
        assert eventually(lambda: server.get("meta")["spans_stored"]) == stored
        assert server.traces('name:"POST /create"')


def test_spans_wait_while_the_server_is_away(house: House) -> None:
    server = house.server
    server.stop(signal.SIGKILL)
    visitor = house.visitor()
    began = time.monotonic()
    for _ in range(10):
        visitor.request("/")
    assert time.monotonic() - began < 5, "the application was held up"
    assert not visitor.unexpected
    server.start()

    def index_hits() -> bool:
        rows = server.get("services/flaskr/operations")
        return any(row["name"] == "GET /" and row["hits"] == 11 for row in rows)

    eventually(index_hits, 40)
