"""One measurement of one contender: ``contender.py AGENT WORK PORT``; prints figures as JSON."""

import json
import os
import sqlite3
import sys
import time
from typing import Any, Callable

SPANS = 60_000
NESTED = 10
#: Each of three requests.
ROUNDS = 500
REQUESTS = 3 * ROUNDS
WARM_UP = 50
#: How long a process does nothing, in seconds; two collections of metrics lie in it.
IDLE = 20
#: Before that, in seconds: what is reported once is out of the way.
IDLE_WARM_UP = 12


def start(agent: str, port: str) -> "Callable[[str], Any]":
    """Starts an agent; returns a function that starts a span as the current one."""
    endpoint = f"http://127.0.0.1:{port}"
    if agent.startswith("pitviper"):
        import pitviper

        # Between machines it compresses, on one machine it does not.
        compression = "gzip" if agent == "pitviper, gzip" else "auto"
        pitviper.init(endpoint=endpoint, service="bench", compression=compression)
        from pitviper import _native

        return _native.start_as_current_span
    if agent == "ddtrace":
        os.environ.update(
            DD_TRACE_AGENT_URL=endpoint, DD_SERVICE="bench", DD_INSTRUMENTATION_TELEMETRY_ENABLED="false",
            DD_REMOTE_CONFIGURATION_ENABLED="false", DD_TRACE_STARTUP_LOGS="false",
        )  # fmt: skip
        import ddtrace.auto  # noqa: F401
        from ddtrace.trace import tracer

        return tracer.trace
    if agent == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.flask import FlaskInstrumentor
        from opentelemetry.instrumentation.jinja2 import Jinja2Instrumentor
        from opentelemetry.instrumentation.requests import RequestsInstrumentor
        from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{endpoint}/v1/traces"), max_queue_size=10**6))
        trace.set_tracer_provider(provider)
        for instrumentor in (FlaskInstrumentor, Jinja2Instrumentor, RequestsInstrumentor, SQLite3Instrumentor):
            instrumentor().instrument()
        return trace.get_tracer("bench").start_as_current_span
    return lambda name: None


def spans(agent: str, span: "Callable[[str], Any]") -> None:
    """Makes the spans, ten nested."""

    def nest(depth: int) -> None:
        if depth == 0:
            return
        with span("operation") as current:
            if agent == "ddtrace":
                current.set_tag("key.one", "value")
                current.set_tag("key.two", "another value")
                current.set_metric("key.three", 3)
            else:
                current.set_attribute("key.one", "value")
                current.set_attribute("key.two", "another value")
                current.set_attribute("key.three", 3)
            nest(depth - 1)

    for _ in range(SPANS // NESTED):
        if agent == "bare":
            for _ in range(NESTED):
                pass
        else:
            nest(NESTED)


def make_client(port: str) -> Any:
    """A small Flask application: SQL and a template, three statements, a call to another service."""
    import flask
    import requests

    app = flask.Flask(__name__)
    database = "file:bench?mode=memory&cache=shared"
    keep = sqlite3.connect(database, uri=True)
    keep.execute("CREATE TABLE post (id INTEGER, title TEXT)")
    keep.executemany("INSERT INTO post VALUES (?, ?)", [(number, f"Post {number}") for number in range(10)])
    keep.commit()
    app.extensions["keep"] = keep
    session = requests.Session()
    session.trust_env = False

    @app.get("/posts/<int:number>")
    def posts(number: int) -> str:
        connection = sqlite3.connect(database, uri=True)
        connection.execute("SELECT COUNT(*) FROM post").fetchone()
        rows = connection.execute("SELECT id, title FROM post WHERE id >= ? ORDER BY id", (number,)).fetchall()
        connection.close()
        return flask.render_template_string("{% for row in rows %}<li>{{ row[1] }}{% endfor %}", rows=rows)

    @app.post("/create")
    def create() -> "tuple[str, int]":
        connection = sqlite3.connect(database, uri=True)
        connection.execute("SELECT COUNT(*) FROM post WHERE title = ?", ("new",)).fetchone()
        connection.execute("INSERT INTO post VALUES (?, ?)", (10, "new"))
        connection.execute("DELETE FROM post WHERE id = 10")
        connection.commit()
        connection.close()
        return "created", 201

    @app.get("/upstream")
    def upstream() -> str:
        return session.get(f"http://127.0.0.1:{port}/answer", timeout=5).text

    return app.test_client()


def serve(client: Any, rounds: int) -> None:
    """Sends each of the three requests that many times."""
    for _ in range(rounds):
        for response in (client.get("/posts/3"), client.post("/create"), client.get("/upstream")):
            assert response.status_code < 300, response.status
            response.close()


def memory(name: str) -> float:
    """A figure of the process's memory, in MB. The peak that getrusage tells includes that of the launcher."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def flush(agent: str) -> None:
    """Sends what waits, as the end of the process would."""
    if agent.startswith("pitviper"):
        import pitviper

        assert pitviper.flush(60)
    elif agent == "opentelemetry":
        from opentelemetry import trace

        trace.get_tracer_provider().force_flush(60_000)  # type: ignore[attr-defined]
    elif agent == "ddtrace":
        from ddtrace.trace import tracer

        tracer.flush()


def main() -> None:
    """Measures."""
    agent, work, port = sys.argv[1:4]
    span = start(agent, port)
    if work == "requests":
        client = make_client(port)
        serve(client, WARM_UP)
    if work == "idle" and agent != "bare":
        with span("first"):
            pass
        flush(agent)
        time.sleep(IDLE_WARM_UP)
    began = time.process_time()
    if work == "idle":
        time.sleep(IDLE)
    elif work == "spans":
        spans(agent, span)
    elif work == "requests":
        serve(client, ROUNDS)
    if work != "idle":
        flush(agent)
    spent = time.process_time() - began
    print(json.dumps({"spent": spent, "memory": memory("VmHWM")}), flush=True)


if __name__ == "__main__":
    main()
