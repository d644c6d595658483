"""OpenTelemetry's own SDKs, untouched from PyPI and npm, report to the server over each protocol."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, client_environment, node_client

CLIENTS = ROOT / "tests" / "clients"


Application = tuple[list["str | Path"], dict[str, str]]


@pytest.fixture(scope="session")
def applications() -> "dict[str, Application]":
    """By language, an application with OpenTelemetry's SDK and exporters, and nothing of ours."""
    command, variables = node_client("otel_js")
    return {
        "python": ([client_environment("otel"), CLIENTS / "otel.py"], {}),
        "nodejs": ([*command, "report"], variables),
    }


#: Each language's SDK over each protocol, with both temporalities of each.
EACH = [
    ("python", "grpc", "cumulative"),
    ("python", "http", "delta"),
    ("python", "json", "cumulative"),
    ("nodejs", "grpc", "delta"),
    ("nodejs", "http", "cumulative"),
    ("nodejs", "json", "delta"),
]


#: The type of the exception that is recorded.
RAISED = {"python": "ValueError", "nodejs": "RangeError"}


class Reported:
    """What an application reported to a server of its own."""

    def __init__(self, server: Server, ids: "dict[str, str]", language: str, protocol: str, temporality: str) -> None:
        self.server = server
        #: Of its trace and its root.
        self.ids = ids
        self.language = language
        self.temporality = temporality
        self.service = f"shop-{protocol}"


@pytest.fixture(scope="module", params=EACH, ids=lambda each: "-".join(each))
def reported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, applications: "dict[str, Application]"
) -> "Iterator[Reported]":
    """An application that has run to its end."""
    language, protocol, temporality = request.param
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    try:
        ids = run(applications[language], server, protocol, temporality)
        yield Reported(server, ids, language, protocol, temporality)
    finally:
        server.stop(signal.SIGKILL)


def run(application: Application, server: Server, protocol: str, temporality: str) -> "dict[str, str]":
    """Runs the application; the ids of its trace and span."""
    port = server.ports["otlp-grpc" if protocol == "grpc" else "otlp-http"]
    (command, variables), kept = application, {key: value for key, value in os.environ.items() if "OTEL_" not in key}
    command = [*command, protocol, f"http://127.0.0.1:{port}", temporality]
    told = {**kept, **variables}
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=60)
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


def test_spans_arrive_exactly(reported: Reported) -> None:
    server, service, ids = reported.server, reported.service, reported.ids
    pay, ask = sorted(server.spans(ids["trace_id"]), key=lambda span: span["start_us"])
    assert [(span["service"], span["kind"], span["name"]) for span in (pay, ask)] == [
        (service, "internal", "pay"),
        (service, "client", "ask bank"),
    ]
    assert (pay["span_id"], pay["parent_span_id"], ask["parent_span_id"]) == (ids["span_id"], None, ids["span_id"])
    assert (pay["status"], pay["status_message"], ask["status"]) == ("error", "refused", "unset")
    assert pay["attributes"].items() >= {"user": "ada", "tries": 2, "paid": False}.items()
    (refused,) = pay["events"]
    assert refused["name"] == "exception"
    assert refused["attributes"]["exception.type"] == RAISED[reported.language]
    assert refused["attributes"]["exception.message"] == "card 4111 refused"
    ((asked,), (link,)) = ask["events"], ask["links"]
    assert (asked["name"], asked["attributes"]) == ("asked", {"times": [1, 2]})
    assert (link["trace_id"], link["span_id"], link["attributes"]) == (*ids.values(), {"why": "twice"})
    assert (pay["scope"]["name"], pay["scope"]["version"]) == ("shop.pay", "1.2")
    assert (pay["resource"]["service.version"], pay["resource"]["host.name"]) == ("1.2", "h-1")
    assert (pay["resource"]["telemetry.sdk.name"], pay["resource"]["telemetry.sdk.language"]) == (
        "opentelemetry",
        reported.language,
    )
    assert outcomes(server, "pitviper_spans_total") == {"received": 2, "stored": 2}


def test_metrics_arrive_exactly(reported: Reported) -> None:
    server, service, temporality = reported.server, reported.service, reported.temporality
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
    assert instance["resource"]["telemetry.sdk.language"] == reported.language
    latest = {row["name"]: (row["value"], row["attributes"]) for row in instance["metrics"]}
    assert latest["process.memory.usage"] == (1048576.0, {"process.memory.type": "heap"})
    assert set(latest) == {"process.cpu.time", "process.memory.usage"}


def test_logs_arrive_exactly(reported: Reported) -> None:
    server, service, ids = reported.server, reported.service, reported.ids
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
    assert failure["attributes"]["exception.type"] == RAISED[reported.language]

    assert server.get(f"traces/{ids['trace_id']}/logs") == [failure, order]
    bodies = [row["body"] for row in server.get("logs/search", {"severity": "warn", "text": "t"})]
    assert bodies == ["outside", "not paid"]
    assert outcomes(server, "pitviper_log_records_total") == {"received": 4, "stored": 4}
    # The same exception, once as the span's event and once as the record's.
    assert server.metric("pitviper_store_table_rows")['pitviper_store_table_rows{table="exceptions"}'] == 2
