"""Work that goes on elsewhere: in executors and tasks by default, in threads, queues and processes when asked."""

import asyncio
import contextvars
import gc
import threading
import weakref
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from sink import tree

from pitviper import _native, tracer


def by_name(spans):
    return {span.name: span for span in spans}


def work(name):
    with tracer.start_as_current_span(name):
        return name


def test_a_thread_pool_continues_the_trace(agent):
    with ThreadPoolExecutor(2) as pool, tracer.start_as_current_span("request"):
        assert pool.submit(work, "one").result() == "one"
        assert list(pool.map(work, ["two", "three"])) == ["two", "three"]
        assert pool.submit(fn, a=1).result() == {"a": 1}
    assert sorted(map(str, tree(agent())[0][1:])) == ["['internal one']", "['internal three']", "['internal two']"]


def fn(**kwargs):
    return kwargs


def test_a_pools_thread_inherits_nothing(agent):
    with ThreadPoolExecutor(1) as pool:
        with tracer.start_as_current_span("request"):
            pool.submit(work, "first").result()
        assert pool.submit(_native.current_span).result() is None
        pool.submit(work, "second").result()
    assert tree(agent()) == [["internal request", ["internal first"]], ["internal second"]]


def test_work_that_starts_after_the_request_is_linked_to_it(agent):
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        with tracer.start_as_current_span("request"):
            pool.submit(gate.wait)
            late = pool.submit(work, "late")
        gate.set()
        late.result()
    spans = by_name(agent())
    assert tree(list(spans.values())) == [
        ["internal request"],
        ["internal test_linking.work", ["internal late"]],
    ]
    assert spans["test_linking.work"].links == [spans["request"].span_id]
    assert spans["test_linking.work"].trace_id != spans["request"].trace_id
    assert spans["test_linking.work"].attributes["code.function.name"] == "test_linking.work"


def test_a_span_after_the_end_of_its_parent_is_linked(agent):
    span = tracer.start_span("request")
    token = _native.activate(span)
    work("inside")
    span.end()
    work("after")
    _native.finish_leaf("leaf", 3, _native.now())
    _native.deactivate(token)
    spans = by_name(agent())
    assert tree(list(spans.values())) == [
        ["internal request", ["internal inside"]],
        ["internal after"],
        ["client leaf"],
    ]
    assert spans["after"].links == spans["leaf"].links == [spans["request"].span_id]


def test_a_job_that_fails_after_the_request_says_so(agent):
    gate = threading.Event()

    def fail():
        gate.wait()
        raise LookupError("gone")

    with ThreadPoolExecutor(1) as pool:
        with tracer.start_as_current_span("request"):
            running = pool.submit(gate.wait)
            late = pool.submit(fail)
        gate.set()
        running.result()
        with pytest.raises(LookupError, match="gone"):
            late.result()
    failed = [span for span in agent() if span.name.endswith("fail")]
    assert [(span.status, span.attributes["error.type"]) for span in failed] == [("error", "LookupError")]


def test_nothing_of_a_job_stays_alive(agent):
    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    span = tracer.start_span("request")
    span_gone = weakref.ref(span)
    with ThreadPoolExecutor(1) as pool:
        token = _native.activate(span)
        future = pool.submit(id, argument)
        _native.deactivate(token)
        future.result()
        span.end()
        del span, token, argument
        pool.submit(int).result()
        gc.collect()
        assert gone() is None
        assert span_gone() is None
    agent()


def test_asyncio_executors_threads_and_tasks(agent):
    async def main():
        loop = asyncio.get_running_loop()
        with tracer.start_as_current_span("request"):
            await loop.run_in_executor(None, work, "executor")
            # asyncio.to_thread, which Python 3.8 did not have, in the words of its source.
            context = contextvars.copy_context()
            await loop.run_in_executor(None, context.run, work, "thread")
            await asyncio.to_thread(work, "to_thread")
            await asyncio.gather(*(asyncio.create_task(task(f"task {number}")) for number in range(2)))

    async def task(name):
        with tracer.start_as_current_span(name):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert tree(agent()) == [
        [
            "internal request",
            ["internal executor"],
            ["internal thread"],
            ["internal to_thread"],
            ["internal task 0"],
            ["internal task 1"],
        ]
    ]


