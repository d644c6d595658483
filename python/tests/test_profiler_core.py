"""The sampler: what threads do is found where it is, and what they wait for."""

import asyncio
import collections
import concurrent.futures
import os
import select
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from typing import Optional

import pytest
from sampled import LIMIT_S, Sample, Sampler, spin, threads

from pitviper import _native


@pytest.fixture
def sampler() -> "Iterator[Sampler]":
    assert _native.profiler_start(rate_hz=200.0, budget=1.0) is None
    yield Sampler()
    _native.profiler_stop()
    assert _native.profiler_figures()["running"] is False


def test_it_finds_what_the_interpreter_says_of_itself() -> None:
    def inner(depth: int) -> "Optional[str]":
        return inner(depth - 1) if depth else _native.profiler_start()

    def generator() -> "Iterator[Optional[str]]":
        yield inner(20)

    assert next(generator()) is None
    _native.profiler_stop()
    # However the code came to be, with any name and on any line.
    made = compile(
        "\n" * 300 + "def é\u0416\U00020000():\n    return start()\nresult = é\u0416\U00020000()", "\u4e2d.py", "exec"
    )
    names: dict[str, object] = {"start": _native.profiler_start}
    exec(made, names)
    assert names["result"] is None
    _native.profiler_stop()


def small() -> None:
    spin(0.003)


def large() -> None:
    spin(0.009)


def test_cpu_time_is_where_it_was_used(sampler: Sampler) -> None:
    assert _native.profiler_start(rate_hz=1_000.0, budget=1.0) is None
    used = 0.0

    def work() -> None:
        nonlocal used
        for _ in range(80):
            small()
            large()
        used = time.thread_time()

    with threads(("worker", work)):
        pass
    samples = [sample for sample in sampler.take(last=True) if sample.thread == "worker" or "work" in sample.functions]
    by_function: collections.Counter[str] = collections.Counter()
    for sample in samples:
        for name in ("small", "large"):
            if name in sample.functions:
                by_function[name] += sample.cpu_ns
    total = sum(sample.cpu_ns for sample in samples)
    # All of it is there, and a quarter of it in the function that used a quarter.
    assert 0.9 * used < total / 1e9 < 1.1 * used
    assert 0.15 < by_function["small"] / sum(by_function.values()) < 0.35, by_function


def waiting_in(state: str, *functions: str) -> "Callable[[list[Sample]], bool]":
    """Whether a thread was found waiting so in each of these functions for most of some time."""

    def done(samples: "list[Sample]") -> bool:
        for function in functions:
            waits: collections.Counter[str] = collections.Counter()
            for sample in samples:
                if function in sample.functions:
                    waits[sample.state] += sample.wall_ns
            if waits[state] < 100_000_000 or waits[state] < 0.8 * sum(waits.values()):
                return False
        return True

    return done


def test_what_threads_wait_for(sampler: Sampler) -> None:
    lock, over = threading.Lock(), threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    one, other = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.submit(len, "").result()
    lock.acquire()

    def takes_lock() -> None:
        lock.acquire()

    def waits_for_event() -> None:
        over.wait()

    def sleeps() -> None:
        while not over.is_set():
            time.sleep(0.5)

    def receives() -> None:
        one.recv(1)

    def receives_in_time() -> None:
        with socket.create_connection(listener.getsockname(), timeout=10 * LIMIT_S) as connection:
            connection.recv(1)

    def reads_pipe() -> None:
        os.read(reading, 1)

    def waits_for_child() -> None:
        child.wait()

    def runs_loop() -> None:
        async def until_over() -> None:
            loops.append((asyncio.get_running_loop(), asyncio.Event()))
            await loops[0][1].wait()

        asyncio.run(until_over())

    def selects() -> None:
        select.select([other], [], [])

    bodies = [
        takes_lock,
        waits_for_event,
        sleeps,
        receives,
        receives_in_time,
        reads_pipe,
        waits_for_child,
        runs_loop,
        selects,
    ]
    with threads(*((body.__name__, body) for body in bodies)):
        accepted, _ = listener.accept()
        try:
            sampler.until(waiting_in("lock", "takes_lock", "waits_for_event"))
            sampler.until(waiting_in("sleep", "sleeps"))
            sampler.until(waiting_in("network", "receives", "receives_in_time", "selects"))
            sampler.until(waiting_in("other", "reads_pipe"))
            sampler.until(waiting_in("child", "waits_for_child"))
            sampler.until(waiting_in("idle", "_run_once", "_worker"))
        finally:
            over.set()
            lock.release()
            loops[0][0].call_soon_threadsafe(loops[0][1].set)
            other.send(b"x")
            one.send(b"x")
            accepted.send(b"x")
            os.write(writing, b"x")
            child.communicate()
    pool.shutdown()
    for file in (one, other, accepted, listener):
        file.close()
    os.close(reading)
    os.close(writing)


