"""Profiles programs that change what a profiler reads: ``stress_profiler.py [SECONDS [WALKS [PROGRAM]]]``, each for so
long, and the one whose calls are known until so many stacks were walked.

Run by ``make stress-profiler`` on every CPython found. A crash or a hang shows as an exit status, a leak as memory
that grew from the first third to the end, and a stack that never was as a call that no program has.
"""

import os
import subprocess
import sys
import textwrap
import time

#: How long a program may take beyond what it was told, on a busy machine.
_PATIENCE_S = 300.0
#: Stacks that are walked where every call is known, and how many a second on a machine with much else to do.
_WALKS, _SLOWEST = 20_000, 200
#: How much memory may grow, in KB: what stacks and names of a window take.
_MAY_GROW_KB = 40_000

#: What every program begins with, and how it ends.
_HEAD = """
import os, resource, sys, threading, time
from pitviper import _native, _tasks, config
from pitviper.profiling import _events
os.register_at_fork(after_in_child=_native.profiler_resume)
assert _native.profiler_start(1000.0, 1.0, allocation_interval=16_384) is None
_events.start(config.load({"PITVIPER_PROFILING_LOCKS": "exact"}))
seconds, wanted = float(sys.argv[1]), int(sys.argv[2])
began, taken, memory = time.monotonic(), 0.0, []
#: Memory that the interpreter loses by itself, in KB.
lost = 0.0
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1024
def goes_on(look=len):
    global taken
    now = time.monotonic() - began
    if now - taken > 0.5:
        taken = now
        _tasks.watch()
        look(_native.profiler_take() or ())
        memory.append(int(resident() - lost))
    return now < seconds
"""
_END = """
early = memory[: max(1, len(memory) // 3)]
print(_native.profiler_figures()["walks"], _native.profiler_figures()["torn"], max(memory[-3:]) - max(early))
_native.profiler_stop()
"""