def test_a_task_that_outlives_the_request_does_not_lengthen_its_trace(agent):
    async def background(gate):
        work("early")
        await gate.wait()
        work("late")

    async def main():
        gate = asyncio.Event()
        with tracer.start_as_current_span("request"):
            task = asyncio.create_task(background(gate))
            await asyncio.sleep(0)
        gate.set()
        await task

    asyncio.run(main())
    spans = by_name(agent())
    assert tree(list(spans.values())) == [["internal request", ["internal early"]], ["internal late"]]
    assert spans["late"].links == [spans["request"].span_id]


def test_who_is_not_sampled_stays_unsampled_everywhere(run, sink):
    source = """
import concurrent.futures, pitviper
from pitviper import tracer
def job():
    with tracer.start_as_current_span("job"): pass
with concurrent.futures.ThreadPoolExecutor(1) as pool:
    with tracer.start_as_current_span("request"):
        pool.submit(job).result()
        late = pool.submit(job)
    late.result()
print(pitviper._native.stats()["sampled_out"])
"""
    done = run(source, PITVIPER_SAMPLE_RATE="0")
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_a_process_pool_continues_the_trace(run, sink):
    source = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from pitviper import tracer
def job(name):
    with tracer.start_as_current_span(name): return name
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool:
            with tracer.start_as_current_span(method):
                print(pool.submit(job, "submitted").result(), *pool.map(job, ["mapped"]))
            pool.submit(job, "alone").result()
"""
    done = run(source)
    assert (done.stdout, done.stderr) == ("submitted mapped\n" * 3, "")
    job = [["internal submitted"], ["internal mapped"]]
    assert sorted(tree(sink.wait_for(12))) == [
        *[["internal alone"]] * 3,
        ["internal fork", *job],
        ["internal forkserver", *job],
        ["internal spawn", *job],
    ]


def test_a_process_pools_exceptions_and_kinds_of_work_pass(agent):
    with ProcessPoolExecutor(1) as pool, tracer.start_as_current_span("request"):
        with pytest.raises(ValueError, match="invalid literal"):
            pool.submit(int, "x").result()
        with pytest.raises(TypeError):
            pool.submit()
    agent()


THREADS = """
import logging.handlers, queue, threading, time
from concurrent.futures import ThreadPoolExecutor
from pitviper import _native, tracer
def work(name):
    with tracer.start_as_current_span(name): pass
class Own(threading.Thread):
    def run(self): work("overridden")
gate = threading.Event()
def late():
    gate.wait(); work("late")
with tracer.start_as_current_span("request"):
    thread = threading.Thread(target=work, args=("target",)); thread.start(); thread.join()
    own = Own(); own.start(); own.join()
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    listener = logging.handlers.QueueListener(queue.Queue()); listener.start(); listener.stop()
    waiting = threading.Thread(target=late); waiting.start()
    try: thread.start()
    except RuntimeError as error: print(error)
gate.set(); waiting.join()
threading.Thread(target=work, args=("alone",)).start()
pool.submit(work, "pooled alone").result()
print([key for key in vars(thread) if "pitviper" in key], _native.current_span())
"""


# Whether threads inherit a context, as Python 3.14 can, says nothing of spans.
@pytest.mark.parametrize("inherit", ["0", "1"])
@pytest.mark.parametrize("variable", ["PITVIPER_THREADING_LINKING", "PITVIPER_LINKING"])
def test_threads_are_linked_when_asked(run, sink, variable, inherit):
    done = run(THREADS, **{variable: "true", "PYTHON_THREAD_INHERIT_CONTEXT": inherit})
    assert (done.stdout, done.stderr) == ("threads can only be started once\n[] None\n", "")
    spans = by_name(sink.wait_for(6))
    assert tree(list(spans.values())) == [
        ["internal request", ["internal target"], ["internal overridden"]],
        ["internal late"],
        *sorted([["internal alone"], ["internal pooled alone"]], key=lambda node: spans[node[0][9:]].start_ns),
    ]
    assert spans["late"].links == [spans["request"].span_id]
    assert spans["alone"].links == spans["pooled alone"].links == []


@pytest.mark.parametrize("inherit", ["0", "1"])
def test_threads_are_not_linked_by_default(run, sink, inherit):
    assert run(THREADS, PYTHON_THREAD_INHERIT_CONTEXT=inherit).stderr == ""
    assert all(node[1:] == [] for node in tree(sink.wait_for(6)))


QUEUES = """
import gc, queue, threading, weakref
from pitviper import _native, tracer
def work(name):
    with tracer.start_as_current_span(name): pass
