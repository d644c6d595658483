"""ddtrace's API on the agent: code written for ddtrace 4, unchanged, in one tree with all other spans."""

import asyncio
import contextvars
import gc
import logging
import pickle
import re
import sqlite3
import threading
import warnings
from pathlib import Path

import pytest
from sink import tree

import pitviper
from pitviper import _native
from pitviper.compat.ddtrace import _mapping
from pitviper.compat.ddtrace.trace import BaseContextProvider, Context, Span, tracer

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "datadog.md"


@pytest.fixture
def spans(agent):
    """All spans so far, by name."""

    def by_name():
        return {span.name: span for span in agent()}

    return by_name


def test_it_is_found_under_its_own_name(agent):
    import ddtrace
    import ddtrace.auto
    from ddtrace import DDTraceDeprecationWarning, config, patch, patch_all
    from ddtrace import tracer as same
    from ddtrace.constants import ERROR_MSG, MANUAL_KEEP_KEY, SPAN_KIND
    from ddtrace.ext import SpanKind, SpanTypes, http, sql
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.runtime import RuntimeMetrics
    from ddtrace.trace import Tracer

    assert same is tracer and ddtrace.tracer is tracer and isinstance(tracer, Tracer)
    assert (ERROR_MSG, MANUAL_KEEP_KEY, SPAN_KIND) == ("error.message", "manual.keep", "span.kind")
    assert (SpanKind.SERVER, SpanTypes.WEB, http.URL, sql.DB) == ("server", "web", "http.url", "sql.db")
    assert ddtrace.__version__.startswith("4.")
    assert config.service == "test" and callable(patch) and callable(patch_all)
    assert issubclass(DDTraceDeprecationWarning, DeprecationWarning) and ddtrace.auto
    RuntimeMetrics.enable()
    assert HTTPPropagator.extract({}) == Context()


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("from ddtrace.trace import Pin", "DD_SERVICE"),
        ("from ddtrace import Pin", "DD_SERVICE"),
        ("from ddtrace import Span", "ddtrace.trace.Span"),
        ("import ddtrace.opentracer", "OpenTelemetry"),
        ("from ddtrace.settings import config", "ddtrace.config"),
        ("from ddtrace.filters import TraceFilter", "ddtrace.trace.TraceFilter"),
    ],
)
def test_what_version_4_removed_names_what_to_use(agent, statement, instead):
    with pytest.raises(ImportError, match=re.escape(instead)):
        exec(statement)


def test_what_objects_had_names_what_to_use(agent):
    span = tracer.trace("a")
    for name in ("set_tag_str", "set_struct_tag", "get_struct_tag", "finish_with_ancestors", "_pprint"):
        assert not hasattr(span, name)
    with pytest.raises(AttributeError, match=r"removed from ddtrace before version 4; use set_tag\(\)"):
        _ = span.set_tag_str
    with pytest.raises(AttributeError, match="trace_processors"):
        _ = tracer.on_start_span
    with pytest.raises(AttributeError):
        span.finished = True
    span.finish()
    with pytest.raises(ImportError, match="nonsense"):
        exec("from ddtrace import nonsense")


def test_a_span_has_what_version_4_gives_it(agent):
    span = tracer.trace("op", service="shop", resource="GET /a", span_type="web")
    assert (span.name, span.service, span.resource, span.span_type) == ("op", "shop", "GET /a", "web")
    assert span.parent_id is None and span.error == 0 and span.duration is None and not span.finished
    assert span.trace_id >> 64 and 0 < span.span_id < 2**64
    assert span.context.trace_id == span.trace_id and span.context.span_id == span.span_id
    span.set_tag("text", "a")
    span.set_tag("number", 5)
    span.set_tag("flag", True)
    span.set_tag("nothing")
    span.set_tag("list", [1])
    span.set_tags({b"bytes": b"x"})
    span.set_metric("ratio", 0.5)
    span.set_metrics({"read": "7", "unread": "x"})
    assert span.get_tags() == {
        "text": "a",
        "flag": "True",
        "nothing": "None",
        "list": "[1]",
        "bytes": "b'x'",
    }
    assert span.get_metrics() == {"number": 5, "ratio": 0.5, "read": 7.0}
    assert (span.get_tag("number"), span.get_metric("number"), span.get_metric("text")) == (None, 5, None)
    span.remove_tag("text")
    span.remove_metric("ratio")
    assert span.get_tag("text") is None and span.get_metric("ratio") is None
    span.start = 1_700_000_000.5
    span.finish(finish_time=1_700_000_002.0)
    assert (span.duration, span.duration_ns, span.start_ns) == (1.5, 1_500_000_000, 1_700_000_000_500_000_000)
    assert span.finished
    span.finish()
    (sent,) = agent()
    assert (sent.start_ns, sent.end_ns) == (1_700_000_000_500_000_000, 1_700_000_002_000_000_000)
    assert (sent.kind, sent.name, sent.resource["service.name"]) == ("server", "GET /a", "shop")
    assert sent.attributes["operation.name"] == "op" and sent.attributes["number"] == 5


