"""Threads that do the same at the same time, with an interpreter lock and without, and forks among them."""

import os
import subprocess
import sys
from collections import Counter

_THREADS = """
import threading
def together(work, count=8):
    barrier = threading.Barrier(count)
    failed = []
    def run(number):
        barrier.wait()
        try:
            work(number)
        except BaseException as error:
            failed.append(repr(error))
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert not failed, failed
"""


def alone(source, sink, tmp_path, **environ):
    """Runs a program that starts the agent itself, later than ``pitviper run`` would."""
    program = tmp_path / "program.py"
    program.write_text(source)
    variables = {
        **os.environ,
        "PITVIPER_ENDPOINT": sink.endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "PYTHONWARNINGS": "ignore::DeprecationWarning",
        **environ,
    }
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, env=variables, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_nested_spans_of_eight_threads(run, sink):
    source = (
        _THREADS
        + """
import time
import pitviper
from pitviper import _native
def work(number):
    for round in range(250):
        with pitviper.tracer.start_as_current_span(f"outer {number}") as outer:
            outer.set_attribute("round", round)
            with pitviper.tracer.start_as_current_span(f"middle {number}"):
                with pitviper.tracer.start_as_current_span(f"inner {number}") as inner:
                    inner.add_event("here", {"round": round})
                _native.finish_leaf(f"leaf {number}", 3, time.time_ns(), {"number": number}, None, "threads")
    assert _native.current_span() is None
together(work)
assert pitviper.flush(20)
stats = _native.stats()
assert stats["started"] == stats["exported"] == 8 * 250 * 4, stats
"""
    )
    done = run(source)
    assert (done.returncode, done.stderr) == (0, "")
    names = Counter(span.name for span in sink.spans)
    assert names == {f"{kind} {number}": 250 for kind in ("outer", "middle", "inner", "leaf") for number in range(8)}
    by_id = {span.span_id: span for span in sink.spans}
    assert len(by_id) == len(sink.spans)
    above = Counter((span.name, by_id[span.parent].name if span.parent else "") for span in sink.spans)
    for number in range(8):
        assert above[f"outer {number}", ""] == 250
        assert above[f"middle {number}", f"outer {number}"] == 250
        assert above[f"inner {number}", f"middle {number}"] == 250
        assert above[f"leaf {number}", f"middle {number}"] == 250
    rounds = Counter((span.name, span.attributes["round"]) for span in sink.spans if span.name.startswith("outer"))
    assert set(rounds.values()) == {1}


def test_a_span_that_threads_share_loses_nothing(run, sink):
    source = (
        _THREADS
        + """
import pitviper
for round in range(50):
    with pitviper.tracer.start_as_current_span("shared") as shared:
        def work(number):
            for step in range(10):
                shared.set_attribute(f"{number}.{step}", step)
                shared.add_event(f"{number}.{step}")
                pitviper.tracer.start_span("child", parent=shared).end()
                assert shared.is_recording() and not shared.is_ended()
        together(work)
# Whoever ends it first; it is sent once.
for round in range(50):
    span = pitviper.tracer.start_span("ended")
    together(lambda number: (span.set_attribute(str(number), number), span.end()))
    assert span.is_ended() and not span.is_recording()
assert pitviper.flush(20)
"""
    )
    done = run(source)
    assert (done.returncode, done.stderr) == (0, "")
    names = Counter(span.name for span in sink.spans)
    assert names == {"shared": 50, "child": 50 * 80, "ended": 50}
    expected = {f"{number}.{step}" for number in range(8) for step in range(10)}
    for span in sink.spans:
        if span.name == "shared":
            assert set(span.attributes) == expected
            assert {name for name, _ in span.events} == expected


def test_attributes_that_another_thread_changes(run, sink):
    source = (
        _THREADS
        + """
import logging
import pitviper
attributes = {str(number): number for number in range(20)}
ended = threading.Event()
def change():
    number = 0
    while not ended.is_set():
        number += 1
        attributes[f"more {number % 7}"] = number
        attributes.pop(f"more {(number + 3) % 7}", None)
changer = threading.Thread(target=change)
changer.start()
def work(number):
    for _ in range(200):
        pitviper.tracer.start_span("with", attributes=attributes).end()
together(work, 4)
ended.set()
changer.join()
assert pitviper.flush(20)
"""
    )
    done = run(source)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.spans) == 800
    assert all({str(number) for number in range(20)} <= set(span.attributes) for span in sink.spans)


def test_a_fork_whose_other_hooks_wait_for_threads(sink, tmp_path):
    # Our hook holds our locks from before until after the fork. Another's hook, or the interpreter, waits
    # meanwhile until the other threads stand still: they must not stand in our locks with the interpreter.
    source = (
        _THREADS
        + """
import os, time
# Registered before ours, so it runs after: it lets other threads go on.
os.register_at_fork(before=lambda: time.sleep(0.01))
import pitviper.auto
from pitviper import _native
ended = threading.Event()
made = [0] * 4
def busy(number):
    while not ended.is_set():
        with pitviper.tracer.start_as_current_span("busy"):
            _native.finish_leaf("leaf", 3, 1, None, None, f"scope {number}")
        made[number] += 1
def fork(number):
    if number < 4:
        return busy(number)
    for _ in range(20):
        before = sum(made)
        pid = os.fork()
        if pid == 0:
            pitviper.tracer.start_span("forked").end()
            os._exit(0 if pitviper.flush(20) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        while sum(made) == before:
            time.sleep(0.001)
    ended.set()
together(fork, 5)
assert pitviper.flush(20)
stats = _native.stats()
assert stats["started"] == 2 * sum(made), (stats, made)
assert stats["exported"] + stats["dropped_queue_full"] == stats["started"], stats
"""
    )
    alone(source, sink, tmp_path)
    # One that a busy receiver did not answer in time is sent again.
    assert len({span.span_id for span in sink.spans if span.name == "forked"}) == 20


def test_traced_calls_in_hooks_of_a_fork(sink, tmp_path):
    # Hooks run before our locks are taken and after they are given back: what they make is kept.
    source = """
import os
def call():
    from pitviper import _native
    _native.finish_leaf("call", 3, 1, None, None, f"scope {os.getpid()}")
os.register_at_fork(before=call, after_in_parent=call, after_in_child=call)
import pitviper.auto
pid = os.fork()
if pid == 0:
    pitviper.tracer.start_span("child").end()
    os._exit(0 if pitviper.flush(20) else 1)
assert os.waitpid(pid, 0)[1] == 0
pitviper.tracer.start_span("parent").end()
assert pitviper.flush(20)
"""
    alone(source, sink, tmp_path)
    assert sorted(span.name for span in sink.spans) == ["call", "call", "call", "child", "parent"]


def test_the_interpreter_lock_stays_as_it_is(run):
    # A module that does not say that it can do without switches the lock on for all.
    source = """
import sys
print(getattr(sys, "_is_gil_enabled", lambda: True)(), "pitviper" in sys.modules)
"""
    plain = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert run(source).stdout.split() == [plain.stdout.split()[0], "True"]