class Item:
    def __init__(self, name): self.name = name
def consume(queue, count):
    for _ in range(count):
        item = queue.get(); work(item.name); queue.task_done()
    work("unrelated")
def run(tasks, count):
    thread = threading.Thread(target=consume, args=(tasks, count)); thread.start(); thread.join()

shared = queue.Queue()
for name in "ab":
    with tracer.start_as_current_span(name):
        shared.put(Item(name + "1")); work(name + "0"); shared.put(Item(name + "2"))
        if name == "b": run(shared, 3)  # a has ended, b is open
shared.put(Item("nobody's"))
run(shared, 2)
last = queue.LifoQueue()
for name in "cd":
    with tracer.start_as_current_span(name): last.put(Item(name + "1"))
run(last, 2)
first = queue.PriorityQueue()
with tracer.start_as_current_span("e"):
    first.put((2, "x")); first.put((1, "y"))
assert first.get() == (1, "y") and _native.current_span() is None

class Mine(queue.Queue):
    def _put(self, item): self.queue.appendleft(item)
mine = Mine()
with tracer.start_as_current_span("f"): mine.put("x")
assert mine.get() == "x" and _native.current_span() is None

# Who has a span of its own keeps it.
answers = queue.Queue()
with tracer.start_as_current_span("worker"): answers.put("answer")
with tracer.start_as_current_span("asker"):
    assert answers.get() == "answer"
    work("continued")

# Readers of q.queue see the items, and may take them away.
odd = queue.Queue()
with tracer.start_as_current_span("g"): odd.put(1); odd.put(2)
assert list(odd.queue) == [1, 2]
odd.queue.clear()
odd.put(3)
assert odd.get() == 3 and _native.current_span() is None

item = Item("kept"); gone = weakref.ref(item)
span = tracer.start_span("h"); span_gone = weakref.ref(span)
token = _native.activate(span); answers.put(item); _native.deactivate(token); span.end(); del span, token
del item; answers.get(); answers.task_done(); gc.collect()
print(gone(), span_gone(), _native.current_span())
"""


def test_queues_are_linked_when_asked(run, sink):
    done = run(QUEUES, PITVIPER_QUEUE_LINKING="true", PITVIPER_TESTING_RAISE="1")
    assert (done.stdout, done.stderr) == ("None None None\n", "")
    spans = sink.wait_for(21)
    named = {span.name: span for span in spans if span.name != "unrelated"}
    roots = tree([span for span in spans if span.name != "unrelated"])
    assert sorted(roots) == sorted(
        [
            ["internal a", ["internal a0"]],
            ["internal a1"],
            ["internal a2"],
            ["internal b", ["internal b0"], ["internal b1"]],
            ["internal b2"],
            ["internal nobody's"],
            ["internal c"],
            ["internal d"],
            ["internal d1"],
            ["internal c1"],
            ["internal e"],
            ["internal f"],
            ["internal worker"],
            ["internal asker", ["internal continued"]],
            ["internal g"],
            ["internal h"],
        ]
    )
    for late, owner in (("a1", "a"), ("a2", "a"), ("b2", "b"), ("d1", "d"), ("c1", "c")):
        assert named[late].links == [named[owner].span_id]
    unrelated = [span for span in spans if span.name == "unrelated"]
    assert [(span.parent, span.links) for span in unrelated] == [("", [])] * 3


def test_queues_are_not_linked_by_default(run, sink):
    assert run(QUEUES, PITVIPER_TESTING_RAISE="1").stderr == ""
    assert not any(span.links for span in sink.wait_for(21))


CHILDREN = """
import asyncio, os, subprocess, sys
from pitviper import tracer
child = "from pitviper import tracer; tracer.start_span(__import__('sys').argv[1]).end(); " \\
    "tracer.start_span('served', kind=2).end(); print(__import__('os').environ.get('MINE'))"
before = dict(os.environ)
with tracer.start_as_current_span("request"):
    subprocess.run([sys.executable, "-c", child, "plain"], check=True)
    given = {**os.environ, "MINE": "yes", "TRACEPARENT": "stale"}
    subprocess.run([sys.executable, "-c", child, "environ"], env=given, check=True)
    assert given["TRACEPARENT"] == "stale"
    async def main():
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", child, "async")
        await process.wait()
    asyncio.run(main())
