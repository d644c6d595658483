"""One trace across services under Pitviper, ddtrace, OpenTelemetry's SDK and the OneAgent SDK."""

import contextlib
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT, Server, agent_environment, client_environment, eventually, node_client

HOP = ROOT / "tests" / "clients" / "hop.py"


@pytest.fixture(scope="session")
def oneagent() -> Path:
    """A Python with the OneAgent SDK and our agent."""
    return agent_environment(ROOT / "tests" / "clients" / "oneagent" / "requirements.txt")


@contextlib.contextmanager
def hop(server: Server, command: "list[Any]", name: str, *arguments: Any, **more: str) -> "Iterator[str]":
    """A service that runs until the block ends; its URL. What it traced by then has been sent."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DD_", "OTEL_", "PITVIPER_"))}
    told = {
        "DD_SERVICE": name,
        "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{server.ports['datadog']}",
        "NO_PROXY": "*",
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.otlp,
        "OTEL_SERVICE_NAME": name,
        "PITVIPER_ENDPOINT": server.otlp,
        "PITVIPER_SERVICE": name,
    }
    process = subprocess.Popen(
        [*command, *arguments],
        env={**kept, **told, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/hop"
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def nested(spans: "list[dict[str, Any]]", parent: "str | None" = None) -> "list[Any]":
    """The spans as ``[service kind name, child, ...]``, children by start; without what is internal."""
    ids = {span["span_id"] for span in spans}
    found: list[Any] = []
    for span in sorted(spans, key=lambda span: (span["start_us"], -span["dur_ns"])):
        if (span["parent_span_id"] if span["parent_span_id"] in ids else None) == parent:
            below = nested(spans, span["span_id"])
            own = [f"{span['service']} {span['kind']} {span['name']}", *below]
            found.extend(below if span["kind"] == "internal" else [own])
    return found


def test_four_agents_make_one_tree(server: Server, oneagent: Path) -> None:
    """Pitviper calls ddtrace, which calls OpenTelemetry, which calls the OneAgent SDK, which calls Pitviper."""
    ours = [oneagent, "-m", "pitviper", "run", oneagent]
    datadog = client_environment("datadog")
    with contextlib.ExitStack() as stack:
        last = stack.enter_context(hop(server, ours, "fourth", HOP, "fourth", "flask"))
        sdk = stack.enter_context(hop(server, ours, "third", HOP, "third", "oneagent", last))
        otel = stack.enter_context(hop(server, [client_environment("otel")], "second", HOP, "second", "otel", sdk))
        ddtrace = stack.enter_context(
            hop(server, [datadog.parent / "ddtrace-run", datadog], "first", HOP, "first", "flask", otel)
        )
        first = stack.enter_context(hop(server, ours, "front", HOP, "front", "flask", ddtrace))
        with urllib.request.urlopen(first, timeout=30) as answer:
            assert answer.status == 200

    def whole() -> "list[Any]":
        (found,) = server.traces("service:front kind:server")
        spans = server.spans(found["trace_id"])
        assert {span["service"] for span in spans} >= {"front", "first", "second", "third", "third-work", "fourth"}
        parents = [span["parent_span_id"] for span in spans]
        assert parents.count(None) == 1 and {*parents} <= {None, *(span["span_id"] for span in spans)}
        return nested(spans)

    def hop_of(service: str, *called: Any) -> "list[Any]":
        return [f"{service} server GET /hop", [f"{service} client SELECT sqlite_master"], *called]

    fourth = hop_of("fourth")
    # Our own instrumentation of http.client sees the call that the application traces by hand.
    calls = ["third-work client GET", ["third-work client GET", fourth]]
    worked = ["third-work server work", ["third-work client SELECT sqlite_master"], calls]
    second = ["second server GET /hop", ["second client call", ["third server GET", worked]]]
    first = hop_of("first", ["first client GET", second])
    assert eventually(whole) == [hop_of("front", ["front client GET", first])]


def test_a_javascript_service_calls_ours(server: Server, services: Path) -> None:
    """OpenTelemetry's SDK for JavaScript traces Node's own server and client."""
    node, variables = node_client("otel_js")
    ours = [services / "pitviper", "run", services / "python"]
    with contextlib.ExitStack() as stack:
        last = stack.enter_context(hop(server, ours, "stock", HOP, "stock", "flask"))
        first = stack.enter_context(hop(server, node, "web", "serve", "web", last, **variables))
        with urllib.request.urlopen(first, timeout=30) as answer:
            assert answer.status == 200

    def whole() -> "list[Any]":
        (found,) = server.traces("service:web kind:server")
        spans = server.spans(found["trace_id"])
        assert {span["service"] for span in spans} == {"web", "stock"}
        return nested(spans)

    stock = ["stock server GET /hop", ["stock client SELECT sqlite_master"]]
    assert eventually(whole) == [["web server GET", ["web client GET", stock]]]
    services_seen = {service["name"]: service for service in server.get("services")}
    assert set(services_seen) == {"web", "stock"}