def test_who_waits_for_the_interpreter(sampler: Sampler) -> None:
    over = threading.Event()

    def spins() -> None:
        while not over.is_set():
            spin(0.01)

    def half_waits(samples: "list[Sample]") -> bool:
        states: collections.Counter[str] = collections.Counter()
        for sample in samples:
            if "spins" in sample.functions:
                states[sample.state] += sample.wall_ns
        # Of three one runs. A processor that others use as well makes the one that does wait too.
        return states["gil"] > 500_000_000 and states["gil"] > 0.4 * sum(states.values())

    with threads(*((f"spinner {number}", spins) for number in range(3))):
        try:
            samples = sampler.until(half_waits)
        finally:
            over.set()
    assert {sample.thread for sample in samples} >= {"MainThread", "spinner 0", "spinner 1", "spinner 2"}


#: Functions that call each other a lot, and which calls there are.
CHURN = """
def f{0}(depth):
    if depth:
        f{1}(depth - 1)
        return f{2}(depth - 1)
    return depth
"""
CHURNING = 8


def test_no_stack_has_a_call_that_never_was(sampler: Sampler) -> None:
    wanted = int(os.environ.get("PITVIPER_PROFILER_SAMPLES", "600"))
    namespace: dict[str, Callable[[int], int]] = {}
    calls = {("churn", "f0"), ("run", "churn"), ("_bootstrap_inner", "run"), ("_bootstrap", "_bootstrap_inner")}
    for number in range(CHURNING):
        near, far = (number + 1) % CHURNING, (number + 3) % CHURNING
        exec(CHURN.format(number, near, far), namespace)
        calls |= {(f"f{number}", f"f{near}"), (f"f{number}", f"f{far}")}
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            namespace["f0"](7)

    def generators() -> None:
        def inner() -> "Iterator[int]":
            yield from range(5)

        def middle() -> "Iterator[int]":
            for _ in range(3):
                yield from inner()

        def outer() -> int:
            return sum(middle())

        while not over.is_set():
            outer()

    calls |= {("run", "generators"), ("generators", "outer"), ("outer", "middle"), ("middle", "inner")}
    # Before Python 3.12 these are functions of their own; the event is asked by both.
    calls |= {("churn", "is_set"), ("generators", "is_set")}
    assert _native.profiler_start(rate_hz=1_000.0, budget=1.0) is None
    walks = _native.profiler_figures()["walks"]
    with threads(("churn", churn), ("generators", generators)):
        deadline = time.monotonic() + LIMIT_S + wanted / 20
        while _native.profiler_figures()["walks"] < walks + wanted:
            assert time.monotonic() < deadline, _native.profiler_figures()
            time.sleep(0.1)
        over.set()
    found = [sample for sample in sampler.take(last=True) if {"churn", "generators"} & set(sample.functions)]
    assert len(found) > 20
    impossible = [
        (outer, inner)
        for sample in found
        for inner, outer in zip(sample.functions, sample.functions[1:])
        if (outer, inner) not in calls
    ]
    assert impossible == []
    assert {sample.functions[-1] for sample in found} == {"_bootstrap"}
    figures = _native.profiler_figures()
    assert figures["direct"] is True
    assert figures["torn"] + figures["unstable"] < 0.05 * figures["walks"], figures


def test_deep_stacks_keep_both_ends(sampler: Sampler) -> None:
    over = threading.Event()

    def deeper(levels: int) -> None:
        if levels:
            deeper(levels - 1)
        else:
            over.wait()

    def from_here() -> None:
        deeper(900)

    with threads(("deep", from_here)):
        try:
            samples = sampler.until(
                lambda samples: any(
                    "from_here" in sample.functions and "wait" in sample.functions for sample in samples
                )
            )
        finally:
            over.set()
    (found,) = {s.functions for s in samples if "wait" in s.functions and "from_here" in s.functions}
    assert found[-1] == "_bootstrap" and found[-4:-3] == ("from_here",)
    assert "<frames omitted>" in found and len(found) == 448 + 1 + 64


def test_lines_are_those_being_executed(sampler: Sampler) -> None:
    def waits() -> None:
        time.sleep(0.001)
        over.wait(
            LIMIT_S,
        )
        time.sleep(0.001)

    over, first = threading.Event(), waits.__code__.co_firstlineno
    with threads(("waits", waits)):
        try:
            sampler.until(waiting_in("lock", "waits"))
        finally:
            over.set()
    lines: collections.Counter[int] = collections.Counter()
    for sample in sampler.samples:
        if "waits" in sample.functions:
            lines[sample.lines[sample.functions.index("waits")] - first] += sample.wall_ns
    assert lines.most_common(1)[0][0] in (2, 3), lines


def test_threads_come_and_go(sampler: Sampler) -> None:
    def brief() -> None:
        spin(0.002)

    for _ in range(20):
        with threads(*((f"brief {number}", brief) for number in range(10))):
            pass
    sampler.take(last=True)
    figures = _native.profiler_figures()
    assert figures["torn"] == 0 and figures["dropped"] == 0
    assert figures["threads"] < 20
    # Files of threads that ended are not kept.
    kept = [name for name in os.listdir("/proc/self/fd") if "/task/" in _target(name)]
    assert len(kept) <= 2 * 20, kept


