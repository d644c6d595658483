"""Datadog's own ddtrace, untouched from PyPI, is at home on the server: over TCP and unix sockets."""

import json
import os
import socket
import subprocess
import urllib.error
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, client_environment, eventually

APPLICATION = ROOT / "tests" / "clients" / "datadog_app.py"
LIVE = ROOT / "tests" / "clients" / "datadog_live.py"


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with ddtrace, Flask and requests, and nothing of ours."""
    return client_environment("datadog")


def environment(server: Server, address: str, **more: str) -> "dict[str, str]":
    """What the application is told: where to send, and who it is."""
    urls = {
        "tcp": f"http://127.0.0.1:{server.ports['datadog']}",
        "unix": f"unix://{server.sockets / 'datadog'}",
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DD_", "OTEL_", "PITVIPER_"))}
    identity = {"DD_SERVICE": "shop", "DD_ENV": "prod", "DD_VERSION": "1.2", "DD_TAGS": "team:web"}
    return {**kept, **identity, "DD_TRACE_AGENT_URL": urls[address], "NO_PROXY": "*", **more}


def run(python: Path, server: Server, address: str, **more: str) -> "dict[str, dict[str, str]]":
    """Runs the application to its end; the ids of its two visits."""
    command = [python.parent / "ddtrace-run", python, APPLICATION]
    told = environment(server, address, **more)
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "failed to send" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def trace(server: Server, visit: "dict[str, str]", expected: int) -> "list[dict[str, Any]]":
    """The spans of a visit, once that many are there."""

    def found() -> "list[dict[str, Any]]":
        spans = server.spans(visit["trace_id"])
        assert len(spans) >= expected, [span["name"] for span in spans]
        return spans

    return eventually(found)


def path(spans: "list[dict[str, Any]]", name: str) -> "list[str]":
    """The names from the root down to the one span of this name."""
    by_id = {span["span_id"]: span for span in spans}
    (span,) = [span for span in spans if span["name"] == name]
    names = [name]
    while span["parent_span_id"] in by_id:
        span = by_id[span["parent_span_id"]]
        names.insert(0, span["name"])
    assert not span["parent_span_id"], f"{names[0]} has a parent that is not here"
    return names


def outcomes(server: Server, name: str, transport: str) -> "dict[str, int]":
    """What became of items, where something did."""
    found: dict[str, int] = {}
    for labels, value in server.metric(name).items():
        if f'transport="{transport}"' in labels and value:
            outcome = labels.split('outcome="')[1].split('"')[0]
            found[outcome] = found.get(outcome, 0) + int(value)
    return found


@pytest.mark.parametrize(("address", "version"), [("tcp", "v0.5"), ("unix", "v0.4")])
def test_a_flask_application_is_seen_as_any_other(server: Server, python: Path, address: str, version: str) -> None:
    visits = run(python, server, address, DD_TRACE_API_VERSION=version)
    spans = trace(server, visits["pay"], 8)
    assert path(spans, "SELECT sqlite_master")[:3] == ["checkout ada", "GET", "GET /pay/<int:card>"]
    by_name = {span["name"]: span for span in spans}
    client, request, query = by_name["GET"], by_name["GET /pay/<int:card>"], by_name["SELECT sqlite_master"]
    assert [span["kind"] for span in (client, request, query)] == ["client", "server", "client"]
    assert {span["service"] for span in spans} == {"shop", "counter"}
    assert request["attributes"]["http.request.method"] == "GET"
    assert request["attributes"]["http.response.status_code"] == 200
    assert request["attributes"]["operation.name"] == "flask.request"
    assert request["attributes"]["team"] == "web"
    assert client["attributes"]["datadog.service"] == "requests"
    assert query["attributes"]["db.system.name"] == "sqlite"
    assert query["attributes"]["db.query.text"].endswith("WHERE name = ? OR rootpage = ?")
    # Not of all that is said: ids and times may have these digits.
    assert "4111" not in str([(span["name"], span["attributes"].get("db.query.text")) for span in spans])
    count = by_name["count"]
    assert (count["service"], count["attributes"]["cards"]) == ("counter", 2)
    (event,) = count["events"]
    assert (event["name"], event["attributes"]["exception.type"]) == ("exception", "KeyError")
    resource = request["resource"]
    assert (resource["service.version"], resource["deployment.environment.name"]) == ("1.2", "prod")
    assert (resource["telemetry.sdk.name"], resource["telemetry.sdk.language"]) == ("ddtrace", "python")

    spans = trace(server, visits["fail"], 6)
    failed = [span["name"] for span in spans if span["status"] == "error"]
    assert {"GET /fail", "GET"} <= set(failed)
    # It passes several spans of Flask and of nobody else, and happened once.
    exceptions = [event for span in spans for event in span["events"] if event["name"] == "exception"]
    assert [event["attributes"]["exception.type"] for event in exceptions] == ["ValueError"]

    (shop,) = [service for service in server.get("services") if service["name"] == "shop"]
    assert (shop["kind"], shop["framework"], shop["hits"], shop["errors"]) == ("web", "flask", 2, 1)
    counted = outcomes(server, "pitviper_spans_total", "datadog")
    assert counted["received"] == counted["stored"] and set(counted) == {"received", "stored"}
    refused = [labels for labels, value in server.metric("pitviper_ingest_requests_total").items() if value]
    assert not [labels for labels in refused if "refused" in labels and "unknown_path" not in labels]


def test_what_a_client_counts_itself_is_counted_once(server: Server, python: Path) -> None:
    visits = run(python, server, "tcp", DD_TRACE_STATS_COMPUTATION_ENABLED="true")
    trace(server, visits["pay"], 8)

    def counted() -> "dict[str, int]":
        rows = server.get("services/shop/operations")
        hits = {row["name"]: row["hits"] for row in rows}
        assert {"GET /pay/<int:card>", "GET /fail", "SELECT sqlite_master"} <= set(hits), hits
        return hits

    hits = eventually(counted)
    assert (hits["GET /pay/<int:card>"], hits["GET /fail"], hits["SELECT sqlite_master"]) == (1, 1, 1)
    assert sum(server.metric("pitviper_datadog_stats_groups_total").values()) >= 3


TAGGED = """
import json, logging, sys, time
from ddtrace.trace import tracer
until = time.monotonic() + 60
while time.monotonic() < until:
    with tracer.trace("work") as span:
        pass
    if span.get_tag("season") == "autumn":
        print(json.dumps({"trace_id": f"{span.trace_id:032x}", "priority": span.context.sampling_priority}))
        break
    time.sleep(0.05)