def test_services_are_inherited_and_may_change(spans):
    with tracer.trace("own"), tracer.trace("other", service="other") as other:
        with tracer.trace("inherits"), pitviper.tracer.start_as_current_span("ours"):
            pass
        other.service = "third"
        with pitviper.tracer.start_as_current_span("after"):
            pass
        with tracer.trace("back", service="test"), pitviper.tracer.start_as_current_span("home"):
            pass
    services = {name: span.resource["service.name"] for name, span in spans().items()}
    assert services == {
        "own": "test",
        "other": "third",
        "inherits": "other",
        "ours": "other",
        "after": "third",
        "back": "test",
        "home": "test",
    }


def test_both_nestings(agent):
    with tracer.trace("a") as a:
        assert tracer.current_span() is a and tracer.current_root_span() is a
        with pitviper.tracer.start_as_current_span("b", kind=2) as b:
            face = tracer.current_span()
            assert face is not None and f"{face.span_id:016x}" == b.span_id and face.parent_id == a.span_id
            face.set_tag("http.status_code", 201)
            face.set_metric("items", 3)
            assert face.get_tag("http.status_code") == "201" and face.get_metric("items") == 3
            with tracer.trace("c") as c:
                assert c.parent_id == face.span_id and c.trace_id == a.trace_id
                assert _native.current_span() is not b
            assert _native.current_span() is b
        assert tracer.current_span() is a
    assert tracer.current_span() is None and tracer.current_root_span() is None
    spans = agent()
    assert tree(spans) == [["internal a", ["server b", ["internal c"]]]]
    attributes = {span.name: span.attributes for span in spans}["b"]
    assert attributes == {"http.response.status_code": 201, "items": 3}


def test_an_exception_is_told_where_it_began_and_goes_on(spans):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    error = ValueError("no such card")
    with pytest.raises(ValueError) as raised, tracer.trace("outer"), tracer.trace("inner") as inner:
        raise error
    assert raised.value is error
    assert inner.error == 1 and inner.get_tag("error.type") == "builtins.ValueError"
    with pytest.raises(Odd), tracer.trace("odd"):
        raise Odd
    with pytest.raises(SystemExit), tracer.trace("leaves"):
        raise SystemExit(0)
    found = spans()
    assert {name: span.status for name, span in found.items()} == {
        "outer": "error",
        "inner": "error",
        "odd": "error",
        "leaves": "unset",
    }
    assert found["outer"].attributes["error.type"] == found["inner"].attributes["error.type"] == "ValueError"
    assert found["outer"].status_message == "no such card"
    assert found["outer"].events == []
    ((name, event),) = found["inner"].events
    assert (name, event["exception.type"], event["exception.message"]) == ("exception", "ValueError", "no such card")
    assert "test_ddtrace_api.py" in event["exception.stacktrace"]


def test_exceptions_are_recorded_on_request(spans):
    with tracer.trace("a") as span:
        try:
            raise KeyError("price")
        except KeyError as error:
            span.record_exception(error, {"handled": True, "odd": object()})
            span.set_traceback()
    found = spans()["a"]
    assert found.status == "error"
    events = [attributes["exception.type"] for _, attributes in found.events]
    assert events == ["KeyError", "KeyError"] and found.events[0][1]["handled"] is True


