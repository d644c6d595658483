"""A shop of three services under Datadog's own ddtrace, untouched from PyPI; and under ours, where it looks the same."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from services.postgresql import PostgreSQL

import shop as shops
from conftest import ROOT, Server, agent_environment, client_environment, eventually, nested
from ddtrace_diff import differences, explained
from shop import Shop
from test_datadog_clients import environment, outcomes


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL, redis_port: int) -> "Iterator[Shop]":
    """The shop, after a visit of each of its pages."""
    python = client_environment("datadog")
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    packets = {
        "udp": {"DD_DOGSTATSD_URL": f"udp://127.0.0.1:{server.ports['dogstatsd']}"},
        "unix": {"DD_DOGSTATSD_URL": f"unix://{server.sockets / 'dogstatsd'}"},
    }
    profiled = {"DD_PROFILING_ENABLED": "true", "DD_PROFILING_UPLOAD_INTERVAL": "2"}
    own = {"front": packets["udp"], "stock": {**packets["unix"], **profiled}, "mailer": packets["unix"]}
    shared = {"DD_CELERY_DISTRIBUTED_TRACING": "true", "DD_RUNTIME_METRICS_ENABLED": "true"}
    shared["DD_RUNTIME_METRICS_RUNTIME_ID_ENABLED"] = "true"
    told = {
        name: environment(server, "tcp" if name == "front" else "unix", **shared, **of, DD_SERVICE=name)
        for name, of in own.items()
    }
    run: list[Any] = [python.parent / "ddtrace-run"]
    try:
        with shops.opened(server, python, run, told, postgresql, f"redis://127.0.0.1:{redis_port}/0") as opened:
            opened.visit_all()
            yield opened
    finally:
        server.stop(signal.SIGKILL)


def whole(shop: Shop, query: str, expected: int) -> "list[dict[str, Any]]":
    """The spans of the one trace that matches, once that many are there."""

    def found() -> "list[dict[str, Any]]":
        traces = shop.server.traces(query)
        assert len(traces) == 1, traces
        spans = shop.server.spans(traces[0]["trace_id"])
        assert len(spans) >= expected, [span["name"] for span in spans]
        return spans

    return eventually(found)


CHECKOUT = 'service:front name:"GET /checkout/<int:item>"'
BROKEN = 'service:front name:"GET /broken"'
MISSING = 'service:stock name:"GET /missing"'
COUNT = 'service:stock name:"GET /count/{what}"'

#: The spans of a visit to the checkout.
TREE = [
    "front server GET /checkout/<int:item>",
    [
        "front internal __main__.checkout",
        ["front client SELECT"],
        ["front client SELECT prices"],
        [
            "front client POST",
            [
                "stock server POST /orders/{item}",
                ["stock client INSERT orders"],
                ["stock client SET"],
                ["stock client PIPELINE"],
                [
                    "stock producer apply_async mailer.mail",
                    ["stock client PING"],
                    ["stock client PIPELINE LLEN"],
                    ["stock client PIPELINE SADD"],
                    ["stock client LPUSH"],
                    ["mailer consumer run mailer.mail", ["mailer client UPDATE orders"]],
                ],
                [
                    "stock producer apply_async mailer.refuse",
                    ["stock client LPUSH"],
                    ["mailer consumer run mailer.refuse failed"],
                ],
                ["stock internal fastapi.serialize_response"],
            ],
        ],
    ],
]


def test_a_visit_is_one_tree_down_to_what_is_done_later(shop: Shop) -> None:
    spans = whole(shop, CHECKOUT, 20)
    assert nested(spans) == [TREE]
    said = str([(span["name"], span["attributes"].get("db.query.text")) for span in spans])
    assert "4111" not in said and "secret" not in said
    named = {(span["service"], span["name"]): span["attributes"] for span in spans}
    assert (
        named["front", TREE[0].partition("server ")[2]].items()
        >= {
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "http.route": "/checkout/<int:item>",
            "operation.name": "django.request",
        }.items()
    )
    place = {"db.system.name": "postgresql", "db.namespace": "postgres", "server.address": "127.0.0.1"}
    assert (
        named["front", "SELECT prices"].items()
        >= {
            **place,
            "db.operation.name": "SELECT",
            "db.query.text": "SELECT price FROM prices WHERE item = %s AND currency <> ?",
            "db.response.returned_rows": 1,
            "datadog.service": "postgres",
        }.items()
    )
    assert named["stock", "SET"].items() >= {"db.system.name": "redis", "db.query.text": "SET ?"}.items()
    assert (
        named["stock", "PIPELINE"].items()
        >= {
            "db.operation.batch.size": 2,
            "db.query.text": "INCRBY ?\nEXPIRE ?",
        }.items()
    )
    sent, run = named["stock", "apply_async mailer.mail"], named["mailer", "run mailer.mail"]
    about = {"messaging.system": "celery", "messaging.destination.name": "celery"}
    assert sent.items() >= {**about, "messaging.operation.name": "apply_async"}.items()
    assert run.items() >= {**about, "messaging.operation.name": "run", "celery.state": "SUCCESS"}.items()
    assert sent["messaging.message.id"] == run["messaging.message.id"]


def test_what_fails_is_told_once_and_where_it_failed(shop: Shop) -> None:
    pages = {
        BROKEN: ("__main__.broken", "LookupError"),
        MISSING: ("SELECT nowhere", "psycopg.errors.UndefinedTable"),
    }
    for query, (name, kind) in pages.items():
        spans = whole(shop, query, 2)
        assert {span["status"] for span in spans} == {"error"}
        told = [(span["name"], event["attributes"]) for span in spans for event in span["events"]]
        assert [(span, event["exception.type"]) for span, event in told] == [(name, kind)]
    (refused,) = [span for span in whole(shop, CHECKOUT, 20) if span["status"] == "error"]
    (event,) = refused["events"]
    assert (event["attributes"]["exception.type"], event["attributes"]["exception.message"]) == (
        "ValueError",
        "no address",
    )
    assert refused["attributes"]["celery.state"] == "FAILURE"


def test_its_services_stand_beside_others(shop: Shop) -> None:
    whole(shop, CHECKOUT, 20)
    client = [client_environment("otel"), ROOT / "tests" / "clients" / "otel.py"]
    subprocess.run([*client, "http", shop.server.otlp, "delta"], check=True, stdout=subprocess.DEVNULL, timeout=60)

    def listed() -> "dict[str, dict[str, Any]]":
        services = {service["name"]: service for service in shop.server.get("services")}
        assert set(services) == {*shops.SERVICES, "shop-http"}
        return services

    services = eventually(listed)
    assert {name: (service["kind"], service["framework"]) for name, service in services.items()} == {
        "front": ("web", "django"),
        "stock": ("web", "fastapi"),
        "mailer": ("worker", "celery"),
        "shop-http": ("custom", None),
    }
    assert (services["front"]["hits"], services["front"]["errors"]) == (2, 1)
    assert (services["stock"]["hits"], services["stock"]["errors"]) == (3, 1)
    operations = {
        name: {row["name"]: (row["kind"], row["hits"]) for row in shop.server.get(f"services/{name}/operations")}
        for name in shops.SERVICES
    }
    assert (
        operations["front"].items()
        >= {
            "GET /checkout/<int:item>": ("server", 1),
            "GET /broken": ("server", 1),
            "SELECT prices": ("client", 1),
            "POST": ("client", 1),
        }.items()
    )
    assert (
        operations["stock"].items()
        >= {
            "apply_async mailer.mail": ("producer", 1),
            "apply_async mailer.refuse": ("producer", 1),
            "INSERT orders": ("client", 1),
        }.items()
    )
    assert (
        operations["mailer"].items()
        >= {
            "run mailer.mail": ("consumer", 1),
            "run mailer.refuse": ("consumer", 1),
            "UPDATE orders": ("client", 1),
        }.items()
    )
    counted = outcomes(shop.server, "pitviper_spans_total", "datadog")
    assert counted["received"] == counted["stored"] and set(counted) == {"received", "stored"}


def test_a_service_is_profiled_meanwhile(shop: Shop) -> None:
    def counting() -> float:
        busy = {"type": "cpu", "service": "stock"}
        found = shop.server.get("profiles/functions", {"selection": busy, "limit": 10_000})
        return {function["fn"]: function["total"] for function in found["functions"]}["count_up"]

    assert eventually(counting) > 0.1e9
    endpoints = shop.server.get("profiles/values", {"service": "stock"})["endpoints"]
    assert "GET /count/{what}" in {endpoint["value"] for endpoint in endpoints}


def test_metrics_of_its_processes_are_shown(shop: Shop, page: Page) -> None:
    # Clients send them every ten seconds, and what came is written as often.
    wanted = {f"runtime.python.{name}" for name in ("cpu.percent", "mem.rss", "thread_count", "gc.count.gen0")}

    def sent(service: str) -> bool:
        return wanted <= {row["name"] for row in shop.server.get(f"metrics/names?service={service}")}

    for service in shops.SERVICES:
        assert eventually(lambda service=service: sent(service), 60), service
        asked = {"metric": "runtime.python.mem.rss", "service": service, "step": None, "agg": "max"}
        (series,) = shop.server.get("metrics/query", asked)["series"]
        assert series["total"] > 10e6, service
    page.goto(f"{shop.server.url}/services/front")
    table = page.get_by_role("table", name="Processes")
    for column in ("CPU", "Memory", "Threads"):
        expect(table.get_by_role("columnheader", name=column)).to_be_visible()
    expect(table.locator("tbody tr")).to_have_count(1)


@pytest.fixture
def ours(tmp_path: Path, postgresql: PostgreSQL, redis_port: int) -> "Iterator[Shop]":
    """The same shop under our agent, on a server of its own."""
    python = agent_environment(ROOT / "tests" / "clients" / "datadog.txt")
    server = Server(tmp_path)
    server.start()
    shared = {"DD_ENV": "prod", "DD_VERSION": "1.2", "PITVIPER_ENDPOINT": server.otlp}
    told = {name: {**shared, "DD_SERVICE": name} for name in shops.SERVICES}
    run: list[Any] = [python.parent / "pitviper", "run", "--compat", "ddtrace"]
    try:
        with shops.opened(server, python, run, told, postgresql, f"redis://127.0.0.1:{redis_port}/1") as opened:
            opened.visit_all()
            yield opened
    finally:
        server.stop(signal.SIGKILL)


#: A visit of each page, and how many spans ddtrace and our agent make of it.
VISITS = {"checkout": (CHECKOUT, 20, 25), "broken": (BROKEN, 2, 2), "missing": (MISSING, 3, 5), "count": (COUNT, 2, 2)}


def test_it_looks_the_same_under_ours(shop: Shop, ours: Shop) -> None:
    found = []
    for name, (query, theirs, own) in VISITS.items():
        found += differences(name, whole(shop, query, theirs), whole(ours, query, own))
    meant = explained(shops.PROGRAMS / "differences.toml")
    assert sorted(found) == sorted(meant), "\n".join(sorted(set(found) ^ set(meant)))