else:
    sys.exit("nothing changed")
"""


def test_settings_are_applied_while_a_client_runs(server: Server, python: Path) -> None:
    told = environment(server, "tcp", DD_REMOTE_CONFIG_POLL_INTERVAL_SECONDS="0.2")
    command = [str(python.parent / "ddtrace-run"), str(python), "-c", TAGGED]
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            name = "pitviper_ingest_requests_total"
            polled = [labels for labels in server.metric(name) if 'signal="config"' in labels and "accepted" in labels]
            eventually(lambda: server.metric(name)[polled[0]] > 1)
            setting = {"service": "shop", "env": "prod", "tags": {"season": "autumn"}, "sample_rate": 1.0}
            kept = server.put("clients/settings", [setting])
            assert (kept["version"], kept["settings"]) == (1, [setting])
            seen = json.loads(running.stdout.read())
            assert running.wait(60) == 0
        finally:
            running.kill()
    (span,) = trace(server, seen, 1)
    assert span["attributes"]["season"] == "autumn"
    assert sum(server.metric("pitviper_datadog_config_errors_total").values()) == 0


def test_what_is_kept_changes_while_a_client_runs(server: Server, python: Path) -> None:
    live = {"DD_REMOTE_CONFIG_POLL_INTERVAL_SECONDS": "0.2", "DD_LOGS_INJECTION": "true"}
    told = environment(server, "tcp", **live, DD_TRACE_STATS_COMPUTATION_ENABLED="false")
    command = [str(python.parent / "ddtrace-run"), str(python), str(LIVE)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    worked: Counter[str] = Counter()
    with subprocess.Popen(command, env=told, **pipes) as running:

        def work(resource: str) -> "dict[str, Any]":
            assert running.stdin is not None and running.stdout is not None
            running.stdin.write(f"{resource}\n")
            running.stdin.flush()
            worked[resource] += 1
            return json.loads(running.stdout.readline())

        def until(is_kept: bool) -> "dict[str, Any]":
            """A trace of what is asked for health, once it is kept, or not."""
            return eventually(lambda: seen if ((seen := work("GET /health"))["priority"] > 0) == is_kept else None)

        try:
            before = work("GET /health")
            assert (before["priority"], before["logged"]) == (1, before["trace_id"])
            rule = {"resource": "GET /health", "sample_rate": 0}
            server.put("clients/settings", [{"service": "shop", "sampling_rules": [rule], "log_injection": False}])
            left_out, paid = until(is_kept=False), work("GET /pay")
            assert (left_out["priority"], left_out["logged"]) == (-1, None)
            assert (paid["priority"], paid["logged"]) == (1, None)
            server.put("clients/settings", [])
            after = until(is_kept=True)
            assert (after["priority"], after["logged"]) == (1, after["trace_id"])
        finally:
            running.communicate(timeout=60)
    assert running.returncode == 0
    for kept in (before, paid, after):
        trace(server, kept, 1)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.spans(left_out["trace_id"])

    # What is not kept is counted: rates are those of everything.
    def counted() -> bool:
        return {row["name"]: row["hits"] for row in server.get("services/shop/operations")} == worked

    assert eventually(counted)
    counts = server.metric("pitviper_spans_total")
    dropped = [count for labels, count in counts.items() if "datadog" in labels and "sampled_out" in labels]
    assert sum(dropped) == worked.total() - len(server.traces("service:shop")) > 0


def test_packets_become_metrics_and_packages_the_inventory(server: Server, python: Path) -> None:
    lines = b"shop.orders:2|c|#service:shop,env:prod,route:/pay\nshop.orders:1|c|@0.5|#service:shop,env:prod,route:/pay"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(lines, ("127.0.0.1", server.ports["dogstatsd"]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
        unix.sendto(b"shop.took:5:15|ms|#service:shop", str(server.sockets / "dogstatsd"))
    added = 'pitviper_dogstatsd_lines_total{outcome="added"}'
    eventually(lambda: server.metric("pitviper_dogstatsd_lines_total")[added] == 3)
    run(python, server, "tcp", DD_TELEMETRY_HEARTBEAT_INTERVAL="1")
    eventually(lambda: sum(server.metric("pitviper_datadog_libraries_total").values()) > 0)
    # What was not written yet is when the server stops.
    assert server.stop() == 0
    server.start()
    names = {row["name"]: row for row in server.get("metrics/names?service=shop")}
    assert (names["shop.orders"]["kind"], names["shop.took"]["unit"]) == ("sum", "ms")
    asked = {"metric": "shop.orders", "service": "shop", "step": None, "agg": "sum", "split": ["route"]}
    (series,) = server.get("metrics/query", asked)["series"]
    assert (series["labels"], series["total"]) == ({"route": "/pay"}, 4.0)
    answer = server.get("sql", {"query": "SELECT package FROM libraries WHERE service = 'shop'"})
    packages = {row[0] for row in answer["rows"]}
    assert {"flask", "requests"} <= {package.lower() for package in packages}