subprocess.run([sys.executable, "-c", child, "alone"], check=True)
assert dict(os.environ) == before
"""


def test_child_processes_are_linked_when_asked(run, sink):
    done = run(CHILDREN, PITVIPER_SUBPROCESS_LINKING="true")
    assert (done.stdout, done.stderr) == ("None\nyes\nNone\nNone\n", "")
    trees = tree(sink.wait_for(9))
    assert sorted(trees) == [
        ["internal alone"],
        ["internal request", ["internal plain"], ["internal environ"], ["internal async"]],
        *[["server served"]] * 4,
    ]


def test_child_processes_are_not_linked_by_default(run, sink):
    assert run(CHILDREN).stderr == ""
    assert all(node[1:] == [] for node in tree(sink.wait_for(9)))


PROCESSES = """
import multiprocessing, multiprocessing.pool, sys
from pitviper import tracer
def job(name):
    with tracer.start_as_current_span(name): return name
class Own(multiprocessing.Process):
    def run(self): job("own")
if __name__ == "__main__":
    for method in sys.argv[1:]:
        context = multiprocessing.get_context(method)
        with tracer.start_as_current_span(method):
            process = context.Process(target=job, args=("process",)); process.start(); process.join()
            if method == "fork":
                process = Own(); process.start(); process.join()
            pool = context.Pool(1)
            assert pool.apply(job, ("applied",)) == "applied"
            assert pool.map(job, ["mapped"]) == list(pool.imap(job, ["mapped"])) == ["mapped"]
        pool.apply(job, ("alone",))
        pool.close(); pool.join()
    with tracer.start_as_current_span("threads"), multiprocessing.pool.ThreadPool(1) as pool:
        pool.apply(job, ("thread",))
"""


def test_multiprocessing_is_linked_when_asked(run, sink):
    done = run(PROCESSES, "fork", "spawn", "forkserver", PITVIPER_MULTIPROCESSING_LINKING="true")
    assert done.stderr == ""
    pooled = [["internal applied"], ["internal mapped"], ["internal mapped"]]
    assert sorted(tree(sink.wait_for(21))) == [
        *[["internal alone"]] * 3,
        ["internal fork", ["internal process"], ["internal own"], *pooled],
        ["internal forkserver", ["internal process"], *pooled],
        ["internal spawn", ["internal process"], *pooled],
        ["internal threads", ["internal thread"]],
    ]


def test_a_pools_workers_never_inherit_the_request(run, sink):
    assert run(PROCESSES, "fork").stderr == ""
    assert all(node[1:] == [] for node in tree(sink.wait_for(9)))


def test_a_linked_process_hands_the_trace_on_to_its_threads(run, sink):
    source = """
import concurrent.futures, subprocess, sys
from pitviper import tracer
child = "import concurrent.futures; from pitviper import tracer; " \\
    "concurrent.futures.ThreadPoolExecutor(1).submit(lambda: tracer.start_span('pooled').end()).result()"
with tracer.start_as_current_span("request"):
    subprocess.run([sys.executable, "-c", child], check=True)
"""
    assert run(source, PITVIPER_LINKING="true").stderr == ""
    assert tree(sink.wait_for(2)) == [["internal request", ["internal pooled"]]]


def test_uninstalled_pools_run_what_was_submitted(run, sink):
    source = """
import concurrent.futures, threading
from pitviper import tracer
from pitviper.instrument import engine
gate = threading.Event()
pool = concurrent.futures.ThreadPoolExecutor(1)
with tracer.start_as_current_span("request"):
    waiting = pool.submit(gate.wait)
    late = pool.submit(lambda: "done")
    engine.uninstall()
    assert "linked" not in repr(concurrent.futures.ThreadPoolExecutor.submit)
    assert not hasattr(concurrent.futures.ThreadPoolExecutor.submit, "__wrapped__")
    gate.set()
    print(late.result(), pool.submit(int).result())
"""
    done = run(source)
    assert (done.stdout, done.stderr) == ("done 0\n", "")


def test_a_disabled_integration_links_nothing(run, sink):
    source = """
import concurrent.futures
from pitviper import tracer
with tracer.start_as_current_span("request"):
    concurrent.futures.ThreadPoolExecutor(1).submit(lambda: tracer.start_span("job").end()).result()
"""
    assert run(source, PITVIPER_INTEGRATIONS_DISABLED="futures").stderr == ""
    assert sorted(tree(sink.wait_for(2))) == [["internal job"], ["internal request"]]
