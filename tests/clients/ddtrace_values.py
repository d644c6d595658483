"""What ddtrace's API answers, as JSON: runs under ddtrace and under Pitviper, and both answer alike."""

import asyncio
import json
import pickle
import sys
import threading
import warnings

import ddtrace
import ddtrace.constants
import ddtrace.ext
from ddtrace import config
from ddtrace.ext import db, http, kafka, net, redis, sql, user
from ddtrace.propagation.http import HTTPPropagator
from ddtrace.trace import Context, Span, TraceFilter, tracer

answers = {}


def tell(name, value):
    """Notes an answer."""
    answers[name] = value if isinstance(value, (str, int, float, bool, list, dict, type(None))) else repr(value)


def names():
    """Everything public that has a name."""
    for module in (ddtrace.constants, db, http, kafka, net, redis, sql, user):
        public = {key: value for key, value in vars(module).items() if key.isupper() and isinstance(value, (str, int))}
        tell(f"constants of {module.__name__.rpartition('.')[2]}", {k: v for k, v in public.items() if k[0] != "_"})
    for owner in (ddtrace.ext.SpanTypes, ddtrace.ext.SpanKind):
        tell(owner.__name__, {key: value for key, value in vars(owner).items() if key.isupper()})
    for owner in (Span, Context):
        tell(
            f"attributes of {owner.__name__}",
            sorted(name for name in dir(owner) if name[0] != "_" and name != "get_span_context"),
        )
    tell("attributes of the tracer", sorted(name for name in dir(tracer) if name[0] != "_"))
    for name in ("set_tag_str", "set_struct_tag", "finish_with_ancestors", "_pprint", "tracer", "nonsense"):
        tell(f"span has {name}", hasattr(Span("a"), name))
    for module in ("ddtrace.opentracer", "ddtrace.settings", "ddtrace.filters", "ddtrace.pin"):
        try:
            __import__(module)
        except ImportError:
            tell(f"import {module}", "fails")


def values():
    """What spans keep."""
    span = tracer.trace("values", service="shop", resource=None, span_type="web")
    for value in (5, -1.5, None, True, b"x", "y", [1], {"a": 1}, 2**70, float("inf"), "z" * 30_000):
        for method, label in ((span.set_tag, "tag"), (span.set_metric, "metric")):
            method("key", value)
            text = span.get_tag("key")
            tell(f"{label} {value!r:.20}", [text and text[:20], text and len(text), str(span.get_metric("key"))])
            span.remove_tag("key")
    span.set_tag("network.destination.port", "80")
    span.set_tag("service.version", "7")
    span.set_tag("service.name", "named")
    span.set_tag("_dd.measured")
    span.set_tags({"a": "b"})
    span.set_metrics({"m": "7", "n": "x"})
    kept = {
        key: value
        for key, value in span.get_tags().items()
        if key[0] != "_" and key not in ("runtime-id", "env", "version")
    }
    tell("tags", kept)
    tell("version", span.get_tag("version"))
    tell("metrics", {key: value for key, value in span.get_metrics().items() if key != "process_id"})
    tell("facts", [span.name, span.service, span.resource, span.span_type, span.parent_id, span.error, span.duration])
    span.resource, span.span_type, span.error = 5, None, True
    tell("odd facts", [span.resource, span.span_type, span.error])
    span.resource, span.start = "r", 1.5
    span.finish(finish_time=3.5)
    span.finish(finish_time=9.5)
    tell("times", [span.start, span.start_ns, span.duration, span.duration_ns, span.finished])
    try:
        span.finished = False
    except AttributeError:
        tell("finished", "is read only")