def _target(descriptor: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def run(program: str, status: int = 0) -> str:
    """What a program prints, which has the sampler."""
    # From Python 3.12 on a fork of a process with threads is warned of.
    done = subprocess.run(
        [sys.executable, "-Wignore::DeprecationWarning", "-c", textwrap.dedent(program)],
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == status, (done.returncode, done.stderr.decode())
    return done.stdout.decode() + done.stderr.decode()


def test_children_of_a_fork_are_sampled_anew() -> None:
    printed = run(
        """
        import os, threading, time
        from pitviper import _native

        assert _native.profiler_start(500.0, 1.0) is None
        os.register_at_fork(after_in_child=_native.profiler_resume)

        def wait(functions):
            end = time.monotonic() + 30
            while time.monotonic() < end:
                samples = _native.profiler_take()
                if any(functions <= {f for f, _, _ in frames} for frames, *_ in samples):
                    return samples
                time.sleep(0.01)
            raise SystemExit("no sample")

        def child_only():
            wait({"child_only"})

        def grandchild():
            wait({"grandchild"})

        children = []
        for _ in range(10):
            child = os.fork()
            if not child:
                child_only()
                assert len(os.listdir("/proc/self/task")) == 2
                inner = os.fork()
                if not inner:
                    grandchild()
                    os._exit(0)
                assert os.waitpid(inner, 0)[1] == 0
                os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 10

        def parent():
            samples = wait({"parent"})
            assert not any("child_only" in {f for f, _, _ in frames} for frames, *_ in samples)

        parent()
        # Without the hook there is no thread, and nothing of the parent's.
        print("fine")
        """
    )
    assert printed == "fine\n"


def test_a_child_that_does_not_sample_has_nothing() -> None:
    printed = run(
        """
        import os, time
        from pitviper import _native

        assert _native.profiler_start(500.0, 1.0, None, False) is None
        time.sleep(0.05)
        child = os.fork()
        if not child:
            _native.profiler_resume()
            assert len(os.listdir("/proc/self/task")) == 1
            assert _native.profiler_take() is None
            _native.profiler_stop()
            assert _native.profiler_start(500.0, 1.0) is None
            assert _native.profiler_take() is not None
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        _native.profiler_stop()
        assert len(os.listdir("/proc/self/task")) == 1
        print("fine")
        """
    )
    assert printed == "fine\n"


@pytest.mark.parametrize("order", ["before", "after", "never", "disabled", "after and disabled"])
def test_faults_of_the_application_stay_its_own(order: str) -> None:
    printed = run(
        f"""
        import ctypes, faulthandler, resource, time
        from pitviper import _native

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        order = {order!r}
        if order in ("before", "disabled"):
            faulthandler.enable()
        assert _native.profiler_start(500.0, 1.0) is None
        if order.startswith("after"):
            faulthandler.enable()
        if order == "disabled":
            faulthandler.disable()
        end = time.monotonic() + 30
        rounds = _native.profiler_figures()["rounds"]
        while _native.profiler_figures()["rounds"] < rounds + 20 and time.monotonic() < end:
            sum(range(10_000))
        # What was taken away, or covered by the interpreter, is ours again.
        assert _native.profiler_figures()["direct"] is True
        assert _native.profiler_take()
        if order == "after and disabled":
            faulthandler.disable()
        print("sampled", flush=True)
        ctypes.string_at(8)
        """,
        status=-11,
    )
    assert printed.startswith("sampled\n")
    assert printed.count("Fatal Python error: Segmentation fault") == (order in ("before", "after"))


def test_the_interpreter_ends_while_it_is_sampled() -> None:
    for _ in range(5):
        printed = run(
            """
            import sys, threading, time
            from pitviper import _native

            over = []
            def churn():
                while not over:
                    [str(n) for n in range(100)]
                time.sleep(1_000)

            assert _native.profiler_start(1000.0, 1.0) is None
            for _ in range(4):
                threading.Thread(target=churn, daemon=True).start()
            time.sleep(0.05)
            if sys.version_info[:2] == (3, 10):
                # One end in a hundred of 3.10 crashes, with or without us, where daemon threads want its lock.
                over.append(True)
                time.sleep(0.05)
            print("end", flush=True)
            """
        )
        assert printed == "end\n"


def test_code_that_comes_and_goes(sampler: Sampler) -> None:
    """Names are of the code that ran, also where its memory was another one's before."""
    for number in range(60):
        names: dict[str, Callable[[], None]] = {"spin": spin}  # type: ignore[dict-item]
        exec(f"def only{number}():\n    spin(0.01)", names)
        names[f"only{number}"]()
        del names
    samples = sampler.take(last=True)
    own = [s for s in samples if "test_code_that_comes_and_goes" in s.functions]
    for sample in own:
        inner = sample.functions[: sample.functions.index("test_code_that_comes_and_goes")]
        assert len([name for name in inner if name.startswith("only")]) <= 1, inner
    assert len({name for s in own for name in s.functions if name.startswith("only")}) > 10
