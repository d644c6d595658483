"""What the comparison of tracer providers runs, one function a library: ``contrib_programs.py PROVIDER LIBRARY``.

``PROVIDER`` is ``ours`` or ``stock``; both run the instrumentation that OpenTelemetry publishes for the
library, and print the spans it makes as JSON, less what differs from one run to the next.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

#: Attributes whose values differ from run to run.
_VOLATILE = (
    "net.peer.port",
    "server.port",
    "net.host.port",
    "messaging.message.id",
    "messaging.conversation_id",
    "net.peer.ip",
)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PORT = re.compile(r"127\.0\.0\.1:\d+|localhost:\d+|gen\d+@[\w.-]+|0x[0-9a-f]+")


class _NoSdk:
    """Makes sure that nothing needs the SDK."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == "opentelemetry.sdk" or name.startswith("opentelemetry.sdk."):
            raise ImportError(f"{name} is not installed")


def start(provider: str) -> Any:
    """Sets a tracer provider; returns a function that gives the finished spans."""
    from opentelemetry import trace

    if provider == "ours":
        sys.meta_path.insert(0, _NoSdk())  # type: ignore[arg-type]
        from pitviper.opentelemetry import InMemorySpanExporter, SimpleSpanProcessor, TracerProvider
    else:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    memory = InMemorySpanExporter()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(tracer_provider)
    return memory.get_finished_spans


def show(value: Any) -> Any:
    """A value without what differs from run to run."""
    if isinstance(value, str):
        return _PORT.sub("?", _UUID.sub("UUID", value))
    if isinstance(value, (list, tuple)):
        return [show(item) for item in value]
    return value


def show_attributes(attributes: Any) -> "dict[str, Any]":
    """Attributes; the last line stands for a stack trace, and what is None counts as not set."""
    shown = {}
    for key, value in sorted((attributes or {}).items()):
        if key == "exception.stacktrace":
            value = value.strip().splitlines()[-1]
        if value is not None:
            shown[key] = "?" if key in _VOLATILE else show(value)
    return shown


def show_spans(spans: Any) -> "list[Any]":
    """Spans by start, with their parents by position."""
    spans = sorted(spans, key=lambda span: (span.start_time, span.end_time))
    positions = {span.context.span_id: position for position, span in enumerate(spans)}
    traces: dict[int, int] = {}
    return [
        {
            "name": show(span.name),
            "kind": span.kind.name,
            "trace": traces.setdefault(span.context.trace_id, len(traces)),
            "parent": positions.get(span.parent.span_id, "remote") if span.parent else None,
            "remote": span.parent.is_remote if span.parent else None,
            "scope": [span.instrumentation_scope.name, span.instrumentation_scope.version],
            "attributes": show_attributes(span.attributes),
            "events": [[event.name, show_attributes(event.attributes)] for event in span.events],
            "links": [[positions.get(link.context.span_id), show_attributes(link.attributes)] for link in span.links],
            "status": [span.status.status_code.name, show(span.status.description)],
            # Older SDKs do not know the flag of random trace ids.
            "sampled": span.context.trace_flags.sampled,
            "timed": span.start_time <= span.end_time,
        }
        for span in spans
    ]


def flask() -> None:
    """Routes, an error, a remote parent, a custom span inside."""
    import flask
    from opentelemetry import trace
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    app = flask.Flask("shop")
    FlaskInstrumentor().instrument_app(app)

    @app.get("/items/<int:number>")
    def item(number: int) -> Any:
        span = trace.get_current_span()
        span.set_attribute("shop.item", number)
        span.add_event("looked up", {"rows": [1, 2], "hit": True})
        with trace.get_tracer("shop").start_as_current_span("price", attributes={"currency": "EUR"}):
            pass
        return {"trace": format(span.get_span_context().trace_id, "032x")}

    @app.get("/broken")
    def broken() -> Any:
        raise RuntimeError("out of stock")

    @app.get("/refused")
    def refused() -> Any:
        flask.abort(403)

    client = app.test_client()
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    headers = {"traceparent": parent, "tracestate": "vendor=1"}
    assert client.get("/items/7?q=1", headers=headers).json == {"trace": parent[3:35]}
    for path in ("/broken", "/refused", "/nowhere"):
        client.get(path)
    client.post("/items/7")


