"""Profiles of others: Datadog's profiler, untouched from PyPI, and any pprof that is posted."""

import gzip
import json
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, client_environment, eventually
from test_datadog_clients import environment, outcomes

APPLICATION = ROOT / "tests" / "clients" / "datadog_profiled.py"
FILE = ROOT / "crates" / "pitviper-pprof" / "tests" / "ddtrace.pprof.gz"
"""A profile that ddtrace's profiler wrote on 2026-11-22 of a program with a function ``busy``."""
TAKEN = {"from": "2026-11-22T00:00:00Z", "to": "2026-11-23T00:00:00Z"}


def ask(server: Server, what: str, **question: Any) -> Any:
    """Asks about profiles."""
    return server.get(f"profiles/{what}", question)


def functions(server: Server, selection: "dict[str, Any]") -> "dict[str, dict[str, Any]]":
    """The functions of samples by name."""
    found = ask(server, "functions", selection=selection, limit=10_000)
    return {function["fn"]: function for function in found["functions"]}


def post(server: Server, address: str, body: bytes) -> Any:
    """Posts a profile of the service ``busy``."""
    query = "service.name=busy&deployment.environment.name=test"
    request = urllib.request.Request(f"{address}/v1/pprof?{query}", body, {"content-type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with ddtrace and Flask, and nothing of ours."""
    return client_environment("datadog")


def test_datadogs_profiler_is_understood(server: Server, python: Path) -> None:
    command = [python.parent / "ddtrace-run", python, APPLICATION]
    told = environment(server, "tcp", DD_PROFILING_ENABLED="true")
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    visited = json.loads(done.stdout)

    values = eventually(lambda: found if (found := ask(server, "values"))["types"] else None)
    assert {kind["type"]: kind["unit"] for kind in values["types"]}.items() >= {
        ("cpu", "nanoseconds"),
        ("wall", "nanoseconds"),
    }
    assert [service["value"] for service in values["services"]] == ["shop"]
    assert [values[name][0]["value"] for name in ("versions", "environments")] == ["1.2", "prod"]
    assert "GET /busy" in [endpoint["value"] for endpoint in values["endpoints"]]

    # Of the request almost all time is in the function that counts.
    busy = {"type": "cpu", "service": "shop", "endpoint": "GET /busy"}
    found = functions(server, busy)
    total = found["count_up"]["total"]
    assert total > 0.5e9
    assert found["count_up"]["in_app"]
    assert found["busy"]["total"] >= 0.9 * total > 0
    assert not found["Flask.wsgi_app"]["in_app"]
    assert found["Flask.wsgi_app"]["pkg"] == "flask"
    tree = ask(server, "merge", selection=busy, lines=False)
    assert tree["total"] == tree["w"][0] >= total
    assert [tree["parent"][0], tree["frame"][0]] == [-1, -1]

    # The span of the view ran the function, and its samples say so; Datadog's samples know no trace.
    spans = ask(server, "spans", selection=busy, function="count_up")
    by_span = {span["span_id"]: span for span in spans["spans"]}
    assert by_span[visited["span_id"]]["value"] > 0.5e9
    of_span = functions(server, {"type": "cpu", "span_ids": [visited["span_id"]]})
    assert of_span["count_up"]["total"] == by_span[visited["span_id"]]["value"]

    # So a trace has those of its spans.
    def of_trace() -> "dict[str, dict[str, Any]]":
        return functions(server, {"type": "cpu", "trace_id": visited["trace_id"]})

    assert eventually(lambda: "count_up" in of_trace())
    assert of_trace()["count_up"]["total"] == total

    stored = outcomes(server, "pitviper_profile_samples_total", "datadog")
    assert stored["received"] == stored["stored"] > 0


@pytest.mark.parametrize("port", ["http", "otlp-http"])
def test_a_profile_can_be_posted_and_taken_out_again(server: Server, port: str) -> None:
    address = f"http://127.0.0.1:{server.ports[port]}"
    assert post(server, address, FILE.read_bytes()) == {}
    selection = {**TAKEN, "service": "busy", "type": "cpu"}
    busy = functions(server, selection)["busy"]
    assert busy["file"] == "/srv/app/busy.py"
    assert busy["in_app"]

    # What was sent again counts once, however it is packed.
    assert post(server, address, gzip.decompress(FILE.read_bytes())) == {}
    assert functions(server, selection)["busy"] == busy

    series = ask(server, "series", selection={**selection, "type": "wall"}, split="thread")
    assert {"MainThread", "napper"} <= {course["key"] for course in series["series"]}
    compared = ask(server, "merge", selection=selection, baseline={**selection, "thread": "napper"})
    assert compared["baseline_total"] == compared["w_base"][0] < compared["w"][0]

    # A file that was taken out is a profile again.
    taken = {}
    for form in ("pprof", "speedscope", "collapsed"):
        data = json.dumps({"selection": selection}).encode()
        url = f"{server.url}/api/v1/profiles/export?format={form}"
        request = urllib.request.Request(url, data, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.headers["content-disposition"].startswith("attachment")
            taken[form] = response.read()
    assert json.loads(taken["speedscope"])["profiles"]
    # The last part of a line is a value.
    values = [int(line.rpartition(" ")[2]) for line in taken["collapsed"].decode().splitlines()]
    assert sum(values) == compared["total"] > busy["total"]
    assert post(server, address, taken["pprof"]) == {}, "what was written is read"
    server.stop()
    server.start()
    assert functions(server, selection)["busy"] == busy, "what was acknowledged is durable"


def test_what_is_no_profile_is_refused_with_a_reason(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(server, server.url, b"not a profile")
    assert refused.value.code == 400
    assert refused.value.headers["content-type"] == "application/problem+json"
    assert "not a profile" in json.load(refused.value)["detail"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(server, "merge", selection={"span_ids": ["no"]})
    assert refused.value.code == 400
