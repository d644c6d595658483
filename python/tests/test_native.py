"""The boundary to the native half: nothing an application passes by mistake comes back as an exception."""

import contextvars
import struct
import threading
import time

import pytest

import pitviper
from pitviper import _native, tracer

SURROGATE = "caf\udce9"


class Unprintable:
    """Fails wherever it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize("name", [None, 5, b"bytes", SURROGATE, Unprintable(), "x" * 100_000])
def test_any_name_will_do(agent, name):
    span = tracer.start_span(name)
    span.update_name(name)
    span.add_event(name)
    span.end()
    _native.finish_leaf(name, 1, time.time_ns(), None, None, name)
    assert len(agent()) == 2


def test_texts_without_utf8_form_are_replaced(agent):
    with tracer.start_as_current_span(SURROGATE) as span:
        span.set_attribute("key", SURROGATE)
        span.set_status(2, SURROGATE)
    (span,) = agent()
    assert span.name == span.attributes["key"] == span.status_message
    assert span.name.rstrip("\ufffd") == "caf" != span.name


@pytest.mark.parametrize("bad", [-1, 1.5, "now", 2**80, object()])
def test_what_is_no_time_means_now(agent, bad):
    before = time.time_ns()
    span = tracer.start_span("timed", start_time=bad)
    span.add_event("event", timestamp=bad)
    span.record_exception(ValueError("x"), timestamp=bad)
    span.end(bad)
    (span,) = agent()
    assert before - 1_000_000 <= span.start_ns <= time.time_ns()
    assert 0 <= span.duration_ms < 5_000


def test_an_exception_will_do_as_description(agent):
    with tracer.start_as_current_span("failed") as span:
        span.set_status(2, ValueError("why"))
    (span,) = agent()
    assert (span.status, span.status_message) == ("error", "why")


@pytest.mark.parametrize("odd", [None, b"", b"\xff", 5, "", SURROGATE, object()])
def test_what_is_no_context_is_none(odd):
    for carrier in (odd, [odd], [(odd, odd)], [("traceparent", odd)], {"traceparent": odd}, {odd: odd}):
        assert _native.extract(carrier) is None
        assert _native.extract(carrier, 1) is None


def test_a_context_out_of_range_is_invalid():
    assert not _native.SpanContext(-1, 2**64).is_valid
    assert not _native.SpanContext("1", None).is_valid


def test_what_would_be_used_up_or_run_is_not_read(agent):
    class Query:
        """Like an object relational mapper's: its length is a statement."""

        def __len__(self) -> int:
            raise AssertionError("the query ran")

        def __iter__(self):
            raise AssertionError("the query ran")

    numbers = iter([1, 2])
    with tracer.start_as_current_span("lazy") as span:
        span.set_attribute("query", Query())
        span.set_attribute("iterator", numbers)
        span.set_attribute("set", frozenset({1}))
    (span,) = agent()
    assert span.attributes == {"set": [1]} and list(numbers) == [1, 2]


def test_the_length_limit_reaches_into_lists_and_links(sink):
    pitviper.init(endpoint=sink.endpoint, service="test", schedule_delay_ms=20, attribute_value_length_limit=4)
    linked = tracer.start_span("linked")
    with tracer.start_as_current_span("limited", links=[(linked, {"l": "123456"})]) as span:
        span.set_attribute("list", ["123456", ["123456"]])
        span.set_attribute("map", {"m": "123456"})
        span.add_event("event", {"e": ["123456"]})
    linked.end()
    assert pitviper.flush(10)
    span = next(span for span in sink.spans if span.name == "limited")
    assert span.attributes == {"list": ["1234", ["1234"]], "map": {"m": "1234"}}
    assert span.events == [("event", {"e": ["1234"]})]


def test_an_end_while_the_span_is_in_use_counts(agent):
    """The attribute's value ends its own span while the span is being changed."""
    span = tracer.start_span("in use")

    class EndsIt(dict):
        def items(self):
            span.end()
            return super().items()

    span.set_attribute("key", EndsIt(a=1))
    assert not span.is_recording()
    (ended,) = agent()
    assert ended.name == "in use"


def test_deactivating_in_another_context_changes_nothing_there(agent):
    inner, outer = tracer.start_span("inner"), tracer.start_span("outer")
    token = _native.activate(inner)
    elsewhere = contextvars.Context()

    def there():
        before = _native.activate(outer)
        _native.deactivate(token)
        assert _native.current_span() is outer
        _native.deactivate(before)

    elsewhere.run(there)
    assert _native.current_span() is inner
    _native.deactivate(token)
    assert _native.current_span() is None
    inner.end()
    outer.end()
    agent()


def test_a_flush_does_not_wait_for_the_next_attempt(agent, sink):
    """After some refusals the pause is seconds long; a flush tries at once."""
    sink.refusals[:] = [503] * 5
    tracer.start_span("waits").end()
    deadline = time.monotonic() + 20
    while sink.refusals and time.monotonic() < deadline:
        began = time.monotonic()
        _native.flush(50)
    assert not sink.refusals
    assert _native.flush(5_000)
    assert time.monotonic() - began < 2
    assert _native.stats()["retries"] >= 5


def test_forks_while_settings_and_scopes_are_in_use(run, sink):
    source = """
import os, signal, threading, pitviper
from pitviper import _native
stop = False
def settings(number):
    while not stop:
        pitviper.init(service="program")
def scopes(number):
    while not stop:
        _native.set_scope_version(f"scope.{number}", "1")
        _native.finish_leaf("busy", 1, 1, None, None, f"scope.{number}")
threads = [threading.Thread(target=work, args=(n,)) for n in range(3) for work in (settings, scopes)]
for thread in threads: thread.start()
for number in range(40):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # A lock nobody can release would keep the child for ever.
        _native.finish_leaf("forked", 1, 1, None, None, "scope.of.child")
        _native.set_scope_version("scope.of.child", "1")
        os._exit(0 if pitviper.flush(10) else 1)
    assert os.waitpid(pid, 0)[1] == 0, number
stop = True
for thread in threads: thread.join()
"""
    done = run(source, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert done.returncode == 0, done.stderr
    assert sum(span.name == "forked" for span in sink.spans) == 40


def test_spans_may_be_shared_between_threads(agent):
    span = tracer.start_span("shared")
    threads = [
        threading.Thread(target=lambda n=n: [span.set_attribute(f"key.{n}", i) for i in range(1_000)]) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    span.end()
    for thread in threads:
        thread.join()
    assert not span.is_recording()
    assert len(agent()) == 1


def test_threads_own_variables_fit_where_they_are_found_fast():
    # The C library has so much room beside a thread's first memory for libraries that are loaded later. What does not
    # fit is found by a call instead of two instructions, which each allocation feels that is watched.
    room = 512
    with open(_native.__file__, "rb") as file:
        header = file.read(64)
        assert header[:5] == b"\x7fELF\x02"
        (table,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        file.seek(table)
        segments = [struct.unpack_from("<IIQQQQQQ", file.read(size)) for _ in range(count)]
    of_threads = 7
    assert sum(segment[6] for segment in segments if segment[0] == of_threads) in range(1, room + 1)