def test_functions_of_all_kinds_are_wrapped(agent):
    @tracer.wrap("call", service="shop", resource="r", span_type="worker")
    def call(number):
        """Doc."""
        return number + 1

    @tracer.wrap("coroutine")
    async def coroutine():
        with tracer.trace("in coroutine"):
            return 2

    @tracer.wrap("generator")
    def generator():
        with tracer.trace("in generator"):
            sent = yield 1
        yield sent
        return 3

    @tracer.wrap("asynchronous")
    async def asynchronous():
        with tracer.trace("in asynchronous"):
            pass
        try:
            got = yield 1
        except KeyError:
            got = "thrown"
        yield got

    def consume():
        steps = generator()
        assert next(steps) == 1
        with tracer.trace("between"):
            pass
        assert steps.send("x") == "x"
        with pytest.raises(StopIteration) as end:
            next(steps)
        return end.value.value

    async def consume_asynchronous():
        steps = asynchronous()
        assert await steps.__anext__() == 1
        assert await steps.athrow(KeyError()) == "thrown"
        await steps.aclose()

    assert call(1) == 2 and call.__doc__ == "Doc."
    assert asyncio.run(coroutine()) == 2
    with tracer.trace("root"):
        assert consume() == 3
    asyncio.run(consume_asynchronous())
    assert tree(agent()) == [
        ["consumer r"],
        ["internal coroutine", ["internal in coroutine"]],
        ["internal root", ["internal generator", ["internal in generator"]], ["internal between"]],
        ["internal asynchronous", ["internal in asynchronous"]],
    ]