def django() -> None:
    """Views through middleware, an error, a template response."""
    import django
    from django.conf import settings
    from django.http import HttpResponse
    from django.urls import path
    from opentelemetry.instrumentation.django import DjangoInstrumentor

    def hello(request: Any, name: str) -> Any:
        return HttpResponse(f"hello {name}")

    def broken(request: Any) -> Any:
        raise KeyError("nothing there")

    settings.configure(
        DEBUG=False,
        SECRET_KEY="x",
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["*"],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        LOGGING_CONFIG=None,
    )
    globals()["urlpatterns"] = [path("hello/<str:name>/", hello, name="hello"), path("broken/", broken)]
    DjangoInstrumentor().instrument()
    django.setup()
    from django.test import Client

    client = Client(raise_request_exception=False)
    client.get("/hello/ada/?x=1", headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
    client.get("/broken/")
    client.get("/nowhere/")


@contextmanager
def _server() -> "Iterator[str]":
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # The caller's trace context arrived.
            assert self.headers["traceparent"].count("-") == 3
            self.send_response(int(self.path[1:]))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def requests() -> None:
    """Success, a client's and a server's error, a refused connection, a parent of the application's."""
    import requests
    from opentelemetry import trace
    from opentelemetry.instrumentation.requests import RequestsInstrumentor

    RequestsInstrumentor().instrument()
    with _server() as url, trace.get_tracer("shop", "2.0").start_as_current_span("checkout") as checkout:
        for status in (200, 404, 503):
            requests.get(f"{url}/{status}", timeout=5)
        checkout.set_status(trace.StatusCode.OK)
    with suppress(requests.ConnectionError):
        requests.get("http://127.0.0.1:9/", timeout=5)


def sqlalchemy() -> None:
    """Statements, a failing one, a transaction."""
    import sqlalchemy
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    from sqlalchemy.pool import StaticPool

    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    # Its newest release knows no SQLAlchemy 2.1 yet, and works with it.
    SQLAlchemyInstrumentor().instrument(engine=engine, enable_commenter=True, skip_dep_check=True)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE t (a INTEGER)"))
        connection.execute(sqlalchemy.text("INSERT INTO t VALUES (:a)"), [{"a": 1}, {"a": 2}])
        assert len(connection.execute(sqlalchemy.text("SELECT a FROM t")).all()) == 2
    with suppress(sqlalchemy.exc.OperationalError), engine.connect() as connection:
        connection.execute(sqlalchemy.text("SELECT nothing FROM nowhere"))


def redis() -> None:
    """Commands, a pipeline, a failing command; on a real server."""
    import redis
    from opentelemetry import trace
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    RedisInstrumentor().instrument()
    client = redis.Redis.from_url(os.environ["TEST_REDIS_URL"])
    client.delete("contrib")
    with trace.get_tracer("shop").start_as_current_span("cart"):
        client.set("contrib", "text")
        client.get("contrib")
        with client.pipeline(transaction=False) as pipeline:
            pipeline.set("contrib", 5).incr("contrib").get("contrib")
            pipeline.execute()
        client.set("contrib", "text")
        with suppress(redis.ResponseError):
            client.incr("contrib")
    client.delete("contrib")


def celery() -> None:
    """Tasks through a worker: success, failure, retry, a task that sends a task."""
    from celery import Celery
    from celery.contrib.testing.worker import start_worker
    from opentelemetry import trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    app = Celery("shop", broker="memory://", backend="cache+memory://")
    app.conf.update(task_always_eager=False, worker_hijack_root_logger=False, worker_redirect_stdouts=False)

    @app.task(name="shop.double")
    def double(number: int) -> int:
        with trace.get_tracer("shop").start_as_current_span("double"):
            return number * 2

    @app.task(name="shop.broken")
    def broken() -> None:
        raise ValueError("no")

    @app.task(name="shop.again", bind=True, max_retries=1, default_retry_delay=0)
    def again(self: Any) -> str:
        if self.request.retries == 0:
            raise self.retry(countdown=0)
        return "done"

    @app.task(name="shop.outer")
    def outer() -> None:
        double.delay(3)

    CeleryInstrumentor().instrument()
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        with trace.get_tracer("shop").start_as_current_span("order"):
            assert double.delay(4).get(timeout=20) == 8
        for task in (broken, again, outer):
            task.delay().get(timeout=20, propagate=False)


def main() -> None:
    """Runs a program and prints its spans."""
    provider, library = sys.argv[1:3]
    spans = start(provider)
    globals()[library]()
    print(json.dumps(show_spans(spans())))


if __name__ == "__main__":
    # The standard library finds the libraries, not the functions of their names.
    sys.path.pop(0)
    main()
