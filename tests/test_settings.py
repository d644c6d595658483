"""Settings that are made on the page and followed by an agent that runs."""

import os
import subprocess
from collections.abc import ItemsView, Iterator
from pathlib import Path
from typing import Any

import demo
import pytest
from playwright.sync_api import Page, expect

from browser import axe_findings
from conftest import Server, eventually

PROGRAM = """
import sys, time
from pitviper import tracer

while not sys.stdin.closed:
    with tracer.start_as_current_span("work"):
        time.sleep(0.05)
"""


@pytest.fixture
def agent(server: Server, services: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A program that works, of which no trace is kept."""
    told = {
        "PITVIPER_ENDPOINT": server.otlp,
        "PITVIPER_SERVICE": "shop",
        "PITVIPER_ENV": "prod",
        "PITVIPER_SAMPLE_RATE": "0",
        "PITVIPER_PROFILING_UPLOAD_PERIOD": "1",
        "OTEL_METRIC_EXPORT_INTERVAL": "300",
    }
    command = [services / "pitviper", "run", services / "python", "-c", PROGRAM]
    with subprocess.Popen(command, env={**os.environ, **told}, stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


def test_an_agent_follows_the_page(page: Page, server: Server, agent: "subprocess.Popen[bytes]") -> None:
    eventually(lambda: sum(value for labels, value in counted(server) if "stored" in labels))
    assert not server.traces("service:shop")
    page.goto(f"{server.url}/")
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Settings").click()
    table = page.get_by_role("table", name="Settings of agents")

    page.get_by_role("textbox", name="Percent of the traces of the new setting").fill("200")
    expect(table.get_by_role("alert")).to_have_text("The share of traces is 0 to 100 percent.")
    expect(table.get_by_role("button", name="Add")).to_be_disabled()
    page.get_by_role("combobox", name="Service").fill("shop")
    page.get_by_role("textbox", name="Percent of the traces of the new setting").fill("100")
    page.get_by_role("textbox", name="Percent of the traces of the new setting").press("Enter")
    expect(table.get_by_role("row", name="shop")).to_be_visible()
    eventually(lambda: server.traces("service:shop"))

    # Another made a setting meanwhile, which stays.
    server.put("clients/settings", [*in_force(server), {"service": "batch", "tags": {"team": "web"}}])
    page.get_by_role("combobox", name="Profiling of shop").select_option("on")
    table.get_by_role("row", name="shop").get_by_role("button", name="Apply").click()
    expect(table.get_by_role("row", name="batch")).to_contain_text("1 tag")
    eventually(lambda: server.get("profiles/values", {"service": "shop"})["types"])

    page.get_by_role("button", name="Remove the setting of shop").click()
    expect(table.get_by_role("row", name="shop")).to_have_count(0)
    assert in_force(server) == [{"service": "batch", "env": "*", "tags": {"team": "web"}}]
    assert axe_findings(page, "settings") == []
    assert agent.poll() is None


def counted(server: Server) -> "ItemsView[str, float]":
    """What became of points of metrics."""
    return server.metric("pitviper_metric_points_total").items()


def in_force(server: Server) -> "list[dict[str, Any]]":
    """The settings that the server keeps."""
    return demo.get(f"{server.url}/api/v1/clients/settings")["settings"]