def errors():
    """What becomes of exceptions."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    for error in (ValueError("x"), KeyError("k"), Odd(), SystemExit(0), SystemExit(2), KeyboardInterrupt()):
        try:
            with tracer.trace("fails") as span:
                raise error
        except BaseException as raised:
            tell(f"same {type(error).__name__}", raised is error)
        tags = [span.get_tag(f"error.{name}") for name in ("type", "message")]
        tell(
            f"error {type(error).__name__} {getattr(error, 'code', '')}",
            [span.error, *tags, bool(span.get_tag("error.stack"))],
        )
    with tracer.trace("a") as span:
        span.set_traceback()
        tell("stack without error", [span.error, "errors" in span.get_tag("error.stack"), span.get_tag("error.type")])
        span.set_exc_info(None, None, None)
        tell("no error", span.error)


def places():
    """What is active."""
    one = tracer.trace("one", service="first")
    two = tracer.trace("two")
    tell("inherited", [two.service, two.parent_id == one.span_id, two.trace_id == one.trace_id])
    tell(
        "roots",
        [tracer.current_root_span() is one, tracer.current_span() is two, tracer.context_provider.active() is two],
    )
    one.service = "changed"
    three = tracer.start_span("three", child_of=one)
    tell("child", [three.service, three.parent_id == one.span_id, tracer.current_span() is two])
    alone = tracer.start_span("alone")
    tell("alone", [alone.parent_id, alone.trace_id != one.trace_id, alone.service])
    one.finish()
    tell("finished below", tracer.current_span() is two)
    two.finish()
    tell("all finished", [tracer.current_span(), tracer.context_provider.active(), tracer.current_trace_context()])
    three.finish()
    alone.finish()

    def work(parent):
        with tracer.start_span("in thread", child_of=parent, activate=True) as span:
            tell(f"thread {type(parent).__name__}", [span.parent_id == parent.span_id, tracer.current_span() is span])
        active = tracer.context_provider.active()
        tell(f"after {type(parent).__name__}", active is parent if active is not None else None)

    with tracer.trace("root") as root:
        for parent in (root, root.context):
            thread = threading.Thread(target=work, args=(parent,))
            thread.start()
            thread.join()

    async def visit(name):
        with tracer.trace(name) as span:
            await asyncio.sleep(0)
            return tracer.current_span() is span

    async def main():
        return await asyncio.gather(*(visit(name) for name in "abc"))

    tell("tasks", list(asyncio.run(main())))


def contexts():
    """What is handed on."""
    given = Context(trace_id=2**70 + 5, span_id=6, dd_origin="rum", sampling_priority=2)
    tracer.context_provider.activate(given)
    tell(
        "active context",
        [tracer.context_provider.active() == given, tracer.current_span(), tracer.current_trace_context() == given],
    )
    with tracer.trace("below") as span:
        tell(
            "below",
            [span.trace_id == given.trace_id, span.parent_id, span.context.dd_origin, span.context.sampling_priority],
        )
        headers = {}
        HTTPPropagator.inject(span.context, headers)
        told = {key: value for key, value in headers.items() if key.endswith(("priority", "origin"))}
        tell("injected", [sorted(headers), told, headers["x-datadog-trace-id"]])
        span.set_tag("manual.drop")
        headers = {}
        HTTPPropagator.inject(span.context, headers)
        tell(
            "dropped",
            [span.context.sampling_priority, headers["x-datadog-sampling-priority"], headers["traceparent"][-2:]],
        )
    tell("after", tracer.context_provider.active())
    with tracer.trace("kept") as span:
        span.set_tag("manual.keep")
        headers = {}
        HTTPPropagator.inject(span.context, headers)
        tell(
            "kept",
            [
                span.context.sampling_priority,
                headers["x-datadog-sampling-priority"],
                "_dd.p.dm=-4" in headers["x-datadog-tags"],
            ],
        )
        span.context.set_baggage_item("tenant", "acme")
        tell("baggage", [span.context.get_baggage_item("tenant"), span.context.get_all_baggage_items()])
    again = pickle.loads(pickle.dumps(given))
    tell("pickled", [again == given, again.trace_id == given.trace_id, again.dd_origin, again.sampling_priority])
    parent = "00-0102030405060708090a0b0c0d0e0f10-0102030405060708-01"
    for name, headers in {
        "nothing": {},
        "datadog": {"x-datadog-trace-id": "5", "x-datadog-parent-id": "6", "x-datadog-sampling-priority": "-1"},
        "upper case": {"X-DATADOG-TRACE-ID": "5", "X-DATADOG-PARENT-ID": "6"},
        "wsgi": {"HTTP_X_DATADOG_TRACE_ID": "5", "HTTP_X_DATADOG_PARENT_ID": "6", "HTTP_X_DATADOG_ORIGIN": "rum"},
        "128 bits": {
            "x-datadog-trace-id": "5",
            "x-datadog-parent-id": "6",
            "x-datadog-tags": "_dd.p.tid=0000000000000007",
        },
        "w3c": {"traceparent": parent, "tracestate": "dd=s:2;o:rum;t.dm:-4"},
        "zero": {"x-datadog-trace-id": "0", "x-datadog-parent-id": "6"},
        "nonsense": {"x-datadog-trace-id": "x", "traceparent": "y"},
        "baggage": {"baggage": "tenant=acme,user=ada%20b"},
    }.items():
        found = HTTPPropagator.extract(headers)
        facts = [found.trace_id, found.span_id, found.sampling_priority, found.dd_origin]
        tell(f"extracted {name}", [*facts, found.get_all_baggage_items()])


def functions():
    """What decorators do."""

    class Shop:
        @tracer.wrap()
        def sell(self):
            return tracer.current_span().name

    @tracer.wrap(service="s", resource="r", span_type="t")
    def plain(value):
        span = tracer.current_span()
        return [span.name, span.service, span.resource, span.span_type, value]

    @tracer.wrap()
    async def coroutine():
        return tracer.current_span().name

    @tracer.wrap("generated")
    def generator():
        got = yield tracer.current_span().name
        return got

    # What is sent into a generator and returned by it is left out: under ddtrace-run 4.16 it is lost.
    tell("generator", [list(generator()), tracer.current_span()])
    tell("functions", [Shop().sell(), plain(1), plain.__name__, asyncio.run(coroutine())])


def rest():
    """Settings, logs, filters, warnings."""
    tell("config", [config.service, config.env, config.version])
    config.flask["service_name"] = "x"
    tell("integration", [config.flask["service_name"], config.flask.service_name])
    tell("log", tracer.get_log_correlation_context())
    with tracer.trace("a") as span:
        found = tracer.get_log_correlation_context()
        tell(
            "log in span",
            [
                found["dd.trace_id"] == f"{span.trace_id:032x}",
                found["dd.span_id"] == str(span.span_id),
                found["dd.service"],
            ],
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ddtrace.patch_all(flask=False)
        tell(
            "patch_all",
            [warning.category.__name__ for warning in caught if warning.category is ddtrace.DDTraceDeprecationWarning],
        )
    tell(
        "enabled",
        [
            tracer.enabled,
            isinstance(tracer.agent_trace_url, str),
            issubclass(ddtrace.DDTraceDeprecationWarning, DeprecationWarning),
        ],
    )

    class Filter(TraceFilter):
        def process_trace(self, trace):
            tell("filtered", [[span.name, span.finished] for span in trace])
            return

    tracer.configure(trace_processors=[Filter()])
    with tracer.trace("outer"), tracer.trace("inner"):
        pass
    tracer.configure(trace_processors=[])


names()
values()
errors()
places()
contexts()
functions()
rest()
json.dump(answers, sys.stdout)
