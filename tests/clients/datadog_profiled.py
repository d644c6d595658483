"""An application under ``ddtrace-run`` with Datadog's profiler on: ``datadog_profiled.py`` serves Flask, and
visits a busy page and a slow one.

Prints as JSON the span that Datadog's tracer had in the busy page.
"""

import json
import threading
import time

import flask
import requests
from ddtrace.trace import tracer
from werkzeug.serving import make_server

app = flask.Flask("shop")

BUSY_S = 2.0
"""For how long the busy page counts; the profiler looks 10 to 100 times a second."""


def count_up(seconds: float) -> int:
    """Counts for so many seconds of this thread's time on a processor."""
    until = time.thread_time() + seconds
    number = 0
    while time.thread_time() < until:
        number += sum(range(100))
    return number


@app.get("/busy")
def busy() -> "dict[str, str]":
    """Counts."""
    count_up(BUSY_S)
    span = tracer.current_span()
    assert span is not None
    return {"span_id": f"{span.span_id:016x}", "trace_id": f"{span.trace_id:032x}"}


@app.get("/slow")
def slow() -> str:
    """Waits."""
    time.sleep(0.5)
    return "done"


def main() -> None:
    """Runs it."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    requests.get(f"{base}/slow", timeout=30)
    visited = requests.get(f"{base}/busy", timeout=60).json()
    server.shutdown()
    thread.join()
    print(json.dumps(visited))


if __name__ == "__main__":
    main()
