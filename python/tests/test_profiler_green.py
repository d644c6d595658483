"""What is sampled where stacks are switched, or interpreters: greenlets and subinterpreters."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from sampled import LIMIT_S, Sampler, threads

from pitviper import _native

#: Several kinds of greenlets, which switch at every depth, and what each of their stacks may consist of.
GREEN = """
import random, sys, time

sys.path.insert(0, {tests!r})
import sampled
from pitviper import _native, _tasks

{setup}

KINDS, found, over = 4, 0, False
source = '''
def leaf{{0}}(depth):
    if depth:
        for _ in range(random.randrange(3)):
            pause()
        leaf{{0}}(depth - 1)
        pause()
    else:
        sampled.spin(0.0005)
def root{{0}}():
    while not over:
        leaf{{0}}(random.randrange(12))
'''
for kind in range(KINDS):
    exec(source.format(kind))

assert _native.profiler_start(rate_hz=1_000.0, budget=1.0) is None
assert _tasks.watch() is None
sampler = sampled.Sampler()
greenlets = [start(globals()[f"root{{number % KINDS}}"]) for number in range(KINDS * 5)]
names, deadline = set(), time.monotonic() + sampled.LIMIT_S / 2
while found < 500 or len(names) < {names}:
    assert time.monotonic() < deadline, (found, names)
    wait(0.1)
    sampler.samples.clear()
    for sample in sampler.take():
        own = [function for function in sample.functions if function.startswith(("leaf", "root"))]
        if own:
            kind = own[-1][-1]
            assert own[-1] == "root" + kind and set(own[:-1]) <= {{"leaf" + kind}}, sample
            names.add(sample.task)
            found += 1
over = True
join(greenlets)
figures = _native.profiler_figures()
assert figures["direct"], figures
assert figures["torn"] + figures["unstable"] < 0.05 * figures["walks"], figures
_native.profiler_stop()
_tasks.unwatch()
print(*sorted(names))
"""

GEVENT = """
import gevent
def start(function):
    return gevent.spawn(function)
pause, wait, join = gevent.sleep, gevent.sleep, gevent.joinall
"""
EVENTLET = """
import warnings
warnings.simplefilter("ignore")
import eventlet
start, pause, wait = eventlet.spawn, eventlet.sleep, eventlet.sleep
def join(greenlets):
    for greenlet in greenlets:
        greenlet.wait()
"""


#: What greenlets are called: gevent's have names, eventlet's have none.
NAMES = {GEVENT: [f"Greenlet-{number}" for number in range(20)], EVENTLET: []}


@pytest.mark.parametrize("setup", NAMES, ids=["gevent", "eventlet"])
def test_stacks_of_greenlets_are_not_mixed(setup: str) -> None:
    """And those of gevent say which they are of."""
    names = NAMES[setup]
    program = GREEN.format(tests=str(Path(__file__).parent), setup=setup, names=len(names))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stdout.split()) == (0, sorted(names)), done.stderr


SUBINTERPRETER = """
import time

def inner(end):
    while time.thread_time() < end:
        sum(range(100))

def in_subinterpreter():
    inner(time.thread_time() + 0.2)

in_subinterpreter()
"""


def test_code_of_subinterpreters_is_sampled() -> None:
    known = [name for name in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(name)]
    interpreters = importlib.import_module(known[0])
    made = [interpreters.create() for _ in range(2)]
    assert _native.profiler_start(rate_hz=500.0, budget=1.0) is None
    try:

        def runs(number: object) -> None:
            interpreters.run_string(number, SUBINTERPRETER)

        with threads(*((f"sub {number}", lambda number=number: runs(number)) for number in made)):
            pass
        samples = Sampler().take(last=True)
        for number in made:
            interpreters.destroy(number)
    finally:
        _native.profiler_stop()
    found = [sample for sample in samples if "runs" in sample.functions]
    # Older ones do not say which thread code of a subinterpreter runs in: there it is the call that runs it.
    own = [sample for sample in samples if "inner" in sample.functions]
    assert len(own) >= 2 if sys.version_info >= (3, 13) else own == [] and len(found) >= 2
    for sample in own:
        place = sample.functions.index("inner")
        assert sample.functions[place + 1 :][:2] == ("in_subinterpreter", "<module>"), sample
    # Nothing is counted twice, although such a thread has a state in either interpreter.
    assert 0.3 < sum(sample.cpu_ns for sample in (own or found)) / 1e9 < 0.6
    figures = _native.profiler_figures()
    assert figures["torn"] + figures["unstable"] <= 0.05 * figures["walks"], figures