PROGRAMS = {
    "shares of the time": """
        used = {"small": 0.0, "large": 0.0}
        found = dict.fromkeys(used, 0)
        def spin(name, seconds):
            start = time.thread_time()
            while time.thread_time() < start + seconds:
                pass
            used[name] += time.thread_time() - start
        def small():
            spin("small", 0.003)
        def large():
            spin("large", 0.009)
        def look(taken):
            for frames, _, values in taken:
                for name in found:
                    if any(function == name for function, _, _ in frames):
                        found[name] += values.get("cpu", 0)
        # Fewer samples say less than what is asked.
        while goes_on(look) or _native.profiler_figures()["walks"] < 10_000:
            small()
            large()
        share, real = found["small"] / sum(found.values()), used["small"] / sum(used.values())
        assert abs(share - real) < 0.02, (share, real, _native.profiler_figures())
    """,
    "threads come and go": """
        def brief():
            sum(range(20_000))
        while goes_on():
            threads = [threading.Thread(target=brief) for _ in range(20)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
    """,
    "code comes and goes": """
        def made(number):
            names = {}
            exec(f"def f{number}(n):\\n" + "    n += 1\\n" * (number % 50) + "    return f(n) if n < 900 else n", names)
            names["f"] = names[f"f{number}"]
            return names[f"f{number}"]
        number = 0
        while goes_on():
            number += 1
            function = made(number)
            try:
                function(0 if number % 50 else 900)
            except RecursionError:
                pass
            function.__globals__.clear()
    """,
    "modules come and go": """
        import gc, importlib
        names = ["json", "json.decoder", "ast", "argparse", "email.message", "html.parser", "csv", "dataclasses"]
        while goes_on():
            for name in names:
                importlib.import_module(name)
            for name in [name for name in sys.modules if name.partition(".")[0] in {n.partition(".")[0] for n in names}]:
                del sys.modules[name]
            gc.collect()
    """,
    "forks": """
        def child():
            sum(range(100_000))
        while goes_on():
            children = []
            for _ in range(5):
                number = os.fork()
                if not number:
                    child()
                    os._exit(0)
                children.append(number)
            assert [os.waitpid(number, 0)[1] for number in children] == [0] * 5
    """,
    "programs that end at once": """
        import subprocess
        short = "from pitviper import _native;" \\
            "assert _native.profiler_start(1000.0, 1.0, allocation_interval=16_384) is None;" \\
            "import threading; threading.Thread(target=lambda: sum(range(10**6)), daemon=True).start()"
        while goes_on():
            running = [subprocess.Popen([sys.executable, "-c", short]) for _ in range(2)]
            assert [one.wait() for one in running] == [0, 0]
    """,
    "signals": """
        import signal
        count = 0
        def handler(*_):
            global count
            count += sum(range(50)) > 0
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        while goes_on():
            sum(range(1_000))
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert count
    """,
    "subinterpreters": """
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        def one():
            made = interpreters.create()
            threads = [threading.Thread(target=interpreters.run_string, args=(made, "sum(range(100_000))"))]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            interpreters.destroy(made)
        # CPython 3.12 loses two megabytes with each, whoever looks: so many go without the profiler first.
        _native.profiler_stop()
        for _ in range(5): one()
        before = resident()
        for _ in range(20): one()
        each = (resident() - before) / 20
        assert _native.profiler_start(1000.0, 1.0, allocation_interval=16_384) is None
        began = time.monotonic()
        while goes_on():
            one()
            lost += each
    """,
    "calls that never were": """
        import collections
        # Many threads run between two rounds, and all of those are walked.
        sys.setswitchinterval(0.0001)
        namespace, over, functions, bodies = {}, False, 8, 8
        calls = {("churn", "f0"), ("run", "churn"), ("run", "generators"), ("_bootstrap_inner", "run"),
                 ("_bootstrap", "_bootstrap_inner"), ("generators", "outer"), ("outer", "middle"), ("middle", "inner")}
        for number in range(functions):
            near, far = (number + 1) % functions, (number + 3) % functions
            source = f"if depth: f{near}(depth - 1); return f{far}(depth - 1)"
            exec(f"def f{number}(depth):\\n  {source}\\n  return depth", namespace)
            calls |= {(f"f{number}", f"f{near}"), (f"f{number}", f"f{far}")}
        def churn():
            while not over:
                namespace["f0"](7)
        def inner():
            yield from range(5)
        def middle():
            for _ in range(3):
                yield from inner()
        def outer():
            return sum(middle())
        def generators():
            while not over:
                outer()
        impossible, checked = collections.Counter(), 0
        def look(taken):
            global checked
            for frames, labels, _ in taken:
                names = [function.rsplit(".", 1)[-1] for function, _, _ in frames]
                if "state" in labels and {"churn", "generators"} & set(names):
                    checked += len(names) - 1
                    impossible.update(call for call in zip(names[1:], names) if call not in calls)
        threads = [threading.Thread(target=body, daemon=True) for body in (churn, generators) for _ in range(bodies // 2)]
        for thread in threads: thread.start()
        while goes_on(look) or _native.profiler_figures()["walks"] < wanted:
            time.sleep(0.05)
        over = True
        for thread in threads: thread.join()
        assert checked > 100 and not impossible, (checked, impossible)
    """,
    "C code without the lock": """
        import hashlib, sqlite3, zlib
        over = False
        def hashes():
            while not over:
                hashlib.sha256(b"x" * 200_000)
        def compresses():
            while not over:
                zlib.compress(os.urandom(50_000))
        def asks():
            with sqlite3.connect(":memory:", check_same_thread=False) as database:
                while not over:
                    database.execute("with recursive c(x) as (select 1 union all select x + 1 from c limit 2000) "
                                     "select sum(x) from c").fetchall()
        threads = [threading.Thread(target=body) for body in (hashes, compresses, asks)]
        for thread in threads: thread.start()
        while goes_on():
            time.sleep(0.01)
        over = True
        for thread in threads: thread.join()
    """,
    "generators and exceptions": """
        def inner(n):
            for number in range(n):
                yield number
            raise ValueError(n)
        def middle(n):
            try:
                yield from inner(n)
            except ValueError as error:
                raise KeyError(n) from error
        class Own(Exception):
            pass
        def keeps_itself():
            try:
                raise Own
            except Own as error:
                kept = error
                del error
        def holds(count):
            last = None
            for number in range(count):
                try:
                    raise (OSError if number % 2 else Own)(number) from last
                except Exception as error:
                    last = error
        def elsewhere():
            while not over:
                keeps_itself()
                holds(100)
                try:
                    os.stat("/nowhere")
                except OSError:
                    pass
        over = False
        thread = threading.Thread(target=elsewhere)
        thread.start()
        while goes_on():
            try:
                sum(middle(20))
            except KeyError:
                pass
        over = True
        thread.join()
        holds(200_000)
    """,
    "tasks": """
        import asyncio
        async def leaf(depth):
            if depth:
                await leaf(depth - 1)
            else:
                await asyncio.sleep(0)
        async def some():
            await asyncio.gather(*(leaf(number % 10) for number in range(200)))
        async def slow():
            await asyncio.wait_for(asyncio.sleep(5), 0.01)
        async def main():
            while goes_on():
                await some()
                try:
                    await slow()
                except asyncio.TimeoutError:
                    pass
        asyncio.run(main())
    """,
}


def main() -> int:
    """Runs the command line."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else _WALKS
    programs = {name: body for name, body in PROGRAMS.items() if len(sys.argv) <= 3 or name == sys.argv[3]}
    failed, walks, torn = 0, 0, 0
    began = time.monotonic()
    for name, body in programs.items():
        program = _HEAD + textwrap.dedent(body) + _END
        command = [sys.executable, "-Wignore::DeprecationWarning", "-c", program, str(seconds), str(wanted)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds + wanted / _SLOWEST + _PATIENCE_S,
                check=False,
                env={**os.environ},
            )
            status, printed = done.returncode, done.stdout.split()
            problem = done.stderr[-2_000:] if status else ""
        except subprocess.TimeoutExpired:
            status, printed, problem = 1, [], "does not end"
        if not status:
            own_walks, own_torn, grown_kb = map(int, printed)
            walks, torn = walks + own_walks, torn + own_torn
            if grown_kb > _MAY_GROW_KB:
                status, problem = 1, f"grew by {grown_kb} KB"
        if status:
            failed += 1
            print(f"FAILED {name} ({status}): {problem}", flush=True)
    version = ".".join(map(str, sys.version_info[:3]))
    took = time.monotonic() - began
    print(
        f"CPython {version}: {len(programs)} programs, {failed} failed; {walks} walks, {torn} torn; {took:.0f} s",
        flush=True,
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
