"""One application, written for ddtrace, under ddtrace from PyPI and under Pitviper: it looks the same."""

import json
import os
import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, client_environment, eventually
from ddtrace_diff import differences, explained

APPLICATION = ROOT / "tests" / "clients" / "ddtrace_app.py"
VALUES = ROOT / "tests" / "clients" / "ddtrace_values.py"
DIFFERENCES = ROOT / "tests" / "clients" / "ddtrace_differences.toml"


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with ddtrace, Flask and requests, and nothing of ours."""
    return client_environment("datadog")


def run(command: "list[str | Path]", application: Path, **told: str) -> "dict[str, Any]":
    """Runs an application to its end; what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DD_", "OTEL_", "PITVIPER_"))}
    variables = {**kept, "DD_SERVICE": "shop", "DD_ENV": "prod", "DD_VERSION": "1.2", "NO_PROXY": "*", **told}
    done = subprocess.run(
        [*command, application], env=variables, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def traces(server: Server, visits: "dict[str, str]") -> "dict[str, list[dict[str, Any]]]":
    """The spans of each visit, once all are there."""
    # The last visit is sent after all others; nothing is sent of the one that a filter leaves out.
    eventually(lambda: len(server.spans(visits["filtered"])) == 2)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.spans(visits.pop("unhealthy"))
    return {name: server.spans(trace_id) for name, trace_id in visits.items()}


def test_it_looks_the_same(server: Server, python: Path, services: Path) -> None:
    address = f"http://127.0.0.1:{server.ports['datadog']}"
    theirs = traces(server, run([python.parent / "ddtrace-run", python], APPLICATION, DD_TRACE_AGENT_URL=address))
    command = [services / "pitviper", "run", "--compat", "ddtrace", services / "python"]
    ours = traces(server, run([*command], APPLICATION, PITVIPER_ENDPOINT=server.otlp))
    assert set(theirs) == set(ours)
    found = [line for name in theirs for line in differences(name, theirs[name], ours[name])]
    meant = explained(DIFFERENCES)
    assert sorted(found) == sorted(meant), "\n".join(sorted(set(found) ^ set(meant)))
    (query,) = [span for span in ours["checkout"] if span["name"] == "SELECT b"]
    assert query["attributes"]["db.query.text"] == "SELECT a FROM b WHERE c = ?"
    assert query["attributes"]["db.response.returned_rows"] == 3
    tagged = {
        key: span["attributes"][key]
        for span in ours["checkout"]
        for key in ("customer", "tier")
        if key in span["attributes"]
    }
    assert tagged == {"customer": "ada", "tier": "gold"}


def test_it_answers_the_same(server: Server, python: Path, services: Path) -> None:
    address = f"http://127.0.0.1:{server.ports['datadog']}"
    theirs = run([python.parent / "ddtrace-run", python], VALUES, DD_TRACE_AGENT_URL=address)
    command = [services / "pitviper", "run", "--compat", "ddtrace", services / "python"]
    ours = run([*command], VALUES, PITVIPER_ENDPOINT=server.otlp)
    assert set(theirs) == set(ours)
    found = {name: {"ddtrace": theirs[name], "pitviper": ours[name]} for name in theirs if theirs[name] != ours[name]}
    assert found == {}
