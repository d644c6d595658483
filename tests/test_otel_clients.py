"""OpenTelemetry's own SDK, untouched from PyPI, reports to the server over each protocol."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, client_environment

CLIENTS = ROOT / "tests" / "clients"


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with OpenTelemetry's SDK and exporters, and nothing of ours."""
    return client_environment("otel")


def run(python: Path, server: Server, protocol: str, temporality: str) -> "dict[str, str]":
    """Runs the application; the ids of its trace and span."""
    port = server.ports["otlp-grpc" if protocol == "grpc" else "otlp-http"]
    command = [python, CLIENTS / "otel.py", protocol, f"http://127.0.0.1:{port}", temporality]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0 and "rror" not in done.stderr, done.stderr
    return json.loads(done.stdout)


def outcomes(server: Server, name: str) -> "dict[str, int]":
    """What became of the items of a signal, where something did."""
    found: dict[str, int] = {}
    for labels, value in server.metric(name).items():
        outcome = labels.split('outcome="')[1].split('"')[0]
        found[outcome] = found.get(outcome, 0) + int(value)
    return {outcome: count for outcome, count in found.items() if count}


def of_metric(server: Server, service: str, metric: str, **question: Any) -> "list[tuple[dict[str, Any], Any]]":
    """Labels and totals of a metric's groups."""
    asked = {"metric": metric, "service": service, "step": None, **question}
    return [(series["labels"], series["total"]) for series in server.get("metrics/query", asked)["series"]]


KINDS = {
    "process.cpu.time": ("sum", "s"),
    "process.memory.usage": ("gauge", "By"),
    "shop.fine": ("exponential_histogram", "ms"),
    "shop.load": ("gauge", "1"),
    "shop.orders": ("sum", "{order}"),
    "shop.stock": ("sum", "{item}"),
    "shop.took": ("histogram", "ms"),
}


@pytest.mark.parametrize(
    ("protocol", "temporality"), [("grpc", "cumulative"), ("http", "delta"), ("http", "cumulative")]
)
def test_metrics_arrive_exactly(server: Server, python: Path, protocol: str, temporality: str) -> None:
    run(python, server, protocol, temporality)
    service = f"shop-{protocol}"
    names = {row["name"]: row for row in server.get(f"metrics/names?service={service}")}
    assert {name: (row["kind"], row["unit"]) for name, row in names.items()} == KINDS
    changing = ("process.cpu.time", "shop.orders", "shop.took", "shop.fine")
    assert {name: names[name]["temporality"] for name in changing} == dict.fromkeys(changing, temporality)
    assert (names["shop.orders"]["description"], names["shop.orders"]["keys"]) == ("Orders taken", ["route"])
    assert names["shop.stock"]["temporality"] == "cumulative" and not names["shop.stock"]["is_monotonic"]

    orders = of_metric(server, service, "shop.orders", agg="sum", split=["route"])
    assert orders == [({"route": "/pay"}, 6.0), ({"route": "/basket"}, 5.0)]
    assert of_metric(server, service, "shop.orders", agg="sum", filter={"route": "/pay"}) == [({}, 6.0)]
    assert of_metric(server, service, "shop.stock", agg="last") == [({}, 7.0)]
    assert of_metric(server, service, "shop.load", agg="max") == [({}, 0.75)]
    # 0 to 10 lie in the first bucket, 11 to 20 in the next, 21 to 39 in the third.
    assert of_metric(server, service, "shop.took", agg="count") == [({}, 40.0)]
    assert of_metric(server, service, "shop.took", agg="avg", split=["scope"]) == [({"scope": "shop.pay"}, 19.5)]
    ((_, median),) = of_metric(server, service, "shop.took", agg="p50")
    assert 19 - 1e-9 <= median <= 20
    assert of_metric(server, service, "shop.fine", agg="sum") == [({}, 150.0)]
    ((_, high),) = of_metric(server, service, "shop.fine", agg="p99")
    assert 7.9 <= high <= 8.1
    counted = outcomes(server, "pitviper_metric_points_total")
    assert counted == {"received": 8, "stored": 8}

    (instance,) = server.get(f"services/{service}/instances")
    assert (instance["instance"], instance["host"], instance["version"]) == ("i-1", "h-1", "1.2")
    assert instance["resource"]["telemetry.sdk.language"] == "python"
    latest = {row["name"]: (row["value"], row["attributes"]) for row in instance["metrics"]}
    assert latest["process.memory.usage"] == (1048576.0, {"process.memory.type": "heap"})
    assert set(latest) == {"process.cpu.time", "process.memory.usage"}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_logs_arrive_exactly(server: Server, python: Path, protocol: str) -> None:
    ids = run(python, server, protocol, "cumulative")
    service = f"shop-{protocol}"
    rows = server.get("logs/search", {"service": service})
    assert [(row["level"], row["severity"], row["body"]) for row in reversed(rows)] == [
        ("info", 9, "order 7"),
        ("error", 17, "not paid"),
        ("warn", 13, "outside"),
        ("debug", 7, {"card": "visa", "tries": 2}),
    ]
    event, outside, failure, order = rows
    assert (event["event_name"], event["scope"]["name"], event["severity_text"]) == ("shop.refused", "shop.events", "")
    assert (outside["trace_id"], outside["span_id"]) == (None, None)
    assert order["attributes"]["user"] == "ada" and order["scope"]["name"] == "shop.pay"
    assert order["observed_us"] >= order["time_us"] and order["resource"]["service.version"] == "1.2"
    assert {key: order[key] for key in ids} == ids == {key: failure[key] for key in ids}
    assert failure["attributes"]["exception.type"] == "ValueError"

    assert server.get(f"traces/{ids['trace_id']}/logs") == [failure, order]
    bodies = [row["body"] for row in server.get("logs/search", {"severity": "warn", "text": "t"})]
    assert bodies == ["outside", "not paid"]
    assert outcomes(server, "pitviper_log_records_total") == {"received": 4, "stored": 4}
    # The same exception, once as the span's event and once as the record's.
    assert server.metric("pitviper_store_table_rows")['pitviper_store_table_rows{table="exceptions"}'] == 2
    assert server.spans(ids["trace_id"])[0]["events"][0]["name"] == "exception"
