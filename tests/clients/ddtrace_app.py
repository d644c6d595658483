"""An application written for ddtrace: it serves Flask, visits itself, and makes spans of every kind.

Runs under ``ddtrace-run`` and under Pitviper alike. Prints as JSON, by visit, the id of its trace.
"""

import asyncio
import json
import os
import sqlite3
import sys
import threading

import flask
import requests
from ddtrace.constants import MANUAL_KEEP_KEY, SPAN_KIND
from ddtrace.ext import SpanKind, SpanTypes
from ddtrace.propagation.http import HTTPPropagator
from ddtrace.trace import Context, TraceFilter, tracer
from werkzeug.serving import make_server

app = flask.Flask("shop")


class NoHealth(TraceFilter):
    """Leaves out what asks for health, and marks the rest."""

    def process_trace(self, trace):
        if any(span.resource == "health" for span in trace):
            return None
        for span in trace:
            if span.name == "filtered":
                span.set_tag("seen", "yes")
                span.resource = "changed by a filter"
        return trace


@tracer.wrap("price.find", service="prices", resource="find", span_type=SpanTypes.WORKER)
def price(card):
    """A step of its own service."""
    with tracer.trace("price.parse") as span:
        span.set_tag("card", str(card))
        span.set_metric("digits", 1)
    return 7


@tracer.wrap("price.wait")
async def wait():
    """A coroutine with children of its own."""
    with tracer.trace("price.sleep"):
        await asyncio.sleep(0)


@tracer.wrap("items")
def items():
    """A generator."""
    for number in range(2):
        with tracer.trace("item", resource=f"item {number}"):
            yield number


@app.get("/pay/<int:card>")
def pay(card):
    """Asks a database, a service and itself."""
    span = tracer.current_span()
    assert span is not None
    span.set_tag("customer", "ada")
    root = tracer.current_root_span()
    assert root is not None
    root.set_tag("tier", "gold")
    with sqlite3.connect(":memory:") as database:
        database.execute("SELECT name FROM sqlite_master WHERE name = '4111' OR rootpage = ?", (card,)).fetchall()
    price(card)
    with tracer.trace(
        "legacy.query", service="legacy", resource="SELECT a FROM b WHERE c = 4111", span_type="sql"
    ) as query:
        query.set_tag("db.name", "old")
        query.set_tag(SPAN_KIND, SpanKind.CLIENT)
        query.set_metric("db.row_count", 3)
    with tracer.trace("legacy.call", resource="GET /a/4711", span_type=SpanTypes.HTTP) as call:
        call.set_tag("http.url", "http://ada:pw@old/a")
        call.set_tag("http.status_code", 404)
    with tracer.trace("legacy.cache", resource="GET key", span_type=SpanTypes.REDIS):
        pass
    return {"paid": True}


@app.get("/fail")
def fail():
    """Fails."""
    raise ValueError("card refused")


def begin(visits, name, **arguments):
    """A root whose trace is compared."""
    span = tracer.trace(name, **arguments)
    visits[name] = f"{span.trace_id:032x}"
    return span


def by_hand(visits):
    """Spans of the application alone."""
    with begin(visits, "by hand", resource="everything by hand"):
        asyncio.run(wait())
        assert list(items()) == [0, 1]
        try:
            with tracer.trace("outer"), tracer.trace("inner", service="deep"):
                raise KeyError("price")
        except KeyError:
            pass
        with tracer.trace("handled") as span:
            span.set_tag(MANUAL_KEEP_KEY)
            try:
                raise ValueError("handled")
            except ValueError as error:
                span.record_exception(error)
            span.error = 1
        with tracer.trace("renamed") as span:
            span.name, span.resource, span.service = "renamed.op", "renamed/resource", "renamed-service"
            with tracer.trace("below renamed"):
                pass


def elsewhere(visits):
    """Spans in threads, and below what came from elsewhere."""

    def work(parent, name):
        with tracer.start_span(name, child_of=parent, activate=True), tracer.trace(f"{name} below"):
            pass

    with begin(visits, "elsewhere", span_type=SpanTypes.WEB) as root:
        for parent, name in ((root, "by span"), (root.context, "by context")):
            thread = threading.Thread(target=work, args=(parent, name))
            thread.start()
            thread.join()
        headers = {}
        HTTPPropagator.inject(root.context, headers)
    tracer.context_provider.activate(HTTPPropagator.extract(headers))
    with tracer.trace("consumer", service="consumer", span_type=SpanTypes.WORKER):
        pass
    tracer.context_provider.activate(None)
    outer, inner = tracer.trace("first"), tracer.trace("second")
    visits["first"] = f"{outer.trace_id:032x}"
    outer.finish()
    with tracer.trace("third"):
        pass
    inner.finish()
    given = Context(trace_id=2**100 + os.getpid(), span_id=9, sampling_priority=2)
    tracer.context_provider.activate(given)
    with begin(visits, "given"):
        pass
    tracer.context_provider.activate(None)


def main():
    """Runs it."""
    visits = {}
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    base = f"http://127.0.0.1:{server.server_port}"
    with begin(visits, "checkout", resource="checkout ada"):
        requests.get(f"{base}/pay/7?a=b", timeout=20).raise_for_status()
    with begin(visits, "refused"):
        assert requests.get(f"{base}/fail", timeout=20).status_code == 500
    server.shutdown()
    thread.join()
    by_hand(visits)
    elsewhere(visits)
    tracer.configure(trace_processors=[NoHealth()])
    with begin(visits, "unhealthy", resource="health"), tracer.trace("below"):
        pass
    with begin(visits, "filtered"), tracer.trace("below"):
        pass
    tracer.flush()
    json.dump(visits, sys.stdout)


if __name__ == "__main__":
    main()
