"""The exporter: counting, retrying, forks, the end of the process."""

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from pitviper import _native, tracer


def settled(stats):
    dropped = sum(value for key, value in stats.items() if key.startswith("dropped_"))
    return stats["started"] == stats["exported"] + stats["sampled_out"] + dropped + stats["pending"]


def test_every_span_has_one_outcome(agent):
    before = _native.stats()
    for number in range(5_000):
        tracer.start_span(f"span {number % 10}").end()
    assert len(agent()) == 5_000
    after = _native.stats()
    assert after["exported"] - before["exported"] == 5_000
    assert settled(after), after


def test_a_busy_receiver_is_asked_again(agent, sink):
    sink.refusals = [503, 429]
    tracer.start_span("persistent").end()
    assert [span.name for span in agent()] == ["persistent"]


def test_a_refused_request_is_dropped_and_counted(agent, sink):
    before = _native.stats()["dropped_export_failed"]
    sink.refusals = [400]
    tracer.start_span("refused").end()
    agent()
    assert _native.stats()["dropped_export_failed"] == before + 1


def test_the_connection_is_kept(agent, sink):
    for number in range(3):
        tracer.start_span(f"batch {number}").end()
        agent()
    assert len(sink.requests) == 3
    assert sink.requests[0]["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("compression", ["gzip", "none"])
def test_compression(run, sink, compression):
    source = "import pitviper\nfor _ in range(100): pitviper.tracer.start_span('s').end()\n"
    assert run(source, PITVIPER_COMPRESSION=compression).returncode == 0
    sink.wait_for(100)
    assert sink.requests[0].get("content-encoding") == (compression if compression != "none" else None)


def test_exit_sends_what_waits(run, sink):
    done = run("import pitviper\npitviper.tracer.start_span('last words').end()\n", OTEL_BSP_SCHEDULE_DELAY="60000")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [span.name for span in sink.wait_for(1)] == ["last words"]


def test_a_server_that_is_away_costs_one_line(run):
    began = time.monotonic()
    source = """
import pitviper, time
for number in range(40_000):
    pitviper.tracer.start_span('unheard').end()
time.sleep(1)
from pitviper._native import stats
print(stats()['dropped_queue_full'] > 0, stats()['pending'] <= 16_384 + 2_048)
"""
    done = run(source, PITVIPER_ENDPOINT="http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (0, "True True\n")
    assert len(done.stderr.splitlines()) == 1 and "127.0.0.1:9" in done.stderr
    assert time.monotonic() - began < 10


def test_a_forked_child_reports_itself(agent, sink):
    with tracer.start_as_current_span("parent") as parent:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                with tracer.start_as_current_span("child"):
                    pass
                parent.end()  # The parent's span is the parent's to send.
                status = 0 if _native.flush(10_000) and _native.stats()["started"] == 1 else 2
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
    spans = agent()
    assert sorted(span.name for span in spans) == ["child", "parent"]
    child = next(span for span in spans if span.name == "child")
    mother = next(span for span in spans if span.name == "parent")
    assert child.parent == mother.span_id
    assert child.resource["process.pid"] == pid
    assert child.resource["service.instance.id"] != mother.resource["service.instance.id"]
    assert child.span_id != mother.span_id


def test_forks_while_threads_are_busy(run, sink):
    source = """
import os, threading, pitviper
stop = False
def busy():
    while not stop:
        pitviper.tracer.start_span('busy').end()
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
for number in range(30):
    pid = os.fork()
    if pid == 0:
        pitviper.tracer.start_span('forked').end()
        os._exit(0 if pitviper.flush(10) else 1)
    assert os.waitpid(pid, 0)[1] == 0, number
stop = True
for thread in threads: thread.join()
"""
    done = run(source, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert done.returncode == 0, done.stderr
    assert sum(span.name == "forked" for span in sink.spans) == 30


def _child_work(number):
    with tracer.start_as_current_span(f"work {number}"):
        return number


def test_multiprocessing_children_flush(run, sink):
    source = """
import multiprocessing, pitviper
def work(number):
    pitviper.tracer.start_span(f'work {number}').end()
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    children = [context.Process(target=work, args=(number,)) for number in range(3)]
    for child in children: child.start()
    for child in children: child.join()
"""
    done = run(source, OTEL_BSP_SCHEDULE_DELAY="60000")
    assert done.returncode == 0, done.stderr
    assert sorted(span.name for span in sink.wait_for(3)) == ["work 0", "work 1", "work 2"]


def test_no_thread_before_the_first_span(run):
    done = run("import os\nprint(len(os.listdir('/proc/self/task')))\n")
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_disabled_records_nothing(run, sink):
    done = run("import pitviper\nprint(pitviper.tracer.start_span('x').is_recording())\n", PITVIPER_ENABLED="false")
    assert done.stdout == "False\n"
    assert sink.spans == []


def test_spawned_children_are_traced_too(run, sink):
    source = f"""
import subprocess
subprocess.run([{sys.executable!r}, '-c', 'import pitviper; pitviper.tracer.start_span("grandchild").end()'], check=True)
"""
    assert run(source).returncode == 0
    assert [span.name for span in sink.wait_for(1)] == ["grandchild"]


def test_multiprocessing_start_methods_work():
    # In this process, which runs the exporter: the child must neither hang nor inherit it.
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        assert pool.map(_child_work, range(4)) == [0, 1, 2, 3]


@pytest.mark.parametrize("variables", [{}, {"DD_SERVICE": "shop", "OTEL_SERVICE_NAME": "shop"}], ids=["bare", "named"])
def test_imports_stay_cheap(variables):
    source = "import sys; before = set(sys.modules); import pitviper.auto; print(*sorted(set(sys.modules) - before))"
    environ = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", source], env=environ, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    # A count and names, because time depends on the machine. Each of these takes as long as a tenth of the agent, or
    # as the whole of it; most applications load them anyway, but small ones do not.
    assert len(loaded) < 60, loaded
    costly = "asyncio contextlib enum importlib.metadata inspect json logging platform re typing urllib.request"
    assert not loaded & set(costly.split())


def test_the_command_loads_nothing_of_the_agent():
    source = "import sys, pitviper.cli; print(*sorted(name for name in sys.modules if name.startswith('pitviper')))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pitviper", "pitviper.cli"]
