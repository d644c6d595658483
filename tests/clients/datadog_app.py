"""An application under ``ddtrace-run``: ``datadog_app.py`` serves Flask and visits itself.

Prints as JSON, by visit, the trace and the span that Datadog's tracer had in the view.
"""

import json
import sqlite3
import sys
import threading

import flask
import requests
from ddtrace.trace import tracer
from werkzeug.serving import make_server

app = flask.Flask("shop")


def ids() -> "dict[str, str]":
    """The current span's ids as W3C writes them."""
    span = tracer.current_span()
    assert span is not None
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


@app.get("/pay/<int:card>")
def pay(card: int) -> "dict[str, str]":
    """Asks a database."""
    with sqlite3.connect(":memory:") as database:
        database.execute("SELECT name FROM sqlite_master WHERE name = '4111' OR rootpage = ?", (card,)).fetchall()
    with tracer.trace("count", service="counter") as span:
        span.set_tag("team", "web")
        span.set_metric("cards", 2)
        span.record_exception(KeyError("price"))
    return ids()


@app.get("/fail")
def fail() -> str:
    """Fails."""
    raise ValueError("card 7 refused")


def main() -> None:
    """Runs it."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    with tracer.trace("checkout", resource="checkout ada") as span:
        visit = {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        answer = requests.get(f"{base}/pay/7?a=b", timeout=20)
    answer.raise_for_status()
    assert answer.json()["trace_id"] == visit["trace_id"]
    with tracer.trace("refused") as span:
        failure = {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        assert requests.get(f"{base}/fail", timeout=20).status_code == 500
    server.shutdown()
    thread.join()
    json.dump({"pay": visit, "fail": failure}, sys.stdout)


if __name__ == "__main__":
    main()
