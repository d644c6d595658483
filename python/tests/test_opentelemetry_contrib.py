"""OpenTelemetry's own instrumentations make the same spans on our provider as on its SDK."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sink import tree

PROGRAMS = Path(__file__).with_name("contrib_programs.py")

#: How many spans each program is worth, so that two empty lists are no success.
SPANS = {"flask": 6, "django": 3, "requests": 5, "sqlalchemy": 6, "redis": 8, "celery": 15}


def spans(provider: str, library: str, folder: Path, **environ: str) -> "list[Any]":
    """What a program's spans look like on a provider."""
    done = subprocess.run(
        [sys.executable, str(PROGRAMS), provider, library],
        capture_output=True,
        text=True,
        cwd=folder,
        # Nothing listens there: the agent's own export is not what is compared.
        env={**os.environ, "PITVIPER_ENDPOINT": "http://127.0.0.1:9", **environ},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("library", sorted(SPANS))
def test_spans_are_those_of_the_sdk(library: str, tmp_path: Path, redis_port: int) -> None:
    url = f"redis://127.0.0.1:{redis_port}/0"
    stock, ours = (spans(provider, library, tmp_path, TEST_REDIS_URL=url) for provider in ("stock", "ours"))
    assert len(stock) == SPANS[library]
    assert ours == stock


BESIDE = """
import flask, logging, requests, sys, threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from opentelemetry import trace
logging.basicConfig(level=logging.DEBUG)
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.utils import suppress_http_instrumentation, suppress_instrumentation

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
        seen.append(self.headers["traceparent"])
    def log_message(self, *args):
        pass

seen = []
server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
RequestsInstrumentor().instrument()
RequestsInstrumentor().instrument()
FlaskInstrumentor().instrument()
app = flask.Flask("shop")
FlaskInstrumentor().instrument_app(app)
FlaskInstrumentor.instrument_app(app=app)

@app.get("/")
def index():
    requests.get(url, timeout=10)
    with suppress_http_instrumentation():
        requests.get(url, timeout=10)
    with suppress_instrumentation():
        requests.get(url, timeout=10)
    return "ok"

assert app.test_client().get("/").status_code == 200
server.shutdown()
assert seen[0] and not seen[1], seen
RequestsInstrumentor().uninstrument()
"""


def test_a_library_of_ours_has_one_span(run, sink) -> None:
    done = run(BESIDE)
    assert done.returncode == 0, done.stderr
    spans = sink.wait_for(3)
    assert tree(spans) == [["server GET /", ["internal __main__.index", ["client GET"]]]]
    assert {span.scope for span in spans} == {"pitviper.flask", "pitviper.requests"}
    for library in ("flask", "requests"):
        line = f"opentelemetry.instrumentation.{library} does nothing: pitviper traces the library"
        assert done.stderr.count(f"DEBUG:pitviper:{line}") == 1


def test_a_library_that_is_not_ours_is_left_to_the_published_one(run, sink) -> None:
    done = run(
        BESIDE.replace("assert seen[0]", "print(seen)#"),
        PITVIPER_INTEGRATIONS_DISABLED="flask,wsgi,requests,urllib3,http_client",
    )
    assert done.returncode == 0, done.stderr
    spans = sink.wait_for(2)
    assert {span.scope for span in spans} == {
        "opentelemetry.instrumentation.flask",
        "opentelemetry.instrumentation.requests",
    }
    assert "does nothing" not in done.stderr
