"""One of several services that call each other: ``hop.py NAME HOW [NEXT URL]``.

Serves until its input ends, and prints its port first. HOW says by what it is traced: ``flask`` by whatever
agent it was started under, ``otel`` by OpenTelemetry's SDK, ``oneagent`` by the OneAgent SDK.
"""

import sqlite3
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable

NAME, HOW, *REST = sys.argv[1:]


def work() -> None:
    """What the service does itself."""
    with sqlite3.connect(":memory:") as database:
        database.execute("SELECT name FROM sqlite_master").fetchall()


def fetch(headers: "dict[str, str]") -> None:
    """Calls the next service, if there is one."""
    for url in REST:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            answer.read()


def flask() -> "tuple[int, Callable[[], None]]":
    """A Flask application that requests the next service; without a word about tracing."""
    import flask
    import requests
    from werkzeug.serving import make_server

    app = flask.Flask(NAME)

    @app.get("/hop")
    def hop() -> str:
        work()
        for url in REST:
            requests.get(url, timeout=20).raise_for_status()
        return "ok"

    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever).start()
    return server.server_port, server.shutdown


def plain(serve: "Callable[[dict[str, str]], None]") -> "tuple[int, Callable[[], None]]":
    """A server that hands a request's headers to a function."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve(dict(self.headers.items()))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    return server.server_port, server.shutdown


def otel() -> "tuple[int, Callable[[], None]]":
    """Spans by hand, with OpenTelemetry's SDK; the environment says where to."""
    from opentelemetry import propagate, trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("hop")

    def serve(headers: "dict[str, str]") -> None:
        parent = propagate.extract({name.lower(): value for name, value in headers.items()})
        serving = tracer.start_as_current_span("GET /hop", parent, trace.SpanKind.SERVER)
        with serving, tracer.start_as_current_span("call", kind=trace.SpanKind.CLIENT):
            onward: dict[str, str] = {}
            propagate.inject(onward)
            fetch(onward)

    port, stop = plain(serve)

    def end() -> None:
        stop()
        provider.shutdown()

    return port, end


def oneagent() -> "tuple[int, Callable[[], None]]":
    """Tracers of the OneAgent SDK; the next service is told by its own tag alone."""
    import oneagent

    assert oneagent.initialize()
    sdk = oneagent.get_sdk()

    def serve(headers: "dict[str, str]") -> None:
        with sdk.create_web_application_info("localhost", NAME, "/") as application:
            tag = headers.get("X-dynaTrace")
            incoming = sdk.trace_incoming_web_request(application, "/hop", "GET", headers, str_tag=tag)
            with incoming, sdk.trace_custom_service("work", f"{NAME}-work"):
                work()
                outgoing = sdk.trace_outgoing_web_request(REST[0] if REST else "http://localhost/", "GET")
                with outgoing:
                    fetch({"X-dynaTrace": outgoing.outgoing_dynatrace_string_tag.decode()})
                incoming.set_status_code(200)

    return plain(serve)


def main() -> None:
    """Runs it."""
    port, end = {"flask": flask, "otel": otel, "oneagent": oneagent}[HOW]()
    print(port, flush=True)
    sys.stdin.read()
    end()


if __name__ == "__main__":
    main()
