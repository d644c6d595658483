"""Dynatrace's SDK for Python and autodynatrace, untouched from PyPI, on our agent and before the real server.

No package of the SDK has its published sample; tests/clients/oneagent_shop.py makes the calls that it makes.
"""

import os
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from services.process import accepts, free_port, running

from conftest import ROOT, Server, agent_environment, demo, eventually, nested

CLIENTS = ROOT / "tests" / "clients"


@pytest.fixture(scope="session")
def python() -> Path:
    """A Python with the OneAgent SDK, autodynatrace, Flaskr and our agent."""
    return demo.with_flaskr(agent_environment(CLIENTS / "oneagent" / "requirements.txt"))


def environment(server: Server, **more: str) -> "dict[str, str]":
    """Variables of an application."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DD_", "OTEL_", "PITVIPER_"))}
    return {**kept, "NO_PROXY": "*", "PITVIPER_ENDPOINT": server.otlp, "PITVIPER_SERVICE": "shop", **more}


def test_what_the_published_sample_calls(server: Server, python: Path) -> None:
    command = [python, "-m", "pitviper", "run", python, CLIENTS / "oneagent_shop.py"]
    done = subprocess.run(command, env=environment(server), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["0", "True", "None"]), done.stderr

    def whole() -> "list[dict[str, Any]]":
        (trace,) = server.traces("service:Shop name:POST")
        spans = server.spans(trace["trace_id"])
        assert len(spans) == 37
        return spans

    spans = eventually(whole)
    work = ("BEGIN", "SELECT card", "UPDATE card", "DELETE hold", "END")
    served = [[f"Cards client {statement}"] for statement in work]
    charged = ["Shop client charge", ["Cards server charge", *served]]
    refused = ["Shop client charge failed", ["Cards server charge failed", *served]]
    assert nested(spans) == [
        [
            "Shop server POST",
            ["Shop client receive orders", ["Shop consumer process orders"]],
            ["Shop client GET"],
            ["Shop producer send orders", ["shop consumer process orders"]],
            ["Prices server price"],
            ["Shop server main", charged, charged, refused, ["Shop internal in-process link", charged]],
        ]
    ]
    request = next(span["attributes"] for span in spans if span["name"] == "POST")
    given = {"customer": "ada", "items": 3, "weight": 2.5}
    assert request.items() >= {**given, "http.response.status_code": 201, "client.address": "10.0.0.7"}.items()
    assert "nothing" not in request
    assert "4111" not in str([span["attributes"].get("db.query.text") for span in spans])
    services = {service["name"]: (service["hits"], service["errors"]) for service in server.get("services")}
    assert services == {"Cards": (4, 1), "Prices": (1, 0), "Shop": (3, 0), "shop": (1, 0)}


def test_autodynatrace_on_flaskr(server: Server, python: Path, tmp_path: Path) -> None:
    port = free_port()
    visited = {"GET /": 3, "GET /auth/login": 1, "POST /auth/login": 1, "POST /auth/register": 1, "POST /create": 1}

    def hits() -> "dict[str, int]":
        operations = server.get("services/shop/operations")
        return {row["name"]: row["hits"] for row in operations if row["kind"] == "server"}

    told = environment(
        server,
        AUTOWRAPT_BOOTSTRAP="autodynatrace",
        FLASKR_DATABASE=str(tmp_path / "flaskr.sqlite"),
        PYTHONPATH=str(ROOT / "examples" / "flaskr"),
    )
    command = [
        python.parent / "pitviper",
        "run",
        python,
        "-m",
        "flask",
        "--app",
        "blog_app",
        "run",
        "--port",
        str(port),
    ]
    with running([str(part) for part in command], lambda: accepts(port), tmp_path / "log", environ=told):
        base = f"http://127.0.0.1:{port}"
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        browser.open(f"{base}/", timeout=30).read()
        who = urllib.parse.urlencode({"username": "ada", "password": "secret"}).encode()
        browser.open(f"{base}/auth/register", who, timeout=30).read()
        browser.open(f"{base}/auth/login", who, timeout=30).read()
        post = urllib.parse.urlencode({"title": "First", "body": "Post"}).encode()
        browser.open(f"{base}/create", post, timeout=30).read()
        # A server that is killed takes along what the last second made.
        eventually(lambda: hits() == visited)

    def of(name: str) -> "list[Any]":
        found = server.traces(f'service:shop kind:server name:"{name}"')
        assert found, name
        return nested(server.spans(found[0]["trace_id"]))

    # The tracer that autodynatrace has for Flask is within the request that we serve.
    template = "auth/login.html"
    view = [
        "shop internal flaskr.auth.login",
        [f"shop internal compile {template}"],
        [f"shop internal render {template}"],
    ]
    assert of("GET /auth/login") == [
        ["shop server GET /auth/login", ["shop internal GET", view]],
    ]
    view = ["shop internal flaskr.auth.register", ["shop client INSERT user"], ["shop client COMMIT"]]
    assert of("POST /auth/register") == [["shop server POST /auth/register", ["shop internal POST", view]]]
    view = ["shop internal flaskr.blog.create", ["shop client INSERT post"], ["shop client COMMIT"]]
    assert of("POST /create") == [
        ["shop server POST /create", ["shop internal POST", ["shop client SELECT user"], view]],
    ]