def test_a_wrapped_method_warns_of_its_name(agent, monkeypatch):
    class Shop:
        def sell(self):
            return 1

    with pytest.warns(DeprecationWarning, match="DD_TRACE_WRAP_SPAN_NAME_INCLUDE_CLASS"):
        tracer.wrap()(type("Shop", (), {"sell": Shop.sell}).sell)
    monkeypatch.setenv("DD_TRACE_WRAP_SPAN_NAME_INCLUDE_CLASS", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tracer.wrap()(Shop.sell)(Shop()) == 1
    assert [span.name for span in agent()] == [f"{__name__}.Shop.sell"]


def test_tasks_do_not_mix(agent):
    async def visit(name):
        with tracer.trace(name, service=name):
            await asyncio.sleep(0)
            with tracer.trace(f"{name}-below") as below:
                await asyncio.sleep(0)
                assert below.service == name
                current = tracer.current_span()
                assert current is below

    async def main():
        await asyncio.gather(*(visit(name) for name in "xyz"))

    asyncio.run(main())
    roots = sorted(tree(agent()))
    assert roots == [[f"internal {name}", [f"internal {name}-below"]] for name in "xyz"]


def test_threads_are_given_a_span_or_a_context(agent):
    def work(name, parent):
        with tracer.start_span(name, child_of=parent, activate=True), tracer.trace(f"{name}-below"):
            pass
        # As in ddtrace, the given span stays active.
        if isinstance(parent, Span):
            assert tracer.current_span() is parent

    with tracer.trace("root") as root:
        for name, parent in (("span", root), ("context", root.context)):
            thread = threading.Thread(target=contextvars.Context().run, args=(work, name, parent))
            thread.start()
            thread.join()
        detached = tracer.start_span("detached")
        assert tracer.current_span() is root and detached.trace_id != root.trace_id
        detached.finish()
    assert tree(agent()) == [
        [
            "internal root",
            ["internal span", ["internal span-below"]],
            ["internal context", ["internal context-below"]],
        ],
        ["internal detached"],
    ]


def test_spans_may_finish_in_any_order(agent):
    outer = tracer.trace("outer")
    inner = tracer.trace("inner")
    outer.finish()
    assert tracer.current_span() is inner
    inner.finish()
    assert tracer.current_span() is None
    with tracer.trace("next") as following:
        assert following.parent_id is None
    assert tree(agent()) == [["internal outer", ["internal inner"]], ["internal next"]]


def test_the_active_span_lives_and_what_nobody_holds_does_not(agent):
    tracer.trace("kept").set_tag("a", "b")
    gc.collect()
    span = tracer.current_span()
    assert span is not None and span.get_tag("a") == "b"
    span.finish()
    del span
    # Collecting ends what earlier tests left unfinished, too.
    (sent,) = [sent for sent in agent() if sent.name == "kept"]
    assert sent.attributes == {"a": "b"}

    def forget():
        tracer.trace("forgotten")

    contextvars.Context().run(forget)
    gc.collect()
    assert not [face for face in gc.get_objects() if isinstance(face, Span)]


def test_contexts_are_activated_and_pickled(agent):
    given = Context(trace_id=2**70 + 5, span_id=6, sampling_priority=2, dd_origin="rum", meta={"_dd.p.x": "y"})
    tracer.context_provider.activate(given)
    try:
        assert tracer.current_span() is None
        current = tracer.current_trace_context()
        assert current is given
        with tracer.trace("below") as span:
            assert (span.trace_id, span.parent_id) == (given.trace_id, 6)
            assert (span.context.sampling_priority, span.context.dd_origin) == (2, "rum")
            headers = {}
            tracer_headers(span, headers)
    finally:
        tracer.context_provider.activate(None)
    assert tracer.current_trace_context() is None
    assert headers["traceparent"].split("-")[1] == f"{given.trace_id:032x}"
    assert "s:2" in headers["tracestate"] and "o:rum" in headers["tracestate"] and "t.x:y" in headers["tracestate"]
    again = pickle.loads(pickle.dumps(given))
    assert again == given and again.dd_origin == "rum"
    (sent,) = agent()
    assert (sent.parent, sent.trace_id) == (f"{6:016x}", f"{given.trace_id:032x}")


def tracer_headers(span, headers):
    from ddtrace.propagation.http import HTTPPropagator

    HTTPPropagator.inject(span.context, headers)


def test_what_is_handed_on_is_taken_over(agent):
    from ddtrace.propagation.http import HTTPPropagator

    with tracer.trace("caller") as caller:
        caller.context.set_baggage_item("tenant", "acme")
        headers = {}
        HTTPPropagator.inject(caller, headers)
    taken = HTTPPropagator.extract({name.upper(): value for name, value in headers.items()})
    assert (taken.trace_id, taken.span_id) == (caller.trace_id, caller.span_id)
    assert taken.get_baggage_item("tenant") == "acme"
    environ = {
        "HTTP_X_DATADOG_TRACE_ID": "5",
        "HTTP_X_DATADOG_PARENT_ID": "6",
        "HTTP_X_DATADOG_SAMPLING_PRIORITY": "-1",
        "HTTP_X_DATADOG_ORIGIN": "rum",
    }
    taken = HTTPPropagator.extract(environ)
    assert (taken.trace_id, taken.span_id, taken.sampling_priority, taken.dd_origin) == (5, 6, -1, "rum")
    with pytest.raises(TypeError, match="non_active_span"):
        HTTPPropagator.inject(taken, {}, None)


def test_the_application_decides_about_traces(agent):
    with tracer.trace("kept") as span:
        span.set_tag("manual.keep")
        assert span.context.sampling_priority == 2
        headers = {}
        _native.inject_into(headers)
        assert "s:2" in headers["tracestate"] and headers["traceparent"].endswith(("01", "03"))
    with pitviper.tracer.start_as_current_span("request", kind=2), tracer.trace("middle"), tracer.trace("in") as span:
        span.set_tag("manual.drop")
        headers = {}
        _native.inject_into(headers)
        assert headers["traceparent"].endswith(("00", "02"))
        with pitviper.tracer.start_as_current_span("later"):
            pass
    assert [span.name for span in agent()] == ["kept"]


def test_a_span_made_directly_is_never_sent(agent):
    finished = []
    span = Span("alone", service="shop", trace_id=5, parent_id=6, on_finish=[finished.append])
    assert (span.trace_id, span.parent_id) == (5, 6)
    span.finish()
    assert finished == [span] and agent() == []


def test_links_and_tags_of_all_spans(spans):
    with tracer.trace("cause") as cause:
        pass
    tracer.set_tags({"team": "web"})
    try:
        with tracer.trace("effect") as effect:
            effect.link_span(cause.context, {"why": "test"})
            effect.set_link(trace_id=1, span_id=2)
    finally:
        tracer._tags.clear()
    found = spans()
    assert found["effect"].links == [found["cause"].span_id, f"{2:016x}"]
    assert found["effect"].attributes == {"team": "web"}


def test_logs_are_found_with_their_trace(agent):
    assert tracer.get_log_correlation_context() == {
        "dd.trace_id": "0",
        "dd.span_id": "0",
        "dd.service": "test",
        "dd.version": "",
        "dd.env": "",
    }
    with tracer.trace("a") as span:
        found = tracer.get_log_correlation_context()
    assert (found["dd.trace_id"], found["dd.span_id"]) == (f"{span.trace_id:032x}", str(span.span_id))


def test_settings_take_anything(agent):
    from ddtrace import config

    config.flask["service_name"] = "shop"
    config.django.instrument_middleware = False
    assert config.flask.service_name == "shop" and config.flask["unknown"] is None
    del config.flask["service_name"]
    assert config.django["instrument_middleware"] is False and "x" not in config.redis
    assert (config.env, config.version) == (None, None)


def test_an_integration_may_have_a_service_of_its_own(spans, caplog):
    from ddtrace import config

    def select():
        with tracer.trace("job", service="worker"):
            sqlite3.connect(":memory:").execute("SELECT 1")

    config.sqlite["service"] = "store"
    try:
        select()
        assert [spans()[name].resource["service.name"] for name in ("job", "SELECT")] == ["worker", "store"]
    finally:
        del config.sqlite["service"]
    select()
    assert spans()["SELECT"].resource["service.name"] == "worker"
    with caplog.at_level(logging.INFO, "pitviper"):
        config.redis["analytics_enabled"] = True
    assert "ddtrace.config.redis.analytics_enabled changes nothing under Pitviper: every span" in caplog.text
    assert config.redis.analytics_enabled is True


def test_a_provider_of_the_application(agent):
    class Provider(BaseContextProvider):
        def __init__(self):
            self.at = None

        def activate(self, ctx):
            self.at = ctx

        def active(self):
            while isinstance(self.at, Span) and self.at.finished:
                self.at = self.at._parent
            return self.at

    before = tracer.context_provider
    tracer.configure(context_provider=Provider())
    try:
        with tracer.trace("a") as a, tracer.trace("b") as b:
            assert b.parent_id == a.span_id and tracer.current_span() is b
        assert tracer.current_span() is None
    finally:
        tracer.configure(context_provider=before)
    assert tree(agent()) == [["internal a", ["internal b"]]]


def test_the_names_are_those_of_the_receiver():
    reference = REFERENCE.read_text()
    rows = dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|", reference, re.MULTILINE))
    of_process = {name: rows.pop(name) for name in _mapping.OF_PROCESS}
    elsewhere = {name for name in rows if name.startswith("Datadog-")} | {"_sampling_priority_v1"}
    assert {name: ours for name, (ours, _) in _mapping.RENAMED.items()} == {
        name: ours for name, ours in rows.items() if name not in elsewhere
    }
    assert of_process["env"] == "deployment.environment.name"
    (left_out,) = re.findall(r"say it already: (.*)\.\n", reference)
    assert set(re.findall("`([^`]+)`", left_out)) == set(_mapping.LEFT_OUT)


@pytest.mark.parametrize(
    ("operation", "resource", "kind_type", "name"),
    [
        ("flask.request", "GET /hello/<name>", "web", "GET /hello/<name>"),
        ("requests.request", "GET /users/7", "http", "GET"),
        ("http.request", "http.request", "http", "http.request"),
        ("postgres.query", "SELECT * FROM post WHERE id = 7", "sql", "SELECT post"),
        ("postgres.connect", "postgres.connect", "sql", "postgres.connect"),
        ("pymongo.cmd", 'find users {"card": "?"}', "mongodb", "find users"),
        ("redis.command", "GET a", "redis", "GET"),
        ("redis.command", "SET a 4111\nGET a", "redis", "PIPELINE"),
        ("redis.command", "LLEN\nLLEN", "redis", "PIPELINE LLEN"),
        ("celery.apply", "shop.mail", None, "apply_async shop.mail"),
        ("celery.run", "shop.mail", "worker", "run shop.mail"),
        ("django.request", "GET checkout/<int:item>", "web", "GET /checkout/<int:item>"),
        ("django.request", "GET ^items/([^/]+)/$", "web", "GET /items/([^/]+)/"),
        ("django.request", "GET api/^items$", "web", "GET /api/items"),
        ("django.request", "GET ", "web", "GET /"),
        ("django.request", "GET 404", "web", "GET 404"),
        ("django.request", "GET shop.views.checkout", "web", "GET shop.views.checkout"),
        ("grpc", "/shop.Basket/Add", "grpc", "shop.Basket/Add"),
        ("flask.application", "GET /hello/<name>", None, "flask.application"),
        ("pay", "", None, "pay"),
        ("pay", "é" * 1000, None, "é" * 512),
    ],
)
def test_names_are_few_as_the_receiver_makes_them(operation, resource, kind_type, name):
    # The cases of the receiver's own test.
    found, _, attributes = _mapping.attributes_of(operation, resource, kind_type, {}, True)
    assert found == name
    assert "7" not in attributes.get("db.query.text", "")
